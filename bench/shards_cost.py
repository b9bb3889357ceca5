"""What a block costs: CPU seconds and bytes, and in the merge; the driver's memory for a million rows; and the clock.

    python bench/shards_cost.py cost --output docs/results/shards_cost.json
    python bench/shards_cost.py merge --output docs/results/shards_merge.json
    python bench/shards_cost.py memory --output docs/results/shards_memory.json
    python bench/shards_cost.py clock --turns 2 --output docs/results/shards_clock.json
    python bench/shards_cost.py clock --turns 1 --images 4000 --no-ray --output docs/results/shards_clock_even.json

CPU seconds (user and system) of the driver and all its workers, which other work on the machine changes less than times
of the clock. The model is the default method, learned from 100 cells of elpv:poly; images are those cells at 256 x 256,
as PNG. Rows for the driver's memory name files that do not exist: each becomes a row with a reason.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2

import amiss
from amiss.core.decode import resize
from amiss.data import open_dataset
from amiss.shards.manifest import Manifest
from amiss.storage import write_file
from amiss.testing import toy_part

ROWS = (10_000, 100_000, 1_000_000)
BLOCKS = 1
IMAGES, TURNS = 5000, 3


def score(*words: object) -> tuple[float, int]:
    """CPU seconds of a run with all its workers, and the largest resident memory of the driver in bytes."""
    script = (
        "import sys, re, resource, atexit\n"
        "def tell():\n"
        "    own, below = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "    cpu = sum(u.ru_utime + u.ru_stime for u in (own, below))\n"
        "    status = open('/proc/self/status').read()  # ru_maxrss would count the parent's\n"
        "    peak = int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) * 1024\n"
        "    print(f'COST {cpu} {peak}', file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from amiss.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, "score", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"COST ([\d.]+) (\d+)", done.stderr)
    if done.returncode not in (0, 3) or found is None:
        raise SystemExit(done.stderr)
    return float(found[1]), int(found[2])


def make_images(folder: Path, count: int) -> Path:
    """A manifest of so many rows over real cells, written once each."""
    cells = open_dataset("elpv:poly").normal
    some = min(500, len(cells))
    for number in range(some):
        cv2.imwrite(str(folder / f"{number}.png"), resize(cells[number], (256, 256)))
    path = folder / "list.csv"
    path.write_text("path\n" + "".join(f"{number % some}.png\n" for number in range(count)))
    return path


def cost(model: Path, folder: Path, *words: object) -> dict[str, float]:
    """CPU seconds of a block: a run of several blocks less one of an empty block."""
    table = make_images(folder, 1000 * BLOCKS)
    nothing = folder / "nothing.csv"
    nothing.write_text("path\n" + "none.png\n" * 1000 * BLOCKS)
    start, _ = score(model, nothing, "--output", folder / f"nothing{len(words)}", *words)
    full, _ = score(model, table, "--output", folder / f"full{len(words)}", *words)
    parts = [path.stat().st_size for path in (folder / f"full{len(words)}" / "parts").iterdir()]
    read = sum((folder / name).stat().st_size for name in table.read_text().split()[1:])
    return {
        "cpu_seconds_per_block": (full - start) / BLOCKS,
        "cpu_seconds_to_begin": start,
        "bytes_read_per_block": read / BLOCKS,
        "bytes_written_per_block": sum(parts) / BLOCKS,
    }


def memory(model: Path, folder: Path) -> dict[str, int]:
    """Largest resident memory of the driver by rows."""
    found = {}
    for rows in ROWS:
        table = folder / f"{rows}.csv"
        with table.open("w") as file:
            file.write("path\n")
            file.writelines(f"camera/{number:08}.png\n" for number in range(rows))
        _, found[str(rows)] = score(model, table, "--output", folder / f"out{rows}", "--workers", "1")
        print(rows, found[str(rows)], flush=True)
    return found


def costs(folder: Path) -> dict[str, object]:
    """Of the default method, here and through Ray."""
    model = folder / "model.amiss"
    amiss.fit(open_dataset("elpv:poly").normal.subset(range(100))).save(model)
    return {"model": "ensemble", "size": 256, "default": cost(model, folder, "--workers", 1)}


def merging(folder: Path) -> dict[str, object]:
    """CPU seconds of a merge per part, for parts of rows without images, and of reading a list."""
    table, output, parts = folder / "list.csv", folder / "out", 50
    table.write_text("path\n" + "none.png\n" * 1000 * parts)
    score(make_tiny(folder), table, "--output", output)
    one = folder / "one.csv"
    one.write_text("path\nnone.png\n")
    score(folder / "model.amiss", one, "--output", folder / "one")
    many = folder / "many.csv"
    many.write_text("path\n" + "".join(f"camera/{number:08}.png\n" for number in range(10**6)))
    start = time.process_time()
    Manifest(many).look()
    read = time.process_time() - start
    merged = (score("--merge", output)[0] - score("--merge", folder / "one")[0]) / parts
    return {"cpu_seconds_per_part": merged, "cpu_seconds_per_million_rows_of_a_list": read}


def memories(folder: Path) -> dict[str, object]:
    """Of a tiny model."""
    return {"model": "padim, tiny", "driver_bytes_by_rows": memory(make_tiny(folder), folder)}


def clock(folder: Path, turns: int, images: int, *, ray: bool) -> dict[str, object]:
    """Seconds by the clock of one and two workers, and of two on Ray, in turns, each with all that a run takes.

    Only on a machine of at least two cores that does nothing else: three quarters of an hour on two slow ones.
    """
    model = folder / "model.amiss"
    amiss.fit(open_dataset("elpv:poly").normal.subset(range(100))).save(model)
    table = make_images(folder, images)
    ways = {"one": ("--workers", 1), "two": ("--workers", 2), "ray": ("--on", "ray", "--workers", 2)}
    ways = ways if ray else {name: ways[name] for name in ("one", "two")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name, words in ways.items():
            start = time.perf_counter()
            score(model, table, "--output", folder / f"{name}{turn}", *words)
            seconds[name].append(time.perf_counter() - start)
            print(f"turn {turn + 1} of {turns}, {name}: {seconds[name][-1]:.0f} s", file=sys.stderr, flush=True)
    best = {name: min(each) for name, each in seconds.items()}
    return {
        "model": "ensemble",
        "images": images,
        "blocks": -(-images // 1000),
        "seconds": seconds,
        "two_workers_over_one": best["one"] / best["two"],
        "ray_over_two_workers": best["ray"] / best["two"] - 1 if ray else None,
    }


def make_tiny(folder: Path) -> Path:
    """A tiny model."""
    model = folder / "model.amiss"
    amiss.fit(toy_part(40, seed=0).images, method="padim", preset="tiny", size=64, calibration=0.5).save(model)
    return model


def main() -> None:
    """One of the four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cost", "merge", "memory", "clock"))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--turns", type=int, default=TURNS, help="of the clock")
    parser.add_argument("--images", type=int, default=IMAGES, help="of the clock")
    parser.add_argument("--no-ray", action="store_true", help="one and two workers only")
    asked = parser.parse_args()
    timing = partial(clock, turns=asked.turns, images=asked.images, ray=not asked.no_ray)
    what = {"cost": costs, "merge": merging, "memory": memories, "clock": timing}[asked.what]
    with tempfile.TemporaryDirectory() as name:
        result = what(Path(name))
    print(json.dumps(result))
    if asked.output:
        write_file(asked.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
