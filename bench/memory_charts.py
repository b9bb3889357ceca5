"""False alarms of charts over streams with memory: as if parts were independent, and with the memory taken out.

    python bench/memory_charts.py

Calibration scores are n independent draws. The stream has the same distribution, normal scores with the lag-1
correlation phi; nothing changes. Each chart is designed for one false alarm in 370 parts. Counted is the share of 2,000
streams of 200 parts that alarm: 41.8 % is what one alarm in 370 parts gives at most. phi is estimated from the stream,
as `amiss monitor` does. A second count has a shift of one standard deviation from part 101 of 400 on: the share that
alarms in the first 100 shifted parts, of streams that had not alarmed before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from amiss.monitoring import Cusum, Ewma, normal_scores
from amiss.monitoring.change import find_change
from amiss.monitoring.memory import find_memory
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "memory_charts.json"
STREAMS, PARTS, ARL = 2_000, 200, 370


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


def run(chart: Cusum | Ewma, n: int, phi: float, rng: np.random.Generator) -> dict[str, Any]:
    """Shares of streams that alarm."""
    limit = chart.design(n, arl=ARL).limit
    counts = dict.fromkeys(("as_independent", "memory_taken_out", "clear"), 0)
    quiet = noticed = 0
    for _ in range(STREAMS):
        normal = rng.normal(size=n)
        z = normal_scores(stream(rng, phi, PARTS), normal)
        plain = first_alarm(chart, z, limit)
        memory = find_memory(z, find_change(z, "up") if plain < PARTS else None)
        counts["as_independent"] += plain < PARTS
        counts["memory_taken_out"] += first_alarm(chart, memory.residuals(z), limit) < PARTS
        counts["clear"] += memory.clear
        moved = stream(rng, phi, 400)
        moved[100:] += 1.0
        moved = normal_scores(moved, normal)
        at = first_alarm(chart, find_memory(moved, find_change(moved, "up")).residuals(moved), limit)
        quiet += at >= 100
        noticed += 100 <= at < 200
    shares = {name: count / STREAMS for name, count in counts.items()}
    return {"chart": chart.name, "n": n, "phi": phi, **shares, "noticed": round(noticed / quiet, 3)}


def main() -> None:
    """Write docs/results/memory_charts.json."""
    rng = np.random.default_rng(0)
    rows = [run(chart, n, phi, rng) for chart in (Cusum(), Ewma()) for n in (100, 1000) for phi in (0.0, 0.2, 0.5, 0.8)]
    found = {"streams": STREAMS, "parts": PARTS, "arl": ARL, "seed": 0, "at_most": 0.418, "rows": rows}
    write_file(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
