"""The layout of MVTec AD, which many data sets share.

root/train/good/*.png
root/test/good/*.png
root/test/<defect type>/*.png
root/ground_truth/<defect type>/<name>_mask.png      optional; white = defective
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.dataset import GOOD, Dataset


def is_mvtec(root: Path) -> bool:
    """True when `root` has the layout of MVTec AD."""
    return (root / "train" / GOOD).is_dir()


def read_mvtec(root: Path) -> Dataset:
    """Read one category.

    Raises:
        DataError: A folder is missing, a test picture lies outside a defect folder, or a mask is missing while
            other masks are there.
    """
    test = root / "test"
    if not test.is_dir():
        raise DataError(f"{root}: train/good is there but test/ is not; the layout is train/good, test/<type>")
    images = Images(test)
    paths = [path for path in images.paths if path is not None]
    defects = [_defect(path, test) for path in paths]
    truth = root / "ground_truth"
    masks = tuple(_mask(path, defect, truth) for path, defect in zip(paths, defects, strict=True))
    return Dataset(
        name=root.resolve().name,
        normal=Images(root / "train" / GOOD),
        test=images,
        defects=tuple(defects),
        masks=masks if truth.is_dir() else None,
    )


def _defect(path: Path, test: Path) -> str:
    parts = path.relative_to(test).parts
    if len(parts) != 2:
        raise DataError(f"{path}: expected test/<type>/<picture>; the folder under test/ names the defect type")
    return parts[0]


def _mask(path: Path, defect: str, truth: Path) -> Path | None:
    if defect == GOOD or not truth.is_dir():
        return None
    candidates = [truth / defect / f"{path.stem}_mask.png", truth / defect / f"{path.stem}.png"]
    for mask in candidates:
        if mask.is_file():
            return mask
    raise DataError(f"{path}: its mask {candidates[0]} is missing, while {truth} is there")
