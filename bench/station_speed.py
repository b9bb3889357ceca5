"""What keeping every verdict costs: `amiss watch --once` against `amiss inspect` on the same folder.

    python bench/station_speed.py                     400 images of about 200 kB, patchcore, 256 x 256

`inspect` keeps nothing, `inspect_output` draws and keeps, `watch` keeps. All run as whole processes in turns, and a run
over one image is taken off. CPU seconds count their children too; by the clock nothing is said when the machine was not
alone. Latency is what the station says of parts that come one at a time: waiting in its queue, decoding, scoring, and
being stored. Results go to docs/results/station_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import amiss
from amiss.ledger.store import Store
from amiss.station.engine import Station
from amiss.station.jobs import Job
from amiss.testing import toy_part

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "station_speed.json"
SIDE = 1024

LEARN = """
import sys, amiss
amiss.fit(sys.argv[1], method="patchcore", settings={"bank_size": 2000}, size=256).save(sys.argv[2])
"""


def write_parts(folder: Path, count: int, seed: int) -> int:
    """Toy parts as JPEG; bytes of the mean one."""
    folder.mkdir()
    rng, sizes = np.random.default_rng(seed), []
    for number, image in enumerate(toy_part(count, seed=seed).images):
        large = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        grain = rng.integers(-6, 7, (SIDE, SIDE, 1), dtype=np.int16)
        data = cv2.imencode(".jpg", np.clip(large + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        (folder / f"{number:05d}.jpg").write_bytes(data.tobytes())
        sizes.append(len(data))
    return int(np.mean(sizes))


def timed(*words: object) -> tuple[float, float]:
    """Seconds and CPU seconds of a command, with its children."""
    before, began = os.times(), time.monotonic()
    command = [sys.executable, "-m", "amiss.cli", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, used


def latency(model: Path, images: Path, store: Path) -> dict[str, float]:
    """Median milliseconds of each stage where parts come one at a time: queue and store are what a record adds."""
    with Station(Store.make(store), deadline=None, charts=False) as station:
        station.recipes.deploy("part", amiss.load(model), reason="a measurement")
        for number, path in enumerate(sorted(images.iterdir())):
            job = Job(name=path.name, data=path.read_bytes(), recipe="part", key=str(number))
            station.submit(job, wait=30).answer.result(timeout=60)
        delays = list(station.delays)
    return {name: round(float(np.median([one[name] for one in delays])), 2) for name in sorted(delays[0])}


def run(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Both verbs in turns."""
    size = write_parts(folder / "parts", count, 1)
    write_parts(folder / "good", 60, 2), write_parts(folder / "few", 1, 3)
    model = folder / "part.amiss"
    subprocess.run([sys.executable, "-c", LEARN, folder / "good", model], check=True)
    taken: dict[str, list[tuple[float, float]]] = {"inspect": [], "inspect_output": [], "watch": []}

    def both(images: Path) -> dict[str, tuple[float, float]]:
        for name in ("results", "store"):
            shutil.rmtree(folder / name, ignore_errors=True)
        words = ("--store", folder / "store", "--once", "--poll", "0.1", "--deadline", "0")
        return {
            "inspect": timed("inspect", model, images),
            "inspect_output": timed("inspect", model, images, "--output", folder / "results"),
            "watch": timed("watch", model, images, *words),
        }

    for _ in range(repeats):
        empty, full = both(folder / "few"), both(folder / "parts")
        for verb, (seconds, cpu) in full.items():
            taken[verb].append((seconds - empty[verb][0], cpu - empty[verb][1]))
    alone = os.getloadavg()[0] < 2 * (os.cpu_count() or 1)
    wall, cpu = (
        {verb: float(np.median([pair[at] for pair in found])) for verb, found in taken.items()} for at in (0, 1)
    )
    return {
        "images": count,
        "bytes_per_image": size,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "cpu_ms_per_image": {verb: round(1000 * each / count, 2) for verb, each in cpu.items()},
        "images_per_second": {verb: round(count / each, 1) for verb, each in wall.items()} if alone else None,
        "throughput_by_cpu": round(cpu["inspect"] / cpu["watch"], 3),
        "throughput_by_clock": round(wall["inspect"] / wall["watch"], 3) if alone else None,
        "median_ms_one_at_a_time": latency(model, folder / "parts", folder / "alone") if alone else None,
    }


def main() -> None:
    """Read the command line, run, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.images, asked.repeats, Path(folder))
    asked.output.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
