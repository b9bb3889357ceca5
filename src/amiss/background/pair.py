"""Teacher and student of reverse distillation: what the student is, what it must say, and how wrong it is.

The parts stay with the detector, so that its saved state keeps their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from amiss.background.balance import Balance
from amiss.background.reverse_decoder import ReverseDecoder
from amiss.background.standardising import Standardising
from amiss.statistics.difference import COMPARISONS
from amiss.statistics.reduce import smooth_upsample


def make_pair(
    channels: Sequence[int], *, width: float, blocks: Sequence[int]
) -> tuple[nn.ModuleList, ReverseDecoder, Balance]:
    """What standardises the teacher's stages, the student, and what brings its errors to one scale.

    Args:
        channels: Channels of the teacher's stages, finest first.
        width: See `ReverseDecoder`.
        blocks: See `ReverseDecoder`.

    Raises:
        InputError: See `ReverseDecoder`.
    """
    standardising = nn.ModuleList(Standardising(count) for count in channels)
    return standardising, ReverseDecoder(channels, width=width, blocks=blocks), Balance(len(channels))


def standardised(standardising: Iterable[nn.Module], features: Sequence[Tensor]) -> list[Tensor]:
    """What the student must say: the teacher's stages (N, C, h, w), each through its `Standardising`."""
    return [layer(feature) for layer, feature in zip(standardising, features, strict=True)]


def errors(compare: str, teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """How wrong the student is at each position of each stage, (N, h, w), from stages (N, C, h, w) of both.

    Args:
        compare: One of `COMPARISONS`.
        teacher: What the student must say.
        student: What it says.
    """
    distance = COMPARISONS[compare][1]
    return [distance(one, other) for one, other in zip(teacher, student, strict=True)]


def error_map(balancing: Balance, grids: Sequence[Tensor], size: tuple[int, int], smoothing: float) -> Tensor:
    """Errors (N, h, w) of the stages to one map (N, H, W): enlarged, smoothed, and added on one scale."""
    result: Tensor = balancing([smooth_upsample(grid, size, smoothing=smoothing) for grid in grids])
    return result
