"""A certificate that may stop early: parts one after another, until what was demanded is shown or refuted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.origin import Origin
from amiss.rules.sequential import anytime_lower, anytime_needed, anytime_upper


@dataclass(frozen=True)
class Looks:
    """How a sequential certificate ended.

    Args:
        order: In which order parts were taken, in words.
        available: Parts that there were.
        taken: Parts that were inspected.
        ended: Why it ended, in words.
    """

    order: str
    available: int
    taken: int
    ended: str

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return vars(self) | {"bounds": "anytime-valid: they hold at every look"}


@dataclass
class Demand:
    """What is to be shown of good or of defective parts, and the count so far.

    Args:
        events: Name of the event, "false alarms" or "escapes".
        rate: To be shown; None demands nothing.
        confidence: Of the proof.
    """

    events: str
    rate: float | None
    confidence: float
    n: int = 0
    count: int = 0

    @property
    def state(self) -> str:
        """ "shown", "refuted", "open", or "" when nothing is demanded."""
        if self.rate is None:
            return ""
        if anytime_upper(self.n, self.confidence, self.count) <= self.rate:
            return "shown"
        return "refuted" if anytime_lower(self.n, self.confidence, self.count) > self.rate else "open"

    def words(self) -> str:
        """For a person: how it stands, and what would show it."""
        if self.state != "open" or self.rate is None:
            return f"{self.events} {self.state}"
        missing = anytime_needed(self.rate, self.confidence, self.count) - self.n
        return f"{self.events} still open; {missing} more parts without one would show it"


@dataclass
class Turn:
    """Which image comes next, and whether enough has been seen.

    Args:
        parts: For each image the part that it shows, (N,).
        origins: For each image where it comes from.
        seed: Of the order, where no times are known.
        demands: Of good parts, and of defective ones.
    """

    parts: NDArray[np.intp]
    origins: Sequence[Origin]
    seed: int
    demands: tuple[Demand, Demand]

    @property
    def by_time(self) -> bool:
        """Every image has a time, all with a time zone or all without, so parts come in the order they were made."""
        times = [origin.time for origin in self.origins]
        return all(time is not None for time in times) and len({time.tzinfo is None for time in times if time}) == 1

    @property
    def order_words(self) -> str:
        """For a person."""
        return "in order of time" if self.by_time else f"in random order (seed {self.seed})"

    def order(self) -> NDArray[np.intp]:
        """Image numbers, (N,): the images of a part together, parts by time or at random."""
        count = int(self.parts.max(initial=-1)) + 1
        if self.by_time:
            first = np.full(count, np.inf)
            stamps = np.array([origin.time.timestamp() for origin in self.origins if origin.time is not None])
            np.minimum.at(first, self.parts, stamps)
            rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")
        else:
            rank = np.random.default_rng(self.seed).permutation(count)
        return np.argsort(rank[self.parts], kind="stable")

    def count(self, good: bool, event: bool) -> None:
        """A part has been inspected.

        Args:
            good: Whether the part is truly good.
            event: Whether it raised a false alarm, or escaped.
        """
        demand = self.demands[0 if good else 1]
        demand.n += 1
        demand.count += event

    @property
    def decided(self) -> bool:
        """Everything that was demanded is shown, or something is refuted; never when nothing was demanded."""
        states = [demand.state for demand in self.demands if demand.state]
        return bool(states) and ("refuted" in states or set(states) == {"shown"})

    def looks(self, taken: int) -> Looks:
        """How it ended, after so many parts."""
        available = len(np.unique(self.parts))
        demanded = [demand.words() for demand in self.demands if demand.state]
        why = "; ".join(demanded) if demanded else "all parts were inspected; no rate was demanded"
        return Looks(self.order_words, available, taken, why)


def bound_of(sequential: bool) -> Callable[[int, float, int], float]:
    """The upper bound that a certificate states: for every look, or for this one."""
    from amiss.rules.planning import rate_shown

    return anytime_upper if sequential else rate_shown
