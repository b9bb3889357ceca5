"""`Martingale`: a bet against "nothing has changed" that needs no distribution and no independence beyond that."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError
from amiss.monitoring.normal_score import check_scores

Floats = NDArray[np.float64]

_BETS = np.arange(1, 10) / 10


class Martingale:
    """A conformal test martingale: the capital of someone who bets, part by part, that scores have changed.

    Each score is ranked among the calibration scores and all stream scores before it, ties broken by a seeded random
    number. As long as calibration and stream are exchangeable, these p-values are independent and uniform - exactly,
    for every n and every distribution. (p-values against a fixed calibration set are not: one unlucky set makes all of
    them too small.) A stake bets eps p^(eps-1) for one of nine eps in (0, 1) and one of two sides, rising or falling;
    the capital is 1 at first and its mean stays 1. By Ville's inequality it *ever* reaches 1/delta with probability at
    most delta, however long the stream is.

    A stake that was in play for a thousand quiet parts has lost nearly everything. So the capital is put in little by
    little: after t parts 1 / (1 + log2(1 + t)) of it is still in hand, and a late change meets fresh stakes.

    Args:
        delta: Largest probability of ever alarming while nothing changes.
        seed: Seed of the random numbers that break ties and place a score within its step.

    Raises:
        InputError: delta outside (0, 1), or a seed that is not a whole number.

    Example:
        >>> chart = Martingale(delta=0.01)
        >>> bool(chart.path([0.5, 0.1, 0.9, 0.4]).max() < chart.limit)
        True
        >>> bool(chart.path([0.01] * 8).max() > chart.limit)
        True
    """

    name = "martingale"

    def __init__(self, delta: float = 0.01, seed: int = 0) -> None:
        self.delta = check_rate("delta", delta)
        self.seed = check_count("seed", seed, least=0)

    @property
    def limit(self) -> float:
        """Alarm when the logarithm of the capital is at least this."""
        return -math.log(self.delta)

    def p_values(self, scores: ArrayLike, normal: ArrayLike) -> Floats:
        """Online p-values of a stream, (N,), in (0, 1]: each score among all that were there before it.

        Args:
            scores: Scores of the stream, in time order, (N,).
            normal: Scores of the calibration images, in any order, (n,); when empty, the stream starts from nothing.

        Raises:
            InputError: A number that is not finite.
        """
        seen = sorted(check_scores("calibration scores", normal).tolist())
        stream = check_scores("scores of the stream", scores)
        inside = 1 - np.random.default_rng(self.seed).random(len(stream))
        result = np.empty(len(stream))
        for part, score in enumerate(stream.tolist()):
            first, last = bisect_left(seen, score), bisect_right(seen, score)
            result[part] = (len(seen) - last + inside[part] * (last - first + 1)) / (len(seen) + 1)
            insort(seen, score)
        return result

    def path(self, p_values: ArrayLike) -> Floats:
        """Natural logarithm of the capital after each part, of both sides together; see `sides`."""
        up, down = self.sides(p_values)
        return np.asarray(np.logaddexp(up, down), np.float64)

    def sides(self, p_values: ArrayLike) -> tuple[Floats, Floats]:
        """Logarithms of what rising and of what falling bettors have, each with half of the capital.

        Args:
            p_values: (..., N), independent and uniform on (0, 1] while nothing changes.

        Returns:
            Twice (..., N).

        Raises:
            InputError: A p-value outside [0, 1].
        """
        p = np.asarray(p_values, np.float64)
        if not ((p >= 0) & (p <= 1)).all():
            raise InputError(f"p-values must be between 0 and 1, got {p.min():g} to {p.max():g}")
        return self._wealth(p), self._wealth(1 - p)

    def _wealth(self, p: Floats) -> Floats:
        log_p = np.log(np.maximum(p, np.finfo(np.float64).tiny))
        in_hand = 1 / (1 + np.log2(1 + np.arange(p.shape[-1] + 1)))
        stakes = np.full((*p.shape[:-1], len(_BETS)), -np.inf)
        result = np.empty_like(p)
        for part in range(p.shape[-1]):
            fresh = math.log((in_hand[part] - in_hand[part + 1]) / len(_BETS))
            stakes = np.logaddexp(stakes, fresh) + np.log(_BETS) + (_BETS - 1) * log_p[..., part, None]
            result[..., part] = np.logaddexp(np.logaddexp.reduce(stakes, axis=-1), math.log(in_hand[part + 1]))
        return result + math.log(0.5)
