"""`write_benchmark_page`: the tables and plots of a benchmark as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.reporting import benchmark_charts as charts
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation.benchmark.ranks import Ranking
    from amiss.evaluation.benchmark.table import Table
    from amiss.evaluation.benchmark.text import Sheet

TEMPLATE = "benchmark.html.jinja"
TITLES = {"image_auroc": "Image AUROC", "pixel_aupro": "AUPRO to 0.3"}


def write_benchmark_page(path: Path, table: Table, rankings: Sequence[Ranking], sheets: Sequence[Sheet]) -> None:
    """Write one HTML file: no network, no scripts, all charts inside. Complete or not at all.

    Args:
        path: The file; folders are made when they are missing.
        table: What was measured.
        rankings: One a metric that is plotted.
        sheets: The tables as texts, in order.
    """
    write_file(path, render(TEMPLATE, **_context(table, rankings, sheets)))


def _context(table: Table, rankings: Sequence[Ranking], sheets: Sequence[Sheet]) -> dict[str, Any]:
    scatters = [charts.scatter(table, ranking, TITLES[ranking.metric]) for ranking in rankings]
    figures = [charts.rank_figure(ranking, TITLES[ranking.metric]) for ranking in rankings]
    finished = [line for row in table.rows for cell in row.cells.values() for line in cell.lines]
    return {
        "data": table.data,
        "rows": len(table.presets),
        "own": len(table.own),
        "runs": len(finished),
        "failed": len(table.failed),
        "seeds": sorted({line["seed"] for line in finished}),
        "scatters": [chart for chart in scatters if chart is not None],
        "rank_figures": [figure for figure in figures if figure is not None],
        "panels": [
            (TITLES[ranking.metric], charts.panels(table, ranking.metric, ranking.labels)) for ranking in rankings
        ],
        "sheets": sheets,
        "commits": table.commits,
        "hardware": sorted({line["hardware"] for line in finished}),
        "sizes": sorted({_size(row.config["size"]) for row in table.rows if "size" in row.config}),
    }


def _size(value: Any) -> str:
    height, width = value if isinstance(value, list) else (value, value)
    return f"{height} x {width}"
