"""The tables of a benchmark as words and numbers: sheets, and their Markdown and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amiss.core.sentence import Sentence
from amiss.core.words import counted_percent, low_to_high, percent, sure
from amiss.evaluation.benchmark.published import EVIDENCE, MEAN_OF_MVTEC, Published
from amiss.evaluation.benchmark.ranks import Ranking
from amiss.evaluation.benchmark.table import METRICS, Cell, Row, Spread, Table
from amiss.metrics.coverage import held

NOTHING = "-"
"""Placeholder for a missing figure."""

AREAS = Sentence(
    "Mean ± standard deviation over seeds (interval over the test parts of one run, ends averaged: {auroc} for image "
    "AUROC, {aupro} for AUPRO).",
    "tests/metrics/test_coverage.py::test_no_interval_claims_more_than_was_simulated",
)
RATES = Sentence(
    "Share of the test parts, mean over seeds, with the exact 95 % interval of one run (ends averaged), then the "
    "counts seed by seed. alpha is the promised rate of false alarms, n the calibration images.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)

RANKED = ("image_auroc", "pixel_aupro")
"""The metrics by which rows are ranked: one for images, one for pixels."""


@dataclass(frozen=True)
class Sheet:
    """One table: title, head, rows of texts, and a sentence or two that it needs to be read right."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def sheets(table: Table, rankings: Sequence[Ranking]) -> list[Sheet]:
    """Everything there is to say, in order; what is empty is left out."""
    references = table.references()
    found = [
        accuracy(table.presets, references),
        costs(table.presets),
        over_data(table, rankings),
        *(pairs(ranking) for ranking in rankings if ranking.decisive),
        accuracy(table.own, references, "With settings of their own"),
        failures(table),
        published_figures(references),
    ]
    return [sheet for sheet in found if sheet.rows]


def accuracy(rows: Sequence[Row], references: Sequence[Published], title: str = "Accuracy") -> Sheet:
    """One line per data set and row, with what others have published beside it."""
    head = ["data", "row", "seeds", "good / defective", "image AUROC", "published"]
    head += ["AUPRO to 0.3", "published", "AUPRO to 0.05", "pixel AUROC"]
    lines = []
    for name, row, cell in _cells(rows):
        marks = {metric: _marks(_beside(row, references), row.method, name, metric) for metric in RANKED}
        figures = {metric: _figure(cell, metric) for metric in METRICS}
        lines.append(
            (
                name,
                row.label,
                str(len(cell.lines)),
                f"{cell.lines[0]['n_good']} / {cell.lines[0]['n_defective']}",
                figures["image_auroc"],
                marks["image_auroc"],
                figures["pixel_aupro"],
                marks["pixel_aupro"],
                figures["pixel_aupro_05"],
                figures["pixel_auroc"],
            )
        )
    own = any(row.settings for row in rows)
    note = AREAS(auroc=sure(held("auroc")), aupro=sure(held("pro 0.3"))) + " "
    if any("intervals_over" not in line for _, _, cell in _cells(rows) for line in cell.lines):
        note += "Intervals of runs with older code are bootstraps over images, too narrow near 1: one without width is "
        note += "not certainty. "
    note += "[n]: published figure, see the list; other networks, sizes, crops and habits, so no contest."
    if own:
        note = "Not the presets: hyper-parameters given with --set. These rows take part in no ranks. " + note
    return Sheet(title, tuple(head), tuple(lines), note)


def costs(rows: Iterable[Row], title: str = "On the line") -> Sheet:
    """False alarms and detections at the promised rate, time and memory."""
    head = (
        "data",
        "row",
        "alpha",
        "n",
        "false alarms",
        "detections",
        "peaks on the rim",
        "fit s",
        "ms per image",
        "peak MB",
    )
    lines = [
        (
            name,
            row.label,
            ", ".join(percent(alpha) for alpha in cell.alphas()) or "none",
            ", ".join(dict.fromkeys(str(line["n_calibration"]) for line in cell.lines)),
            _rate(cell, "false_alarms"),
            _rate(cell, "detections"),
            _rim(cell),
            _text(cell.spread("fit_seconds"), 1),
            _text(cell.spread("seconds_per_image"), 1, 1000),
            _text(cell.spread("peak_mb"), 0),
        )
        for name, row, cell in _cells(rows)
    ]
    rim = (
        "Peaks on the rim: good images whose largest score lies within 1/16 of the shorter side from the border; in "
        "brackets the share of the pixels there, which a detector without a border of its own would come near."
    )
    return Sheet(title, head, tuple(lines), f"{RATES()} {rim}")


