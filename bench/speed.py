"""Latency, start-up, memory and size on disk; printed, and kept in docs/results/speed.json.

    python bench/speed.py

Latencies are medians over repeated runs, beside the time that a plain matrix product of the same arithmetic would take
on this machine (the floor), so that the ratio says more than the milliseconds.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from amiss import Images, Inspector
from amiss.core.decode import read_image, resize
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "speed.json"


def spread(action: Callable[[], Any], runs: int = 60) -> dict[str, float]:
    """Minimum, median and maximum in milliseconds."""
    for _ in range(5):
        action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return {"min": round(min(times), 2), "median": round(float(np.median(times)), 2), "max": round(max(times), 2)}


def cpu_seconds(command: list[str]) -> float:
    """CPU time of a whole process, the best of five."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(best, 3)


def textured(count: int) -> list[np.ndarray]:
    """Pictures of 256 x 256 pixels with structure at several scales."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        layers = [cv2.resize(rng.normal(0, 40, (s, s, 3)).astype(np.float32), (256, 256)) for s in (4, 16, 64, 256)]
        pictures.append((128 + np.sum(layers, axis=0)).clip(0, 255).astype(np.uint8))
    return pictures


def matrix_peak() -> float:
    """Best measured float32 matrix product, in billions of multiply-adds a second."""
    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    return 2048**3 / 1e6 / spread(lambda: a @ a, runs=20)["min"]


def installed_mb(name: str, seen: set[str]) -> float:
    """Size on disk of a distribution and of all it needs, without extras, compiled caches included."""
    if canonicalize_name(name) in seen:
        return 0.0
    seen.add(canonicalize_name(name))
    package = distribution(name)
    files = [Path(str(file.locate())) for file in package.files or []]
    needs = [Requirement(text) for text in package.requires or []]
    chosen = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    own = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    return own + sum(installed_mb(need.name, seen) for need in chosen)


def measure(method: str, folder: Path) -> dict[str, Any]:
    """One picture from file to verdict, and its parts."""
    start = time.perf_counter()
    inspector = Inspector.fit(Images(textured(40)), method=method, calibration=0.5)
    fit_seconds = time.perf_counter() - start
    model, file = folder / f"{method}.amiss", folder / "picture.png"
    inspector.save(model)
    cv2.imwrite(str(file), textured(1)[0])
    inspector = Inspector.load(model)
    picture = resize(read_image(file), inspector.size)
    amiss = str(Path(sys.executable).parent / "amiss")
    return {
        "decode_and_resize_ms": spread(lambda: resize(read_image(file), inspector.size)),
        "graph_ms": spread(lambda: inspector.scorer.run(picture[None])),
        "file_to_verdict_ms": spread(lambda: list(inspector.inspect(str(file)))),
        "fit_40_images_seconds": round(fit_seconds, 1),
        "artefact_mb": round(model.stat().st_size / 1e6, 1),
        "first_verdict_cpu_seconds": cpu_seconds([amiss, "inspect", str(model), str(file)]),
    }


def main() -> None:
    amiss = str(Path(sys.executable).parent / "amiss")
    with TemporaryDirectory() as folder:
        results = {
            "cores": os.cpu_count(),
            "matrix_peak_gmac_per_second": round(matrix_peak(), 1),
            "line_installed_mb": round(installed_mb("amiss", set())),
            "help_cpu_seconds": cpu_seconds([amiss, "--help"]),
            **{method: measure(method, Path(folder)) for method in ("patchcore", "padim")},
        }
    write_file(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
