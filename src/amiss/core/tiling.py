"""Which tiles cover a large image, and how much each of them says about a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_count
from amiss.core.errors import ImageError, InputError
from amiss.core.images import Size


@dataclass(frozen=True)
class Tiling:
    """Square tiles that overlap, for images of any size.

    Args:
        tile: Height and width of a tile, in pixels: the detector's input.
        overlap: Pixels that neighbouring tiles share, from 0 to half a tile. The last tile of a row or column is moved
            back to end at the border, so it may share more.

    Raises:
        InputError: Not whole numbers, or an overlap of more than half a tile.

    Example:
        >>> Tiling(256, 32).starts(600)
        [0, 224, 344]
    """

    tile: int
    overlap: int

    def __post_init__(self) -> None:
        check_count("tile", self.tile)
        if check_count("overlap", self.overlap, least=0) > self.tile // 2:
            raise InputError(
                f"overlap must be at most {self.tile // 2} for tiles of {self.tile} pixels, got {self.overlap}"
            )

    def starts(self, length: int) -> list[int]:
        """First pixels of the tiles along a side of this many pixels.

        Raises:
            InputError: The side is shorter than a tile.
        """
        if length < self.tile:
            raise InputError(f"a side must have at least {self.tile} pixels, the size of a tile, got {length}")
        return [*range(0, length - self.tile, self.tile - self.overlap), length - self.tile]

    def corners(self, size: Size, name: str = "image") -> list[tuple[int, int]]:
        """Top row and left column of each tile of an image, row by row.

        Args:
            size: Height and width of the image.
            name: How errors call it.

        Raises:
            ImageError: The image is smaller than a tile.
        """
        if min(size) < self.tile:
            raise ImageError(
                name, f"{size[0]} x {size[1]} pixels (height x width), smaller than a tile of {self.tile} x {self.tile}"
            )
        rows, columns = (self.starts(side) for side in size)
        return [(row, column) for row in rows for column in columns]

    def weights(self, length: int) -> NDArray[np.float32]:
        """How much each tile counts at its own pixels along one side, (tiles, tile).

        Linear over the overlap from a tile's edge inwards, full in between, and full up to the border of the image.
        Divided by the sum over tiles: at each pixel of the side the weights of all tiles sum to 1. The weight of a
        pixel of a map is the product of those of its row and its column.

        Example:
            >>> Tiling(4, 2).weights(6).astype(float).round(2).tolist()
            [[1.0, 1.0, 0.67, 0.33], [0.33, 0.67, 1.0, 1.0]]
        """
        starts = self.starts(length)
        rise = np.minimum(1.0, np.arange(1, self.tile + 1) / (self.overlap + 1))
        weights = np.array(
            [
                (rise if start else 1.0) * (rise[::-1] if start + self.tile < length else np.ones(self.tile))
                for start in starts
            ]
        )
        total = np.zeros(length)
        for start, weight in zip(starts, weights, strict=True):
            total[start : start + self.tile] += weight
        parts = [weight / total[start : start + self.tile] for start, weight in zip(starts, weights, strict=True)]
        return np.asarray(parts, np.float32)


def read_input(size: int | Size | None, tile: int | None, overlap: int | None) -> tuple[Size, Tiling | None]:
    """The detector's input, and how images are cut when they are.

    Raises:
        InputError: Both a size and a tile, an overlap without a tile, or one out of range.

    Example:
        >>> read_input(None, 256, None)
        ((256, 256), Tiling(tile=256, overlap=32))
    """
    if tile is None:
        if overlap is not None:
            raise InputError(
                f"overlap = {overlap!r} must not be given without a tile; give its side too, such as tile = 256"
            )
        size = 256 if size is None else size
        return ((size, size) if isinstance(size, int) else size), None
    if size is not None:
        raise InputError(
            f"size must be left out where images are cut into tiles, since tiles are not resized, got size = {size!r} "
            f"and tile = {tile!r}"
        )
    tiling = Tiling(tile, tile // 8 if overlap is None else overlap)
    return (tile, tile), tiling