def over_data(table: Table, rankings: Sequence[Ranking]) -> Sheet:
    """Mean over the shared data sets and mean rank, for each ranked metric."""
    ranked = [ranking for ranking in rankings if ranking.labels]
    head = ["row"]
    for ranking in ranked:
        head += [f"{METRICS[ranking.metric]}, mean of {len(ranking.data)} data sets", "mean rank"]
    lines = []
    places = {label: place for place, label in enumerate(ranked[0].labels)} if ranked else {}
    for row in sorted(table.presets, key=lambda row: places.get(row.label, len(places))):
        words = []
        for ranking in ranked:
            inside = row.label in ranking.labels
            mean = row.mean(ranking.metric, ranking.data) if inside else None
            rank = f"{ranking.mean_ranks[ranking.labels.index(row.label)]:.2f}" if inside else NOTHING
            words += [_text(mean), rank]
        lines.append((row.label, *words))
    left = sorted({label for ranking in rankings for label in ranking.left_out})
    notes = [ranking.statement() for ranking in rankings]
    if left:
        notes.append(f"Not ranked everywhere, for too few data sets or no such metric: {', '.join(left)}.")
    return Sheet("Over all data sets", tuple(head), tuple(lines) if ranked else (), " ".join(notes))


def pairs(ranking: Ranking) -> Sheet:
    """Every pair of rows with its p-values."""
    lines = [
        (pair.first, pair.second, f"{pair.p_value:.3g}", f"{pair.adjusted:.3g}")
        for pair in sorted(ranking.pairs, key=lambda pair: pair.adjusted)
    ]
    note = f"Wilcoxon's signed-rank test over {len(ranking.data)} data sets, two-sided; Holm's correction."
    return Sheet(f"Pairs: {METRICS[ranking.metric]}", ("row", "row", "p", "adjusted p"), tuple(lines), note)


def failures(table: Table) -> Sheet:
    """Runs that have no figures, and why."""
    lines = [(label, line["data"], str(line["seed"]), line["failed"]) for label, line in table.failed]
    note = "These runs enter no mean; the number of seeds beside each mean counts the finished ones."
    return Sheet("Failed runs", ("row", "data", "seed", "reason"), tuple(lines), note)


def published_figures(references: Sequence[Published], title: str = "Published figures") -> Sheet:
    """The list that the numbers in brackets point to."""
    lines = [
        (f"[{number}]", one.method, _data(one), METRICS[one.metric], f"{one.value:g}", one.evidence, _source(one))
        for number, one in enumerate(references, start=1)
    ]
    note = "; ".join(f"{name}: {meaning}" for name, meaning in EVIDENCE.items()) + "."
    head = ("", "method", "data", "metric", "value", "evidence", "source")
    return Sheet(title, head, tuple(lines), note)


def markdown(found: Iterable[Sheet], title: str = "Benchmark") -> str:
    """All sheets as one Markdown page."""
    parts = [f"# {title}\n"]
    for sheet in found:
        parts += [f"## {sheet.title}\n", markdown_table(sheet), f"{sheet.note}\n"]
    return "\n".join(parts)


def markdown_table(sheet: Sheet) -> str:
    """One sheet as a Markdown table, without title and note."""
    lines = [sheet.head, ("---",) * len(sheet.head), *sheet.rows]
    return "".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |\n" for line in lines)


