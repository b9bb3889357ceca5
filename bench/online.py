"""False discovery rate and power of online procedures on conformal p-values that share a calibration set.

    python bench/online.py

10,000 streams of 200 parts with n = 2,000 calibration scores drawn anew for each; a share of the parts is anomalous,
their scores moved by 4 standard deviations. LORD++ (Ramdas et al. 2017) and SAFFRON (Ramdas et al. 2018, lambda 0.5) as
published, gamma_j proportional to j^-1.6; LOND over the shift, `amiss.rules.online`; e-LOND (Xu and Ramdas 2024), the
same with e-values p^-0.5 / 2; Benjamini-Hochberg on the whole shift, which waits for its end, for comparison.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.rules import benjamini_hochberg
from amiss.rules.online import OnlineDiscovery
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "online.json"
STREAMS, PARTS, CALIBRATION, RATE, MOVED = 10_000, 200, 2_000, 0.1, 4.0
GAMMA = np.arange(1, PARTS + 2) ** -1.6
GAMMA = GAMMA / 2.2857657  # zeta(1.6)


def lord(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """LORD++ with half of the rate as first wealth."""
    first, found = RATE / 2, np.zeros(len(p), bool)
    times: list[int] = []
    for t in range(len(p)):
        level = GAMMA[t] * first
        if times:
            level += (RATE - first) * GAMMA[t - times[0] - 1] + RATE * sum(GAMMA[t - tau - 1] for tau in times[1:])
        if p[t] <= level:
            found[t] = True
            times.append(t)
    return found


def saffron(p: NDArray[np.float64], candidate: float = 0.5) -> NDArray[np.bool_]:
    """SAFFRON with half of the rate as first wealth."""
    first, found = RATE / 2, np.zeros(len(p), bool)
    times: list[int] = []
    counts = np.concatenate([[0], np.cumsum(p <= candidate)])
    for t in range(len(p)):
        level = first * GAMMA[t - counts[t]]
        for number, tau in enumerate(times):
            weight = RATE - first if number == 0 else RATE
            level += weight * GAMMA[t - tau - 1 - (counts[t] - counts[tau + 1])]
        if p[t] <= min(candidate, (1 - candidate) * level):
            found[t] = True
            times.append(t)
    return found


def lond(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The procedure of the package."""
    procedure = OnlineDiscovery(RATE, PARTS)
    return np.array([bool(procedure.decide(float(one))) for one in p])


def e_lond(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """LOND on e-values: valid whatever the dependence."""
    found = np.zeros(len(p), bool)
    for t, one in enumerate(p):
        found[t] = one**-0.5 / 2 >= PARTS / (RATE * (found.sum() + 1))
    return found


def bh(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Benjamini-Hochberg on the whole shift."""
    return benjamini_hochberg(p, RATE).rejected


PROCEDURES = {"lond": lond, "e-lond": e_lond, "lord++": lord, "saffron": saffron, "bh, at the end": bh}


def run(share: float, rng: np.random.Generator) -> dict[str, Any]:
    """FDR, its largest standard error, and power, by procedure."""
    wrong = {name: np.zeros(STREAMS) for name in PROCEDURES}
    power = {name: [] for name in PROCEDURES}
    for number in range(STREAMS):
        normal = np.sort(rng.normal(size=CALIBRATION))
        bad = rng.random(PARTS) < share
        scores = rng.normal(size=PARTS) + MOVED * bad
        p = (1 + CALIBRATION - np.searchsorted(normal, scores, side="left")) / (CALIBRATION + 1)
        for name, procedure in PROCEDURES.items():
            found = procedure(p)
            wrong[name][number] = (found & ~bad).sum() / max(1, found.sum())
            if bad.any():
                power[name].append((found & bad).sum() / bad.sum())
    rows = {
        name: {
            "fdr": round(float(wrong[name].mean()), 4),
            "standard_error": round(float(wrong[name].std() / STREAMS**0.5), 4),
            "power": round(float(np.mean(power[name])), 3) if power[name] else None,
        }
        for name in PROCEDURES
    }
    return {"share": share, "procedures": rows}


def main() -> None:
    """Write docs/results/online.json."""
    rng = np.random.default_rng(0)
    rows = [run(share, rng) for share in (0.0, 0.02, 0.1)]
    found = {"streams": STREAMS, "parts": PARTS, "n": CALIBRATION, "rate": RATE, "seed": 0, "rows": rows}
    write_file(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
