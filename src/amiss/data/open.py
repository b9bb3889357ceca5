"""One word for every data set: a folder, or the name of a set that a package brings."""

from __future__ import annotations

from pathlib import Path

from amiss.core.errors import DataError
from amiss.data.dataset import GOOD, Dataset
from amiss.data.elpv import read_elpv
from amiss.data.folder import read_folder
from amiss.data.mvtec import is_mvtec, read_mvtec


def open_dataset(source: str | Path, *, seed: int = 0) -> Dataset:
    """Open a data set by what it looks like.

    Args:
        source: A folder in the layout of MVTec AD, a flat folder of good images, or "elpv:mono" / "elpv:poly".
        seed: Seed of the random split, for sets that come without one.

    Raises:
        DataError: Nothing there, no pictures, or a layout that no reader knows.
        ImageError: Never here: pictures are read when they are used.
    """
    name, _, kind = str(source).partition(":")
    if name == "elpv":
        return read_elpv(kind or "mono", seed=seed)
    root = Path(source)
    if not root.is_dir():
        raise DataError(
            f"{source}: no such folder; give a folder of good images, a data set in MVTec layout, or elpv:mono"
        )
    if is_mvtec(root):
        return read_mvtec(root)
    if inner := sorted(folder.name for folder in root.iterdir() if is_mvtec(folder)):
        raise DataError(f"{source}: several data sets in MVTec layout; give one of them: {', '.join(inner)}")
    if (root / "test").is_dir():
        raise DataError(f"{source}: test/ is there but train/{GOOD}/ is not; good images to learn from belong there")
    return read_folder(root)
