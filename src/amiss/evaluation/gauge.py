"""Gauge study of an inspector: does the same part get the same score and the same verdict, again and at every station?

The limits that are named are those of AIAG, Measurement Systems Analysis, 4th edition. A score has no tolerance, so the
gauge is compared with the spread of the parts of the study, which must be chosen like those of the line; and its
repeatability with the distance of each part from the threshold, which is what decides a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import DataError, InputError
from amiss.core.listing import describe_ignored
from amiss.core.progress import Progress, silent
from amiss.core.verdict import Label, Verdict
from amiss.data.study import Study
from amiss.evaluation.unseen import check_unseen
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.metrics.gauge import GaugeVariance, gauge_variance
from amiss.metrics.kappa import Kappa, PartShare, cohen_kappa, fleiss_kappa, part_share

EFFECTIVE, MISSED, FALSELY_STOPPED = 0.90, 0.02, 0.05
"""Limits of AIAG for verdicts: effectiveness at least, misses at most, false alarms at most."""

LEAST_PARTS = 5
"""Fewer parts say nothing about a spread between parts; AIAG takes 10 for scores, and 20 or more for verdicts."""

BAND = 1.96
"""Half of the width of the uncertain zone around the threshold, in standard deviations of the gauge."""

ALL = "all stations"


@dataclass(frozen=True)
class Agreement:
    """Verdicts on the same parts, at one station or at all of them.

    Args:
        alike: Parts on which all verdicts are the same.
        kappa: Fleiss' kappa of those verdicts.
    """

    alike: Rate
    kappa: Kappa


@dataclass(frozen=True)
class Correctness:
    """Verdicts against the truth, at one station or at all of them.

    Args:
        effective: Parts on which every verdict is right.
        missed: Share of verdicts on defective parts that passed them.
        falsely_stopped: Share of verdicts on good parts that stopped them.
        kappa: Cohen's kappa of verdicts and truth.
    """

    effective: Rate
    missed: PartShare
    falsely_stopped: PartShare
    kappa: Kappa


@dataclass(frozen=True, kw_only=True, eq=False)
class GaugeStudy:
    """What a gauge study of an inspector found. "Stopped" is anomalous or for review, "passed" is good.

    Args:
        name: Of the study.
        method: Registry name of the method.
        fingerprint: SHA-256 of the inspector.
        date: UTC, ISO 8601.
        n_parts: Parts with at least one usable image.
        n_images: Usable images.
        stations: Their names.
        threshold: Of the rule.
        score: Variance components of the score; None where they cannot be computed, and `score_note` says why.
        score_note: What was left out of them, or "".
        near: Parts whose mean score is so near the threshold that the gauge decides (`BAND`); None without `score`.
        agreement: By station, and over all of them.
        correctness: The same against the truth; empty where it is not known.
        errors: Name and reason of images that could not be used.
        warnings: What weakens it, a sentence each.
        verdicts: One per usable image, without arrays, with part and station.
    """

    name: str
    method: str
    fingerprint: str
    date: str
    n_parts: int
    n_images: int
    stations: tuple[str, ...]
    threshold: float
    score: GaugeVariance | None
    score_note: str
    near: Rate | None
    agreement: Mapping[str, Agreement]
    correctness: Mapping[str, Correctness]
    errors: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    verdicts: tuple[tuple[Verdict, str, str], ...]

    @property
    def band(self) -> tuple[float, float] | None:
        """Scores so near the threshold that the gauge decides; None without components of the score."""
        if self.score is None:
            return None
        half = BAND * self.score.deviations["gauge"].value
        return self.threshold - half, self.threshold + half

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = ("name", "method", "fingerprint", "date", "n_parts", "n_images", "threshold", "score_note")
        return {
            **{name: getattr(self, name) for name in plain},
            "stations": list(self.stations),
            "score": None if self.score is None else self.score.summary(),
            "band": None if self.band is None else list(self.band),
            "near": None if self.near is None else self.near.summary(),
            "agreement": {where: _plain(one) for where, one in self.agreement.items()},
            "correctness": {where: _plain(one) for where, one in self.correctness.items()},
            "aiag_limits": {"effective": EFFECTIVE, "missed": MISSED, "falsely_stopped": FALSELY_STOPPED},
            "errors": [{"name": name, "reason": reason} for name, reason in self.errors],
            "warnings": list(self.warnings),
            "images": [{"part": part, "station": at, **verdict.summary()} for verdict, part, at in self.verdicts],
        }


def gauge(inspector: Inspector, study: Study, *, progress: Progress = silent) -> GaugeStudy:
    """Inspect every image of a study, and say how much of the scores and verdicts is chance.

    Args:
        inspector: Ready to inspect.
        study: Images of the same parts; none of them may be one that the inspector has seen.
        progress: See `amiss.core.progress`.

    Raises:
        DataError: Images that the inspector has seen, one image twice, fewer than 5 parts, or no part with two images.
    """
    identities = check_unseen(inspector, study.images, where=study.name)
    _check_repeats(study, identities)
    verdicts = []
    for index, verdict in enumerate(inspector.inspect(study.images)):
        verdicts.append(verdict.without_arrays())
        progress("measuring", index + 1, len(study.images))
    found = tuple(
        (verdict, part, at)
        for verdict, part, at in zip(verdicts, study.parts, study.stations, strict=True)
        if verdict.label is not Label.ERROR
    )
    stations = tuple(dict.fromkeys(study.stations))
    score, note, kept = _score_study(found, stations)
    places = {at: {at} for at in stations} if len(stations) > 1 else {}
    places[ALL] = set(stations)
    threshold = float(inspector.rule.threshold)
    tables = {where: _stopped([one for one in found if one[2] in chosen]) for where, chosen in places.items()}
    return GaugeStudy(
        name=study.name,
        method=inspector.record.method,
        fingerprint=inspector.fingerprint,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        n_parts=len({part for _, part, _ in found}),
        n_images=len(found),
        stations=stations,
        threshold=threshold,
        score=score,
        score_note=note,
        near=None if score is None else _near(kept, score, threshold),
        agreement={where: _agreement(table) for where, table in tables.items() if _agreement_known(table)},
        correctness={where: _correctness(table, study.defective) for where, table in tables.items() if study.defective},
        errors=tuple((verdict.name, verdict.reason) for verdict in verdicts if verdict.label is Label.ERROR),
        warnings=tuple(_warnings(study, found, score)),
        verdicts=found,
    )


def _check_repeats(study: Study, identities: Sequence[str]) -> None:
    counts = Counter(identity for identity in identities if identity)
    twice = [name for name, identity in zip(study.images.names, identities, strict=True) if counts[identity] > 1]
    if twice:
        raise DataError(
            f"{study.name}: {len(twice)} images are copies of one another, pixel by pixel, such as {twice[0]}; a "
            "repeat must be a new image, taken after the part was put in again"
        )
    parts = Counter(study.parts)
    if len(parts) < LEAST_PARTS:
        raise DataError(
            f"{study.name}: a gauge study needs at least {LEAST_PARTS} parts, better 10 to 30, got {len(parts)}"
        )
    if max(parts.values()) < 2:
        raise DataError(f"{study.name}: every part has one image; a gauge study needs several of each")


Found = Sequence[tuple[Verdict, str, str]]


def _score_study(found: Found, stations: Sequence[str]) -> tuple[GaugeVariance | None, str, NDArray[np.float64]]:
    """Variance components over the parts that were measured equally often everywhere."""
    scores: dict[str, dict[str, list[float]]] = {}
    for verdict, part, at in found:
        scores.setdefault(part, {name: [] for name in stations})[at].append(float(verdict.score or 0.0))
    least = [min(len(cell) for cell in cells.values()) for cells in scores.values()]
    repeats = max(range(2, max(least, default=0) + 1), key=lambda r: sum(r - 1 for n in least if n >= r), default=0)
    full = {part: cells for part, cells in scores.items() if min(map(len, cells.values())) >= repeats}
    empty = np.empty((0, 0, 0))
    if repeats < 2 or len(full) < LEAST_PARTS:
        return (
            None,
            (
                f"Components of the score need {LEAST_PARTS} parts with 2 usable images or more at each station; "
                f"{len(full) if repeats else 0} have them."
            ),
            empty,
        )
    table = np.array([[cell[:repeats] for cell in cells.values()] for cells in full.values()])
    used = table.size
    note = (
        ""
        if used == len(found)
        else f"Components of the score use {len(full)} of {len(scores)} parts and {used} of {len(found)} images: they "
        "need equally many of every part at every station."
    )
    try:
        return gauge_variance(table), note, table
    except InputError as error:
        return None, f"Components of the score: {error}.", empty


def _near(table: NDArray[np.float64], score: GaugeVariance, threshold: float) -> Rate:
    """Parts within the uncertain zone of the threshold."""
    away = np.abs(table.mean(axis=(1, 2)) - threshold)
    return Rate(int((away <= BAND * score.deviations["gauge"].value).sum()), len(table))


def _stopped(found: Found) -> dict[str, NDArray[np.bool_]]:
    """For each part whether each of its images was stopped."""
    parts: dict[str, list[bool]] = {}
    for verdict, part, _ in found:
        parts.setdefault(part, []).append(verdict.label is not Label.GOOD)
    return {part: np.array(stopped, bool) for part, stopped in parts.items()}


def _agreement_known(table: Mapping[str, NDArray[np.bool_]]) -> bool:
    return any(len(stopped) > 1 for stopped in table.values())


def _agreement(table: Mapping[str, NDArray[np.bool_]]) -> Agreement:
    several = [stopped for stopped in table.values() if len(stopped) > 1]
    yes, verdicts = [int(stopped.sum()) for stopped in several], [len(stopped) for stopped in several]
    alike = sum(count in (0, n) for count, n in zip(yes, verdicts, strict=True))
    return Agreement(Rate(alike, len(several)), fleiss_kappa(yes, verdicts))


def _correctness(table: Mapping[str, NDArray[np.bool_]], truth: Mapping[str, bool]) -> Correctness:
    right = {part: np.mean(stopped == truth[part]) for part, stopped in table.items()}
    bad = [share for part, share in right.items() if truth[part]]
    good = [share for part, share in right.items() if not truth[part]]
    return Correctness(
        effective=Rate(sum(share == 1 for share in right.values()), len(right)),
        missed=part_share(1 - np.array(bad)),
        falsely_stopped=part_share(1 - np.array(good)),
        kappa=cohen_kappa(bad, good),
    )


def _warnings(study: Study, found: Found, score: GaugeVariance | None) -> list[str]:
    notes = []
    if study.ignored:
        notes.append(f"Columns passed over: {', '.join(study.ignored)}.")
    if study.images.ignored:
        notes.append(describe_ignored(study.images.ignored))
    parts = len({part for _, part, _ in found})
    if parts < 10:
        notes.append(f"{parts} parts are few; AIAG takes 10 or more for scores, and 20 or more for verdicts.")
    if len({verdict.label is Label.GOOD for verdict, _, _ in found}) == 1:
        notes.append(
            "Every verdict is the same, so kappa is not defined; take parts on both sides of the threshold, and some "
            "close to it."
        )
    if score is not None and score.shape[1] == 2:
        notes.append("Two stations say little about the spread between stations; the interval is wide for that reason.")
    return notes


def _plain(one: Agreement | Correctness) -> dict[str, Any]:
    return {name: getattr(one, name).summary() for name in vars(one)}
