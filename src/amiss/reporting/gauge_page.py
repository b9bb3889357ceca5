"""`write_gauge`: a gauge study as one HTML file for people and one JSON file for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from amiss.core.sentence import Sentence
from amiss.core.verdict import Label, Verdict
from amiss.core.words import counted_percent, low_to_high
from amiss.metrics.gauge import ACCEPTABLE, LEAST_CATEGORIES, UNACCEPTABLE
from amiss.metrics.kappa import GOOD_ABOVE, POOR_BELOW
from amiss.reporting.charts import Tick, nice_ticks
from amiss.reporting.gallery import short_names
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation.gauge import GaugeStudy

IN_SHORT = Sentence(
    "The gauge makes {grr} of the study variation of the score (95 % interval {interval}): {judgement} by the limits "
    "of AIAG.",
    "tests/metrics/test_gauge.py::test_the_intervals_cover",
)
COMPONENTS = Sentence(
    "Intervals are generalised confidence intervals and take the effects as normally distributed.",
    "tests/metrics/test_gauge.py::test_the_intervals_cover",
)
KAPPAS = Sentence(
    "All intervals count parts, not images; those of kappa cover 95 % or more.",
    "tests/metrics/test_kappa.py::test_the_interval_of_fleiss_covers",
)

LEFT, RIGHT, ROW, TOP = 170.0, 920.0, 22.0, 10.0


@dataclass(frozen=True)
class Dot:
    """One image: where it lies, whether it was stopped, and its words."""

    x: float
    y: float
    stopped: bool
    text: str


@dataclass(frozen=True)
class PartChart:
    """A row per part, in the order of their mean scores; a dot per image."""

    height: float
    rows: tuple[tuple[float, str], ...]
    dots: tuple[Dot, ...]
    threshold: float
    band: tuple[float, float] | None
    ticks: tuple[Tick, ...]


def write_gauge(folder: str | Path, study: GaugeStudy) -> tuple[Path, Path]:
    """Write ``gauge.html`` and ``gauge.json``, each at once; the paths of both."""
    limits = {"grr": (ACCEPTABLE, UNACCEPTABLE), "ndc": LEAST_CATEGORIES, "kappa": (POOR_BELOW, GOOD_ABOVE)}
    words = {"in_short": _in_short(study), "components": COMPONENTS(), "kappas": KAPPAS()}
    page = render(
        "gauge.html.jinja", s=study, chart=part_chart(study), limits=limits, version=version("amiss"), **words
    )
    html, plain = Path(folder) / "gauge.html", Path(folder) / "gauge.json"
    write_file(html, page)
    write_file(plain, json.dumps(study.summary(), indent=2, allow_nan=False).encode())
    return html, plain


def _in_short(study: GaugeStudy) -> str:
    if study.score is None:
        return ""
    grr = study.score.grr
    share, interval = counted_percent(grr.value), low_to_high(grr.interval)
    return IN_SHORT(grr=share, interval=interval, judgement=study.score.judgement)


def part_chart(study: GaugeStudy) -> PartChart:
    """Where the dots of the study lie, in SVG units."""
    scores: dict[str, list[float]] = {}
    for verdict, part, _ in study.verdicts:
        scores.setdefault(part, []).append(verdict.score or 0.0)
    parts = sorted(scores, key=lambda part: sum(scores[part]) / len(scores[part]))
    every = [score for some in scores.values() for score in some] + [study.threshold]
    low, high = min(every), max(every)
    width = (high - low) or 1.0

    def place(score: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(max((score - low) / width, 0.0), 1.0)

    names = short_names([verdict.name for verdict, _, _ in study.verdicts])
    rows = {part: TOP + ROW * (number + 0.5) for number, part in enumerate(parts)}
    dots = [
        Dot(
            place(v.score or 0.0),
            rows[part] + _level(study.stations, at),
            v.label is not Label.GOOD,
            _said(v, name, at),
        )
        for (v, part, at), name in zip(study.verdicts, names, strict=True)
    ]
    return PartChart(
        height=TOP + ROW * len(parts) + 30,
        rows=tuple((y, part if len(part) <= 22 else f"{part[:21]}...") for part, y in rows.items()),
        dots=tuple(dots),
        threshold=place(study.threshold),
        band=None if study.band is None else (place(study.band[0]), place(study.band[1])),
        ticks=tuple(Tick(place(at), f"{at:g}") for at in nice_ticks(low, low + width)),
    )


def _said(verdict: Verdict, name: str, station: str) -> str:
    """What a person reads at a dot."""
    margin = "" if verdict.margin is None else f", margin {verdict.margin:+.3g}"
    return f"{name}, {station}: score {verdict.score or 0:.4g}{margin}"


def _level(stations: Sequence[str], at: str) -> float:
    """Stations one below the other within a row."""
    return 0.0 if len(stations) == 1 else ROW * 0.6 * (stations.index(at) / (len(stations) - 1) - 0.5)
