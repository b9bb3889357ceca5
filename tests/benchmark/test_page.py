"""The benchmark's HTML page: whole, alone, and its plots say what the table says."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from amiss.evaluation.benchmark.ranks import rank_rows
from amiss.evaluation.benchmark.table import Table, table_of
from amiss.evaluation.benchmark.text import RANKED, sheets
from amiss.metrics import Rate
from amiss.reporting import benchmark_charts as charts
from amiss.reporting.benchmark_page import write_benchmark_page

METHODS = ("patchcore", "padim", "uninformed_students", "reverse_distillation", "spade", "knn", "ocsvm", "stfpm")
DATA = ("mvtec_bottle", "mvtec_screw", *(f"set{n}" for n in range(9)))


def make_table(data: tuple[str, ...] = DATA) -> Table:
    rng = np.random.default_rng(0)
    lines = []
    for (place, method), name, seed in itertools.product(enumerate(METHODS), data, range(2)):
        auroc = 0.97 - 0.05 * place + float(rng.normal(0, 0.01))
        figures = dict.fromkeys(("image_auroc", "pixel_auroc", "pixel_aupro", "pixel_aupro_05"), auroc)
        rates = {"false_alarms": Rate(1, 20).summary(), "detections": Rate(30, 40).summary(), "alpha": 0.05}
        counts = {"n_calibration": 42, "n_good": 20, "n_defective": 40}
        costs = {"fit_seconds": 10.0, "seconds_per_image": 0.01 + 0.002 * (place % 3), "peak_mb": 700}
        who = {"method": method, "preset": "default", "data": name, "seed": seed, "config": {"size": 256}}
        whence = {"commit": "abc1234", "hardware": "x86_64, 2 cores", "image_auroc_interval": [auroc - 0.02, auroc]}
        lines.append({**who, **figures, **rates, **counts, **costs, **whence})
    failed = {"failed": "killed by <SIGKILL>", "method": "fastflow", "preset": "default", "data": data[0], "seed": 0}
    return table_of([*lines, {**failed, "config": {"size": 256}, "commit": "abc1234", "hardware": "x86_64, 2 cores"}])


class Balanced(HTMLParser):
    """Checks that every element is closed, and collects names of elements and their attributes."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    table = make_table()
    rankings = [rank_rows(table, metric) for metric in RANKED]
    path = tmp_path_factory.mktemp("page") / "table.html"
    write_benchmark_page(path, table, rankings, sheets(table, rankings))
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_nothing_else(page):
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    names = {tag for tag, _ in parser.seen}
    assert not names & {"script", "link", "iframe", "object"} and {"svg", "table"} <= names
    assert not [v for _, found in parser.seen for name, v in found.items() if name in ("src", "href")]
    assert "nan" not in re.sub(r"[A-Za-z_]+nan|nan[A-Za-z_]+", "", page) and "None" not in page
    assert "killed by &lt;SIGKILL&gt;" in page and "1 run failed" in page
    for word in (*METHODS, *DATA, "verified", "recalled", "Friedman", "abc1234"):
        assert word in page


def test_points_lie_where_the_numbers_say_and_labels_are_apart():
    table = make_table()
    ranking = rank_rows(table, "image_auroc")
    chart = charts.scatter(table, ranking, "Image AUROC")
    assert chart is not None and {point.name for point in chart.points} == set(METHODS)
    means = {row.label: row.mean("image_auroc", ranking.data) for row in table.presets if row.label in ranking.labels}
    by_height = sorted(chart.points, key=lambda point: point.y)
    assert [point.name for point in by_height] == sorted(means, key=lambda name: -means[name].mean)
    ticks = {float(tick.text): tick.at for tick in chart.y_ticks}
    one, other = list(ticks)[:2]
    for point in chart.points:  # a straight axis: any two ticks give the place of any number
        expected = ticks[one] + (means[point.name].mean - one) * (ticks[other] - ticks[one]) / (other - one)
        assert point.y == pytest.approx(expected)
        assert chart.frame[0] < point.x < chart.frame[2] and chart.frame[1] < point.y < chart.frame[3]
    boxes = [charts._text_box(point.text_x, point.text_y, point.anchor, point.name) for point in chart.points]
    assert not any(charts._meet(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(charts._inside(box, chart.frame) for box in boxes)


def test_panels_show_every_row_on_one_axis_with_what_is_published():
    table = make_table(("mvtec_bottle", "mvtec_screw"))
    panels = charts.panels(table, "image_auroc", ["padim", "patchcore"])
    assert [panel.title for panel in panels] == ["mvtec_bottle", "mvtec_screw"]
    assert len({panel.ticks for panel in panels}) == 1
    for panel in panels:
        assert [dot.name for dot in panel.dots][:2] == ["padim", "patchcore"] and len(panel.dots) == len(METHODS)
        for dot in panel.dots:
            assert dot.spread is not None and dot.spread[0] <= dot.x <= dot.spread[1] and dot.interval is not None
            assert panel.left <= dot.x <= panel.right and all(panel.left <= x <= panel.right for x in dot.published)
    assert [len(dot.published) for dot in panels[1].dots if dot.name in ("padim", "stfpm")] == [1, 1]


def test_the_figure_of_ranks_is_drawn_only_where_tests_can_tell():
    ranking = rank_rows(make_table(), "image_auroc")
    figure = charts.rank_figure(ranking, "Image AUROC")
    assert figure is not None and [place.name for place in figure.places] == list(ranking.labels)
    assert [place.x for place in figure.places] == sorted(place.x for place in figure.places)
    few = rank_rows(make_table(DATA[:4]), "image_auroc")
    assert charts.rank_figure(few, "Image AUROC") is None


def test_an_empty_benchmark_is_a_page_too(tmp_path: Path):
    table = table_of([])
    rankings = [rank_rows(table, metric) for metric in RANKED]
    write_benchmark_page(tmp_path / "table.html", table, rankings, sheets(table, rankings))
    assert "0 methods on 0 data sets" in (tmp_path / "table.html").read_text()
