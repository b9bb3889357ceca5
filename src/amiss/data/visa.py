"""VisA: twelve objects, among them four circuit boards, with up to nine defect types each.

root/split_csv/1cls.csv                          object,split,label,image,mask
root/<object>/Data/Images/{Normal,Anomaly}/*.JPG
root/<object>/Data/Masks/Anomaly/*.png           the number of the defect, 0 = good
root/<object>/image_anno.csv                     image,label,mask: names the defect types; optional

The split is the published one-class split, so figures are comparable. The two-class splits beside it teach with defects
and are not read. Images of several defects are called by all of them, joined with "+".

Zou et al., "SPot-the-Difference Self-supervised Pre-training for Anomaly Detection and Segmentation", ECCV 2022.
CC BY 4.0.
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.checks import check_choice
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.products import ALL, join_products
from amiss.data.reader import Reader
from amiss.data.table import Row, inside, need_columns, need_files, read_table

ABOUT = About(
    "VisA",
    "split_csv/1cls.csv and <object>/Data/{Images,Masks}",
    "github.com/amazon-science/spot-diff",
    "CC BY 4.0",
)
ANOMALY = "anomaly"

_SPLIT = Path("split_csv") / "1cls.csv"


def is_visa(root: Path) -> bool:
    """True when `root` has the layout of VisA."""
    return (root / _SPLIT).is_file()


def visa_objects(root: Path) -> list[str]:
    """The objects that the split lists."""
    return sorted({str(row["object"]) for row in _rows(root)})


def read_visa(root: Path, name: str) -> Dataset:
    """Read one object.

    Args:
        root: The folder that holds split_csv/.
        name: The object, such as "candle".

    Raises:
        DataError: A file is missing, or a row of the split is not understood.
        InputError: An unknown object.
    """
    rows = _rows(root)
    check_choice("object", name, {str(row["object"]) for row in rows})
    rows = [row for row in rows if row["object"] == name]
    table = root / _SPLIT
    for row in rows:
        if row["split"] not in ("train", "test") or row["label"] not in ("normal", ANOMALY) or not row["image"]:
            raise DataError(f"{table}: a row with {row}; split is train or test, label is normal or anomaly")
    normal = [inside(root, row["image"], table) for row in rows if row["split"] == "train" and row["label"] == "normal"]
    tests = [row for row in rows if row["split"] == "test"]
    images = [inside(root, row["image"], table) for row in tests]
    masks = [_mask(root, row) for row in tests]
    need_files(table, normal + images, "images")
    need_files(table, [mask for mask in masks if mask is not None], "masks")
    types = _types(root, name)
    return Dataset(
        name=f"visa_{name}",
        normal=Images(normal),
        test=Images(images),
        defects=tuple(GOOD if row["label"] == "normal" else types.get(row["image"], ANOMALY) for row in tests),
        masks=tuple(masks),
        licence=ABOUT.licence,
        notes=() if types else (f"{name}/image_anno.csv is missing, so the defect types have no names.",),
    )


def _rows(root: Path) -> list[Row]:
    if not is_visa(root):
        raise ABOUT.missing(root, _SPLIT.as_posix())
    rows = read_table(root / _SPLIT)
    need_columns(root / _SPLIT, rows, ("object", "split", "label", "image", "mask"))
    return rows


def _mask(root: Path, row: Row) -> Path | None:
    if row["label"] == "normal":
        return None
    if not row["mask"]:
        raise DataError(f"{root / _SPLIT}: {row['image']} is defective and has no mask")
    return inside(root, row["mask"], root / _SPLIT)


def _types(root: Path, name: str) -> dict[str, str]:
    """For each defective image the names of its defects."""
    path = root / name / "image_anno.csv"
    if not path.is_file():
        return {}
    rows = read_table(path)
    need_columns(path, rows, ("image", "label"))
    return {
        row["image"]: "+".join(sorted(part.strip() for part in row["label"].split(",")))
        for row in rows
        if row["image"] and row["label"] and row["label"] != "normal"
    }


def _choose(root: Path, category: str | None, seed: int) -> Dataset:
    if category is None:
        names = visa_objects(root)
        raise DataError(
            f"{root}: several objects; give one of them: {', '.join(names)}. For example {root}#{names[0]}; or "
            f"{root}#{ALL}, for one model of all"
        )
    if category == ALL:
        return join_products(root.resolve().name, {name: read_visa(root, name) for name in visa_objects(root)})
    return read_visa(root, category)


READER = Reader("visa", ABOUT, is_visa, _choose)
