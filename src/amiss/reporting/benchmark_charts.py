"""Geometry of the benchmark's charts, in SVG units; the template draws what is computed here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amiss.reporting.charts import Tick, nice_ticks

if TYPE_CHECKING:
    from amiss.evaluation.benchmark.ranks import Ranking
    from amiss.evaluation.benchmark.table import Row, Table

FEWEST = 3
"""Points from which a chart says more than a table."""

LETTER = 6.7
"""Mean width of a letter of 12 units, with some to spare."""

_PLACES = (  # where a label may stand: step right, step down, anchor of the text
    (9, 4, "start"),
    (-9, 4, "end"),
    (0, -10, "middle"),
    (0, 19, "middle"),
    (9, -9, "start"),
    (9, 17, "start"),
    (-9, -9, "end"),
    (-9, 17, "end"),
    *((side * 22, up, anchor) for up in (-24, 30, -40, 46, -56, 62) for side, anchor in ((1, "start"), (-1, "end"))),
)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Point:
    """A row in the plot of accuracy against time, its spread over seeds as a cross, and where its name stands."""

    name: str
    x: float
    y: float
    cross: Box
    text_x: float
    text_y: float
    anchor: str
    leader: bool


@dataclass(frozen=True)
class Scatter:
    """Accuracy against milliseconds per image, the latter on a logarithmic axis."""

    title: str
    data: str
    width: float
    height: float
    frame: Box
    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Dot:
    """One row of a panel: its mean, spread over seeds, interval over images, and what others have published."""

    name: str
    y: float
    x: float
    text: str
    spread: tuple[float, float] | None
    interval: tuple[float, float] | None
    published: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One data set: a dot for every row."""

    title: str
    width: float
    height: float
    left: float
    right: float
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Place:
    """One row in the figure of mean ranks: its place on the axis, and its name at the left or right margin."""

    name: str
    x: float
    y: float
    side: str


@dataclass(frozen=True)
class RankFigure:
    """Mean ranks on an axis; a bar joins rows that no pair of which is told apart."""

    title: str
    width: float
    height: float
    axis: tuple[float, float, float]
    ticks: tuple[Tick, ...]
    places: tuple[Place, ...]
    bars: tuple[tuple[float, float, float], ...]


def scatter(table: Table, ranking: Ranking, title: str, *, width: float = 1100, height: float = 430) -> Scatter | None:
    """Mean accuracy over the shared data sets against mean time; None for fewer points than `FEWEST`.

    Args:
        table: Whose preset rows are shown.
        ranking: Says which rows share which data sets.
        title: Name of the metric.
        width: Width of the whole chart.
        height: Height of the whole chart.
    """
    frame = (64.0, 14.0, width - 24.0, height - 46.0)
    found = []
    for row in table.presets:
        if row.label not in ranking.labels:
            continue
        accuracy, time = row.mean(ranking.metric, ranking.data), row.mean("seconds_per_image", ranking.data)
        if accuracy is not None and time is not None and time.mean > 0:
            up, aside = accuracy.deviation or 0.0, 1000 * (time.deviation or 0.0)
            found.append((row.label, 1000 * time.mean, aside, accuracy.mean, up))
    if len(found) < FEWEST:
        return None
    low_x, high_x = min(x - dx for _, x, dx, _, _ in found), max(x + dx for _, x, dx, _, _ in found)
    low_x, high_x = max(low_x, 0.2 * min(x for _, x, *_ in found)) / 1.5, high_x * 1.6
    low_y, high_y = _room(min(y - dy for *_, y, dy in found), max(y + dy for *_, y, dy in found))

    def at_x(value: float) -> float:
        return _along(math.log(max(value, low_x)), math.log(low_x), math.log(high_x), frame[0], frame[2])

    def at_y(value: float) -> float:
        return _along(value, low_y, high_y, frame[3], frame[1])

    crosses = [(at_x(x - dx), at_y(y + dy), at_x(x + dx), at_y(y - dy)) for _, x, dx, y, dy in found]
    centres = [(name, at_x(x), at_y(y)) for name, x, _, y, _ in found]
    return Scatter(
        title=title,
        data=", ".join(ranking.data),
        width=width,
        height=height,
        frame=frame,
        points=tuple(_name_points(centres, crosses, frame)),
        x_ticks=tuple(Tick(at_x(value), f"{value:g}") for value in log_ticks(low_x, high_x)),
        y_ticks=tuple(Tick(at_y(value), f"{value:g}") for value in nice_ticks(low_y, high_y, 6)),
    )


