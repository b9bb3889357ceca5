"""KolektorSDD2: surfaces of one product, filmed on the line, with scratches and spots.

root/{train,test}/NNNNN.png
root/{train,test}/NNNNN_GT.png        black for a good image

The published split has 2,085 good and 246 defective images to train, 894 and 110 to test. It is made for supervised
methods; here only the good ones of train/ are learned from, which is also what papers on good-only methods do.
Which image is good is known from its mask alone, so opening the set reads every mask once.

Božič et al., "Mixed supervision for surface-defect detection", Computers in Industry 129 (2021).
CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path

from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import first_file, list_images
from amiss.data.reader import single
from amiss.data.truth import read_levels

ABOUT = About(
    "KolektorSDD2", "{train,test}/NNNNN.png with NNNNN_GT.png", "vicos.si/resources/kolektorsdd2", "CC BY-NC-SA 4.0"
)
DEFECT = "defect"

_TRUTH = "_GT"


def is_kolektor(root: Path) -> bool:
    """True when `root` has the layout of KolektorSDD2."""
    return all((root / part).is_dir() and any((root / part).glob(f"*{_TRUTH}.png")) for part in ("train", "test"))


def read_kolektor(root: Path) -> Dataset:
    """Read the set: the good images of train/ to learn from, all of test/ to test on.

    Raises:
        DataError: A folder or a mask is missing, or nothing good to learn from.
        ImageError: A mask cannot be decoded.
    """
    train, test = (_pairs(root, part) for part in ("train", "test"))
    normal = [path for path, _, defective in train if not defective]
    if not normal:
        raise ABOUT.error(f"{root}: no image of train/ has an empty mask, so there is nothing good to learn from")
    left_out = len(train) - len(normal)
    return Dataset(
        name="kolektorsdd2",
        normal=Images(normal),
        test=Images([path for path, _, _ in test]),
        defects=tuple(DEFECT if defective else GOOD for _, _, defective in test),
        masks=tuple(mask if defective else None for _, mask, defective in test),
        licence=ABOUT.licence,
        notes=(f"{left_out} defective images of train/ are left out.",),
    )


def _pairs(root: Path, part: str) -> list[tuple[Path, Path, bool]]:
    """Every image with its mask, and whether the mask marks anything."""
    folder = root / part
    if not folder.is_dir():
        raise ABOUT.missing(root, f"{part}/")
    paths = [path for path in list_images(folder) if not path.stem.endswith(_TRUTH)]
    if not paths:
        raise ABOUT.error(f"{folder}: no image inside")
    masks = [first_file(path, [folder / f"{path.stem}{_TRUTH}.png"]) for path in paths]
    return [(path, mask, bool(read_levels(mask).any())) for path, mask in zip(paths, masks, strict=True)]


READER = single("kolektorsdd2", ABOUT, is_kolektor, lambda path, seed: read_kolektor(path))
