"""Images of one size for training on pixels: decoded once, one byte per number, on disk beyond what memory holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.features.batch import to_batch

Change = Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]]
"""The number of an image and the image, uint8 (H, W, 3), to another of its size."""


class Pixels:
    """Images as bytes, a quarter of what float32 takes, from which batches are drawn.

    Args:
        values: uint8 (N, H, W, 3).
        device: Where batches are wanted.
    """

    def __init__(self, values: NDArray[np.uint8], device: torch.device) -> None:
        self.values, self.device = values, device

    def __len__(self) -> int:
        return len(self.values)

    def draw(self, count: int, rng: np.random.Generator, patch: int = 0) -> Tensor:
        """Some images with replacement, or a square of each.

        Args:
            count: N.
            rng: Draws images and squares.
            patch: Side of the squares, in pixels; 0 for whole images.

        Returns:
            (N, 3, H, W) in [0, 1], or (N, 3, patch, patch).
        """
        chosen = rng.integers(len(self.values), size=count)
        if patch == 0:
            return self.take(np.sort(chosen))
        _, height, width, _ = self.values.shape
        tops, lefts = rng.integers(height - patch + 1, size=count), rng.integers(width - patch + 1, size=count)
        places = zip(chosen, tops, lefts, strict=True)
        return self._batch(
            np.stack([self.values[i, top : top + patch, left : left + patch] for i, top, left in places])
        )

    def take(self, numbers: NDArray[np.integer]) -> Tensor:
        """The images of these numbers, (N, 3, H, W) in [0, 1]."""
        return self._batch(self.values[numbers])

    def _batch(self, pixels: NDArray[np.uint8]) -> Tensor:
        return to_batch(torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device))


@contextmanager
def held_pixels(
    images: Images,
    progress: Progress = silent,
    *,
    device: torch.device | None = None,
    change: Change | None = None,
) -> Iterator[Pixels]:
    """Decode every image once; the file they lie in is gone afterwards.

    Args:
        images: With a size.
        progress: Reports the stage "images".
        device: Where batches are wanted; the CPU when None.
        change: What becomes of each image first, by its number; None for nothing.

    Raises:
        ImageError: An image cannot be used.

    Cost:
        Disk: 3 bytes per pixel, 0.2 MB per image of 256 x 256. Memory: what the system keeps of it.
    """
    with tempfile.TemporaryDirectory(prefix="amiss-pixels-", ignore_cleanup_errors=True) as folder:
        height, width = images[0].shape[:2]
        values = open_memmap(Path(folder) / "images.npy", "w+", np.uint8, (len(images), height, width, 3))
        for index, image in enumerate(images):
            values[index] = image if change is None else change(index, image)
            progress("images", index + 1, len(images))
        yield Pixels(values, device or torch.device("cpu"))
