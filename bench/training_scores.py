"""Why a threshold from training scores fails: what it promises and what it does, on real solar cells.

    python bench/training_scores.py

Each method learns from 160 functional monocrystalline cells (ELPV, package elpv-dataset). A threshold is set at the
95 % quantile of the scores of those very cells, and at mean + 3 standard deviations, as is often done; beside it the
same quantile of 40 held-out cells (`Conformal`). The false alarms of each are counted on all other functional cells.
Writes docs/results/training_scores.json and docs/theory/training_scores.svg.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import amiss
from amiss import Conformal
from amiss.data import read_elpv
from amiss.metrics import Rate
from amiss.splitting import plan_calibration
from amiss.storage import write_file

DOCS = Path(__file__).parent.parent / "docs"
ALPHA, SEED = 0.05, 0
WIDE, ROW, LEFT = 760, 92, 150


def measure(method: str) -> tuple[dict[str, Any], list[NDArray[np.float32]], float, float]:
    """Figures of one method, scores of cells it learned from and of cells it never saw, and the two thresholds."""
    data = read_elpv("mono", train=200, seed=SEED)
    plan = plan_calibration(len(data.normal), "auto", Conformal(ALPHA), SEED)
    inspector = amiss.fit(data.normal, method=method, rule=Conformal(ALPHA), seed=SEED)
    learned = inspector.image_scores(data.normal.subset(plan.learn)).image
    unseen = inspector.image_scores(data.test.subset(np.flatnonzero(~data.anomalous))).image
    naive, honest = float(np.quantile(learned, 1 - ALPHA)), inspector.rule.threshold
    three_sigma = float(learned.mean() + 3 * learned.std())
    figures = {
        "method": method,
        "alpha": ALPHA,
        "n_learned": len(learned),
        "n_calibration": inspector.rule.n,
        "training_95_quantile": alarms(unseen, naive),
        "training_mean_plus_3_sd": alarms(unseen, three_sigma),
        "held_out_conformal": alarms(unseen, honest),
    }
    return figures, [learned, unseen], naive, honest


def alarms(scores: NDArray[np.float32], threshold: float) -> dict[str, Any]:
    """False alarms above a threshold with their interval."""
    return Rate(int((scores > threshold).sum()), len(scores)).summary()


def panel(top: int, title: str, groups: list[NDArray[np.float32]], naive: float, honest: float) -> list[str]:
    """One method: two histograms over one axis, and the two thresholds."""
    everything = np.concatenate(groups)
    low, high = float(everything.min()), float(np.quantile(everything, 0.995))
    edges = np.linspace(low, high, 61)
    scale = (WIDE - LEFT - 20) / (high - low)
    parts = [f'<text x="0" y="{top + 14}" font-weight="600">{title}</text>']
    for row, (name, kind, scores) in enumerate(
        [
            (f"learned from ({len(groups[0])})", "#9db8cc", groups[0]),
            (f"never seen ({len(groups[1])})", "#3f7cac", groups[1]),
        ]
    ):
        base = top + (row + 1) * ROW
        counts, _ = np.histogram(np.minimum(scores, high), edges)
        step = (WIDE - LEFT - 20) / 60
        bars = "".join(
            f"M{LEFT + i * step:.1f} {base}v{-(ROW - 34) * c / counts.max():.1f}h{step - 0.6:.1f}V{base}z"
            for i, c in enumerate(counts)
            if c
        )
        parts += [f'<path d="{bars}" fill="{kind}"/>', f'<text x="0" y="{base - 4}">{name}</text>']
        parts.append(f'<path d="M{LEFT} {base}H{WIDE - 20}" stroke="#5d6771" stroke-width="0.6"/>')
    for value, colour, dash, words in (
        (naive, "#b3261e", "5 3", "95 % quantile of the scores learned from"),
        (honest, "#1c2126", "none", "conformal, held out"),
    ):
        x = LEFT + (value - low) * scale
        y = top + 24 if colour == "#b3261e" else top + 38
        side, shift = ("end", -5) if x > WIDE / 2 else ("start", 5)
        parts.append(
            f'<path d="M{x:.1f} {y - 9}V{top + 2 * ROW}" stroke="{colour}" stroke-dasharray="{dash}" fill="none"/>'
        )
        parts.append(f'<text x="{x + shift:.1f}" y="{y}" text-anchor="{side}" fill="{colour}">{words}</text>')
    return parts


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    measured = [measure(method) for method in ("patchcore", "padim")]
    results = [figures for figures, *_ in measured]
    body = []
    for number, (figures, groups, naive, honest) in enumerate(measured):
        body += panel(number * (2 * ROW + 40) + 10, figures["method"], groups, naive, honest)
    height = len(measured) * (2 * ROW + 40) + 20
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {WIDE + 20} {height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#1c2126">'
        f'<rect x="-10" width="{WIDE + 20}" height="{height}" fill="#fff"/>{"".join(body)}'
        f'<text x="{LEFT}" y="{height - 6}" fill="#5d6771">score of an image (larger = stranger); the last bar holds '
        "everything beyond</text></svg>\n"
    )
    write_file(DOCS / "theory" / "training_scores.svg", svg.encode())
    write_file(DOCS / "results" / "training_scores.json", (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
