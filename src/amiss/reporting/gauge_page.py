"""`write_gauge`: a gauge study as one HTML file for people and one JSON file for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from amiss.core.verdict import Label
from amiss.metrics.gauge import ACCEPTABLE, LEAST_CATEGORIES, UNACCEPTABLE
from amiss.metrics.kappa import GOOD_ABOVE, POOR_BELOW
from amiss.reporting.charts import Tick, nice_ticks
from amiss.reporting.gallery import short_names
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation.gauge import GaugeStudy

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
    page = render("gauge.html.jinja", s=study, chart=part_chart(study), limits=limits, version=version("amiss"))
    html, plain = Path(folder) / "gauge.html", Path(folder) / "gauge.json"
    write_file(html, page)
    write_file(plain, json.dumps(study.summary(), indent=2, allow_nan=False).encode())
    return html, plain


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
        Dot(place(v.score or 0.0), rows[part] + _level(study.stations, at), v.label is not Label.GOOD, f"{name}, {at}")
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


def _level(stations: Sequence[str], at: str) -> float:
    """Stations one below the other within a row."""
    return 0.0 if len(stations) == 1 else ROW * 0.6 * (stations.index(at) / (len(stations) - 1) - 0.5)
