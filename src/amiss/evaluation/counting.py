"""Counting what a certificate states: verdicts of parts, and bounds over parts or over lots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amiss.calibration import read_future
from amiss.core.errors import InputError
from amiss.core.lots import NEW_LOTS, THESE_LOTS
from amiss.core.verdict import Label, Verdict
from amiss.metrics import Rate
from amiss.rules.lots import new_lots_bound


@dataclass(frozen=True)
class Entry:
    """One image of a certificate.

    Args:
        name: Its path.
        sha256: SHA-256 of its file; "" where that cannot be read.
        defect: Its true type, "good" for a good part.
        part: Number of the part that it shows; images of one part share it.
        lot: Its lot, or None.
        verdict: What the inspector said, without arrays.
    """

    name: str
    sha256: str
    defect: str
    part: int
    lot: str | None
    verdict: Verdict


@dataclass(frozen=True)
class Finding:
    """A rate that was counted over parts, and what that shows.

    Args:
        rate: Count and n.
        bound: The true rate is at most this, with the certificate's confidence: over parts one-sided Clopper-Pearson,
            or anytime-valid in a sequential certificate; for parts of new lots the bound of `amiss.rules.lots`, which
            counts each lot once.
        demanded: The rate that was to be shown, or None.
        lots: Number of lots that the bound counts; None where it counts parts.
    """

    rate: Rate
    bound: float
    demanded: float | None = None
    lots: int | None = None

    @property
    def shown(self) -> bool | None:
        """Whether the demanded rate was shown; None when nothing was demanded."""
        return None if self.demanded is None else self.bound <= self.demanded

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {**self.rate.summary(), "bound": self.bound, "demanded": self.demanded, "shown": self.shown}
        return found if self.lots is None else {**found, "lots": self.lots}


@dataclass(frozen=True)
class Count:
    """How events are counted and bounded.

    Args:
        confidence: Of each bound, in (0, 1).
        bound: Over parts: the upper bound for n parts, a confidence and a number of events.
        by_lot: Whether lots are the unit, where the lot of every entry is known.
    """

    confidence: float
    bound: Callable[[int, float, int], float]
    by_lot: bool = False

    def find(
        self,
        judge: Callable[[Iterable[Entry]], list[bool]],
        entries: Sequence[Entry],
        demanded: float | None = None,
    ) -> Finding:
        """Count the parts for which `judge` says yes, and bound their rate."""
        events = judge(entries)
        rate = Rate(sum(events), len(events))
        if not self.by_lot or not events or any(entry.lot is None for entry in entries):
            return Finding(rate, self.bound(rate.n, self.confidence, rate.count), demanded)
        lots: dict[str | None, list[Entry]] = defaultdict(list)
        for entry in entries:
            lots[entry.lot].append(entry)
        shares = np.array([np.mean(judge(some)) for some in lots.values()])
        return Finding(rate, new_lots_bound(shares, self.confidence), demanded, len(lots))


def whose_parts(lots: Sequence[str | None], future: str | None, *, sequential: bool = False) -> str | None:
    """Whose parts the bounds of a certificate are for, one of `amiss.core.lots.FUTURES`; None where no lot is known.

    Args:
        lots: Lot of each image.
        future: What was asked for; None for new lots.
        sequential: Whether the bounds are to hold at every look, which those over lots do not.

    Raises:
        InputError: Lots are not known that have to be, or new lots and sequential.
    """
    unknown = sum(lot is None for lot in lots)
    if read_future(future) is not None and (unknown == len(lots) or (unknown and future == NEW_LOTS)):
        raise InputError(
            f"future={future!r} needs the lot of every image; that of {unknown or 'all'} images is not known"
        )
    found = None if unknown == len(lots) else future or NEW_LOTS
    if sequential and found == NEW_LOTS:
        raise InputError(
            "a sequential certificate counts parts, which shows nothing about new lots, got images whose lots are "
            f"known; ask for further parts of these lots, with future={THESE_LOTS!r}, or inspect all parts"
        )
    return found


def by_part(entries: Iterable[Entry]) -> dict[int, list[Label]]:
    """The labels of each part's images."""
    parts: dict[int, list[Label]] = defaultdict(list)
    for entry in entries:
        parts[entry.part].append(entry.verdict.label)
    return parts


def alarming(entries: Iterable[Entry]) -> list[bool]:
    """For each part whether an image of it raised an alarm, or could not be used."""
    return [not {Label.ANOMALOUS, Label.ERROR}.isdisjoint(labels) for labels in by_part(entries).values()]


def escaping(entries: Iterable[Entry]) -> list[bool]:
    """For each part whether every image of it was passed, or could not be used."""
    return [{Label.ANOMALOUS, Label.REVIEW}.isdisjoint(labels) for labels in by_part(entries).values()]


def left_to_a_person(entries: Iterable[Entry]) -> list[bool]:
    """For each part whether no image of it raised an alarm, and one was for review."""
    return [Label.REVIEW in labels and Label.ANOMALOUS not in labels for labels in by_part(entries).values()]
