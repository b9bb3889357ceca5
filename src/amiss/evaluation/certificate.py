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
from amiss.core.lots import NEW_LOTS, THESE_LOTS
from amiss.core.origin import Origin
from amiss.core.progress import Progress, silent
from amiss.core.sentence import Sentence
from amiss.core.verdict import Label
from amiss.core.words import percent, sure
from amiss.data.dataset import GOOD, Dataset
from amiss.evaluation.finding import Entry, Finding, Judged, whose_parts
from amiss.evaluation.sampling import Sampling, sampling_of
from amiss.evaluation.sequential import Demand, Looks, Turn
from amiss.evaluation.unseen import only_unseen
from amiss.inspector import Inspector

RESAMPLES = 2000
"""Permutations of the test whether false alarms gather in lots."""

HOLDS = "tests/evaluation/test_certificate.py::test_the_bounds_hold_as_often_as_stated"

ALARMS = Sentence(
    "With {confidence} confidence at most {bound} of good parts{whose} raise an alarm ({count} of {n}{lots} did).",
    HOLDS,
)
ESCAPES = Sentence(
    "With {confidence} confidence at most {bound} of defective parts{whose} pass as good ({count} of {n}{lots} did).",
    HOLDS,
)
OVER_PARTS = Sentence(
    "Bounds are exact and one-sided (Clopper-Pearson), each with {confidence} confidence, and rounded up.", HOLDS
)
OVER_LOTS = Sentence(
    "Bounds are one-sided, for parts of new lots (each lot counts once, by its share of such parts; the bound of a "
    "single lot is for further parts of that lot), each with {confidence} confidence, and rounded up.",
    HOLDS,
)
AT_EVERY_LOOK = Sentence(
    "Bounds are anytime-valid and one-sided{whose}: each holds at every look together, with {confidence} confidence, "
    "so that stopping early is allowed; rounded up.",
    "tests/rules/test_sequential.py::test_bounds_over_lots_hold_at_every_look",
)
THESE = "They are for further parts of these lots."
DRAWN = (
    "They hold for parts drawn like these: the same product, light, camera, and kinds of defects. An image that could "
    "not be used counts against the inspector."
)

