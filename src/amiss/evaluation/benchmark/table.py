"""From lines to rows: mean and spread over seeds for each data set, and means over data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from amiss.evaluation.benchmark.lines import Line
from amiss.evaluation.benchmark.published import COMPARABLE, MEAN_OF_MVTEC, Published, published

METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "pixel_aupro": "AUPRO to 0.3",
    "pixel_aupro_05": "AUPRO to 0.05",
}
"""The metrics of accuracy and what they are called; larger is better."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds.

    Args:
        mean: Mean over the seeds.
        deviation: With n - 1 in the denominator; None for a single seed.
        n: Number of seeds.

    Example:
        >>> print(Spread.of([0.5, 0.7]))
        0.6000 ± 0.1414
    """

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Of the values that are not None; None when there is none."""
        known = [value for value in values if value is not None]
        return cls(mean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None

    def text(self, digits: int = 4, factor: float = 1.0) -> str:
        """Mean ± deviation, times a factor."""
        around = "" if self.deviation is None else f" ± {factor * self.deviation:.{digits}f}"
        return f"{factor * self.mean:.{digits}f}{around}"

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Cell:
    """One row on one data set.

    Args:
        lines: The finished runs, one per seed.
        failed: The failed ones.
    """

    lines: tuple[Line, ...]
    failed: tuple[Line, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the finished runs."""
        return tuple(line["seed"] for line in self.lines)

    def spread(self, name: str) -> Spread | None:
        """Mean and spread over seeds of one figure of the lines."""
        return Spread.of(line.get(name) for line in self.lines)

    def interval(self, name: str) -> tuple[float, float] | None:
        """95 % interval over test images of one run: both ends averaged over the seeds that have one.

        Runs of different seeds share test images, so the intervals are not pooled into a narrower one.
        """
        ends = [line[f"{name}_interval"] for line in self.lines if line.get(f"{name}_interval")]
        return (mean(end[0] for end in ends), mean(end[1] for end in ends)) if ends else None

    def rate(self, name: str) -> tuple[float, float, float] | None:
        """Mean share of "false_alarms", "detections" or "rim_peaks", and its exact 95 % interval in one run.

        The ends of the interval are averaged over the seeds.
        """
        known = [line[name] for line in self.lines if line.get(name) and line[name]["n"]]
        if not known:
            return None
        low, high = (mean(rate["interval"][end] for rate in known) for end in (0, 1))
        return mean(rate["rate"] for rate in known), low, high

    def counts(self, name: str) -> str:
        """Count of n for each seed, such as "3/120, 5/120"."""
        return ", ".join(f"{line[name]['count']}/{line[name]['n']}" for line in self.lines)

    def alphas(self) -> tuple[float, ...]:
        """The rates that the rules of the runs promise, each once."""
        return tuple(sorted({line["alpha"] for line in self.lines if line["alpha"] is not None}))


@dataclass(frozen=True)
class Row:
    """Everything that ran with the same hyper-parameters.

    Args:
        label: Short name that no other row has.
        method: Registry name.
        preset: Preset of the method.
        settings: Hyper-parameters that differ from the preset; such a row takes part in no ranks.
        config: All hyper-parameters, and the size.
        cells: By name of the data set.
    """

    label: str
    method: str
    preset: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    cells: Mapping[str, Cell]

    @property
    def comparable(self) -> bool:
        """Whether a published figure may stand beside it."""
        return self.preset in COMPARABLE

    def mean(self, metric: str, data: Sequence[str]) -> Spread | None:
        """Mean over data sets, each counting the same; None when one of them is missing.

        The deviation is that of the mean from seed to seed; None when the data sets do not share two seeds.
        """
        cells = [self.cells[name] for name in data if name in self.cells]
        spreads = [cell.spread(metric) for cell in cells]
        known = [spread.mean for spread in spreads if spread is not None]
        if not known or len(known) < len(data):
            return None
        shared = sorted(set.intersection(*(set(cell.seeds) for cell in cells)))
        by_seed = [[line[metric] for cell in cells for line in cell.lines if line["seed"] == seed] for seed in shared]
        whole = len(shared) > 1 and all(None not in values for values in by_seed)
        return Spread(mean(known), stdev(map(mean, by_seed)) if whole else None, len(shared))


@dataclass(frozen=True)
class Table:
    """Rows in the order of their labels, and the data sets in the order of their names.

    Args:
        rows: One a set of hyper-parameters.
        data: Names of the data sets.
    """

    rows: tuple[Row, ...]
    data: tuple[str, ...]

    @property
    def presets(self) -> tuple[Row, ...]:
        """The rows of presets as they are."""
        return tuple(row for row in self.rows if not row.settings)

    @property
    def own(self) -> tuple[Row, ...]:
        """The rows with settings of their own."""
        return tuple(row for row in self.rows if row.settings)

    @property
    def failed(self) -> tuple[tuple[str, Line], ...]:
        """Label of the row and line of every failed run."""
        cells = ((row.label, cell) for row in self.rows for cell in row.cells.values())
        return tuple((label, line) for label, cell in cells for line in cell.failed)

    @property
    def commits(self) -> tuple[str, ...]:
        """Code versions that the figures come from."""
        lines = (line for row in self.rows for cell in row.cells.values() for line in cell.lines)
        return tuple(sorted({line["commit"] for line in lines}))

    def references(self) -> tuple[Published, ...]:
        """What others have published for the methods and data sets of this table, and beside a category of MVTec AD
        the mean over all of them.
        """
        means = [MEAN_OF_MVTEC] if any(name.startswith(f"{MEAN_OF_MVTEC}_") for name in self.data) else []
        wanted = [
            (method, name) for method in sorted({row.method for row in self.rows}) for name in [*self.data, *means]
        ]
        return tuple(one for method, name in wanted for one in published(method=method, data=name))


def table_of(lines: Iterable[Line]) -> Table:
    """Group lines by method, preset and hyper-parameters, and within these by data set.

    Lines with other hyper-parameters are never merged, whatever their preset is called: when a preset was changed,
    its old lines stay a row of their own until they are done again.
    """
    groups: dict[str, list[Line]] = {}
    for line in lines:
        name = json.dumps([line["method"], line["preset"], line.get("settings", {}), line["config"]], sort_keys=True)
        groups.setdefault(name, []).append(line)
    labels = _labels([group[0] for group in groups.values()])
    rows = [_row(label, group) for label, group in zip(labels, groups.values(), strict=True)]
    rows.sort(key=lambda row: (row.method, row.preset, bool(row.settings), row.label))
    return Table(tuple(rows), tuple(sorted({name for row in rows for name in row.cells})))


def _row(label: str, lines: Sequence[Line]) -> Row:
    cells = {}
    for name in sorted({line["data"] for line in lines}):
        here = sorted((line for line in lines if line["data"] == name), key=lambda line: int(line["seed"]))
        finished = tuple(line for line in here if "failed" not in line)
        cells[name] = Cell(finished, tuple(line for line in here if "failed" in line))
    first = lines[0]
    return Row(label, first["method"], first["preset"], first.get("settings", {}), first["config"], cells)


def _labels(firsts: Sequence[Line]) -> list[str]:
    """Method, preset unless it is the default, settings; and what tells rows apart that are else called the same."""
    plain = []
    for line in firsts:
        preset = [] if line["preset"] == "default" else [line["preset"]]
        plain.append(" ".join([line["method"], *preset, *_pairs(line.get("settings", {}))]))
    labels = []
    for name, line in zip(plain, firsts, strict=True):
        twins = [other["config"] for text, other in zip(plain, firsts, strict=True) if text == name]
        config = line["config"]
        differing = {k: v for k, v in config.items() if any(k not in twin or twin[k] != v for twin in twins)}
        labels.append(" ".join([name, *_pairs(differing)]))
    return labels


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]
