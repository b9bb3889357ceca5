"""How far the false-alarm rate of calibration by folds is from its promise, over many splits of real images.

    python bench/coverage_folds.py

Functional monocrystalline cells (ELPV, package elpv-dataset) at 64 x 64 pixels, the `tiny` presets: small, so that
hundreds of detectors can be learned, but real learning on real images. In each split 40 cells are drawn, `Folds(k)`
scores each by a detector that did not see it, the final detector learns from all 40, and 300 other cells count false
alarms at alpha = 5 %. Held-out calibration with the same 40 cells (half learn, half calibrate) stands beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lines import keep
from numpy.typing import NDArray

from amiss import Conformal, create
from amiss.core.images import Images
from amiss.core.scores import Scores
from amiss.data.elpv import elpv_cells
from amiss.folds import Lab, fold_scores
from amiss.splitting import Folds, How, plan_calibration

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "coverage_folds.json"
ALPHA, N, TESTED, SIDE, SPLITS = 0.05, 40, 300, 64, 200
HOWS: dict[str, How] = {"folds:5": Folds(5), "folds:10": Folds(10), "folds:40": Folds(40), "held out 50 %": 0.5}


def one_split(pool: NDArray[np.uint8], method: str, how: How, seed: int) -> float:
    """The share of false alarms among parts that nobody has seen."""
    order = np.random.default_rng(seed).permutation(len(pool))
    drawn = Images(list(pool[order[: N + TESTED]]), size=(SIDE, SIDE))
    images, others = drawn.subset(range(N)), drawn.subset(range(N, N + TESTED))
    detector, rule = create(method, "tiny"), Conformal(ALPHA)
    plan = plan_calibration(N, how, rule, seed)
    folded = fold_scores(Lab(detector, seed), images, plan) if plan.folds else None
    detector.fit(images.subset(plan.learn), seed=seed)
    normal = detector.score(images.subset(plan.calibrate)).image if folded is None else folded
    return float(rule.calibrate(Scores(normal)).decide(Scores(detector.score(others).image)).label.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=SPLITS)
    splits = parser.parse_args().splits
    cells = [path for path, probability in elpv_cells("mono") if probability == 0.0]
    pool = np.stack(list(Images(cells, size=(SIDE, SIDE))))
    results: list[dict[str, Any]] = []
    for method in ("patchcore", "padim"):
        for name, how in HOWS.items():
            count = splits if name != "folds:40" else splits // 4  # 41 detectors a split
            rates = np.array([one_split(pool, method, how, seed) for seed in range(count)])
            n = N if isinstance(how, Folds) else N // 2
            results.append(
                {
                    "method": method,
                    "calibration": name,
                    "alpha": ALPHA,
                    "n_calibration": n,
                    "splits": count,
                    "promised_mean_at_most": np.floor(ALPHA * (n + 1)) / (n + 1),
                    "mean_rate": float(rates.mean()),
                    "standard_error": float(rates.std(ddof=1) / count**0.5),
                    "rate_quantiles_5_50_95": [float(q) for q in np.quantile(rates, [0.05, 0.5, 0.95])],
                }
            )
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    if splits == SPLITS:
        keep(RESULTS, results)


if __name__ == "__main__":
    main()
