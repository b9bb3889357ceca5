"""False alarms of charts over streams with memory: as if parts were independent, and with the memory taken out.

    python bench/memory_charts.py [--trials N]

Calibration scores are n independent draws. The stream has the same distribution, normal scores with the lag-1
correlation phi (AR(1)); nothing changes. Each chart is designed for one false alarm in 370 parts. Counted is the share
of streams of 200 and of 1,000 parts that alarm, beside what one alarm in 370 parts gives at most, and the run length
that belongs to it. phi is estimated from the stream, as `amiss monitor --memory` does. `noticed`: with a shift of one
standard deviation from part 101 of 400 on, the share that alarms in the first 100 shifted parts, of streams that had
not alarmed before. 10,000 streams of a setting, of 1,000 and 400 parts a fifth. Writes docs/results/memory_charts.json.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from promises_cases import case
from scipy.signal import lfilter

from amiss.monitoring import Cusum, Ewma, normal_scores
from amiss.monitoring.change import find_change
from amiss.monitoring.memory import find_memory
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "memory_charts.json"
ARL = 370
PHI = (0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
SIZES = (20, 100, 1000)


def stream(rng: np.random.Generator, phi: float, parts: int) -> NDArray[np.float64]:
    """A stationary series with standard normal values and this lag-1 correlation."""
    noise = rng.normal(size=parts) * np.sqrt(1 - phi**2)
    noise[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -phi], noise))


def first_alarm(chart: Cusum | Ewma, z: NDArray[np.float64], limit: float) -> int:
    """The first part beyond the limit, or the number of parts."""
    path = chart.path(z)
    beyond = path > limit if isinstance(chart, Cusum) else np.abs(path) > chart.bounds(limit, len(z))[1]
    return int(np.argmax(beyond)) if beyond.any() else len(z)


def run(chart: Cusum | Ewma, n: int, phi: float, parts: int, trials: int) -> dict[str, Any]:
    """Shares of streams that alarm."""
    limit, rng = chart.design(n, arl=ARL).limit, np.random.default_rng([n, parts, round(100 * phi)])
    counts = dict.fromkeys(("as_independent", "memory_taken_out", "clear"), 0)
    for _ in range(trials):
        z = normal_scores(stream(rng, phi, parts), rng.normal(size=n))
        plain = first_alarm(chart, z, limit)
        memory = find_memory(z, find_change(z, "up") if plain < parts else None)
        counts["as_independent"] += plain < parts
        counts["memory_taken_out"] += first_alarm(chart, memory.residuals(z), limit) < parts
        counts["clear"] += memory.clear
    shares = {name: count / trials for name, count in counts.items()}
    lengths = {f"arl_{name}": _run_length(parts, shares[name]) for name in ("as_independent", "memory_taken_out")}
    at_most = round(-math.expm1(-parts / ARL), 4)
    head = {"chart": chart.name, "n": n, "phi": phi, "parts": parts, "trials": trials, "at_most": at_most}
    return {**head, **shares, **lengths}


def _run_length(parts: int, share: float) -> float | None:
    """One alarm in so many parts, were run lengths exponential."""
    return round(-parts / math.log1p(-share), 1) if 0 < share < 1 else None


def noticed(chart: Cusum | Ewma, n: int, phi: float, trials: int) -> float:
    """How often a shift is noticed within 100 parts."""
    limit, rng = chart.design(n, arl=ARL).limit, np.random.default_rng([n, round(100 * phi), 1])
    quiet = found = 0
    for _ in range(trials):
        moved = stream(rng, phi, 400)
        moved[100:] += 1.0
        z = normal_scores(moved, rng.normal(size=n))
        at = first_alarm(chart, find_memory(z, find_change(z, "up")).residuals(z), limit)
        quiet += at >= 100
        found += 100 <= at < 200
    return round(found / max(1, quiet), 3)


def main() -> None:
    """Write docs/results/memory_charts.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    rows = []
    for chart in (Cusum(), Ewma()):
        for n in SIZES:
            for phi in PHI:
                for parts, share in ((200, 1), (1000, 5)):
                    rows.append(run(chart, n, phi, parts, max(1, trials // share)))
                rows[-2]["noticed"] = noticed(chart, n, phi, max(1, trials // 5))
                print(json.dumps(rows[-2]), flush=True)
    settings = [(f"{row['chart']}, n = {row['n']}, phi = {row['phi']:g}, {row['parts']} parts", row) for row in rows]
    what = "share of unchanged streams that alarm once their memory is taken out, less 1 - exp(-parts / 370)"
    taken_out = case(
        what,
        "at most 0, but for chance of 0.03",
        trials,
        ((name, row["memory_taken_out"] - row["at_most"]) for name, row in settings),
    )
    found = {"arl": ARL, "rows": rows, "cases": {"taken-out": taken_out}}
    write_file(RESULTS, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