def log_ticks(low: float, high: float) -> list[float]:
    """The numbers 1, 2 and 5 times a power of ten inside [low, high]; other round ones when these are few.

    Example:
        >>> log_ticks(3, 70)
        [5.0, 10.0, 20.0, 50.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    inside = [number for number in numbers if low <= number <= high]
    return inside if len(inside) > 3 else nice_ticks(low, high, 6)


def panels(table: Table, metric: str, order: Sequence[str], *, width: float = 540) -> list[Panel]:
    """One panel per data set, all on the same axis, the rows in the same order.

    Args:
        table: Whose preset rows are shown.
        metric: One of the table's metrics.
        order: Labels in the order of their ranks; rows that are not ranked follow.
        width: Width of one panel.
    """
    rank = {label: place for place, label in enumerate(order)}
    rows = sorted(table.presets, key=lambda row: rank.get(row.label, len(rank)))
    longest = max((len(row.label) for row in rows), default=0)
    left, right = min(26 + LETTER * longest, width / 2), width - 122
    known = {(one.method, one.data, one.value) for one in table.references() if one.metric == metric}
    values = [value for row in rows for name in table.data for value in _extent(row, name, metric)]
    values += [value for _, _, value in known] if values else []
    if not values:
        return []
    low, high = _room(min(values), max(values))
    found = []
    for name in table.data:
        dots = _dots(rows, name, metric, known, lambda value: _along(value, low, high, left, right))
        if dots:
            ticks = tuple(Tick(_along(at, low, high, left, right), f"{at:g}") for at in nice_ticks(low, high, 5))
            found.append(Panel(name, width, 34.0 + 22 * len(dots), left, right, tuple(dots), ticks))
    return found


def rank_figure(ranking: Ranking, title: str, *, width: float = 940) -> RankFigure | None:
    """Rows on the axis of mean ranks, best at the left; None without decisive tests or with two rows only.

    Args:
        ranking: Ranking of the rows.
        title: Name of the metric.
        width: Width of the whole chart.
    """
    k = len(ranking.labels)
    if not ranking.decisive or k < 3:
        return None
    left, right, top = 220.0, width - 220.0, 34.0
    at = [_along(rank, 1, k, left, right) for rank in ranking.mean_ranks]
    cliques = ranking.cliques()
    bars = tuple((at[a] - 4, at[b] + 4, top + 12 + 9 * level) for level, (a, b) in enumerate(cliques))
    under = top + 26 + 9 * len(bars)
    half = (k + 1) // 2
    places = [
        Place(
            label,
            at[place],
            under + 20 * (place if place < half else k - 1 - place),
            "left" if place < half else "right",
        )
        for place, label in enumerate(ranking.labels)
    ]
    ticks = tuple(Tick(_along(rank, 1, k, left, right), str(rank)) for rank in range(1, k + 1))
    return RankFigure(title, width, under + 20 * half, (left, right, top), ticks, tuple(places), bars)


def _dots(
    rows: Sequence[Row], name: str, metric: str, known: set[tuple[str, str, float]], at: Callable[[float], float]
) -> list[Dot]:
    dots: list[Dot] = []
    for row in rows:
        cell = row.cells.get(name)
        spread = None if cell is None else cell.spread(metric)
        if cell is None or spread is None:
            continue
        around, ends = spread.deviation, cell.interval(metric)
        dots.append(
            Dot(
                name=row.label,
                y=16.0 + 22 * len(dots),
                x=at(spread.mean),
                text=spread.text(),
                spread=None if around is None else (at(spread.mean - around), at(spread.mean + around)),
                interval=None if ends is None else (at(ends[0]), at(ends[1])),
                published=tuple(
                    at(value)
                    for method, data, value in sorted(known)
                    if (method, data) == (row.method, name) and row.comparable
                ),
            )
        )
    return dots


def _extent(row: Row, name: str, metric: str) -> list[float]:
    """Everything of one row on one data set that must fit on the axis."""
    cell = row.cells.get(name)
    spread = None if cell is None else cell.spread(metric)
    if cell is None or spread is None:
        return []
    around = spread.deviation or 0.0
    return [spread.mean - around, spread.mean + around, *(cell.interval(metric) or ())]


def _name_points(centres: Sequence[tuple[str, float, float]], crosses: Sequence[Box], frame: Box) -> list[Point]:
    """Give every point a label that covers no point and no other label, where there is room."""
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for _, x, y in centres]
    taken += [(left, y - 1, right, y + 1) for (_, _, y), (left, _, right, _) in zip(centres, crosses, strict=True)]
    taken += [(x - 1, top, x + 1, bottom) for (_, x, _), (_, top, _, bottom) in zip(centres, crosses, strict=True)]
    points = []
    for (name, x, y), cross in zip(centres, crosses, strict=True):
        boxes = [_text_box(x + dx, y + dy, anchor, name) for dx, dy, anchor in _PLACES]
        free = (
            place for place, box in enumerate(boxes) if _inside(box, frame) and not any(_meet(box, b) for b in taken)
        )
        place = next(free, 0)
        dx, dy, anchor = _PLACES[place]
        taken.append(boxes[place])
        points.append(Point(name, x, y, cross, x + dx, y + dy, anchor, place > 7))
    return points


def _text_box(x: float, y: float, anchor: str, text: str) -> Box:
    wide = LETTER * len(text)
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return left, y - 11, left + wide, y + 3


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _room(low: float, high: float) -> tuple[float, float]:
    """A little more than [low, high], but a share stays within [0, 1] and a hair above."""
    margin = 0.08 * ((high - low) or 0.1)
    return max(0.0, low - margin), min(1.0, high) + margin * (0.5 if high > 0.99 else 1)


def _along(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (end - start) * (value - low) / (high - low)
