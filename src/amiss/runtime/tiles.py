"""Images of any size through a detector of one size: tiles to learn from, and tiles scored and blended."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Images
from amiss.core.pieces import cut_out
from amiss.core.progress import Progress, silent
from amiss.core.scores import Scores
from amiss.core.tiling import Tiling

BATCH = 4
"""Tiles of an image that go through the detector together."""


class Tiles:
    """The tiles of images that may differ in size. Every image is decoded once, to know its size.

    Args:
        images: The whole images.
        tiling: How they are cut.
        progress: See `amiss.core.progress`.

    Raises:
        ImageError: An image cannot be used, or is smaller than a tile.

    Example:
        >>> tiles = Tiles(Images(np.zeros((3, 40, 60, 3), np.uint8)), Tiling(32, 8))
        >>> tiles.range([0, 2]), len(tiles.of([0, 2]))
        ((6, 6), 12)
    """

    def __init__(self, images: Images, tiling: Tiling, progress: Progress = silent) -> None:
        self.tiling = tiling
        self._images = images
        self._corners: list[list[tuple[int, int]]] = []
        for name, image in zip(images.names, images, strict=True):
            self._corners.append(tiling.corners((image.shape[0], image.shape[1]), name))
            progress("reading", len(self._corners), len(images))

    def range(self, chosen: Iterable[int]) -> tuple[int, int]:
        """The fewest and the most tiles that one of these images has."""
        counts = [len(self._corners[int(number)]) for number in chosen]
        return min(counts), max(counts)

    def of(self, chosen: Iterable[int]) -> Images:
        """All tiles of some images, image by image."""
        places = [(int(number), row, column) for number in chosen for row, column in self._corners[int(number)]]
        return cut_out(self._images, places, self.tiling.tile)


def score_tiles(
    run: Callable[[NDArray[np.uint8]], Scores], image: NDArray[np.uint8], tiling: Tiling, name: str = "image"
) -> Scores:
    """The scores of one image of any size, from those of its tiles.

    The maps of the tiles are blended into one map of the image's size, with the weights of `Tiling.weights`, and the
    image score is its maximum. Without maps the image score is the largest of all tiles.

    Args:
        run: Scores of a batch of tiles, uint8 (N, tile, tile, 3).
        image: RGB uint8 (H, W, 3).
        tiling: How it is cut.
        name: How errors call it.

    Raises:
        ImageError: The image is smaller than a tile.

    Cost:
        Memory: the map, 4 H W bytes, and what `run` needs for a few tiles.
    """
    height, width = image.shape[:2]
    corners, tile = tiling.corners((height, width), name), tiling.tile
    down, across = (dict(zip(tiling.starts(side), tiling.weights(side), strict=True)) for side in (height, width))
    blended: NDArray[np.float32] | None = None
    largest = -np.inf
    for first in range(0, len(corners), BATCH):
        places = corners[first : first + BATCH]
        scores = run(np.stack([image[row : row + tile, column : column + tile] for row, column in places]))
        largest = max(largest, float(scores.image.max()))
        if scores.map is None:
            continue
        if blended is None:
            blended = np.zeros((height, width), np.float32)
        for (row, column), part in zip(places, scores.map, strict=True):
            weighted = part * down[row][:, None] * across[column]
            blended[row : row + tile, column : column + tile] += weighted
    return Scores(np.array([largest], np.float32)) if blended is None else Scores.of_map(blended[None])
