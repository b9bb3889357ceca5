"""What a training step is made of: arithmetic, share of the machine's peak, and what Python costs.

    python bench/training_steps.py [METHOD ...]

Steps are those of a real fit of the default preset on generated images. Multiply-adds are counted by torch over fits
of 2 and of 4 steps, backward passes included; the difference is two steps. (It takes the backward pass of a depthwise
convolution for that of a dense one, so a method that trains such, as stfpm does, cannot be counted in this way.) The
share of Python is what a profile leaves when the own times of all of torch's operations are taken away, over the same
steps: an upper bound, since the profiler's own work is in it. With two threads or more, backward passes run beside
Python, so the share is measured on one thread. The frozen teacher's answers lie in the cache; what it would take to ask
it anew in every step, and how much longer a step would then be, is measured too. Prints, and keeps
docs/results/training_steps.json, where other methods stay.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed import matrix_peak, spread, textured
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from amiss import Images
from amiss.core.progress import Progress, silent
from amiss.core.threads import threads
from amiss.features import FeatureExtractor
from amiss.features.batch import to_batch
from amiss.features.teacher import Teacher
from amiss.registry import create
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "training_steps.json"
METHODS = ("efficient_ad", "reverse_distillation", "reverse_distillation_pp")
COUNT, STEPS, WARM = 24, 24, 8


def fit(method: str, steps: int, progress: Progress = silent) -> None:
    create(method, steps=steps).fit(Images(textured(COUNT), size=(256, 256)), progress=progress)


def gigamacs(method: str) -> float:
    """Billions of multiply-adds of one step."""
    counts = []
    for steps in (2, 4):
        with FlopCounterMode(display=False) as counter:
            fit(method, steps)
        counts.append(counter.get_total_flops())
    return (counts[1] - counts[0]) / 2 / 2e9


def step_seconds(method: str) -> float:
    """Median of the steps after the first ones."""
    times = list[float]()

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("loss"):
            times.append(time.perf_counter())

    fit(method, STEPS, note)
    return float(np.median(np.diff(times[WARM:])))


def python_share(method: str) -> float:
    """Of the wall time of a step, what lies outside of torch's operations."""
    found: dict[str, float] = {}
    profiler = profile(activities=[ProfilerActivity.CPU])

    def note(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("loss") and done == WARM:
            profiler.start()
            found["start"] = time.perf_counter()
        if note.startswith("loss") and done == STEPS:
            found["wall"] = time.perf_counter() - found["start"]
            profiler.stop()

    fit(method, STEPS, note)
    inside = sum(event.self_cpu_time_total for event in profiler.key_averages()) / 1e6
    return 1 - inside / found["wall"]


@torch.no_grad()
def teacher_seconds(method: str) -> float:
    """What the frozen network takes for the images of one step: the cache saves it."""
    detector = create(method)
    detector.build(pretrained=True)
    frozen = next(part for part in detector.modules() if isinstance(part, (FeatureExtractor, Teacher)))
    images = detector.batch * (2 if hasattr(detector, "versions") else 1)  # each normal one and a noisy version
    batch = to_batch(torch.from_numpy(np.stack(textured(images))))
    return spread(lambda: frozen(batch), runs=8)["median"] / 1000


def measure(method: str) -> dict[str, Any]:
    """One method."""
    work, peak, seconds, teacher = gigamacs(method), matrix_peak(), step_seconds(method), teacher_seconds(method)
    torch.set_num_threads(1)
    share = python_share(method)
    torch.set_num_threads(threads())
    return {
        "gmac_per_step": round(work, 2),
        "seconds_per_step": round(seconds, 3),
        "matrix_peak_gmac_per_second": round(peak, 1),
        "share_of_peak": round(work / seconds / peak, 3),
        "teacher_seconds_per_step": round(teacher, 3),
        "step_without_cache_over_step": round(1 + teacher / seconds, 2),
        "python_share_at_most": round(share, 3),
    }


def main() -> None:
    torch.set_num_threads(threads())
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results = {**kept, "cores": threads(), **{method: measure(method) for method in sys.argv[1:] or METHODS}}
    write_file(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
