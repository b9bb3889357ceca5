"""BTAD (beanTech): three industrial products.

root/train/ok/*
root/test/{ok,ko}/*
root/ground_truth/ko/*            the same name; BMP or PNG, not always the ending of the image

The three products are the folders 01, 02 and 03. The split is the published one.

Mishra et al., "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization", ISIE 2021.
CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import collect_tests, first_file, need_images
from amiss.data.reader import in_folders

ABOUT = About(
    "BTAD",
    "train/ok, test/ok, test/ko, ground_truth/ko",
    "avires.dimi.uniud.it/papers/btad",
    "CC BY-NC-SA 4.0",
)


def is_btad(root: Path) -> bool:
    """True when `root` has the layout of one product of BTAD."""
    return (root / "train" / "ok").is_dir() and (root / "ground_truth" / "ko").is_dir()


def read_btad(root: Path) -> Dataset:
    """Read one product; its defect type is called "ko".

    Raises:
        DataError: A folder or a mask is missing.
    """
    normal = need_images(root, "train/ok", ABOUT)
    masks = root / "ground_truth" / "ko"
    for part in (root / "test", masks):
        if not part.is_dir():
            raise ABOUT.missing(root, f"{part.relative_to(root).as_posix()}/")
    tested = collect_tests(
        {"ko": root / "test" / "ko", GOOD: root / "test" / "ok"},
        lambda _, path: first_file(path, [masks / f"{path.stem}{ending}" for ending in (".png", ".bmp")]),
    )
    return Dataset(
        name=f"btad_{root.resolve().name}",
        normal=Images(normal),
        test=Images(tested.paths),
        defects=tuple(tested.defects),
        masks=tuple(tested.masks),
        licence=ABOUT.licence,
        notes=tuple(tested.notes),
    )


READER = in_folders("btad", ABOUT, is_btad, read_btad)
