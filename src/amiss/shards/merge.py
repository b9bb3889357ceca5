"""All parts of a run as one table, in the order of the blocks; and what its counts are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from amiss.core.errors import DataError
from amiss.shards.blocks import count_blocks
from amiss.shards.parts import Head, Part, Row, load_part, read_run, table

RUN, SCORES = "run.json", "scores.parquet"
SHOWN = 10

TOGETHER = 10
"""Blocks whose rows make one group of the merged table: its index, which is in memory, has an entry per group."""


@dataclass
class Kinds:
    """The kinds of machines that parts come from, and whether these may lie in one table.

    Args:
        tolerance: How far golden scores may lie apart, as a share of the largest.
        mixed: Whether more than one kind is allowed.
    """

    tolerance: float
    mixed: bool = False
    found: dict[str, tuple[Head, list[float]]] = field(default_factory=dict)

    def add(self, kind: Head, golden: list[float]) -> None:
        """Take in a part's.

        Raises:
            DataError: It is another kind than those before, and that is not allowed, or its golden scores lie too far
                from theirs.
        """
        key = json.dumps(kind, sort_keys=True)
        if key in self.found:
            return
        self.found[key] = (kind, golden)
        if len(self.found) > 1 and not self.mixed:
            one, two = (_say(each) for each, _ in list(self.found.values())[:2])
            raise DataError(
                f"parts must come from one kind of machine, since others round differently, got {one} and {two}; "
                "--mixed takes them all when their golden scores agree"
            )
        if not self.apart <= self.tolerance:
            raise DataError(
                f"golden images score up to {self.apart:.2g} of the largest score differently on {_say(kind)}; "
                f"{self.tolerance:g} is allowed"
            )

    @property
    def apart(self) -> float:
        """Largest difference of a golden score between two kinds, as a share of the largest golden score."""
        scores = np.array([golden for _, golden in self.found.values()])
        return float(np.ptp(scores, axis=0).max() / (np.abs(scores).max() or 1.0))

    def words(self) -> list[str]:
        """What a reader of the table must know; nothing when there is one kind."""
        if len(self.found) < 2:
            return []
        kinds = " and ".join(sorted(_say(kind) for kind, _ in self.found.values()))
        return [
            f"Scores come from {len(self.found)} kinds of machines ({kinds}); their golden scores differ by up to "
            f"{self.apart:.2g} of the largest, {self.tolerance:g} is allowed."
        ]


def _say(kind: Head) -> str:
    return f"{kind['runtime']} {kind['version']} on {kind['processor']}"


@dataclass(frozen=True)
class Merged:
    """What a merge found.

    Args:
        path: The table.
        images: Its rows.
        labels: How many have each label.
        unusable: Name and reason of the first images that could not be used.
        notes: What a reader must know.
    """

    path: Path
    images: int
    labels: dict[str, int]
    unusable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def merge(output: Path, *, mixed: bool = False, listed: int = 1000) -> Merged:
    """Write ``scores.parquet`` of all parts. Parts stay; the same parts give the same bytes.

    Args:
        output: The folder of a run.
        mixed: Whether parts may come from several kinds of machines, when these agree on the golden images.
        listed: Unusable images that are named.

    Raises:
        DataError: A part is missing or damaged, or parts come from machines that may not be mixed.
        OutputError: It cannot be written.
    """
    run = read_run(output, RUN)
    kinds, labels, unusable = Kinds(run["tolerance"], mixed), Counter[str](), list[tuple[str, str]]()
    numbers = range(count_blocks(run["images"], run["size"]))
    missing = [number for number in numbers if not _add(kinds, load_part(output, run, number))]
    if missing:
        more = ", ..." if len(missing) > SHOWN else ""
        raise DataError(
            f"{output}: {len(missing)} of {len(numbers)} blocks have no whole part: "
            f"{', '.join(map(str, missing[:SHOWN]))}{more}; score them first, with the command that began the run"
        )
    head = {"run": run, "kinds": [kind for _, (kind, _) in sorted(kinds.found.items())]}
    with table(output / SCORES, head) as write:
        rows: list[Row] = []
        for number in numbers:
            part = load_part(output, run, number)
            if part is None:
                raise DataError(f"{output}: block {number} has gone while it was merged")
            labels.update(row["label"] for row in part.rows)
            bad = [(row["name"], row["reason"]) for row in part.rows if row["label"] == "error"]
            unusable += bad[: max(0, listed - len(unusable))]
            rows += part.rows
            if (number + 1) % TOGETHER == 0 or number + 1 == len(numbers):
                write(rows)
                rows = []
    return Merged(output / SCORES, run["images"], dict(sorted(labels.items())), tuple(unusable), tuple(kinds.words()))


def _add(kinds: Kinds, part: Part | None) -> bool:
    if part is not None:
        kinds.add(part.kind, part.golden)
    return part is not None
