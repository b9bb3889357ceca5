"""How many parts a control chart takes on average until it alarms: Markov chains over the chart's value.

The value of the chart is put on a grid, as Brook and Evans (1972) do. They round to the nearest grid point; here a
value between two points counts for both, in proportion, which serves for laws with steps as well. That errs by the
square of the grid's step, so a second grid of half the step removes most of the error (Richardson). Every function
works on B laws at once, one for each calibration set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STATES = 31
"""Grid points of the coarser grid; odd, so that zero is one of them."""

LONGEST = 1e12
"""Run lengths beyond it are given as this: rounding would decide about them."""

_AT_ONCE = 500


@dataclass(frozen=True)
class Law:
    """How one observation is distributed, for B cases at once.

    Args:
        values: What it can be, ascending, (K,).
        weights: The probability of each, (B, K).

    Example:
        >>> Law(np.array([0.0, 1.0]), np.array([[0.5, 0.5], [0.9, 0.1]])).weights.shape
        (2, 2)
    """

    values: Floats
    weights: Floats

    @classmethod
    def normal(cls, mean: float = 0.0) -> Law:
        """Normal with standard deviation 1, in steps of 0.01: what a normal score follows when n is very large."""
        from scipy.special import ndtr

        edges = np.linspace(-8, 8, 1601)
        return cls((edges[1:] + edges[:-1]) / 2 + mean, np.diff(ndtr(edges))[None])


def cusum_run_length(law: Law, k: float, limit: float, *, states: int = STATES) -> Floats:
    """Average number of parts until S > limit, where S = max(0, S + x - k) starts at 0.

    Args:
        law: Distribution of x.
        k: What is taken off each time.
        limit: Alarm beyond it.
        states: Points of the coarser grid.

    Returns:
        (B,)

    Example:
        >>> float(cusum_run_length(Law.normal(), 0.5, 4.0)[0].round())
        335.0
    """

    def start(count: int) -> Floats:
        points = np.linspace(0, limit, count)
        chains = _chains(law, np.maximum(0, points[:, None] + law.values - k), points)
        return np.concatenate([_parts_left(chain)[:, 0] for chain in chains])

    return _refined(start, states)


def ewma_run_length(law: Law, weight: float, limit: float, *, widening: bool = True, states: int = STATES) -> Floats:
    """Average number of parts until an exponentially weighted mean leaves its limits on either side.

    E = (1 - weight) E + weight x starts at 0; the limits are `limit` standard deviations of E, where x is taken to
    have standard deviation 1.

    Args:
        law: Distribution of x.
        weight: Weight of the newest observation, in (0, 1).
        limit: In standard deviations of E.
        widening: Limits of the standard deviation at each time, as charts draw them, instead of the final one.
        states: Points of the coarser grid, odd.

    Returns:
        (B,)

    Example:
        >>> float(ewma_run_length(Law.normal(), 0.1, 2.814, widening=False)[0].round(-1))
        500.0
    """
    final = limit * math.sqrt(weight / (2 - weight))

    def start(count: int) -> Floats:
        points = np.linspace(-final, final, count)
        chains = _chains(law, (1 - weight) * points[:, None] + weight * law.values, points)
        inside = _inside(points, weight) if widening else []
        return np.concatenate([_after(chain, inside)[:, count // 2] for chain in chains])

    return _refined(start, states)


def counting_run_length(rates: Floats, every: int, limit: int) -> Floats:
    """Average number of parts until S >= limit, where a yes adds every - 1 to S and a no takes 1 off, never below 0.

    This is the CUSUM of a yes or no, with k = 1/every, counted in units of k: whole numbers, so the chain is exact.

    Args:
        rates: Probability of a yes, (B,).
        every: One yes in so many parts keeps S level; at least 2.
        limit: Alarm from here on, at least 1.

    Returns:
        (B,)

    Example:
        >>> counting_run_length(np.array([0.01]), every=20, limit=1).round().tolist()
        [100.0]
    """
    from scipy.linalg import solve_banded

    jump = every - 1 if every - 1 < limit else 0  # 0: any yes alarms
    result = np.empty(len(rates))
    for number, rate in enumerate(rates):
        bands = np.zeros((jump + 2, limit))  # of I - P; row `jump` holds the diagonal
        bands[jump] = 1.0
        bands[jump, 0] -= 1 - rate  # at 0 a no changes nothing
        bands[jump + 1, :-1] = -(1 - rate)
        if jump:
            bands[0, jump:] = -rate
        result[number] = solve_banded((1, jump), bands, np.ones(limit))[0]
    return _trusted(result)


def _chains(law: Law, targets: Floats, points: Floats) -> Iterator[Floats]:
    """Probabilities from point to point, some hundred distributions at once, (up to 500, M, M).

    Args:
        law: K values, B laws.
        targets: Where each value leads to from each point, (M, K); outside of the points the chart has alarmed.
        points: The grid, evenly spaced, (M,).
    """
    from scipy.sparse import csr_array

    count, step = len(points), points[1] - points[0]
    place = (targets - points[0]) / step
    alive = (place > -1e-9) & (place < count - 1 + 1e-9)
    origin, value = np.nonzero(alive)
    at = np.clip(place[alive], 0, count - 1)
    lower = np.minimum(at.astype(np.intp), count - 2)
    rows = np.concatenate([origin * count + lower, origin * count + lower + 1])
    share = np.concatenate([1 - (at - lower), at - lower])
    spread = csr_array((share, (rows, np.tile(value, 2))), shape=(count * count, len(law.values)))
    for first in range(0, len(law.weights), _AT_ONCE):
        chain = spread @ law.weights[first : first + _AT_ONCE].T
        yield np.ascontiguousarray(chain.T).reshape(-1, count, count)


def _inside(points: Floats, weight: float) -> list[Floats]:
    """For each part until the limits have settled: which share of each grid point is inside, first part first."""
    step, final = points[1] - points[0], points[-1]
    settled = max(1, math.ceil(math.log(0.002) / (2 * math.log(1 - weight))))  # to a thousandth
    widths = final * np.sqrt(1 - (1 - weight) ** (2 * np.arange(1, settled + 1)))
    return [np.clip((width - np.abs(points)) / step + 0.5, 0, 1) for width in widths]


def _after(chain: Floats, inside: list[Floats]) -> Floats:
    """Expected parts, from every point, when the first limits differ from the final ones."""
    left = _parts_left(chain)
    for share in reversed(inside):
        left = 1 + (chain @ (share * left)[:, :, None])[:, :, 0]
    return left


def _parts_left(chain: Floats) -> Floats:
    """Expected parts until the chain is left, from every point: (B, M, M) to (B, M)."""
    ones, full = np.ones((*chain.shape[:2], 1)), (1 + 1e-14) * np.eye(chain.shape[1])  # never quite singular
    return np.asarray(np.linalg.solve(full - chain, ones)[:, :, 0], np.float64)


def _refined(run_length: Callable[[int], Floats], states: int) -> Floats:
    """What two grids say of one with no step at all."""
    coarse, fine = _trusted(run_length(states)), _trusted(run_length(2 * states - 1))
    return _trusted((4 * fine - coarse) / 3)


def _trusted(lengths: Floats) -> Floats:
    """A run takes one part at least; a solution below is what rounding leaves of a very long one."""
    return np.where((lengths < 1 - 1e-6) | ~(lengths < LONGEST), LONGEST, lengths)
