"""The table of all readers: what each recognises, and how it reads. `docs/datasets.md` has a row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amiss.core.checks import check_choice
from amiss.core.errors import DataError, InputError
from amiss.data.about import About
from amiss.data.btad import ABOUT as BTAD
from amiss.data.btad import is_btad, read_btad
from amiss.data.dataset import Dataset
from amiss.data.folder import read_folder
from amiss.data.kolektor import ABOUT as KOLEKTOR
from amiss.data.kolektor import is_kolektor, read_kolektor
from amiss.data.manifest import read_manifest
from amiss.data.mvtec import ABOUT as MVTEC
from amiss.data.mvtec import is_mvtec, read_mvtec
from amiss.data.mvtec_3d import ABOUT as MVTEC_3D
from amiss.data.mvtec_3d import is_mvtec_3d, read_mvtec_3d
from amiss.data.mvtec_ad2 import ABOUT as MVTEC_AD2
from amiss.data.mvtec_ad2 import is_mvtec_ad2, read_mvtec_ad2
from amiss.data.mvtec_loco import ABOUT as MVTEC_LOCO
from amiss.data.mvtec_loco import is_mvtec_loco, read_mvtec_loco
from amiss.data.nanofibres import ABOUT as NANOFIBRES
from amiss.data.nanofibres import is_nanofibres, read_nanofibres
from amiss.data.severstal import ABOUT as SEVERSTAL
from amiss.data.severstal import is_severstal, read_severstal
from amiss.data.table import ENDINGS
from amiss.data.visa import ABOUT as VISA
from amiss.data.visa import is_visa, read_visa, visa_objects
from amiss.data.wafers import MIXED, WM811K, is_mixedwm38, is_wm811k, read_mixedwm38, read_wm811k

FOLDER = About("A folder of good images", "pictures, at any depth", "your own camera", "yours")
MANIFEST = About("A manifest", "a table with a column path", "your own records", "yours")

Read = Callable[[Path, str | None, int], Dataset]
"""From a path, a category or None, and a seed."""


@dataclass(frozen=True)
class Reader:
    """One row of the table.

    Args:
        about: What it is.
        recognises: Whether a path looks like one data set of this kind.
        read: Reads it.
    """

    about: About
    recognises: Callable[[Path], bool]
    read: Read


def _folders(read: Callable[[Path], Dataset], recognises: Callable[[Path], bool], about: About) -> Read:
    """A set that keeps each category in a folder of its own; a path is one category, or the folder of all."""

    def choose(root: Path, category: str | None, seed: int) -> Dataset:
        inner = [] if recognises(root) or not root.is_dir() else _inner(root, recognises)
        if category is not None:
            if recognises(root):
                raise InputError(f"category {category!r} arrived, but {root} is one data set and has no categories")
            if not inner:
                raise about.error(f"{root}: no category inside")
            return read(root / check_choice("category", category, inner))
        if inner:
            raise DataError(
                f"{root}: several data sets in the layout of {about.title}; give one of them: {', '.join(inner)}. "
                f"For example {root}#{inner[0]}"
            )
        return read(root)

    return choose


def _inner(root: Path, recognises: Callable[[Path], bool]) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir() and recognises(folder))


def _single(read: Callable[[Path, int], Dataset]) -> Read:
    """A set without categories."""

    def check(path: Path, category: str | None, seed: int) -> Dataset:
        if category is not None:
            raise InputError(f"category {category!r} arrived, but {path} has no categories")
        return read(path, seed)

    return check


def _visa(root: Path, category: str | None, seed: int) -> Dataset:
    if category is None:
        names = visa_objects(root)
        raise DataError(f"{root}: several objects; give one of them: {', '.join(names)}. For example {root}#{names[0]}")
    return read_visa(root, category)


def _is_manifest(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in ENDINGS


READERS: dict[str, Reader] = {
    "manifest": Reader(MANIFEST, _is_manifest, lambda path, name, seed: read_manifest(path, product=name, seed=seed)),
    "wm811k": Reader(WM811K, is_wm811k, _single(lambda path, seed: read_wm811k(path))),
    "mixedwm38": Reader(MIXED, is_mixedwm38, _single(lambda path, seed: read_mixedwm38(path, seed=seed))),
    "visa": Reader(VISA, is_visa, _visa),
    "mvtec_ad2": Reader(MVTEC_AD2, is_mvtec_ad2, _folders(read_mvtec_ad2, is_mvtec_ad2, MVTEC_AD2)),
    "mvtec_loco": Reader(MVTEC_LOCO, is_mvtec_loco, _folders(read_mvtec_loco, is_mvtec_loco, MVTEC_LOCO)),
    "mvtec_3d": Reader(MVTEC_3D, is_mvtec_3d, _folders(read_mvtec_3d, is_mvtec_3d, MVTEC_3D)),
    "mvtec": Reader(MVTEC, is_mvtec, _folders(read_mvtec, is_mvtec, MVTEC)),
    "btad": Reader(BTAD, is_btad, _folders(read_btad, is_btad, BTAD)),
    "kolektorsdd2": Reader(KOLEKTOR, is_kolektor, _single(lambda path, seed: read_kolektor(path))),
    "severstal": Reader(SEVERSTAL, is_severstal, _single(lambda path, seed: read_severstal(path, seed=seed))),
    "nanofibres": Reader(NANOFIBRES, is_nanofibres, _single(lambda path, seed: read_nanofibres(path))),
    "folder": Reader(FOLDER, Path.is_dir, _single(lambda path, seed: read_folder(path))),
}
"""Kind -> reader. The first that recognises a path reads it, so the narrow ones come first; elpv is apart, for it has
no path."""


def recognise(path: Path) -> str | None:
    """The kind of the data set at a path, or of the ones in the folders right inside; None when nobody knows it."""
    kind = next((kind for kind, reader in READERS.items() if kind != "folder" and reader.recognises(path)), None)
    if kind is not None or not path.is_dir():
        return kind
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    with_categories = ("mvtec_ad2", "mvtec_loco", "mvtec_3d", "mvtec", "btad")
    inside = (kind for folder in folders for kind in with_categories if READERS[kind].recognises(folder))
    return next(inside, "folder")
