"""What teachers are distilled on: all images at one size, each read or drawn once, a tenth of them grey."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.features.batch import to_batch
from amiss.features.pixels import held_pixels

GREY = 0.1
"""Share of the images that lose their colours, as published; here always the same ones."""

_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


@contextmanager
def stored_pixels(images: Images, size: int, seed: int, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """Memory-mapped images, a tenth of them grey.

    Args:
        images: Images of any size.
        size: Side of the squares that they are resized to, in pixels.
        seed: Chooses the grey ones.
        progress: Reports the stage "images".

    Yields:
        uint8 (N, size, size, 3); the file is gone afterwards.

    Raises:
        ImageError: An image cannot be used.
    """
    resized = images.resized((size, size))
    grey = np.random.default_rng([seed, len(images)]).random(len(images)) < GREY
    with held_pixels(
        resized, progress, change=lambda index, image: without_colours(image) if grey[index] else image
    ) as pixels:
        yield pixels.values


def without_colours(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness in all three channels, uint8 (H, W, 3)."""
    return np.repeat(np.round(image @ _BRIGHTNESS).astype(np.uint8)[:, :, None], 3, axis=2)


def digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of all images."""
    found = hashlib.sha256()
    for image in pixels:
        found.update(image.tobytes())
    return found.hexdigest()


def as_batch(images: NDArray[np.uint8]) -> Tensor:
    """From uint8 (N, H, W, 3) to (N, 3, H, W) in [0, 1]."""
    return to_batch(torch.from_numpy(images))
