"""What readers of folders share: which images a folder holds, and which mask belongs to which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.listing import list_folder
from amiss.data.about import About
from amiss.data.dataset import GOOD
from amiss.data.truth import MaskSource


def list_images(folder: Path) -> list[Path]:
    """The images directly inside, in the order of their names; see `amiss.core.listing`."""
    return list(list_folder(folder, deep=False).images)


def need_images(root: Path, inside: str, about: About) -> list[Path]:
    """The images of a folder that must be there and hold some.

    Raises:
        DataError: There is no such folder, or no image in it.
    """
    folder = root / inside
    if not folder.is_dir():
        raise about.missing(root, f"{inside}/")
    if not (found := list_images(folder)):
        raise about.error(f"{folder}: no image inside")
    return found


@dataclass
class Tested:
    """Test images as a reader collects them.

    Args:
        paths: The files.
        defects: Their defect types.
        masks: Their ground truth, None for a good one.
        notes: What was odd.
    """

    paths: list[Path] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    masks: list[MaskSource | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect_tests(folders: Mapping[str, Path], find_mask: Callable[[str, Path], MaskSource]) -> Tested:
    """All test images of a set that has one folder per defect type, and a mask for every defective image.

    Args:
        folders: For each defect type, "good" among them, its folder.
        find_mask: The mask of an image of this type; its error says what is missing.
    """
    tested = Tested()
    for defect, folder in folders.items():
        paths = list_images(folder) if folder.is_dir() else []
        if not paths:
            tested.notes.append(f"There is no test image of the type {defect}: {folder.name}/ is missing or empty.")
        tested.paths += paths
        tested.defects += [defect] * len(paths)
        tested.masks += [None if defect == GOOD else find_mask(defect, path) for path in paths]
    return tested


def first_file(image: Path, candidates: list[Path]) -> Path:
    """The mask of an image: the first of these files that is there, or one of that name with another ending.

    Raises:
        DataError: None is.
    """
    for path in candidates:
        if path.is_file():
            return path
    for path in candidates:
        others = list_images(path.parent) if path.parent.is_dir() else []
        if found := next((other for other in others if other.stem == path.stem), None):
            return found
    raise DataError(f"{image}: its mask {candidates[0]} is missing")


def without_image(masks: Path, used: list[MaskSource | None]) -> list[str]:
    """A note on mask files that belong to no test image."""
    known = {path for path in used if isinstance(path, Path)}
    idle = [path for folder in sorted(masks.iterdir()) if folder.is_dir() for path in list_images(folder)]
    idle = [path for path in idle if path not in known]
    return [f"{len(idle)} masks belong to no test image, such as {idle[0]}."] if idle else []


def licence_beside(root: Path) -> str:
    """The Creative Commons licence that a licence file in this folder names, or ""."""
    names = {
        "Attribution-NonCommercial-ShareAlike 4.0": "CC BY-NC-SA 4.0",
        "Attribution-NonCommercial 4.0": "CC BY-NC 4.0",
        "Attribution-ShareAlike 4.0": "CC BY-SA 4.0",
        "Attribution 4.0": "CC BY 4.0",
    }
    for name in ("license.txt", "LICENSE.txt", "LICENSE", "licence.txt", "LICENCE"):
        path = root / name
        if path.is_file():
            text = " ".join(path.read_bytes()[:20_000].decode("utf-8", "replace").split())
            return next((short for long, short in names.items() if long in text), "")
    return ""
