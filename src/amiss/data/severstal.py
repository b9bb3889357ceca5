"""Severstal: flat steel under line cameras, 1600 x 256 pixels, four classes of defects.

root/train_images/*.jpg
root/train.csv            ImageId,ClassId,EncodedPixels, one row a defect
                          or ImageId_ClassId,EncodedPixels, four rows per image, empty where there is no defect

5,902 of the 12,568 images of train_images/ have no defect; the truth of test_images/ was never published. The set is
made for supervised methods and has no split for learning from good images alone: this one is drawn here, and no
figure is comparable with a paper's.

The Kaggle competition "Severstal: Steel Defect Detection" (2019). Its rules are the licence: read them there.
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.about import OWN_SPLIT, About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import need_images
from amiss.data.reader import single
from amiss.data.split import split_good
from amiss.data.table import read_table
from amiss.data.truth import RunLengths

ABOUT = About(
    "Severstal",
    "train_images/*.jpg and train.csv",
    "kaggle.com/c/severstal-steel-defect-detection",
    "rules of the Kaggle competition",
)


def is_severstal(root: Path) -> bool:
    """True when `root` has the layout of the Severstal competition."""
    return (root / "train_images").is_dir() and (root / "train.csv").is_file()


def read_severstal(root: Path, *, seed: int = 0) -> Dataset:
    """Read the set: most good images to learn from; the other good and all defective ones to test on.

    The defect type tells all classes of an image, such as "class_3" or "class_1+class_3".

    Args:
        root: The folder that holds train_images/ and train.csv.
        seed: Seed of the split.

    Raises:
        DataError: A file is missing, or a row is not understood.
    """
    images = need_images(root, "train_images", ABOUT)
    table = root / "train.csv"
    if not table.is_file():
        raise ABOUT.missing(root, "train.csv")
    runs = _runs(table)
    names = {path.name for path in images}
    if lost := sorted(set(runs) - names):
        raise ABOUT.error(f"{table}: {len(lost)} images are not in train_images/, such as {lost[0]}")
    good = [path for path in images if path.name not in runs]
    defective = [path for path in images if path.name in runs]
    learn, rest = split_good(len(good), seed)
    return Dataset(
        name="severstal",
        normal=Images([good[index] for index in learn]),
        test=Images([good[index] for index in rest] + defective),
        defects=(GOOD,) * len(rest) + tuple(_defect(runs[path.name]) for path in defective),
        masks=(None,) * len(rest) + tuple(RunLengths(str(path), tuple(runs[path.name].values())) for path in defective),
        licence=ABOUT.licence,
        notes=(OWN_SPLIT,),
    )


def _runs(table: Path) -> dict[str, dict[str, str]]:
    """For each defective image its classes, and the runs of each."""
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(read_table(table), 1):
        if "EncodedPixels" not in row or not ("ImageId_ClassId" in row or {"ImageId", "ClassId"} <= set(row)):
            raise ABOUT.error(f"{table}: the columns are {', '.join(row)}")
        if row["EncodedPixels"] is None:
            continue
        both = str(row.get("ImageId_ClassId") or f"{row.get('ImageId')}_{row.get('ClassId')}")
        name, _, kind = both.rpartition("_")
        if not name or not kind.isdecimal() or kind in found.setdefault(name, {}):
            raise DataError(f"{table}, row {number}: must be an image and a class, each pair once, got {both!r}")
        found[name][kind] = str(row["EncodedPixels"])
    return found


def _defect(classes: dict[str, str]) -> str:
    return "+".join(f"class_{kind}" for kind in sorted(classes))


READER = single("severstal", ABOUT, is_severstal, lambda path, seed: read_severstal(path, seed=seed))
