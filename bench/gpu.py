"""What one GPU does: milliseconds at batch 1 and images per second at batch 16, beside the card's own matrix peak.

    PYTHONPATH=src python bench/gpu.py [--device cuda] [--size 256] [--seconds 2] [--output docs/results/gpu.json]

Needs torch and ONNX Runtime, and runs from a checkout; what is missing is skipped, and named. In torch every method
runs in float16 and float32; on ONNX Runtime, where it is there for cards, by CUDA and by TensorRT, in float32 and, as
after `amiss quantise --to float16`, in float16. Weights are random: speed does not depend on them. Published for
EfficientAD in half precision on an A6000 (arXiv 2303.14535): small 2.2 ms and 614 images/s, medium 4.5 ms and 269. It
has not been run on a card yet: none was at hand. With `--device cpu --size 64 --seconds 0.1` it shows that it works.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from amiss.core.errors import AmissError
from amiss.detectors.detector import Detector, score_of
from amiss.registry import create
from amiss.storage import write_file

PUBLISHED = {"efficient_ad s": (2.2, 614), "efficient_ad m": (4.5, 269)}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficient_ad s": ("efficient_ad", {"variant": "s", "teacher": "random"}),
    "efficient_ad m": ("efficient_ad", {"variant": "m", "teacher": "random"}),
    "patchcore": ("patchcore", {}),
    "reverse_distillation": ("reverse_distillation", {}),
}
BATCH, WARM = 16, 3


def made(name: str) -> Detector:
    """A detector with random weights, as large as one that has learned."""
    method, settings = METHODS[name]
    detector = create(method, **settings)
    detector.build(pretrained=False)
    bank = getattr(detector, "bank", None)
    if isinstance(bank, torch.Tensor):
        detector.bank = torch.randn(getattr(detector, "bank_size", 2000), bank.shape[1])
    return detector.eval()


def seconds_of(action: Callable[[], object], device: str, least: float) -> float:
    """Median seconds of a call."""

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(WARM):
        action()
    wait()
    times, end = list[float](), time.perf_counter() + least
    while time.perf_counter() < end or len(times) < WARM:
        start = time.perf_counter()
        action()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(device: str, kind: torch.dtype, least: float) -> float:
    """Multiply-adds per second of the best of a few matrix products."""
    found = []
    for side in (2048, 4096, 8192) if device.startswith("cuda") else (256, 512):
        one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
        found.append(side**3 / seconds_of(lambda one=one, other=other: one @ other, device, least / 4))
    return max(found)


@torch.no_grad()
def in_torch(detector: Detector, device: str, kind: torch.dtype, size: int, least: float) -> dict[str, float]:
    """Latency, throughput, and whether scores are finite."""
    detector = detector.to(device=device, dtype=kind)
    one, many = (torch.rand(count, 3, size, size, device=device, dtype=kind) for count in (1, BATCH))
    if not bool(score_of(detector.statistic(one)).isfinite().all()):
        raise AmissError("scores are not finite")
    return {
        "ms_batch_1": 1000 * seconds_of(lambda: detector.statistic(one), device, least),
        f"images_per_second_batch_{BATCH}": BATCH / seconds_of(lambda: detector.statistic(many), device, least),
    }


def on_runtime(name: str, size: int, least: float, *, backend: str, half: bool) -> dict[str, float]:
    """The same on ONNX Runtime, uint8 images in, as `--backend` runs it."""
    import numpy as np

    from amiss.export import export_onnx
    from amiss.quantise.half import halve_network
    from amiss.runtime import Graph
    from amiss.runtime.choice import ENGINES

    model = export_onnx(made(name).float().cpu(), (size, size))
    graph = Graph(halve_network(model) if half else model, ENGINES[backend])
    one, many = (np.zeros((count, size, size, 3), np.uint8) for count in (1, BATCH))
    return {
        "ms_batch_1": 1000 * seconds_of(lambda: graph.run(one), "cpu", least),
        f"images_per_second_batch_{BATCH}": BATCH / seconds_of(lambda: graph.run(many), "cpu", least),
    }


def measure(name: str, device: str, size: int, least: float, peaks: dict[str, float]) -> dict[str, Any]:
    """All ways in which a method runs here; why one does not, where it does not."""
    found: dict[str, Any] = {"published_ms_and_images_per_second": PUBLISHED.get(name)}
    detector = made(name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector.statistic(torch.zeros(1, 3, size, size))
    found["gigamacs_per_image"] = macs = counter.get_total_flops() / 2e9
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "torch_float32": lambda: in_torch(detector, device, torch.float32, size, least),
        "torch_float16": lambda: in_torch(detector, device, torch.float16, size, least),
    }
    backends = ("cuda", "tensorrt") if device.startswith("cuda") else ("onnxruntime",)
    for backend, half in itertools.product(backends, (False, True)):
        way = f"{backend}_{'float16' if half else 'float32'}"
        ways[way] = partial(on_runtime, name, size, least, backend=backend, half=half)
    for way, action in ways.items():
        try:
            found[way] = action()
        except Exception as error:  # one way that fails must not end a short loan of a card
            found[way] = f"skipped: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if way in peaks:
            found[way]["share_of_peak"] = macs * 1e9 * found[way][f"images_per_second_batch_{BATCH}"] / peaks[way]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed on one GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    card = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "no GPU"
    kinds = {"torch_float32": torch.float32, "torch_float16": torch.float16}
    peaks = {way: peak(asked.device, kind, asked.seconds) for way, kind in kinds.items()}
    results: dict[str, Any] = {"card": card, "torch": torch.__version__, "size": asked.size, "peak_macs": peaks}
    for name in METHODS:
        try:
            results[name] = measure(name, asked.device, asked.size, asked.seconds, peaks)
        except Exception as error:  # such as weights or a library that are not there
            results[name] = f"skipped: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        print(name, json.dumps(results[name]), flush=True)
        if asked.output is not None:
            write_file(asked.output, (json.dumps(results, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
