"""Bounds of a rate that hold at every look, so that a proof may stop as soon as it has succeeded.

The Clopper-Pearson bound holds for a number of parts that was fixed before. Who looks after every part and stops when
the bound is small enough is wrong more often than stated. Here is a bound that holds at all looks together.

To test a rate p, somebody bets against "the true rate is p or larger": after n parts with k events the capital is

    M(p) = sum over x of weight(x) x^k ((1 - x p) / (1 - p))^(n - k),

the likelihood ratio of the rates x p, x below 1, against p. While the true rate is p or larger, its mean never grows,
so it ever reaches 1 / (1 - confidence) with probability 1 - confidence at most (Ville's inequality; Robbins 1970,
Waudby-Smith and Ramdas 2024). M grows with p, and with every part without an event; so the rates that are not refuted
are those below a bound, and for each number of events there is a number of parts from which on a rate is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amiss.core.checks import check_count, check_rate
from amiss.core.errors import InputError
from amiss.rules.planning import fewest_parts

BELOW = np.array([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85])
"""Rates that are bet on, as shares of the one to be refuted."""

WEIGHTS = np.array([0.3, 0.1, 0.15, 0.15, 0.1, 0.1, 0.06, 0.04])
"""Capital on each. Most of it bets on rates far below what is to be shown, where proofs are made."""

ABOVE = np.array([1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0])
"""The same for rates above the one to be refuted, as multiples, in equal parts."""


def anytime_upper(n: int, confidence: float = 0.95, events: int = 0) -> float:
    """A bound that the true rate never exceeds at any look, with this confidence, in (0, 1].

    Args:
        n: Parts so far.
        confidence: In (0, 1).
        events: How many of them are events.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> round(anytime_upper(299), 4), anytime_upper(0)
        (0.0115, 1.0)
    """
    return anytime_upper_of(_parts(n, events), confidence)


def anytime_upper_of(shares: ArrayLike, confidence: float = 0.95) -> float:
    """The same where the unit is a lot, of whose parts a share are events.

    A share z between 0 and 1 moves the capital as far between both outcomes, so its mean never grows while the mean
    share of all lots is the rate or more. Each lot counts once.

    Args:
        shares: Of the lots so far, (L,) in [0, 1].
        confidence: In (0, 1).

    Raises:
        InputError: A share or the confidence out of range.

    Example:
        >>> round(anytime_upper_of(np.zeros(299)), 4), round(anytime_upper_of(np.full(299, 0.1)), 2)
        (0.0115, 0.11)
    """
    looked, limit = _Looked.at(shares), _limit(confidence)
    if looked.mean == 1:
        return 1.0
    low, high = looked.mean, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if looked.against_more(middle) >= limit else (middle, high)
    return high


def anytime_lower(n: int, confidence: float = 0.95, events: int = 0) -> float:
    """A bound that the true rate never falls below at any look, with this confidence, in [0, 1).

    Example:
        >>> anytime_lower(100), round(anytime_lower(100, events=10), 3)
        (0.0, 0.034)
    """
    return anytime_lower_of(_parts(n, events), confidence)


def anytime_lower_of(shares: ArrayLike, confidence: float = 0.95) -> float:
    """The same where the unit is a lot; see `anytime_upper_of`.

    Example:
        >>> anytime_lower_of([0.0, 0.0]), round(anytime_lower_of([0.5] * 60), 2)
        (0.0, 0.45)
    """
    looked, limit = _Looked.at(shares), _limit(confidence)
    if looked.mean == 0:
        return 0.0
    low, high = 0.0, looked.mean
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if looked.against_less(middle) >= limit else (low, middle)
    return low


def anytime_needed(rate: float, confidence: float = 0.95, events: int = 0) -> int:
    """The number of parts from which on this many events show that the true rate is at most `rate`.

    Raises:
        InputError: An argument out of range, or a rate so small that more than a billion parts are needed.

    Example:
        >>> anytime_needed(0.01), anytime_needed(0.01, events=1)
        (346, 667)
    """
    return events + anytime_missing(rate, _parts(events, events), confidence)


def anytime_missing(rate: float, shares: ArrayLike, confidence: float = 0.95) -> int:
    """How many more parts, or lots, without an event show that the true rate is at most `rate`.

    Args:
        rate: In (0, 1).
        shares: Of the lots so far, or 0 and 1 for parts, (L,).
        confidence: In (0, 1).

    Raises:
        InputError: An argument out of range, or a rate so small that more than a billion are needed.

    Example:
        >>> anytime_missing(0.01, np.zeros(300)), anytime_missing(0.01, np.zeros(400))
        (46, 0)
    """
    looked, limit = _Looked.at(shares), _limit(confidence)
    check_rate("rate", rate)

    def shown(more: int) -> bool:
        return looked.against_more(rate, more) >= limit

    return 0 if shown(0) else fewest_parts(shown, 0, 1, rate)


@dataclass(frozen=True)
class Prospect:
    """What a sequential proof costs.

    Args:
        most: It is given up after so many parts.
        average: Parts until it succeeds or is given up, on average.
        chance: That it succeeds.
    """

    most: int
    average: float
    chance: float


def sequential_prospect(
    rate: float, true_rate: float, confidence: float = 0.95, most: int = 1000, power: float | None = None
) -> Prospect:
    """How a proof that looks after every part and stops when `rate` is shown goes at a true rate. Exact.

    Args:
        rate: To be shown, in (0, 1).
        true_rate: In (0, 1); with `rate` itself the chance is that of a false proof.
        confidence: In (0, 1).
        most: Given up after so many parts.
        power: Given up sooner, once the chance to succeed is this; None never.

    Raises:
        InputError: An argument out of range.

    Example:
        >>> found = sequential_prospect(0.01, 0.001, most=1500)
        >>> round(found.average), round(found.chance, 3)
        (479, 0.998)
    """
    check_rate("true rate", true_rate)
    stops = _stops(rate, confidence, check_count("most", most))
    due = {int(n): number for number, n in enumerate(stops)}
    alive = np.zeros(len(stops) + 1)
    alive[0] = 1.0
    average = chance = 0.0
    for n in range(1, most + 1):
        average += float(alive.sum())
        moved = alive * (1 - true_rate)
        moved[1:] += alive[:-1] * true_rate
        moved[-1] += alive[-1] * true_rate  # more events than can be made good for
        if n in due:
            chance += float(moved[due[n]])
            moved[due[n]] = 0.0
            if power is not None and chance >= power:
                return Prospect(n, average, chance)
        alive = moved
    return Prospect(most, average, chance)


def _stops(rate: float, confidence: float, most: int) -> NDArray[np.int64]:
    """For 0, 1, ... events the number of parts at which the proof succeeds, as far as that is within `most`."""
    stops: list[int] = []
    while True:
        n = anytime_needed(rate, confidence, len(stops))
        if n > most:
            return np.array(stops, np.int64)
        stops.append(n)


def _limit(confidence: float) -> float:
    """Logarithm of the capital at which a rate is refuted."""
    return -math.log(1 - check_rate("confidence", confidence))


def _parts(n: int, events: int) -> NDArray[np.float64]:
    """Shares of parts, each a lot of its own: 1 for an event."""
    check_count("n", n, least=0)
    if check_count("events", events, least=0) > n:
        raise InputError(f"events must be at most n = {n}, got {events}")
    return np.repeat([0.0, 1.0], [n - events, events])


@dataclass(frozen=True)
class _Looked:
    """What was seen so far.

    Args:
        shares: The different ones, (V,).
        counts: How often each was seen, (V,).
    """

    shares: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def at(cls, shares: ArrayLike) -> _Looked:
        values = np.asarray(shares, np.float64)
        if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"shares must be numbers from 0 to 1, one per lot, got an array of shape {values.shape}")
        found, counts = np.unique(values, return_counts=True)
        return cls(found, counts)

    @property
    def mean(self) -> float:
        """Of the shares; 0 before the first."""
        return float((self.shares * self.counts).sum() / self.counts.sum()) if len(self.counts) else 0.0

    def against_more(self, rate: float, more: int = 0) -> float:
        """Logarithm of M(rate): the capital of who bets against "the rate or more"; `more` without an event follow."""
        return self._capital(BELOW, rate, WEIGHTS, more) if rate < 1 else math.inf

    def against_less(self, rate: float) -> float:
        """The same against "the rate or less"."""
        possible = ABOVE[ABOVE * rate < 1]
        if rate == 0 or len(possible) == 0:
            return math.inf if rate == 0 else -math.inf
        return self._capital(possible, rate, np.full(len(possible), 1 / len(ABOVE)), 0)

    def _capital(self, bets: NDArray[np.float64], rate: float, weights: NDArray[np.float64], more: int) -> float:
        without = (1 - bets * rate) / (1 - rate)
        shares = self.shares[:, None]
        with np.errstate(divide="ignore"):
            gained = (self.counts[:, None] * np.log(shares * bets + (1 - shares) * without)).sum(axis=0)
            return float(np.logaddexp.reduce(np.log(weights) + gained + more * np.log(without)))