def csv_text(table: Table, rankings: Sequence[Ranking]) -> str:
    """One line per row and data set, and one per row over the shared data sets ("mean"); plain numbers."""
    lines = [_record(name, row, cell, table.references()) for name, row, cell in _cells(table.rows)]
    for ranking in rankings:
        for label, rank in zip(ranking.labels, ranking.mean_ranks, strict=True):
            row = next(row for row in table.rows if row.label == label)
            spread = row.mean(ranking.metric, ranking.data)
            lines.append(
                {
                    "data": f"mean of {len(ranking.data)}: {' '.join(ranking.data)}",
                    **_who(row),
                    **_numbers(ranking.metric, spread),
                    f"{ranking.metric}_rank": rank,
                }
            )
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _cells(rows: Iterable[Row]) -> list[tuple[str, Row, Cell]]:
    """Data set, row and cell of everything that was measured, data set by data set."""
    found = [(name, row, cell) for row in rows for name, cell in row.cells.items() if cell.lines]
    return sorted(found, key=lambda entry: entry[0])


def _record(name: str, row: Row, cell: Cell, references: Sequence[Published]) -> dict[str, Any]:
    record: dict[str, Any] = {"data": name, **_who(row), "seeds": " ".join(map(str, cell.seeds))}
    record["failed"] = len(cell.failed)
    for metric in METRICS:
        record |= _numbers(metric, cell.spread(metric))
        low, high = cell.interval(metric) or ("", "")
        record |= {f"{metric}_low": low, f"{metric}_high": high}
        beside = dict(_beside(row, references)).values()
        known = [one for one in beside if (one.method, one.data, one.metric) == (row.method, name, metric)]
        record[f"{metric}_published"] = "; ".join(f"{one.value:g} {one.origin()}" for one in known)
    record["alpha"] = " ".join(f"{alpha:g}" for alpha in cell.alphas())
    for what in ("false_alarms", "detections"):
        share, low, high = cell.rate(what) or ("", "", "")
        record |= {what: share, f"{what}_low": low, f"{what}_high": high, f"{what}_counts": cell.counts(what)}
    for what in ("fit_seconds", "seconds_per_image", "peak_mb"):
        record |= _numbers(what, cell.spread(what))
    return record


def _who(row: Row) -> dict[str, Any]:
    words = {"row": row.label, "method": row.method, "preset": row.preset}
    return {**words, "settings": json.dumps(dict(row.settings)), "config": json.dumps(dict(row.config))}


def _numbers(name: str, spread: Spread | None) -> Mapping[str, Any]:
    if spread is None:
        return {f"{name}_mean": "", f"{name}_sd": ""}
    return {f"{name}_mean": spread.mean, f"{name}_sd": "" if spread.deviation is None else spread.deviation}


def _text(spread: Spread | None, digits: int = 4, factor: float = 1.0) -> str:
    return NOTHING if spread is None else spread.text(digits, factor)


def _figure(cell: Cell, metric: str) -> str:
    ends = cell.interval(metric) if metric in RANKED else None  # the CSV has the others
    return _text(cell.spread(metric)) + ("" if ends is None else f" ({low_to_high(ends, '.3f')})")


def _rate(cell: Cell, name: str) -> str:
    found = cell.rate(name)
    if found is None:
        return NOTHING
    share, *ends = found
    return f"{counted_percent(share)} ({low_to_high((ends[0], ends[1])).removesuffix(' %')}): {cell.counts(name)}"


def _rim(cell: Cell) -> str:
    """Share of the good images that peak on the rim, mean over seeds, and the rim's share of the pixels."""
    found, area = cell.rate("rim_peaks"), cell.spread("rim_area")
    return NOTHING if found is None or area is None else f"{100 * found[0]:.0f} % ({100 * area.mean:.0f} %)"


def _beside(row: Row, references: Sequence[Published]) -> list[tuple[int, Published]]:
    """What others have published, numbered as in the list; nothing beside a preset that is not comparable."""
    return list(enumerate(references, start=1)) if row.comparable else []


def _marks(numbered: Sequence[tuple[int, Published]], method: str, data: str, metric: str) -> str:
    """Published values with the number of their source."""
    wanted = (method, data, metric)
    known = [f"{one.value:g} [{n}]" for n, one in numbered if (one.method, one.data, one.metric) == wanted]
    return ", ".join(known) or NOTHING


def _data(one: Published) -> str:
    return "MVTec AD, mean of its 15" if one.data == MEAN_OF_MVTEC else one.data


def _source(one: Published) -> str:
    return f"{one.source}; {one.note}" if one.note else one.source
