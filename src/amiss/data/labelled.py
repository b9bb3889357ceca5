"""Folders whose names say what is in them: OK/ and NG/, good and defect, and the like, at any depth.

root/.../OK/*.png                   good, in any of the words of `amiss.data.words`
root/.../NG/[<defect type>/]*.png   defective
root/train/..., root/test/...       optional: then these are the split, and train/ needs no word for good

Nothing is guessed: an image that lies in neither kind of folder, or in both, is refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.reader import single
from amiss.data.split import split_good
from amiss.data.words import is_defective_folder

ABOUT = About("Folders named good and defective", "OK/, NG/ or other words for them, at any depth", "yours", "yours")
DEFECTIVE = "defective"
"""The defect type of an image of which nothing more is known."""

SPLITS = {
    "train": True,
    "training": True,
    "validation": True,
    "valid": True,
    "val": True,
    "test": False,
    "testing": False,
}
"""Words for the split, and whether they mean normal images."""

TRUTH = ("ground_truth", "groundtruth", "mask", "masks")
"""Folders of masks, which this layout does not read."""


@dataclass(frozen=True)
class _Found:
    """An image, its defect type (None where no folder tells), and whether it is for learning (None without a split)."""

    path: Path
    defect: str | None
    learn: bool | None


def defective_folders(root: Path) -> list[Path]:
    """The uppermost folders below `root`, linked ones too, that are named by a word for defective."""
    found = []
    for folder, names, _ in os.walk(root):
        here = [name for name in names if is_defective_folder(name)]
        found += [Path(folder) / name for name in here]
        names[:] = [name for name in names if name not in here and not name.startswith(".")]
    return sorted(found)


def check_all_good(root: Path) -> None:
    """Refuse to take every image below a folder for good when a folder in it says that some are not.

    Raises:
        DataError: Which folder it is.
    """
    if bad := defective_folders(root):
        raise DataError(
            f"{bad[0]}: the name says defective, and only good images can be learned from; give the folder of good "
            "images, or have all of it read as a data set (amiss.data.open_dataset, amiss data)"
        )


def check_name(root: Path) -> None:
    """Refuse to take a folder of images for good that is itself named by a word for defective.

    Raises:
        DataError: It is; says how to have it read all the same.
    """
    if is_defective_folder(Path(os.path.abspath(root)).name):  # noqa: PTH100  the name that was typed, not a link's goal
        raise DataError(
            f"{root}: the name says defective, and only good images can be learned from or calibrated on; if they are "
            f"good, say so with folder:{root}, in Python with Images({str(root)!r}), or rename the folder"
        )


def is_labelled(root: Path) -> bool:
    """True for a folder with one below it that is named by a word for defective."""
    return root.is_dir() and bool(defective_folders(root))


def read_labelled(root: Path, seed: int = 0) -> Dataset:
    """Read the images below `root` by what the names of their folders say.

    Without train/ and test/, the good ones are divided with the seed, and all defective ones are for testing.

    Raises:
        DataError: An image whose folders say nothing, or both; no good image; a part of the images without a split.
    """
    images = Images(root)
    paths = [path for path in images.paths if path is not None]
    masks = [path for path in paths if any(part.lower() in TRUTH for part in _folders(root, path))]
    found = [_look(root, path) for path in paths if path not in set(masks)]
    _check(root, found)
    notes = [f"{len(masks)} masks are not read in this layout; a manifest can name them."] if masks else []
    learn, test = _divide(root, found, seed, notes)
    normal = Images([one.path for one in learn])
    normal.ignored = images.ignored
    return Dataset(
        name=root.resolve().name,
        normal=normal,
        test=Images([one.path for one in test]),
        defects=tuple(one.defect or GOOD for one in test),
        notes=tuple(notes),
    )


def _folders(root: Path, path: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts[:-1]


def _look(root: Path, path: Path) -> _Found:
    folders = _folders(root, path)
    splits = [SPLITS[name.lower()] for name in folders if name.lower() in SPLITS]
    says = [is_defective_folder(name) for name in folders]
    if len({said for said in says if said is not None}) > 1:
        raise DataError(f"{path}: its folders say both good and defective")
    if True in says:
        inside = folders[says.index(True) + 1 :]
        return _Found(path, inside[0] if inside else DEFECTIVE, splits[0] if splits else None)
    learn = splits[0] if splits else None
    return _Found(path, GOOD if False in says or learn else None, learn)


def _check(root: Path, found: list[_Found]) -> None:
    if unknown := [one.path for one in found if one.defect is None]:
        raise DataError(
            f"{root}: {len(unknown)} images lie in folders that say neither good nor defective, such as {unknown[0]}, "
            "while others do; name their folders OK or NG, good or defect, or move them away"
        )
    if 0 < (bare := sum(one.learn is None for one in found)) < len(found):
        raise DataError(f"{root}: {bare} images lie outside train/ and test/, while others lie inside")


def _divide(root: Path, found: list[_Found], seed: int, notes: list[str]) -> tuple[list[_Found], list[_Found]]:
    good = [one for one in found if one.defect == GOOD]
    bad = [one for one in found if one.defect != GOOD]
    if not good:
        raise DataError(f"{root}: no folder in it says good, so there is nothing to learn from")
    if found[0].learn is None:
        learn, test = split_good(len(good), seed) if len(good) > 1 else (np.arange(1), np.arange(0))
        notes.append("Read by the names of the folders. There is no split; the good images are divided with the seed.")
        return [good[index] for index in learn], [good[index] for index in test] + bad
    if left_out := sum(one.learn is True for one in bad):
        notes.append(f"{left_out} defective images of train are left out.")
    learned = [one for one in good if one.learn]
    if not learned:
        raise DataError(f"{root}: no good image in train/")
    return learned, [one for one in found if not one.learn]


READER = single("labelled", ABOUT, is_labelled, read_labelled)
