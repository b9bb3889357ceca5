"""MVTec AD, and the many data sets that share its layout.

root/train/good/*.png                                other words for good count too, here and in test/
root/test/good/*.png
root/test/<defect type>/*.png
root/ground_truth/<defect type>/<name>_mask.png      optional; white = defective

MVTec AD itself has 15 categories, each such a root, with 3,629 + 467 good and 1,258 defective images. The split is
the published one. The licence is read from the licence file of the root, because the layout does not tell whose
images they are.

Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021). CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import first_file, licence_beside, without_image
from amiss.data.reader import in_folders
from amiss.data.words import is_defective_folder

ABOUT = About(
    "MVTec AD",
    "train/good, test/good, test/<type>, ground_truth/<type>/<name>_mask.png",
    "mvtec.com (Research, Datasets)",
    "CC BY-NC-SA 4.0",
)


def is_mvtec(root: Path) -> bool:
    """True when `root` has the layout of MVTec AD."""
    return bool(_good_folders(root / "train"))


def read_mvtec(root: Path) -> Dataset:
    """Read one category.

    Raises:
        DataError: A folder is missing, a test image lies outside a defect folder, or a mask is missing while
            other masks are there.
    """
    test, truth = root / "test", root / "ground_truth"
    if not is_mvtec(root):
        raise ABOUT.missing(root, "train/good/")
    if not test.is_dir():
        raise ABOUT.error(f"{root}: train/good/ is there but test/ is not")
    images = Images(test)
    paths = [path for path in images.paths if path is not None]
    defects = [_defect(path, test) for path in paths]
    masks = tuple(_mask(path, defect, truth) for path, defect in zip(paths, defects, strict=True))
    kinds = sorted({_type(folder.name) for folder in test.iterdir() if folder.is_dir()})
    empty = [kind for kind in kinds if kind not in defects]
    notes = [f"There is no test image of the type {name}: its folder is empty." for name in empty]
    if GOOD not in defects and GOOD not in empty:
        notes.append("There are no good test images, so false alarms cannot be measured.")
    return Dataset(
        name=root.resolve().name,
        normal=Images.join([Images(folder) for folder in _good_folders(root / "train")]),
        test=images,
        defects=tuple(defects),
        masks=masks if truth.is_dir() else None,
        licence=licence_beside(root),
        notes=(*notes, *(without_image(truth, list(masks)) if truth.is_dir() else [])),
    )


def _defect(path: Path, test: Path) -> str:
    parts = path.relative_to(test).parts
    if len(parts) != 2:
        raise DataError(f"{path}: expected test/<type>/<image>; the folder under test/ names the defect type")
    return _type(parts[0])


def _good_folders(train: Path) -> list[Path]:
    """Usually train/good, but OK and other words for it count as well."""
    inside = sorted(train.iterdir()) if train.is_dir() else []
    return [folder for folder in inside if is_defective_folder(folder.name) is False and folder.is_dir()]


def _type(name: str) -> str:
    """The defect type that a folder of test/ is named for: another word for good is good."""
    return GOOD if is_defective_folder(name) is False else name


def _mask(path: Path, defect: str, truth: Path) -> Path | None:
    if defect == GOOD or not truth.is_dir():
        return None
    return first_file(path, [truth / defect / f"{path.stem}_mask.png", truth / defect / f"{path.stem}.png"])


READER = in_folders("mvtec", ABOUT, is_mvtec, read_mvtec)
