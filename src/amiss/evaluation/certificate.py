"""What was shown about an inspector on parts that it never saw: false alarms and escapes, each with its bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_rate
from amiss.core.errors import DataError
from amiss.core.lots import NEW_LOTS
from amiss.core.origin import Origin, part_numbers
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label
from amiss.data.dataset import GOOD, Dataset
from amiss.evaluation.counting import Count, Entry, Finding, alarming, by_part, escaping, left_to_a_person, whose_parts
from amiss.evaluation.sequential import Demand, Looks, Turn, bound_of
from amiss.evaluation.unseen import only_unseen
from amiss.inspector import Inspector

RESAMPLES = 2000
"""Permutations of the test whether false alarms gather in lots."""


_GATHERED = {
    True: "The bounds count each lot once, so they hold.",
    False: "Parts of one lot are not independent evidence: for parts of new lots the bounds are too narrow.",
}
"""What it means when false alarms gather in lots, by whether the bounds count lots."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate:
    """What was shown. Counts are of parts: a part alarms when one of its images does.

    An image that cannot be used counts against the inspector: as a false alarm on a good part, and as an escape on a
    defective one. A part that is left to a person is neither; `reviews` counts those.

    Args:
        dataset: Name of the data set.
        method: Registry name of the method.
        fingerprint: SHA-256 of the whole inspector.
        statement: The inspector's own promise.
        alpha: False-alarm rate that its rule promises, or None.
        confidence: Confidence level of every bound.
        future: Whose parts the bounds are for, one of `amiss.core.lots.FUTURES`; None where lots are not known.
        date: When the images were inspected, UTC, ISO 8601.
        entries: One per image.
        false_alarms: Good parts called anomalous.
        escapes: Defective parts passed as good.
        reviews: Parts left to a person, "good" and "defective"; empty when the rule asks nobody.
        per_defect: Escapes by true type.
        per_lot: False alarms by lot, in the order of the names, each for further parts of that lot; empty when lots are
            not known.
        warnings: What makes the bounds weaker than they look, a sentence each.
        looks: How a sequential certificate ended; None where all parts were inspected and then counted once.
    """

    dataset: str
    method: str
    fingerprint: str
    statement: str
    alpha: float | None
    confidence: float
    future: str | None
    date: str
    entries: tuple[Entry, ...]
    false_alarms: Finding
    escapes: Finding
    reviews: dict[str, Finding]
    per_defect: dict[str, Finding]
    per_lot: dict[str, Finding]
    warnings: tuple[str, ...] = ()
    looks: Looks | None = None

    @property
    def shown(self) -> bool:
        """True when every demanded rate was shown."""
        return self.false_alarms.shown is not False and self.escapes.shown is not False

    @property
    def errors(self) -> tuple[Entry, ...]:
        """Images that could not be used."""
        return tuple(entry for entry in self.entries if entry.verdict.label is Label.ERROR)

    def summary(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        plain = ("dataset", "method", "fingerprint", "statement", "alpha", "confidence", "future", "date", "shown")
        return {
            **{name: getattr(self, name) for name in plain},
            "false_alarms": self.false_alarms.summary(),
            "escapes": self.escapes.summary(),
            "reviews": {truth: finding.summary() for truth, finding in self.reviews.items()},
            "per_defect": {defect: finding.summary() for defect, finding in self.per_defect.items()},
            "per_lot": {lot: finding.summary() for lot, finding in self.per_lot.items()},
            "n_errors": len(self.errors),
            "sequential": None if self.looks is None else self.looks.summary(),
            "warnings": list(self.warnings),
            "images": [
                {"sha256": e.sha256, "truth": e.defect, "part": e.part, "lot": e.lot, **e.verdict.summary()}
                for e in self.entries
            ],
        }


def certify(
    inspector: Inspector,
    dataset: Dataset,
    *,
    confidence: float = 0.95,
    false_alarm: float | None = None,
    escape: float | None = None,
    future: str | None = None,
    sequential: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> Certificate:
    """Inspect the test images of a data set and state what that shows.

    Args:
        inspector: Ready to inspect.
        dataset: Its test images, good and defective. Those that the inspector has seen are left out, and of copies all
            but the first; warnings say how many.
        confidence: Confidence level of every bound, in (0, 1).
        false_alarm: Rate among good parts that is to be shown, in (0, 1), or None.
        escape: Rate among defective parts that is to be shown, in (0, 1), or None.
        future: Whose parts the bounds are for where lots are known: "new-lots", which counts each lot once, or
            "these-lots", which counts parts. New lots when None.
        sequential: Inspect parts one after another, in order of time or else at random, until every demanded rate is
            shown or one is refuted. The bounds then hold at every look, and are wider. They count parts, so new lots
            are refused.
        seed: Seed of the permutation test over lots, and of the order.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, none that the inspector has not seen, or copies that are called different types.
        InputError: A rate out of range; a future is asked for where lots are not known; or new lots and `sequential`.
    """
    check_rate("confidence", confidence)
    demands = [None if rate is None else check_rate("demanded rate", rate) for rate in (false_alarm, escape)]
    if len(dataset.test) == 0:
        raise DataError(f"{dataset.name}: no test images; give good and defective parts that the model never saw")
    given, dataset = dataset, only_unseen(dataset, inspector, progress=progress)
    whose = whose_parts([origin.lot for origin in dataset.test_origins], future, sequential=sequential)
    turn = _turn(dataset, seed, confidence, demands) if sequential else None
    entries = _inspect(inspector, dataset, progress, turn)
    of_lot = Count(confidence, bound_of(sequential))
    counted = replace(of_lot, by_lot=whose == NEW_LOTS)
    good = [entry for entry in entries if entry.defect == GOOD]
    defective = [entry for entry in entries if entry.defect != GOOD]
    lots = sorted({entry.lot for entry in good if entry.lot is not None})
    return Certificate(
        dataset=dataset.name,
        method=inspector.record.method,
        fingerprint=inspector.fingerprint,
        statement=inspector.statement(),
        alpha=inspector.rule.alpha,
        confidence=confidence,
        future=whose,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        entries=tuple(entries),
        false_alarms=counted.find(alarming, good, demands[0]),
        escapes=counted.find(escaping, defective, demands[1]),
        reviews={
            truth: counted.find(left_to_a_person, some)
            for truth, some in (("good", good), ("defective", defective))
            if inspector.rule.review_threshold is not None
        },
        per_defect={
            defect: counted.find(escaping, [e for e in defective if e.defect == defect])
            for defect in sorted({entry.defect for entry in defective})
        },
        per_lot={lot: of_lot.find(alarming, [e for e in good if e.lot == lot]) for lot in lots},
        warnings=(*_warnings(inspector, entries, counted, seed), *dataset.notes[len(given.notes) :]),
        looks=None if turn is None else turn.looks(len({entry.part for entry in entries})),
    )


def _inspect(inspector: Inspector, dataset: Dataset, progress: Progress, turn: Turn | None) -> list[Entry]:
    images, n = dataset.test, len(dataset.test)
    origins = dataset.test_origins or (Origin(),) * n
    parts = part_numbers(np.arange(n), origins)
    order = np.arange(n) if turn is None else turn.order()
    entries: list[Entry] = []
    for done, (index, verdict) in enumerate(zip(order, inspector.inspect(images.subset(order)), strict=True), 1):
        name, part = images.names[index], int(parts[index])  # arrays are numbered anew in a subset
        small = replace(verdict.without_arrays(), name=name)
        entries.append(Entry(name, verdict.sha256, dataset.defects[index], part, origins[index].lot, small))
        progress("certifying", done, n)
        if turn is not None and (done == n or parts[order[done]] != part):
            _count(turn, [entry for entry in entries[-_most_images(parts) :] if entry.part == part])
            if turn.decided:
                break
    return entries


def _turn(dataset: Dataset, seed: int, confidence: float, demands: Sequence[float | None]) -> Turn:
    n = len(dataset.test)
    origins = dataset.test_origins or (Origin(),) * n
    good, defective = demands
    counts = Demand("false alarms", good, confidence), Demand("escapes", defective, confidence)
    return Turn(part_numbers(np.arange(n), origins), origins, seed, counts)


def _most_images(parts: NDArray[np.intp]) -> int:
    return int(np.bincount(parts).max())


def _count(turn: Turn, entries: Sequence[Entry]) -> None:
    """The images of a part are complete."""
    for good in (True, False):
        some = [entry for entry in entries if (entry.defect == GOOD) == good]
        if some:
            event = (alarming(some) if good else escaping(some))[0]
            turn.count(good, event)


def _warnings(inspector: Inspector, entries: Sequence[Entry], counted: Count, seed: int) -> Iterator[str]:
    parts = len({entry.part for entry in entries})
    if parts < len(entries):
        yield f"{len(entries)} images show {parts} parts; n counts parts, and one alarming image rejects its part."
    errors = sum(entry.verdict.label is Label.ERROR for entry in entries)
    if errors:
        yield f"{errors} images could not be used; each counts as a false alarm, or as an escape of a defective part."
    unknown = sum(entry.lot is None for entry in entries)
    if counted.by_lot and unknown:
        yield f"The lot of {unknown} images is not known; bounds that such an image is part of count parts, not lots."
    good = [entry for entry in entries if entry.defect == GOOD]
    quiet, alpha = counted.find(lambda some: [not alarm for alarm in alarming(some)], good), inspector.rule.alpha
    if alpha is not None and 1 - quiet.bound > alpha:
        yield (
            f"{quiet.rate.n - quiet.rate.count} of {quiet.rate.n} good parts raised an alarm, so the true rate is "
            f"above the rule's alpha = {alpha:g}: these parts differ from those it was calibrated on. Recalibrate "
            "(amiss calibrate)."
        )
    yield from _lot_warnings(good, seed, by_lot=counted.by_lot)


def _lot_warnings(good: Sequence[Entry], seed: int, *, by_lot: bool) -> Iterator[str]:
    """Whether the alarms gather in few lots: the parts are then no independent draws."""
    lots = {entry.part: entry.lot for entry in good if entry.lot is not None}
    names = sorted({lot for lot in lots.values() if lot is not None})
    if len(names) == 1:
        little = ", so these bounds say next to nothing" if by_lot else ""
        yield f"All good parts are of one lot, {names[0]}; other lots may differ{little}."
    if len(names) < 2:
        return
    alarms = dict(zip(by_part(good), alarming(good), strict=True))
    events = np.array([int(alarms[part]) for part in lots])
    members = np.array([[lot == name for lot in lots.values()] for name in names])
    p = _gathering(events, members, seed)
    if p <= 0.05:
        counts = members @ events
        worst = int(np.argmax(counts))
        yield (
            f"The false alarms gather in lots (permutation test, p = {p:.3f}): {counts[worst]} of {int(events.sum())} "
            f"are of lot {names[worst]}. {_GATHERED[by_lot]}"
        )


def _gathering(events: NDArray[Any], members: NDArray[Any], seed: int) -> float:
    """P that alarms spread over the lots at random are as uneven as these: sum of squares over expected counts."""
    rng = np.random.default_rng(seed)
    sizes = members.sum(axis=1)

    def uneven(drawn: NDArray[Any]) -> float:
        return float(((members @ drawn) ** 2 / sizes).sum())

    seen = uneven(events)
    as_uneven = sum(uneven(rng.permutation(events)) >= seen - 1e-9 for _ in range(RESAMPLES))
    return (1 + as_uneven) / (1 + RESAMPLES)
