"""MVTec 3D-AD: ten categories, each image with the position of every pixel in space.

root/{train,validation}/good/{rgb/NNN.png,xyz/NNN.tiff}
root/test/{good,<defect type>}/{rgb/NNN.png,xyz/NNN.tiff,gt/NNN.png}

Amiss learns from the colour images; `read_positions` gives the positions. Figures are comparable with those that
papers give for colour alone ("RGB"), which learn from train/good; here validation/good is normal too.

Bergmann et al., "The MVTec 3D-AD Dataset", VISAPP 2022. CC BY-NC-SA 4.0 (not for commercial use).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amiss.core.decode import read_values
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.about import About
from amiss.data.dataset import GOOD, Dataset
from amiss.data.layout import collect_tests, first_file, need_images
from amiss.data.mvtec_ad2 import VALIDATION
from amiss.data.reader import in_folders

ABOUT = About(
    "MVTec 3D-AD",
    "{train,validation}/good/{rgb,xyz}, test/<type>/{rgb,xyz,gt}",
    "mvtec.com (Research, Datasets)",
    "CC BY-NC-SA 4.0",
)


def is_mvtec_3d(root: Path) -> bool:
    """True when `root` has the layout of MVTec 3D-AD."""
    return (root / "train" / GOOD / "rgb").is_dir()


def read_mvtec_3d(root: Path) -> Dataset:
    """Read the colour images of one category.

    Raises:
        DataError: A folder, a mask or a position map is missing.
    """
    normal = [path for part in ("train", "validation") for path in need_images(root, f"{part}/{GOOD}/rgb", ABOUT)]
    if not (root / "test").is_dir():
        raise ABOUT.missing(root, "test/")
    types = sorted(folder.name for folder in (root / "test").iterdir() if folder.is_dir())
    tested = collect_tests(
        {name: root / "test" / name / "rgb" for name in types},
        lambda _, path: first_file(path, [path.parents[1] / "gt" / path.name]),
    )
    lost = [path for path in (*normal, *tested.paths) if not _positions(path).is_file()]
    if lost:
        raise ABOUT.error(f"{root}: {len(lost)} images have no position map, such as {_positions(lost[0])}")
    return Dataset(
        name=root.resolve().name,
        normal=Images(normal),
        test=Images(tested.paths),
        defects=tuple(tested.defects),
        masks=tuple(tested.masks),
        licence=ABOUT.licence,
        notes=(VALIDATION, "Colour images; positions come from read_positions.", *tested.notes),
    )


def read_positions(image: Path) -> NDArray[np.float32]:
    """The position map of one colour image, float32 (H, W, 3): x, y, z of each pixel in metres; 0, 0, 0 = no depth.

    Args:
        image: A file of `Dataset.normal.paths` or `Dataset.test.paths`.

    Raises:
        DataError: The file is there but holds something else.
        ImageError: It is missing or cannot be decoded.
    """
    path = _positions(image)
    values = read_values(path)
    if values.dtype != np.float32 or values.ndim != 3 or values.shape[2] != 3:
        raise DataError(f"{path}: {values.dtype} {values.shape}; a position map is float32 (H, W, 3)")
    return np.ascontiguousarray(values)


def _positions(image: Path) -> Path:
    return image.parents[1] / "xyz" / f"{image.stem}.tiff"


READER = in_folders("mvtec_3d", ABOUT, is_mvtec_3d, read_mvtec_3d)
