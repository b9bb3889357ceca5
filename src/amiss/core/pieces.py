"""Square pieces of images, as images of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amiss.core.images import Images


def cut_out(images: Images, places: Iterable[tuple[int, int, int]], side: int) -> Images:
    """Pieces of images, each cut out when it is asked for.

    The whole image that was read last is kept, so pieces that are read image by image cost one decoding each. A piece
    has the label of its image.

    Args:
        images: The whole images.
        places: For each piece the number of its image, its top row and its left column. It must lie inside.
        side: Height and width of the pieces.

    Example:
        >>> pieces = cut_out(Images(np.arange(48).astype(np.uint8).reshape(1, 4, 4, 3)), [(0, 0, 0), (0, 2, 1)], 2)
        >>> pieces[1].shape, pieces.names[1]
        ((2, 2, 3), 'image 0[row 2, column 1]')
    """
    source, places = _Source(images), list(places)
    labels = [images.labels[number] for number, _, _ in places] if images.labels else ()
    return Images([_Piece(source, *place, side) for place in places], size=(side, side), labels=labels)


def places_of(pieces: Images) -> tuple[Images, list[tuple[int, int, int]]] | None:
    """The whole images and the places that `cut_out` was given; None for images of another kind."""
    found = [item for item in pieces._items if isinstance(item, _Piece)]
    if not found or len(found) < len(pieces):
        return None
    return found[0].source.images, [(piece.number, piece.top, piece.left) for piece in found]


class _Source:
    """Images, of which the one read last is kept."""

    def __init__(self, images: Images) -> None:
        self.images, self.names = images, images.names
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def read(self, number: int) -> NDArray[np.uint8]:
        if self._last is None or self._last[0] != number:
            self._last = None  # two large images are never in memory together
            self._last = (number, self.images[number])
        return self._last[1]


@dataclass(frozen=True)
class _Piece:
    """A piece of an image, as an `Image`."""

    source: _Source
    number: int
    top: int
    left: int
    side: int

    @property
    def name(self) -> str:
        return f"{self.source.names[self.number]}[row {self.top}, column {self.left}]"

    @property
    def mark(self) -> str:
        return f"{self.source.images.mark(self.number)} {self.top} {self.left} {self.side}"

    def read(self) -> NDArray[np.uint8]:
        image = self.source.read(self.number)
        return image[self.top : self.top + self.side, self.left : self.left + self.side]
