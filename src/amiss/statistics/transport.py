"""Optimal transport between two clouds of points, blurred by entropy: how far one must be moved to become the other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from amiss.core.checks import check_rate, check_real
from amiss.core.errors import InputError


def sinkhorn_divergence(one: Tensor, other: Tensor, *, blur: float = 0.05, scaling: float = 0.8) -> Tensor:
    """Sinkhorn divergence of two clouds of as many points, all of one weight.

    Moving mass from x to y costs ``|x - y|^2 / 2``, and a plan pays in addition ``blur^2`` times its relative entropy
    to the plan that sends everything everywhere. That price alone would pull both clouds to their middles, so half of
    each cloud's transport to itself is taken off. What is left is 0 for equal clouds, positive otherwise, half the
    squared Wasserstein distance as `blur` goes to 0, and half the squared distance of the means as it grows.

    The dual is solved in logarithms, so that no exponential underflows, with the price lowered step by step from the
    size of the clouds to `blur`. Gradients flow through the costs alone: at the optimum the plan's own change counts
    for nothing (envelope theorem).

    Args:
        one: (..., n, D).
        other: The same shape.
        blur: Length below which points are not told apart, above 0, in the unit of the points.
        scaling: Factor of the length from one step to the next, in (0, 1); nearer to 1 is more exact.

    Returns:
        (...).

    Raises:
        InputError: Clouds of different shapes, or a blur or scaling out of range.

    Cost:
        About ``log(size / blur) / log(1 / scaling)`` steps, each of 6 n^2 exponentials.

    Example:
        >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> sinkhorn_divergence(square, square + torch.tensor([3.0, 4.0])), 5**2 / 2
        (tensor(12.5000), 12.5)
    """
    if one.ndim < 2 or one.shape != other.shape:
        raise InputError(f"both clouds must be (..., n, D), got {tuple(one.shape)} and {tuple(other.shape)}")
    if check_real("blur", blur) <= 0:
        raise InputError(f"blur must be a length above 0, got {blur}")
    lengths = _lengths(one, other, blur, check_rate("scaling", scaling))
    sent, received = _potentials(torch.stack([one, one, other]), torch.stack([other, one, other]), lengths)
    across = sent[0] + received[0]  # what both sides pay for the transport of one cloud to the other
    return (across - sent[1] - sent[2]).mean(dim=-1)  # to itself a cloud pays the same on both sides: half is one


def _lengths(one: Tensor, other: Tensor, blur: float, scaling: float) -> list[float]:
    """Blurs from the size of both clouds together down to the wanted one."""
    with torch.no_grad():
        points = torch.cat([one, other], dim=-2)
        size = float((points.amax(dim=-2) - points.amin(dim=-2)).square().sum(dim=-1).max().sqrt())
    steps = math.ceil(math.log(max(size, blur) / blur) / -math.log(scaling))
    return [blur * scaling**-step for step in range(steps, -1, -1)]


def _cost(one: Tensor, other: Tensor) -> Tensor:
    """|x - y|^2 / 2 of all pairs, (..., n, m)."""
    lengths = one.square().sum(dim=-1).unsqueeze(-1) + other.square().sum(dim=-1).unsqueeze(-2)
    return (0.5 * lengths - one @ other.transpose(-1, -2)).clamp_min(0)


def _soft_minimum(cost: Tensor, potential: Tensor, price: float) -> Tensor:
    """The smallest ``cost - potential`` of each row, blurred by the price; (..., n, m) and (..., m) to (..., n)."""
    inner = (potential.unsqueeze(-2) - cost) / price
    return -price * (inner.logsumexp(dim=-1) - math.log(cost.shape[-1]))


def _potentials(one: Tensor, other: Tensor, lengths: list[float]) -> tuple[Tensor, Tensor]:
    """Dual potentials of the two clouds, (..., n) each: what a point pays to be sent, or to be received."""
    with torch.no_grad():
        cost = _cost(one, other)
        turned = cost.transpose(-1, -2).contiguous()
        sent = received = cost.new_zeros(cost.shape[:-1])
        for length in lengths:
            better = _soft_minimum(cost, received, length**2), _soft_minimum(turned, sent, length**2)
            sent, received = 0.5 * (sent + better[0]), 0.5 * (received + better[1])  # halfway: symmetric and stable
    price = lengths[-1] ** 2
    return (
        _soft_minimum(_cost(one, other.detach()), received, price),
        _soft_minimum(_cost(other, one.detach()), sent, price),
    )
