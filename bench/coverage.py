"""Does the promised false-alarm rate hold? 200 random calibrations on functional solar cells (ELPV).

    python bench/coverage.py

One detector learns from some functional cells. The scores of all others are split at random, again and again, into a
calibration part and a part that counts false alarms. Two promises are checked at alpha = 5 %: `Conformal` holds on
average over calibrations; `Certified` holds in at least 95 % of them. Random splits of one finite pool of cells share
images, so next to the counts over splits stands the exact distribution that the promise implies for such splits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, binom

import amiss
from amiss import Certified, Conformal
from amiss.core.images import Images
from amiss.core.rule import Rule
from amiss.core.scores import Scores
from amiss.data.elpv import elpv_cells
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "coverage.json"
ALPHA, LEARN, CALIBRATE, SPLITS = 0.05, 100, 100, 200


def pool_of_scores() -> NDArray[np.float32]:
    """Scores of functional cells of both kinds that the detector did not learn from."""
    cells = [path for kind in ("mono", "poly") for path, probability in elpv_cells(kind) if probability == 0.0]
    order = np.random.default_rng(0).permutation(len(cells))
    images = Images([cells[index] for index in order])
    learn, rest = images.subset(range(LEARN)), images.subset(range(LEARN, len(images)))
    inspector = amiss.fit(learn, calibration="folds")
    return inspector.image_scores(rest).image


def check(rule: Rule, scores: NDArray[np.float32]) -> dict[str, Any]:
    """Count false alarms over many splits and compare with what the promise implies."""
    rng = np.random.default_rng(1)
    tested = len(scores) - CALIBRATE
    alarms = []
    for _ in range(SPLITS):
        order = rng.permutation(len(scores))
        calibrated = rule.calibrate(Scores(scores[order[:CALIBRATE]]))
        alarms.append(int(calibrated.decide(Scores(scores[order[CALIBRATE:]])).label.sum()))
    rank = calibrated.rank  # type: ignore[attr-defined]
    exact = betabinom(tested, rank, CALIBRATE + 1 - rank)  # false alarms of one random split, for any distribution
    counts = np.array(alarms)
    over = int((counts > ALPHA * tested).sum())
    band = exact.interval(0.95)
    return {
        "rule": rule.name,
        "alpha": ALPHA,
        "n_calibration": CALIBRATE,
        "n_tested": tested,
        "splits": SPLITS,
        "mean_rate": float(counts.mean() / tested),
        "promised_mean_at_most": rank / (CALIBRATE + 1),
        "mean_rate_band_95": [float(exact.mean() + z * exact.std() / SPLITS**0.5) / tested for z in (-1.96, 1.96)],
        "splits_inside_95_band": int(((counts >= band[0]) & (counts <= band[1])).sum()),
        "splits_above_alpha": over,
        "splits_above_alpha_expected": float(SPLITS * exact.sf(np.floor(ALPHA * tested + 1e-9))),
        "splits_above_alpha_band_95": [float(v) for v in binom.interval(0.95, SPLITS, exact.sf(ALPHA * tested + 1e-9))],
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    scores = pool_of_scores()
    results = [check(rule, scores) for rule in (Conformal(ALPHA), Certified(ALPHA, 0.95))]
    write_file(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
