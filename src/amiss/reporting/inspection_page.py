"""``index.html`` of `amiss inspect --output`: every image of a run with its verdict, to look at from disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.core.plain_json import parse_json
from amiss.reporting.charts import legend
from amiss.reporting.gallery import short_names
from amiss.reporting.journal import INDEX, LINES, Line
from amiss.reporting.overlay import ColourScale
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.inspector import Inspector

MOST = 20_000
"""Images that the page holds; of more the strangest. At 250 bytes each that is a page of 5 MB."""

REGIONS = 10
"""Regions of an image that are listed, strongest first."""

ORDER = ("error", "anomalous", "review", "good")


def write_index(folder: Path, inspector: Inspector, title: str) -> Path:
    """Write the page of a finished run beside its results.jsonl.

    Args:
        folder: The output of the run.
        inspector: The model.
        title: What was inspected, for the headline.

    Returns:
        The page.
    """
    lines, total = _strangest(folder / LINES)
    counts = Counter(line["label"] for line in lines)
    rule, scale = inspector.rule, ColourScale.of_rule(inspector.rule)
    named = [(label, counts[label]) for label in ORDER if counts[label]]
    left = total - len(lines)
    content = render(
        "inspection.html.jinja",
        headline=f"{title}: {total} images inspected",
        counts=", ".join(f"{count} {label}" for label, count in named) + ".",
        statement=inspector.statement(),
        p_values=rule.p_value_words(),
        model=inspector.fingerprint,
        more=f"The {left} least strange images are left out here; results.csv has all of them." if left else "",
        labels=named,
        legend=legend(rule, scale),
        scale=scale,
        maps=inspector.parts.golden.wanted.ndim == 3,
        data=_script([_row(*each) for each in zip(lines, short_names([line["name"] for line in lines]), strict=True)]),
    )
    write_file(folder / INDEX, content)
    return folder / INDEX


def _strangest(path: Path) -> tuple[list[Line], int]:
    """The lines of a run in their order, at most `MOST`, and how many there are."""
    lines = list(_lines(path))
    if len(lines) <= MOST:
        return lines, len(lines)
    ranked = sorted(range(len(lines)), key=lambda number: -_strangeness(lines[number]))[:MOST]
    return [lines[number] for number in sorted(ranked)], len(lines)


def _lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as file:
        for text in file:
            yield parse_json(text)


def _strangeness(line: Line) -> float:
    score = line["score"]
    return float("inf") if score is None else float(score)


def _row(line: Line, name: str) -> list[Any]:
    """What the page's script reads, by place."""
    regions = [[*one["box"], one["area"], _short(one["peak"])] for one in line["regions"][:REGIONS]]
    numbers = [None if line[name] is None else _short(line[name]) for name in ("score", "margin", "p_value")]
    return [name, line["label"], *numbers, line["image"], regions, line["reason"], line["recognised"] or ""]


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _script(rows: list[list[Any]]) -> str:
    """JSON that cannot end the element it stands in, whatever files are called."""
    text = json.dumps(rows, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
