"""`write_monitoring`: the state of a line, as one HTML file for people and one JSON file for machines."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.sentence import Sentence
from amiss.monitoring import ChartRun, HealthRun, Monitoring
from amiss.reporting.charts import Tick, nice_ticks
from amiss.reporting.page import render
from amiss.storage import write_file

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 940.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 926.0, 14.0, 152.0
COLUMNS = 800
"""A stream with more parts is drawn as the lowest and highest value of each of so many groups."""

ABOVE = 3.0
"""A chart that goes on beyond its limit is drawn up to so many times the limit."""

RUN_LENGTHS = Sentence(
    "ARL0 is 1 / (mean over calibration sets of false alarms a part); n calibration scores are one such set, and its "
    "own run length lies anywhere around the median: one in ten is below the next number. The interval is that of the "
    "computation. The change that each chart is made for: one standard deviation of the scores; for parts above the "
    "threshold, fivefold odds.",
    "tests/monitoring/test_docs_table.py::test_a_row",
)

TITLES = {
    "cusum": ("Rising scores", "CUSUM"),
    "cusum-down": ("Falling scores", "CUSUM, downwards"),
    "ewma": ("Level of the scores", "EWMA"),
    "rate": ("Parts above the threshold", "CUSUM of alarms"),
    "martingale": ("A bet on any change", "capital"),
    "brightness": ("Brightness of the image", "EWMA"),
    "contrast": ("Contrast of the image", "EWMA"),
    "sharpness": ("Sharpness of the image", "EWMA"),
    "colour": ("Colour of the image", "EWMA"),
}


@dataclass(frozen=True)
class Panel:
    """One chart in SVG units; x is the number of the part, from 1.

    Args:
        title: What a person reads first.
        axis: What is drawn upwards.
        facts: What the limit means, and what was found.
        line: SVG path of the values.
        dots: The values are drawn as dots, not as a line.
        limits: SVG paths of the limits.
        x_ticks: On the axis of parts.
        y_ticks: On the axis of values.
        alarm: Where the first alarm is, or None.
        changed: Left and right end of the stretch that changed, or None.
        cut: The line goes on beyond the top.
    """

    title: str
    axis: str
    facts: str
    line: str
    dots: bool
    limits: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    alarm: tuple[float, float] | None
    changed: tuple[float, float] | None
    cut: bool


def write_monitoring(folder: str | Path, found: Monitoring, title: str) -> tuple[Path, Path]:
    """Write ``monitor.html`` and ``monitor.json``, each at once; the paths of both.

    Args:
        folder: Made when it is missing.
        found: What `amiss.monitoring.monitor` returned.
        title: What the stream is called.
    """
    page = render(
        "monitor.html.jinja",
        m=found,
        title=title,
        panels=[score_panel(found), *(chart_panel(found, run) for run in found.charts)],
        health=[health_panel(found, run) for run in found.health],
        rows=[_row(run) for run in (*found.charts, *(one.chart for one in found.health))],
        mark=_mark(found),
        run_lengths=RUN_LENGTHS(),
        version=version("amiss"),
    )
    html, plain = Path(folder) / "monitor.html", Path(folder) / "monitor.json"
    text = json.dumps(found.summary(), indent=2, allow_nan=False)
    write_file(plain, text.encode("utf-8", "backslashreplace"))
    write_file(html, page)
    return html, plain


def score_panel(found: Monitoring) -> Panel:
    """The scores themselves, with the threshold."""
    scores = found.stream.values
    limit = found.threshold
    known = np.array([] if limit is None or not math.isfinite(limit) else [limit])
    low, high = float(np.min(np.append(scores, known))), float(np.max(np.append(scores, known)))
    above = ""
    if limit is not None:
        above = f"; {int((scores > limit).sum())} of {len(scores)} above the threshold {limit:.4g}"
        above += f", largest margin {float(scores.max()) - limit:+.3g}"
    return _panel(
        found,
        ("Scores", "score"),
        f"Every usable part{above}.",
        scores,
        [np.full(len(scores), one) for one in known],
        (low - 0.05 * (high - low), high + 0.05 * (high - low)),
        dots=True,
    )


def chart_panel(found: Monitoring, run: ChartRun) -> Panel:
    """A chart of scores with its limits, its first alarm and the stretch that changed."""
    path, limits = run.path, [run.upper, *([] if run.lower is None else [run.lower])]
    if run.name == "martingale":  # drawn in powers of ten
        path, limits = path / math.log(10), [limit / math.log(10) for limit in limits]
    edge = ABOVE * float(max(np.abs(limit[-1]) for limit in limits))
    low = -edge if run.lower is not None else (-edge if run.name == "martingale" else 0.0)
    bounds = max(low, min(0.0, _lowest(path, limits))), min(edge, 1.05 * _highest(path, limits))
    return _panel(found, TITLES[run.name], _facts(found, run), path, limits, bounds, run=run)


def health_panel(found: Monitoring, run: HealthRun) -> Panel:
    """A measure of the images as its chart, with its plain values in words."""
    facts = run.summary(found.stream)
    low, high = facts["usual_90"]
    words = f"Usually {facts['usual']:.4g} (90 % within {low:.4g} to {high:.4g})"
    words += "" if facts["then"] is None else f"; over the changed parts {facts['then']:.4g}"
    chart = run.chart
    path, limits = chart.path[run.start :], [chart.upper[run.start :], -chart.upper[run.start :]]
    edge = ABOVE * float(limits[0][-1])
    bounds = max(-edge, 1.05 * _lowest(path, limits)), min(edge, 1.05 * _highest(path, limits))
    text = f"{words}. {_facts(found, chart)}"
    return _panel(found, TITLES[run.measure], text, path, limits, bounds, run=chart, start=run.start)


def _facts(found: Monitoring, run: ChartRun) -> str:
    promise = run.promise[0].upper() + run.promise[1:]
    if run.alarm is None:
        return f"No alarm. {promise}."
    return f"Alarm {run.alarm.words(found.stream)}. {promise}."


def _panel(
    found: Monitoring,
    titles: tuple[str, str],
    facts: str,
    values: Floats,
    limits: list[Floats],
    bounds: tuple[float, float],
    *,
    run: ChartRun | None = None,
    start: int = 0,
    dots: bool = False,
) -> Panel:
    """Values of the usable parts from `start` on, between `bounds`."""
    total = len(found.stream)
    low, high = bounds if bounds[1] > bounds[0] else (bounds[0] - 0.5, bounds[0] + 0.5)
    at = _across(found.stream.usable[start:], total)

    def up(value: Floats) -> Floats:
        return BOTTOM - (BOTTOM - TOP) * (np.clip(value, low, high) - low) / (high - low)

    alarm = None
    if run is not None and run.alarm is not None:
        alarm = (
            float(at[run.alarm.part - start]),
            float(up(values[run.alarm.part - start : run.alarm.part - start + 1])[0]),
        )
    power = run is not None and run.name == "martingale"
    ticks = [
        Tick(float(up(np.array([y]))[0]), f"{10**y:,.7g}" if power else f"{y:g}") for y in nice_ticks(low, high, 5)
    ]
    if power:
        ticks = [tick for tick, y in zip(ticks, nice_ticks(low, high, 5), strict=True) if y == int(y)]
    numbers = [y for y in nice_ticks(1, max(2, total), 10) if y == int(y) and y <= total]
    return Panel(
        title=titles[0],
        axis=titles[1],
        facts=facts,
        line=_dots(at, up(values)) if dots else _line(at, up(values)),
        dots=dots,
        limits=tuple(_line(at, up(limit)) for limit in limits),
        x_ticks=tuple(Tick(float(_across(np.array([y - 1]), total)[0]), f"{y:g}") for y in numbers),
        y_ticks=tuple(ticks),
        alarm=alarm,
        changed=None
        if run is None or run.alarm is None
        else _ends(found, run.alarm.changed.first, run.alarm.changed.end),
        cut=bool((values > high + 1e-9).any() or (values < low - 1e-9).any()),
    )


def _mark(found: Monitoring) -> tuple[float, float] | None:
    """Where the stretch of the diagnosis lies, for all panels."""
    changed = found.diagnosis.changed
    return None if changed is None else _ends(found, changed.first, changed.end)


def _ends(found: Monitoring, first: int, end: int) -> tuple[float, float]:
    usable, total = found.stream.usable, len(found.stream)
    low, high = _across(usable[[first, end - 1]].astype(np.float64), total)
    return float(low), float(max(high, low + 1.5))


def _row(run: ChartRun) -> dict[str, Any]:
    """One row of the table of charts."""
    return {
        "title": TITLES[run.name][0],
        "limit": f"{math.exp(run.upper[-1]):.4g}" if run.name == "martingale" else f"{run.upper[-1]:.4g}",
        "promise": run.promise,
        "design": run.design,
    }


def _across(parts: NDArray[Any], total: int) -> Floats:
    return LEFT + (RIGHT - LEFT) * (np.asarray(parts, np.float64) + 0.5) / total


def _lowest(path: Floats, limits: list[Floats]) -> float:
    return float(min(path.min(), *(limit.min() for limit in limits)))


def _highest(path: Floats, limits: list[Floats]) -> float:
    return float(max(path.max(), *(limit.max() for limit in limits)))


def _dots(x: Floats, y: Floats) -> str:
    """A short stroke with round ends is a dot."""
    return "".join(f"M{a:.1f} {b:.1f}h.01" for a, b in zip(x, y, strict=True))


def _line(x: Floats, y: Floats) -> str:
    if len(x) > 2 * COLUMNS:
        groups = np.array_split(np.arange(len(x)), COLUMNS)
        keep = np.unique([at for group in groups for at in (group[y[group].argmin()], group[y[group].argmax()])])
        x, y = x[keep], y[keep]
    points = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
    if len(points) == 1:  # one part: a stroke, or nothing would be seen
        return f"M{points[0]}h2"
    return "M" + "L".join(points)
