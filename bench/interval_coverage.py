"""How often do the 95 % intervals of metrics hold the true value? Simulated, for n = 10 to 300 of a class.

    python bench/interval_coverage.py [SECTION ...] [--trials N] [--fresh]

Sections: image (AUROC, AP, false alarms at 95 % found), rivals (other intervals of the AUROC), parts (several images
per part), lots (rates over lots), counts (F1 of verdicts, exact), pixels (areas over pixels, AUPRO, sPRO, F1), clean
(AUPIMO), paired (differences of two detectors). Each has its part of `docs/results/interval_coverage.json`.

Trials come in rounds of 250 over all settings of a section, each with its own seed, and results are kept after every
half minute: stopped, the same command goes on where it was, and a larger N adds rounds. `--fresh` begins anew, as is
needed when an interval has changed. A coverage near 95 % from 1,000 trials is uncertain by 1.4 points.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from interval_pixels import CLEAN, PIXELS
from interval_sections import IMAGE, LOTS, PAIRED, PARTS, RIVALS, counts
from interval_tally import Row, Section, Tally

from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "interval_coverage.json"
ROUND = 250
"""Trials of every setting, before any gets more."""
SECTIONS: dict[str, Section] = {
    "image": IMAGE,
    "rivals": RIVALS,
    "parts": PARTS,
    "lots": LOTS,
    "pixels": PIXELS,
    "clean": CLEAN,
    "paired": PAIRED,
}
EXACT = "counts"
EVERY = 30
"""Seconds between two times that results are kept."""


def least_of(row: Row) -> int:
    """The smaller class, or the number of lots."""
    return int(min(row.get("defective", row.get("lots", 0)), row.get("good", row.get("lots", 0))))


def summarise(rows: list[Row]) -> list[Row]:
    """For each interval and smaller class how its coverage is spread over the settings."""
    found = []
    for name, least in sorted({(row["interval"], least_of(row)) for row in rows}):
        cover = np.array([row["coverage"] for row in rows if row["interval"] == name and least_of(row) == least])
        found.append(
            {
                "interval": name,
                "n_least": least,
                "settings": len(cover),
                "least": float(cover.min()),
                "p05": round(float(np.quantile(cover, 0.05)), 4),
                "median": round(float(np.median(cover)), 4),
                "below_93": round(float((cover < 0.93).mean()), 4),
                "above_98": round(float((cover > 0.98).mean()), 4),
            }
        )
    return found


def keep(known: dict[str, Any]) -> None:
    """Write all sections, a row per line."""
    lines = ",\n".join(
        f' "{section}": {{"summary": [\n  '
        + ",\n  ".join(json.dumps(row) for row in known[section]["summary"])
        + '],\n  "rows": [\n  '
        + ",\n  ".join(json.dumps(row) for row in known[section]["rows"])
        + "]}"
        for section in sorted(known)
    )
    write_file(RESULTS, f"{{\n{lines}\n}}\n".encode())


def run(name: str, trials: int, fresh: bool) -> None:
    """Rounds of a section until each setting has its trials."""
    section, known = SECTIONS[name], json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    rows = [] if fresh or name not in known else known[name]["rows"]
    tallies = [Tally(setting, rows) for setting in section.settings]
    wanted = min(trials, section.most)
    kept = time.monotonic()
    for start in range(0, wanted, ROUND):
        for tally in tallies:
            if tally.trials <= start:
                seed = zlib.crc32(f"{name} {json.dumps(tally.setting)}".encode())
                section.run(tally, np.random.default_rng([seed, start]), min(ROUND, wanted - start))
            if time.monotonic() - kept > EVERY or (tally is tallies[-1]):
                rows = [row for one in tallies for row in one.rows()]
                now = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
                keep(now | {name: {"summary": summarise(rows), "rows": rows}})
                kept = time.monotonic()
        print(name, min(start + ROUND, wanted), flush=True)


def main() -> None:
    """Run the sections that are asked for, and keep the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    parser.add_argument("--trials", type=int, default=1_000, help="of each setting, at most")
    parser.add_argument("--fresh", action="store_true", help="forget the trials that there are")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - {*SECTIONS, EXACT}:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    for name in asked.sections or [*SECTIONS, EXACT]:
        if name == EXACT:
            rows = counts()
            now = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
            keep(now | {name: {"summary": summarise(rows), "rows": rows}})
        else:
            run(name, asked.trials, asked.fresh)
        summary = json.loads(RESULTS.read_text(encoding="utf-8"))[name]["summary"]
        print(json.dumps(summary, indent=1), flush=True)


if __name__ == "__main__":
    main()
