"""How far two feature maps are apart, or point apart, position by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two maps (N, C, ...) to how far they are apart, at each position or as a whole."""

TINY = 1e-8
"""Added to the squared length of a vector, so that one of length 0 stays 0 and its gradient finite."""


def unit(vectors: Tensor) -> Tensor:
    """Vectors along axis 1 brought to length 1; one of length 0 stays as it is.

    Example:
        >>> import torch
        >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return vectors * (vectors.square().sum(dim=1, keepdim=True) + TINY).rsqrt()


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - cosine of the angle between the vectors of two maps: 0 = one direction, 1 = at right angles, 2 = opposite.

    Computed as half the squared distance of the two unit vectors, which is the same number and keeps its digits when
    they are close. A vector of length 0 is at 1/2 from all others.

    Args:
        one: (N, C, ...), a vector of C numbers at each position; (N, C, h, w) or (N, C).
        other: The same shape.

    Returns:
        (N, ...).

    Example:
        >>> import torch
        >>> cosine_distance(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        tensor([0., 1.])
    """
    return 0.5 * (unit(one) - unit(other)).square().sum(dim=1)


def whole_map_distance(one: Tensor, other: Tensor) -> Tensor:
    """`cosine_distance` of two maps (N, ...) that are taken for one long vector each, (N,)."""
    return cosine_distance(one.flatten(1), other.flatten(1))


def squared_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of the vectors of two maps (N, C, ...) at each position, (N, ...)."""
    return (one - other).square().mean(dim=1)


COMPARISONS: dict[str, tuple[Distance, Distance]] = {
    "values": (squared_distance, squared_distance),
    "angles": (cosine_distance, cosine_distance),
    "whole maps": (whole_map_distance, cosine_distance),
}
"""By name: what is learned and what is scored, always position by position."""


def over_stages(distance: Distance, ones: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Mean distance of two maps, summed over the stages: a scalar.

    Args:
        distance: Distance of two maps (N, C, h, w), such as `cosine_distance`.
        ones: One map per stage.
        others: The same shapes.
    """
    return torch.stack([distance(one, other).mean() for one, other in zip(ones, others, strict=True)]).sum()
