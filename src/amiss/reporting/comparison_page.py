"""`write_comparison`: two models on the same images, as one HTML file for people and one JSON file for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.core.sentence import Sentence
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation.compare import Comparison
    from amiss.evaluation.conclusions import Conclusions
    from amiss.metrics import Difference

DIFFER = Sentence(
    "They differ by more than chance (5 %, all tests together) in: {where}",
    "tests/evaluation/test_conclusions.py::test_the_family_error_holds",
)

TESTS = {
    "image_auroc": "image AUROC",
    "pixel_aupro": "AUPRO up to 30 %",
    "pixel_aupro_05": "AUPRO up to 5 %",
    "good": "verdicts on good parts",
    "defective": "verdicts on defective parts",
}

LEFT, RIGHT, STEP = 190.0, 760.0, 34.0


@dataclass(frozen=True)
class Bar:
    """A difference with its interval, in SVG units.

    Args:
        title: What differs.
        y: Of its line.
        x: Of the difference.
        ends: Of its interval.
        text: The numbers.
    """

    title: str
    y: float
    x: float
    ends: tuple[float, float]
    text: str


@dataclass(frozen=True)
class Bars:
    """Differences below one another around a line at none.

    Args:
        zero: Where the line is.
        height: Of the chart.
        rows: From top to bottom.
        most: The difference at either end of the axis.
    """

    zero: float
    height: float
    rows: tuple[Bar, ...]
    most: float


def write_comparison(
    folder: str | Path, comparison: Comparison, conclusions: Conclusions, lines: Sequence[str]
) -> tuple[Path, Path]:
    """Write ``comparison.html`` and ``comparison.json``, each at once; the paths of both.

    Args:
        folder: Made when it is missing.
        comparison: Of the two models.
        conclusions: All its tests together.
        lines: What is said of them, a sentence each.
    """
    page = render(
        "comparison.html.jinja",
        c=comparison,
        k=conclusions,
        lines=lines,
        verdict=verdict(conclusions),
        agreements=[
            (kind, one) for kind, one in (("good", comparison.good), ("defective", comparison.defective)) if one.n
        ],
        rates=draw(_rates(conclusions), "%"),
        areas=draw(_areas(comparison), ""),
        version=version("amiss"),
    )
    html, plain = Path(folder) / "comparison.html", Path(folder) / "comparison.json"
    summary = comparison.summary() | {"conclusions": conclusions.summary()}
    write_file(html, page)
    write_file(plain, json.dumps(summary, indent=2, allow_nan=False).encode())
    return html, plain


def verdict(conclusions: Conclusions) -> tuple[str, str]:
    """What a person reads first, and its colour: "yes", "no" or "" for neither."""
    if conclusions.non_inferior:
        shown = conclusions.shown
        return ("SHOWN: B is not worse by the margin" if shown else "NOT SHOWN: B may be worse by the margin"), (
            "yes" if shown else "no"
        )
    clear = [TESTS[name] for name, p_value in conclusions.adjusted.items() if p_value <= 0.05]
    return (DIFFER(where=", ".join(clear)) if clear else "No difference was shown"), ""


def draw(found: Sequence[tuple[str, float, tuple[float, float]]], unit: str) -> Bars | None:
    """A chart of differences B - A by name, with their intervals; None where there is none.

    Example:
        >>> bars = draw([("good parts", 0.5, (0.0, 1.0))], "%")
        >>> bars.zero, bars.rows[0].x, bars.rows[0].text
        (475.0, 617.5, '+50.0 %')
    """
    if not found:
        return None
    most = max(abs(end) for _, value, ends in found for end in (value, *ends)) or 1.0
    zero = (LEFT + RIGHT) / 2

    def at(value: float) -> float:
        return zero + (RIGHT - LEFT) / 2 * value / most

    texts = [f"{100 * value:+.1f} %" if unit else f"{value:+.4f}" for _, value, _ in found]
    rows = [
        Bar(title, 24 + STEP * number, at(value), (at(ends[0]), at(ends[1])), text)
        for number, ((title, value, ends), text) in enumerate(zip(found, texts, strict=True))
    ]
    return Bars(zero, 24 + STEP * len(rows), tuple(rows), most)


def _rates(conclusions: Conclusions) -> list[tuple[str, float, tuple[float, float]]]:
    both = {"right on good": conclusions.right_on_good, "right on defective": conclusions.right_on_defective}
    return [(title, one.value, one.interval) for title, one in both.items() if one is not None]


def _areas(comparison: Comparison) -> list[tuple[str, float, tuple[float, float]]]:
    """B - A, as for the rates; the differences themselves are A - B."""
    all_of_them: dict[str, Difference] = {
        "image AUROC": comparison.image_auroc,
        "AUPRO up to 30 %": comparison.pixel_aupro,
        "AUPRO up to 5 %": comparison.pixel_aupro_05,
    }
    found: list[Any] = [(title, one) for title, one in all_of_them.items() if not math.isnan(one.difference)]
    return [(title, -one.difference, (-one.interval[1], -one.interval[0])) for title, one in found]
