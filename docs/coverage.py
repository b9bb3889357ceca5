"""Which intervals of metrics hold too seldom, from the study of record: what `amiss.metrics.coverage` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amiss.metrics.coverage import ENOUGH, STATED

STUDY = Path(__file__).parent / "results" / "interval_coverage.json"

SECTIONS = ("image", "counts", "parts", "pixels", "clean", "paired")

RIVALS = ("taken for parts",)
"""How intervals end that are studied for comparison only."""

MANY = 500
"""From so many trials of a setting on, two standard errors are allowed for chance; fewer get no allowance."""


def rows() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of each interval in use and each setting: "alone" or "several", its name, and its row."""
    study = json.loads(STUDY.read_text(encoding="utf-8"))
    for section in SECTIONS:
        for row in study.get(section, {"rows": []})["rows"]:
            name = row["interval"]
            if name.endswith(RIVALS):
                continue
            name += " of pixels" if section == "pixels" and name in ("auroc", "ap") else ""
            yield "several" if section == "parts" or row.get("images_per_part", 1) > 1 else "alone", name, row


def short(row: dict[str, Any]) -> bool:
    """Whether the interval holds too seldom there."""
    trials = row.get("trials", math.inf)  # without them the coverage is exact
    chance = 2 * math.sqrt(STATED * (1 - STATED) / trials) if trials >= MANY else 0.0
    return bool(row["coverage"] + chance < ENOUGH)


def text() -> str:
    """The content of ``coverage.json``: the lowest share of samples, rounded down to a whole per cent."""
    found: dict[str, dict[str, float]] = {"alone": {}, "several": {}}
    for kind, name, row in rows():
        if short(row):
            held = math.floor(100 * row["coverage"] + 1e-9) / 100
            found[kind][name] = min(held, found[kind].get(name, 1.0))
    return json.dumps(found, indent=1, sort_keys=True) + "\n"
