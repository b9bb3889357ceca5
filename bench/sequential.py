"""Do sequential proofs keep their error? 10,000 streams of up to 3,000 parts, looked at after every part.

    python bench/sequential.py

At each rate p, streams of parts with events at exactly that rate: in how many does the anytime-valid upper bound ever
fall below p, and the lower one ever rise above it? Beside it the same for the bounds of Clopper and Pearson, which hold
for a number of parts that was fixed before. A second table has the parts that a proof takes at a true rate of p / 10.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from amiss.rules.sampling import plan_proofs
from amiss.rules.sequential import ABOVE, BELOW, WEIGHTS
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "sequential.json"
STREAMS, PARTS, LIMIT = 10_000, 3_000, 0.05


def capital(counts: NDArray[Any], n: NDArray[Any], rate: float, shares: NDArray[Any], weights: NDArray[Any]) -> Any:
    """Logarithm of M(rate) of every stream after n parts, by its formula and not by the package's code."""
    logs = []
    for share, weight in zip(shares, weights, strict=True):
        if share * rate < 1:
            yes = np.where(counts > 0, -np.inf if share == 0 else counts * np.log(share or 1.0), 0.0)
            logs.append(np.log(weight) + yes + (n - counts) * np.log((1 - share * rate) / (1 - rate)))
    return np.logaddexp.reduce(logs, axis=0)


def run(rate: float, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of streams in which a bound is ever on the wrong side of the rate."""
    counts = np.zeros(STREAMS, np.int64)
    wrong = {name: np.zeros(STREAMS, bool) for name in ("upper", "lower", "clopper_pearson")}
    for n in range(1, PARTS + 1):
        counts += rng.random(STREAMS) < rate
        wrong["upper"] |= capital(counts, np.array(n), rate, BELOW, WEIGHTS) >= -np.log(LIMIT)
        wrong["lower"] |= capital(counts, np.array(n), rate, ABOVE, np.full(len(ABOVE), 1 / len(ABOVE))) >= -np.log(
            LIMIT
        )
        wrong["clopper_pearson"] |= binom.cdf(np.arange(counts.max() + 1), n, rate)[counts] <= LIMIT
    return {"rate": rate} | {name: float(flags.mean()) for name, flags in wrong.items()}


def main() -> None:
    """Write docs/results/sequential.json."""
    rng = np.random.default_rng(0)
    errors = [run(rate, rng) for rate in (0.2, 0.05, 0.01, 0.002)]
    costs = []
    for rate in (0.1, 0.05, 0.01):
        plan = plan_proofs(rate, rate / 10)
        two, looks = plan.double, plan.sequential
        costs.append(
            {
                "rate": rate,
                "single": plan.single.n,
                "double_average": None if two is None else round(two.average, 1),
                "sequential_average": None if looks is None else round(looks.average, 1),
                "sequential_most": None if looks is None else looks.most,
            }
        )
    found = {"streams": STREAMS, "parts": PARTS, "stated": LIMIT, "seed": 0, "errors": errors, "costs": costs}
    write_file(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