_ALARM, _PASSED, _REVIEW = ({label} for label in (Label.ANOMALOUS, Label.GOOD, Label.REVIEW))

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
        p_values: How small a p-value of the inspector can be, in words.
        products: What the parts are, where the data set says so.
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
    p_values: str = ""
    products: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """True when every demanded rate was shown."""
        return self.false_alarms.shown is not False and self.escapes.shown is not False

    @property
    def errors(self) -> tuple[Entry, ...]:
        """Images that could not be used."""
        return tuple(entry for entry in self.entries if entry.verdict.label is Label.ERROR)

    def in_short(self) -> str:
        """What was shown of all good and of all defective parts, in one or two sentences."""
        said = []
        for one, sentence, nothing in (
            (self.false_alarms, ALARMS, "No good part was inspected: nothing is shown about false alarms."),
            (self.escapes, ESCAPES, "No defective part was inspected: nothing is shown about escapes."),
        ):
            lots = "" if one.lots is None else f" of {one.lots} {'lot' if one.lots == 1 else 'lots'}"
            of = {"whose": "" if one.lots is None else " of new lots", "lots": lots}
            rates = {"confidence": sure(self.confidence), "bound": percent(one.bound)}
            said.append(sentence(**rates, **of, count=one.rate.count, n=one.rate.n) if one.rate.n else nothing)
        return " ".join(said)

    def bounds_words(self) -> str:
        """What the bounds are, and for which parts they hold."""
        confidence, by_lot = sure(self.confidence), self.future == NEW_LOTS
        if self.looks is not None:
            whose = ", for parts of new lots (each lot counts once)" if by_lot else ""
            bounds = AT_EVERY_LOOK(confidence=confidence, whose=whose)
        else:
            bounds = (OVER_LOTS if by_lot else OVER_PARTS)(confidence=confidence)
        return " ".join([bounds, *([THESE] if self.future == THESE_LOTS else []), DRAWN])

    def summary(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        plain = ("dataset", "method", "fingerprint", "statement", "alpha", "confidence", "future", "date", "shown")
        return {
            **{name: getattr(self, name) for name in (*plain, "p_values")},
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
            shown or one is refuted. The bounds then hold at every look, and are wider. For new lots whole lots are
            taken one after another, and looked at after each.
        seed: Seed of the permutation test over lots, and of the order.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: No test images, none that the inspector has not seen, or copies that are called different types.
        InputError: A rate out of range, or a future is asked for where lots are not known.
    """
    check_rate("confidence", confidence)
    demands = [None if rate is None else check_rate("demanded rate", rate) for rate in (false_alarm, escape)]
    if len(dataset.test) == 0:
        raise DataError(f"{dataset.name}: no test images; give good and defective parts that the model never saw")
    given, dataset = dataset, only_unseen(dataset, inspector, progress=progress)
    whose = whose_parts([origin.lot for origin in dataset.test_origins], future)
    sampling = sampling_of(dataset)
    turn = _turn(dataset, sampling, seed, confidence, demands, by_lot=whose == NEW_LOTS) if sequential else None
    entries = _inspect(inspector, dataset, sampling, progress, turn)
    judged = _judged(dataset, sampling, entries, confidence, by_lot=whose == NEW_LOTS, sequential=sequential)
    good, defective = ~dataset.anomalous, dataset.anomalous
    defects = sorted({entry.defect for entry in entries if entry.defect != GOOD})
    lots = sorted({entry.lot for entry in entries if entry.defect == GOOD and entry.lot is not None})
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
        false_alarms=judged.find(_ALARM, good, demands[0]),
        escapes=judged.find(_PASSED, defective, demands[1]),
        reviews={
            truth: judged.find(_REVIEW, images)
            for truth, images in (("good", good), ("defective", defective))
            if inspector.rule.review_threshold is not None
        },
        per_defect={defect: judged.find(_PASSED, np.array(dataset.defects) == defect) for defect in defects},
        per_lot={lot: judged.find(_ALARM, good & _of_lot(dataset, lot), lots=False) for lot in lots},
        warnings=(*_warnings(inspector, entries, judged, seed), *dataset.notes[len(given.notes) :]),
        looks=None if turn is None else turn.looks(len({int(turn.units[entry.image]) for entry in entries})),
        p_values=inspector.rule.p_value_words(),
        products=tuple(sorted({one.product for one in dataset.test_origins if one.product})),
    )


def _judged(
    dataset: Dataset, sampling: Sampling, entries: Sequence[Entry], confidence: float, *, by_lot: bool, sequential: bool
) -> Judged:
    labels = [Label.ERROR] * len(dataset.test)
    for entry in entries:
        labels[entry.image] = entry.charged
    known = (
        np.zeros(len(labels), bool) if not by_lot else np.array([one.lot is not None for one in dataset.test_origins])
    )
    return Judged(sampling, labels, known, confidence, by_lot, sequential)


def _of_lot(dataset: Dataset, lot: str) -> NDArray[np.bool_]:
    return np.array([origin.lot == lot for origin in dataset.test_origins], bool)


def _inspect(
    inspector: Inspector, dataset: Dataset, sampling: Sampling, progress: Progress, turn: Turn | None
) -> list[Entry]:
    images, n = dataset.test, len(dataset.test)
    lots = [origin.lot for origin in dataset.test_origins] or [None] * n
    order = np.arange(n) if turn is None else turn.order()
    entries: list[Entry] = []
    start = 0
    for done, (index, verdict) in enumerate(zip(order, inspector.inspect(images.subset(order)), strict=True), 1):
        image, name = int(index), images.names[index]  # arrays are numbered anew in a subset
        small = replace(verdict.without_arrays(), name=name)
        part = int(sampling.parts[image])
        entries.append(Entry(image, name, verdict.sha256, dataset.defects[image], part, lots[image], small))
        progress("certifying", done, n)
        if turn is not None and (done == n or turn.units[order[done]] != turn.units[image]):
            _count(turn, sampling, entries[start:])
            start = done
            if turn.decided:
                break
    return entries


def _turn(
    dataset: Dataset,
    sampling: Sampling,
    seed: int,
    confidence: float,
    demands: Sequence[float | None],
    *,
    by_lot: bool,
) -> Turn:
    good, defective = demands
    counts = Demand("false alarms", good, confidence), Demand("escapes", defective, confidence)
    lots = sampling.lots if by_lot else None
    units, unit = (sampling.parts, "parts") if lots is None else (lots, "lots")
    return Turn(units, sampling.parts, dataset.test_origins or (Origin(),) * len(dataset.test), seed, counts, unit)


def _count(turn: Turn, sampling: Sampling, entries: Sequence[Entry]) -> None:
    """The images of a unit are complete."""
    labels = [Label.ERROR] * len(sampling.parts)
    for entry in entries:
        labels[entry.image] = entry.charged
    for good, wanted in ((True, _ALARM), (False, _PASSED)):
        turn.count(good, [*sampling.events(wanted, labels, sampling.defective != good).values()])


def _warnings(inspector: Inspector, entries: Sequence[Entry], judged: Judged, seed: int) -> Iterator[str]:
    parts = len({entry.part for entry in entries})
    if parts < len(entries):
        yield f"{len(entries)} images show {parts} parts; n counts parts, and one alarming image rejects its part."
    errors = sum(entry.verdict.label is Label.ERROR for entry in entries)
    if errors:
        yield f"{errors} images could not be used; each counts as a false alarm, or as an escape of a defective part."
    unknown = sum(entry.lot is None for entry in entries)
    if judged.by_lot and unknown:
        yield f"The lot of {unknown} images is not known; bounds that such an image is part of count parts, not lots."
    quiet, alpha = judged.find({Label.GOOD, Label.REVIEW}, ~judged.sampling.defective), inspector.rule.alpha
    if alpha is not None and 1 - quiet.bound > alpha:
        yield (
            f"{quiet.rate.n - quiet.rate.count} of {quiet.rate.n} good parts raised an alarm, so the true rate is "
            f"above the rule's alpha = {alpha:g}: these parts differ from those it was calibrated on. Recalibrate "
            "(amiss calibrate)."
        )
    yield from _lot_warnings([entry for entry in entries if entry.defect == GOOD], judged, seed)


def _lot_warnings(good: Sequence[Entry], judged: Judged, seed: int) -> Iterator[str]:
    """Whether the alarms gather in few lots: the parts are then no independent draws."""
    lots = {entry.part: entry.lot for entry in good if entry.lot is not None}
    names = sorted({lot for lot in lots.values() if lot is not None})
    by_lot = judged.by_lot
    if len(names) == 1:
        little = ", so these bounds say next to nothing" if by_lot else ""
        yield f"All good parts are of one lot, {names[0]}; other lots may differ{little}."
    if len(names) < 2:
        return
    alarms = judged.sampling.events(_ALARM, judged.labels, ~judged.sampling.defective)
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
