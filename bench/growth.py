"""Learning from 200, 2,000 and 20,000 images: seconds, memory, and what the line pays.

    python bench/growth.py [--counts 200 2000 20000] [METHOD ...]

The images are real ones, the functional solar cells of `elpv:mono`, repeated with other brightness, contrast, noise,
place and orientation, each time anew: read, moved and scaled when they are asked for, as from a disk. Every fit is a
process of its own, so that its peak memory is its own. Peak memory holds Python, torch and the network too, which do
not grow. Needs the extra `demo`. Prints, and keeps docs/results/growth.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lines import keep
from numpy.typing import NDArray
from speed import spread

from amiss import Images
from amiss.core.decode import read_image
from amiss.core.threads import threads
from amiss.data.elpv import read_elpv
from amiss.export import export_onnx
from amiss.registry import create
from amiss.runtime import Graph

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "growth.json"
SIZE = (256, 256)
METHODS = ("patchcore", "padim")


@dataclass(frozen=True)
class Jittered:
    """A real image that looks a little different every time; an `Image` for `Images`."""

    path: Path
    number: int

    @property
    def name(self) -> str:
        """How errors call it."""
        return f"{self.path} as number {self.number}"

    def read(self) -> NDArray[np.uint8]:
        """RGB (H, W, 3): flipped or not, moved, brighter or darker, with noise."""
        rng = np.random.default_rng(self.number)
        image = read_image(self.path).astype(np.float32)
        image = image[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        move = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-4, 4)]])
        image = cv2.warpAffine(image, move, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        cv2.setRNGSeed(self.number)
        noise = cv2.randn(np.empty_like(image), 0, 2)
        return np.asarray((rng.uniform(0.85, 1.15) * image + rng.uniform(-10, 10) + noise).clip(0, 255), np.uint8)


def fit(method: str, count: int) -> dict[str, Any]:
    """One fit, in this process."""
    cells = [path for path in read_elpv("mono").normal.paths if path is not None]
    images = Images([Jittered(cells[number % len(cells)], number) for number in range(count)], size=SIZE)
    start, before = time.perf_counter(), time.process_time()
    detector = create(method).fit(images)
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    graph, one = Graph(export_onnx(detector, SIZE)), np.stack([images[0]])
    return {
        "method": method,
        "images": count,
        "cores": threads(),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_per_image": round(cpu / count, 4),
        "peak_mb": round(peak),
        "state_mb": round(sum(t.numel() * t.element_size() for t in detector.state_dict().values()) / 1e6, 1),
        "graph_ms": spread(lambda: graph.run(one), runs=30),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How learning grows")
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--here", action="store_true", help="one fit in this process, printed")
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(fit(asked.methods[0], asked.counts[0])))
        return
    lines = []
    for method in asked.methods:
        for count in asked.counts:
            command = [sys.executable, __file__, "--here", method, "--counts", str(count)]
            lines.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(json.dumps(lines[-1]), flush=True)
    keep(RESULTS, lines)


if __name__ == "__main__":
    main()
