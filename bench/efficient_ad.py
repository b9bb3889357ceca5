"""EfficientAD at the paper's sizes: arithmetic, a short real fit, and ONNX Runtime against the machine's peak.

    python bench/efficient_ad.py [--steps 24] [--runs 20] [--file FILE] [VARIANT ...]

Variants are s and m (default: both), xs and tiny. The published times (A6000: 2.2 ms and 614 images/s for s, 4.5 ms
and 269 for m) are those of a GPU in half precision. What can be compared is the share of a machine's best matrix
product that is reached: multiply-adds of one image, counted from the layers, over time and over that peak, both
measured here one after the other. Prints each variant as soon as it is measured, and keeps it in
docs/results/efficient_ad_speed.json, where other variants stay as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed import matrix_peak, spread, textured
from torch.utils.flop_counter import FlopCounterMode

from amiss import Images
from amiss.core.threads import threads
from amiss.detectors.detector import TorchScorer
from amiss.detectors.student_teacher.efficient_ad import EfficientAD
from amiss.export import export_onnx
from amiss.runtime import Graph
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "efficient_ad_speed.json"
SIZE = (256, 256)
BATCH = 16
COUNT = 16


def gigamacs(detector: EfficientAD) -> float:
    """Billions of multiply-adds for one image, counted layer by layer."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector.statistic(torch.zeros(1, 3, *SIZE))
    return counter.get_total_flops() / 2e9


def fit(variant: str, steps: int) -> tuple[EfficientAD, dict[str, Any]]:
    """A few real steps of the paper's recipe, but with procedural images, and a teacher of random weights."""
    losses, times = list[float](), list[float]()

    def note(stage: str, done: int, total: int, text: str = "") -> None:
        if stage == "learning":
            losses.append(float(text.split()[1].rstrip(",")))
            times.append(time.perf_counter())

    settings = {**EfficientAD.card.presets["paper"], "variant": variant, "teacher": "random", "penalty": "procedural"}
    detector = EfficientAD(**{**settings, "steps": steps})
    detector.fit(Images(textured(COUNT), size=SIZE), progress=note)
    half = max(1, steps // 2)
    return detector, {
        "steps": steps,
        "seconds_per_step": round(float(np.median(np.diff(times))), 3),
        "mean_loss_of_the_first_half": round(float(np.mean(losses[:half])), 3),
        "mean_loss_of_the_second_half": round(float(np.mean(losses[half:])), 3),
    }


def measure(variant: str, steps: int, runs: int) -> dict[str, Any]:
    """Everything about one variant."""
    detector, fitted = fit(variant, steps)
    graph, images = Graph(export_onnx(detector, SIZE)), np.stack(textured(BATCH))
    one, in_torch = graph.run(images[:2]).map, TorchScorer(detector, SIZE).run(images[:2]).map
    work, peak = gigamacs(detector), matrix_peak()
    single = spread(lambda: graph.run(images[:1]), runs=runs)
    many = spread(lambda: graph.run(images), runs=max(2, runs // 4))
    return {
        "parameters": sum(parameter.numel() for parameter in detector.parameters()),
        "gmac_per_image": round(work, 2),
        "fit": fitted,
        "graph_differs_from_torch": float(f"{np.abs(one - in_torch).max() / np.abs(in_torch).max():.2g}"),
        "matrix_peak_gmac_per_second": round(peak, 1),
        "batch_1_ms": single,
        "batch_1_share_of_peak": round(1000 * work / single["median"] / peak, 3),
        f"batch_{BATCH}_images_per_second": round(1000 * BATCH / many["median"], 2),
        f"batch_{BATCH}_share_of_peak": round(1000 * BATCH * work / many["median"] / peak, 3),
    }


def main() -> None:
    """Measure the asked variants and keep what was found."""
    parser = argparse.ArgumentParser(description="Speed of EfficientAD")
    parser.add_argument("variants", nargs="*", default=["s", "m"])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--file", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(threads())
    for variant in asked.variants:
        measured = measure(variant, asked.steps, asked.runs)
        known = json.loads(asked.file.read_text()) if asked.file.is_file() else {}
        text = json.dumps({**known, "size": SIZE, variant: {"cores": threads(), **measured}}, indent=2)
        write_file(asked.file, (text + "\n").encode())
        print(json.dumps({variant: measured}, indent=2), flush=True)


if __name__ == "__main__":
    main()
