"""What intervals claim, against docs/results/interval_coverage.json."""

from __future__ import annotations

import json
import math
from pathlib import Path

from amiss.evaluation.measure import STUDIED
from amiss.metrics.coverage import held

STUDY = json.loads((Path(__file__).parents[2] / "docs" / "results" / "interval_coverage.json").read_text("utf-8"))


def test_no_interval_claims_more_than_was_simulated() -> None:
    """A claim of 95 % needs 93 % in every setting, two standard errors allowed where trials are many; others less."""
    seen = set()
    for section in ("image", "counts", "parts", "pixels", "clean", "paired"):
        for row in STUDY.get(section, {"rows": []})["rows"]:
            name = row["interval"] + (
                " of pixels" if section == "pixels" and row["interval"] in ("auroc", "ap") else ""
            )
            if name.endswith("taken for parts"):
                continue
            claimed = held(name, several=section == "parts" or row.get("images_per_part", 1) > 1)
            trials = row.get("trials", 10**9)
            chance = 2 * math.sqrt(0.95 * 0.05 / trials) if trials >= 500 else 0
            assert row["coverage"] + chance >= (0.93 if claimed == 0.95 else claimed), f"{name} claims {claimed}: {row}"
            seen.add(name)
    exact = {"f1"}  # tests/metrics/test_exact.py
    later = {"spro 0.05", "spro 0.3"}  # in the study since it was last begun anew
    assert {*STUDIED.values(), "difference of auroc"} - exact - later <= seen


def test_claims_are_95_or_less_and_never_more_for_several_images() -> None:
    for name in (*STUDIED.values(), "difference of auroc"):
        assert 0.5 < held(name, several=True) <= held(name) <= 0.95
