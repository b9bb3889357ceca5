"""How often is a90/95 large enough, and does the interval of a90 cover it? 1,000 simulated studies of each kind.

    python bench/pod.py

Sizes are uniform on 1 to 20; the true curve is logistic in the logarithm of the size.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from amiss.core.errors import InputError
from amiss.metrics.pod import fit_pod
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "pod.json"
STUDIES = 1_000
KINDS = ((40, 3.0, 5.0), (80, 3.0, 5.0), (200, 3.0, 5.0), (80, 6.0, 5.0), (80, 2.0, 2.0))
"""Defects, slope, and size at which half are found."""


def run(n: int, slope: float, middle: float, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of studies, of those that have a curve."""
    truth = middle * 9 ** (1 / slope)
    counts = dict.fromkeys(("curves", "a90_95", "interval", "a90_95_unknown"), 0)
    for _ in range(STUDIES):
        sizes = rng.uniform(1, 20, n)
        found = rng.random(n) < 1 / (1 + np.exp(-slope * np.log(sizes / middle)))
        try:
            pod = fit_pod(sizes, found)
        except InputError:
            continue
        counts["curves"] += 1
        counts["a90_95"] += pod.a90_95 >= truth
        counts["interval"] += pod.a90_interval[0] <= truth <= pod.a90_interval[1]
        counts["a90_95_unknown"] += bool(np.isinf(pod.a90_95))
    shares = {name: round(count / counts["curves"], 4) for name, count in counts.items() if name != "curves"}
    return {"defects": n, "slope": slope, "a50": middle, "studies": STUDIES, "curves": counts["curves"], **shares}


def main() -> None:
    """Write docs/results/pod.json."""
    rng = np.random.default_rng(0)
    found = {"seed": 0, "stated": 0.95, "kinds": [run(*kind, rng) for kind in KINDS]}
    write_file(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
