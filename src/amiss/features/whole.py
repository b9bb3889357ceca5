"""What networks of other libraries share: they run as a whole; grid and stages are read off the maps they return."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from amiss.core.errors import InputError

Maps = Callable[[nn.Module, Tensor], Sequence[Tensor]]
"""Runs a network on normalised RGB (N, 3, H, W) and returns feature maps (N, C, h, w)."""


class WholeNetwork(nn.Module):
    """Normalised RGB to the feature maps that a library's network returns.

    Args:
        name: Name of the backbone, for messages.
        network: The library's module.
        maps: How to run it.
    """

    def __init__(self, name: str, network: nn.Module, maps: Maps) -> None:
        super().__init__()
        self.name, self.network, self.maps = name, network, maps

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, each (N, C, h, w).

        Raises:
            InputError: The network does not take images of this size.
        """
        height, width = x.shape[-2:]
        try:
            return list(self.maps(self.network, x))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = f"{error}".strip().splitlines() or [type(error).__name__]
            raise InputError(f"{self.name} does not take images of {height} x {width} pixels: {reason[0]}") from error


def grid(maps: Sequence[Tensor], size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and channels of the maps (1, C, h, w) of one square image with sides of `size` pixels."""
    return tuple(round(size / map.shape[-1]) for map in maps), tuple(map.shape[1] for map in maps)


def positions(strides: Sequence[int]) -> tuple[int, ...]:
    """Which maps count as stages: all layers when they share one stride, else the last one of each stride.

    Example:
        >>> positions([4, 4, 8, 16])
        (1, 2, 3)
        >>> positions([16, 16, 16])
        (0, 1, 2)
    """
    if len(set(strides)) == 1:
        return tuple(range(len(strides)))
    return tuple(sorted({stride: position for position, stride in enumerate(strides)}.values()))


def at_patches(strides: Sequence[int], stages: Sequence[int]) -> tuple[float, ...] | None:
    """Displacements of the stages: none in a plain transformer, whose tokens are patches; of others nobody knows."""
    return (0.0,) * len(stages) if len(set(strides)) == 1 else None


def tokens_to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens (N, T, D) to a map (N, D, height, width); what precedes the last height * width tokens is dropped.

    Class and register tokens come first in every library.

    Example:
        >>> import torch
        >>> tokens_to_map(torch.arange(7.0).reshape(1, 7, 1), 2, 3)[0, 0].tolist()
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    patches = tokens[:, tokens.shape[1] - height * width :]
    return patches.transpose(1, 2).reshape(-1, tokens.shape[2], height, width)


def near_miss(name: str, known: Iterable[str]) -> str:
    """A half-sentence with the known name nearest to this one, or nothing."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""
