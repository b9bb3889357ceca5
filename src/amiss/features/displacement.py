"""Where a cell looks: how far a network's answers lie from what they answer to, and how they are brought back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from amiss.core.errors import InputError

SIDE = 256
"""Of the square image that is tried, in pixels; a multiple of every stride."""

PERIOD = 32
"""Places are spread evenly over the largest stride, so that no cell's own raster is felt."""

PLACES = 8
SPOT = 2.5
"""Standard deviation of the bright or dark spot that is drawn, in pixels."""

GRAINS = (4, 8, 16, 32)
"""Sides of the fields of the backgrounds, in pixels."""

SLACK = {32: 1.0}
"""Displacements up to this, in pixels, are left alone: half of what a stage may be off. By stride; 1/2 for others."""

Maps = Callable[[Tensor], Sequence[Tensor]]


@torch.no_grad()
def measure_displacements(maps: Maps, cells: Sequence[int]) -> tuple[float, ...]:
    """How many pixels below and right of a small spot the answers to it lie, the mean of both axes.

    Symmetric weights give what arithmetic tells: ``(s - 1) / 2`` for stride-2 convolutions that pad one pixel on both
    sides, the same with a minus where they pad below and right only. Trained networks make up for some of that, which
    no arithmetic knows.

    Args:
        maps: An image (1, 3, H, W) in [0, 1] to one map (1, C, h, w) per stage.
        cells: Width of a cell of each stage, in pixels.

    Returns:
        One number per stage, to a quarter of a pixel and no more than half a cell; 0 where the network does not answer
        or does not take images of this size.

    Cost:
        24 runs of the network on 256 x 256 pixels.
    """
    try:
        found = _sums(maps, cells)
    except InputError:  # a network for one other size
        return (0.0,) * len(cells)
    limited = (max(-cell / 2, min(total / (4 * PLACES), cell / 2)) for total, cell in zip(found, cells, strict=True))
    return tuple(round(4 * displacement) / 4 for displacement in limited)


def _sums(maps: Maps, cells: Sequence[int]) -> list[float]:
    """Displacements of each stage, summed over places, two colours and two axes."""
    generator = torch.Generator().manual_seed(0)
    found = [0.0] * len(cells)
    for number, (row, column) in enumerate(_places()):
        background = _background(GRAINS[number % len(GRAINS)], generator)
        spot, before = _spot(row, column), maps(background)
        for colour in (0.0, 1.0):
            after = maps(background * (1 - spot) + colour * spot)
            for stage, (old, new) in enumerate(zip(before, after, strict=True)):
                change = (new - old)[0].square().sum(dim=0)
                if change.max() > 0:
                    found[stage] += sum(_centre(change, cells[stage])) - row - column
    return found


def _background(grain: int, generator: torch.Generator) -> Tensor:
    """Soft coloured fields, so that thresholds in the network are passed here and there, (1, 3, SIDE, SIDE)."""
    fields = torch.rand(1, 3, SIDE // grain, SIDE // grain, generator=generator)
    return F.interpolate(fields, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def _places() -> list[tuple[float, float]]:
    """Rows and columns that lie symmetrically about the middle and cover one period each."""
    steps = (torch.arange(PLACES) + 0.5 - PLACES / 2) * PERIOD / PLACES
    rows = (SIDE / 2 + steps).tolist()
    return [(row, rows[(3 * number) % PLACES]) for number, row in enumerate(rows)]


def _spot(row: float, column: float) -> Tensor:
    along = torch.arange(SIDE) + 0.5
    down, right = (torch.exp(-((along - place) ** 2) / (2 * SPOT**2)) for place in (row, column))
    return 0.7 * down[:, None] * right


def _centre(answers: Tensor, cell: int) -> tuple[float, float]:
    """Centre of gravity (row, column) of answers (h, w), in pixels."""
    total = answers.sum()
    middles = [(torch.arange(count) + 0.5) * cell for count in answers.shape]
    return float((answers.sum(dim=1) @ middles[0]) / total), float((answers.sum(dim=0) @ middles[1]) / total)


def bring_back(feature: Tensor, displacement: float, cell: int) -> Tensor:
    """A map whose answers stand where they belong: each cell takes what lies `displacement` below and right of it.

    Args:
        feature: (N, C, h, w).
        displacement: In pixels; up to `SLACK` nothing is done.
        cell: Width of a cell, in pixels.

    Returns:
        (N, C, h, w); between cells cubic (Keys 1981, a = -1/2), which blurs less than linear, beyond the border the
        outermost cell again.
    """
    if abs(displacement) <= SLACK.get(cell, 0.5):
        return feature
    down, right = (torch.from_numpy(_shift(n, displacement / cell)).to(feature) for n in feature.shape[2:])
    moved: Tensor = down @ feature @ right.T
    return moved


@lru_cache(maxsize=32)
def _shift(count: int, cells: float) -> NDArray[np.float32]:
    """Matrix (count, count) that moves a row of cells by some cells towards its start."""
    whole = math.floor(cells)
    t = cells - whole
    taps = (
        -t / 2 + t**2 - t**3 / 2,
        1 - 5 * t**2 / 2 + 3 * t**3 / 2,
        t / 2 + 2 * t**2 - 3 * t**3 / 2,
        -(t**2) / 2 + t**3 / 2,
    )
    matrix = np.zeros((count, count), np.float32)
    for offset, weight in enumerate(taps, start=whole - 1):
        for row in range(count):
            matrix[row, min(max(row + offset, 0), count - 1)] += weight
    return matrix
