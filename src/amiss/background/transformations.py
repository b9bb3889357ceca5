"""Geometric transformations of images: flips, shifts and quarter turns, for a network to tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Transformation:
    """One of them: flipped first, then shifted, then turned.

    Args:
        flipped: Left and right swapped.
        down: Pixels that the image moves down, the border mirrored.
        right: Pixels that it moves right.
        turns: Quarter turns, counterclockwise.
    """

    flipped: bool
    down: int
    right: int
    turns: int

    @property
    def name(self) -> str:
        """In words.

        Example:
            >>> Transformation(True, 0, -8, 1).name, Transformation(False, 0, 0, 0).name
            ('flipped, 8 pixels left, turned by 90 degrees', 'as it is')
        """
        words = ["flipped"] if self.flipped else []
        if self.down:
            words.append(f"{abs(self.down)} pixels {'down' if self.down > 0 else 'up'}")
        if self.right:
            words.append(f"{abs(self.right)} pixels {'right' if self.right > 0 else 'left'}")
        if self.turns:
            words.append(f"turned by {90 * self.turns} degrees")
        return ", ".join(words) or "as it is"

    def __call__(self, images: Tensor) -> Tensor:
        """Square images (N, C, s, s), transformed; of the same size."""
        side = images.shape[3]
        if self.flipped:
            images = images.flip(3)
        if self.down or self.right:
            reach = max(abs(self.down), abs(self.right))
            padded = F.pad(images, (reach,) * 4, mode="reflect")
            top, left = reach - self.down, reach - self.right
            images = padded[:, :, top : top + side, left : left + side]
        if self.turns % 2:
            images = images.transpose(2, 3).flip(2)  # a quarter turn, as torch.rot90, which is not exported
        if self.turns >= 2:
            images = images.flip(2, 3)
        return images


def all_transformations(*, flips: bool, turns: bool, shift: int) -> tuple[Transformation, ...]:
    """Every combination; the first leaves images as they are.

    Args:
        flips: With and without a flip.
        turns: By 0, 90, 180 and 270 degrees.
        shift: Pixels by which images move up, down, left and right; 0 for not at all.

    Example:
        >>> len(all_transformations(flips=True, turns=True, shift=8)), len(all_transformations(
        ...     flips=False, turns=True, shift=0))
        (72, 4)
    """
    moves = (0, -shift, shift) if shift else (0,)
    choices = product((False, True) if flips else (False,), moves, moves, range(4) if turns else (0,))
    return tuple(Transformation(flipped, down, right, count) for flipped, down, right, count in choices)


def transformed(images: Tensor, transformations: tuple[Transformation, ...]) -> Tensor:
    """All transformations of images (N, C, s, s), (N, K, C, s, s)."""
    return torch.stack([one(images) for one in transformations], dim=1)
