"""What a certificate states: rates over the parts of `Sampling`, and their bounds over parts or over lots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.core.lots import NEW_LOTS
from amiss.core.sentence import Sentence
from amiss.core.verdict import Label, Verdict
from amiss.core.words import percent
from amiss.data.dataset import GOOD
from amiss.evaluation.sampling import Sampling
from amiss.metrics import Rate
from amiss.rules.lots import new_lots_bound
from amiss.rules.sequential import anytime_upper_of
from amiss.splitting import read_future

AT_MOST = Sentence(
    "{count} of {n}{lots}, so at most {bound}",
    "tests/evaluation/test_certificate.py::test_the_bounds_hold_as_often_as_stated",
)
DEMANDED = Sentence(
    "; at most {rate} was to be shown: {shown}",
    "tests/evaluation/test_certificate.py::test_the_bounds_hold_as_often_as_stated",
)


@dataclass(frozen=True)
class Entry:
    """One image of a certificate.

    Args:
        image: Its number in the data set.
        name: Its path.
        sha256: SHA-256 of its file; "" where that cannot be read.
        defect: Its true type, "good" for a good part.
        part: Number of the part that it shows; images of one part share it.
        lot: Its lot, or None.
        verdict: What the inspector said, without arrays.
    """

    image: int
    name: str
    sha256: str
    defect: str
    part: int
    lot: str | None
    verdict: Verdict

    @property
    def charged(self) -> Label:
        """The label that counts: an image that could not be used counts against the inspector."""
        if self.verdict.label is not Label.ERROR:
            return self.verdict.label
        return Label.ANOMALOUS if self.defect == GOOD else Label.GOOD


@dataclass(frozen=True)
class Finding:
    """A rate that was counted over parts, and what that shows.

    Args:
        rate: Count and n.
        bound: The true rate is at most this, with the certificate's confidence: over parts one-sided Clopper-Pearson;
            for parts of new lots the bound of `amiss.rules.lots`, which counts each lot once; in a sequential
            certificate the anytime-valid bound of `amiss.rules.sequential` over either.
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

    def words(self) -> str:
        """For a person."""
        if self.rate.n == 0:
            text = "no part was inspected; nothing is shown"
        else:
            lots = "" if self.lots is None else f" of {self.lots} {'lot' if self.lots == 1 else 'lots'}"
            text = AT_MOST(count=self.rate.count, n=self.rate.n, lots=lots, bound=percent(self.bound))
        if self.demanded is None:
            return text
        return text + DEMANDED(rate=percent(self.demanded), shown="shown" if self.shown else "NOT SHOWN")

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {**self.rate.summary(), "bound": self.bound, "demanded": self.demanded, "shown": self.shown}
        return found if self.lots is None else {**found, "lots": self.lots}


@dataclass(frozen=True, eq=False)
class Judged:
    """All images of a data set, how they were drawn, and what they got.

    Args:
        sampling: Their parts and lots.
        labels: The label of each that counts, (N,); an error for one that does not: a copy, or not inspected.
        known: Whether the lot of each is known, (N,).
        confidence: Of each bound, in (0, 1).
        by_lot: Whether bounds count lots, where the lot of every image is known.
        sequential: Whether bounds hold at every look.
    """

    sampling: Sampling
    labels: Sequence[Label]
    known: NDArray[np.bool_]
    confidence: float
    by_lot: bool = False
    sequential: bool = False

    def find(
        self, wanted: Collection[Label], images: NDArray[np.bool_], demanded: float | None = None, *, lots: bool = True
    ) -> Finding:
        """Count the parts on some of the images, (N,), that got one of these labels, and bound their rate.

        Args:
            wanted: The labels.
            images: Those that count.
            demanded: The rate that is to be shown.
            lots: False for further parts of the same lots, whatever `by_lot` says.
        """
        events = self.sampling.events(wanted, self.labels, images)
        rate = Rate(sum(events.values()), len(events))
        counted = images & np.array([label is not Label.ERROR for label in self.labels], bool)
        by_lot = self.by_lot and lots and bool(events) and bool(self.known[counted].all())
        shares = self.sampling.lot_shares(events) if by_lot else np.array([*events.values()], np.float64)
        bound = (anytime_upper_of if self.sequential else new_lots_bound)(shares, self.confidence)
        return Finding(rate, bound, demanded, len(shares) if by_lot else None)


def whose_parts(lots: Sequence[str | None], future: str | None) -> str | None:
    """Whose parts the bounds of a certificate are for, one of `amiss.core.lots.FUTURES`; None where no lot is known.

    Args:
        lots: Lot of each image.
        future: What was asked for; None for new lots.

    Raises:
        InputError: Lots are not known that have to be.
    """
    unknown = sum(lot is None for lot in lots)
    if read_future(future) is not None and (unknown == len(lots) or (unknown and future == NEW_LOTS)):
        raise InputError(
            f"future={future!r} needs the lot of every image; that of {unknown or 'all'} images is not known"
        )
    return None if unknown == len(lots) else future or NEW_LOTS
