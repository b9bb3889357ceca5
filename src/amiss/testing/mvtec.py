"""Files to test with: an image, a numbered folder of images, and a data set in the layout of MVTec AD."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Images
from amiss.testing.toy import ToyWorld


def write_image(path: Path, image: NDArray[Any]) -> Path:
    """One image file, in folders that are made where they are missing.

    Args:
        path: The kind of file is that of its suffix.
        image: uint8 or uint16, RGB (H, W, 3) or grey (H, W); or a mask, bool (H, W), which is written as 0 and 255.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image
    if not cv2.imwrite(str(path), pixels[:, :, ::-1] if pixels.ndim == 3 else pixels):
        raise OSError(f"{path} cannot be written")
    return path


def write_images(folder: Path, images: Iterable[NDArray[Any]], *, name: str = "{:03d}.png") -> Path:
    """Images as numbered files of one folder.

    Args:
        folder: Made where it is missing.
        images: See `write_image`.
        name: Name of each file, with a place for its number, from 0.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        write_image(folder / name.format(number), image)
    return folder


def write_mvtec(folder: Path, train: Images, good: Images | None = None, **defects: ToyWorld) -> Path:
    """A data set in the layout of MVTec AD, with a mask for each anomalous image.

    Args:
        folder: Made where it is missing.
        train: Normal images to learn from: ``train/good/000.png`` and so on.
        good: Normal images to test on: ``test/good/000.png`` and so on.
        defects: Images and masks of each type of defect: ``test/<type>/000.png`` and
            ``ground_truth/<type>/000_mask.png`` and so on.

    Returns:
        The folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from amiss.testing import toy_part
        >>> bad = toy_part(2, seed=2, defective=True)
        >>> with TemporaryDirectory() as name:
        ...     root = write_mvtec(Path(name), toy_part(3, seed=0).images, toy_part(1, seed=1).images, dent=bad)
        ...     len(list(root.rglob("*.png")))
        8
    """
    write_images(folder / "train" / "good", train)
    if good is not None:
        write_images(folder / "test" / "good", good)
    for kind, world in defects.items():
        write_images(folder / "test" / kind, world.images)
        write_images(folder / "ground_truth" / kind, world.masks, name="{:03d}_mask.png")
    return folder
