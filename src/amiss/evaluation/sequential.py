"""A certificate that may stop early: parts, or lots, one after another, until a demand is shown or refuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.origin import Origin
from amiss.core.sentence import Sentence
from amiss.rules.sequential import anytime_lower_of, anytime_missing

LOOKS = Sentence(
    "Sequential: {taken} of {available} {unit} inspected, {order}; {ended}. Each bound holds at every look.",
    "tests/rules/test_sequential.py::test_bounds_over_lots_hold_at_every_look",
)


@dataclass(frozen=True)
class Looks:
    """How a sequential certificate ended.

    Args:
        order: In which order parts, or lots, were taken, in words.
        available: How many there were.
        taken: How many were inspected.
        ended: Why it ended, in words.
        unit: What is looked at after each, "parts" or "lots".
    """

    order: str
    available: int
    taken: int
    ended: str
    unit: str = "parts"

    def words(self) -> str:
        """For a person."""
        return LOOKS(**vars(self))

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return vars(self) | {"bounds": "anytime-valid: they hold at every look"}


@dataclass
class Demand:
    """What is to be shown of good or of defective parts, and what was seen so far.

    Args:
        events: Name of the event, "false alarms" or "escapes".
        rate: To be shown; None demands nothing.
        confidence: Of the proof.
        shares: Of each unit so far the share of its parts with the event: 0 or 1 where the unit is a part.
    """

    events: str
    rate: float | None
    confidence: float
    shares: list[float] = field(default_factory=list)

    @property
    def state(self) -> str:
        """ "shown", "refuted", "open", or "" when nothing is demanded."""
        if self.rate is None:
            return ""
        if anytime_missing(self.rate, self.shares, self.confidence) == 0:
            return "shown"
        return "refuted" if anytime_lower_of(self.shares, self.confidence) > self.rate else "open"

    def words(self, unit: str) -> str:
        """For a person: how it stands, and how many more parts or lots would show it."""
        if self.state != "open" or self.rate is None:
            return f"{self.events} {self.state}"
        missing = anytime_missing(self.rate, self.shares, self.confidence)
        return f"{self.events} still open; {missing} more {unit} without one would show it"


@dataclass
class Turn:
    """Which image comes next, and whether enough has been seen.

    Args:
        units: For each image the part that it shows, or the lot where bounds are for parts of new lots, (N,).
        parts: For each image the part that it shows, (N,).
        origins: For each image where it comes from.
        seed: Of the order, where no times are known.
        demands: Of good parts, and of defective ones.
        unit: What the units are, "parts" or "lots".
    """

    units: NDArray[np.intp]
    parts: NDArray[np.intp]
    origins: Sequence[Origin]
    seed: int
    demands: tuple[Demand, Demand]
    unit: str = "parts"

    @property
    def by_time(self) -> bool:
        """Every image has a time, all with a time zone or all without, so units come in the order they were made."""
        times = [origin.time for origin in self.origins]
        return all(time is not None for time in times) and len({time.tzinfo is None for time in times if time}) == 1

    @property
    def order_words(self) -> str:
        """For a person."""
        return "in order of time" if self.by_time else f"in random order (seed {self.seed})"

    def order(self) -> NDArray[np.intp]:
        """Image numbers, (N,): the images of a unit together, those of each part in it too; by time or at random."""
        return np.lexsort((self._rank(self.parts)[self.parts], self._rank(self.units)[self.units]))

    def _rank(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """The place of each part or lot."""
        count = int(numbers.max(initial=-1)) + 1
        if not self.by_time:
            return np.random.default_rng(self.seed).permutation(count)
        first = np.full(count, np.inf)
        stamps = np.array([origin.time.timestamp() for origin in self.origins if origin.time is not None])
        np.minimum.at(first, numbers, stamps)
        return np.argsort(np.argsort(first, kind="stable"), kind="stable")

    def count(self, good: bool, events: Sequence[bool]) -> None:
        """A unit has been inspected: whether each of its parts of a kind raised a false alarm, or escaped."""
        if events:
            self.demands[0 if good else 1].shares.append(float(np.mean(events)))

    @property
    def decided(self) -> bool:
        """Everything that was demanded is shown, or something is refuted; never when nothing was demanded."""
        states = [demand.state for demand in self.demands if demand.state]
        return bool(states) and ("refuted" in states or set(states) == {"shown"})

    def looks(self, taken: int) -> Looks:
        """How it ended, after so many units."""
        available = len(np.unique(self.units))
        demanded = [demand.words(self.unit) for demand in self.demands if demand.state]
        why = "; ".join(demanded) if demanded else f"all {self.unit} were inspected; no rate was demanded"
        return Looks(self.order_words, available, taken, why, self.unit)
