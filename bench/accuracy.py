"""Accuracy of a method on data sets with known truth; one JSON line a run in docs/results/<method>.jsonl.

    python bench/accuracy.py --methods patchcore padim --data mvtec_bottle mvtec_screw elpv:mono --seeds 0

Names without a colon are folders below the environment variable AMISS_DATA; a missing one is skipped with a reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from amiss import Inspector, open_dataset
from amiss.cli.console import parse_settings
from amiss.evaluation import evaluate
from amiss.storage import write_file

RESULTS = Path(__file__).parent.parent / "docs" / "results"
KEYS = ("image_auroc", "pixel_auroc", "pixel_aupro", "pixel_aupro_05", "false_alarms", "detections", "alpha")


def locate(name: str) -> str | None:
    """The data set's address, or None when it is not on this machine."""
    if ":" in name:
        return name
    folder = Path(os.environ.get("AMISS_DATA", "")) / name
    return str(folder) if os.environ.get("AMISS_DATA") and folder.is_dir() else None


def run(method: str, preset: str, data: str, seed: int, settings: dict[str, Any], size: int) -> dict[str, Any]:
    """Fit and evaluate once."""
    dataset = open_dataset(data, seed=seed)
    start = time.perf_counter()
    inspector = Inspector.fit(dataset.normal, method=method, preset=preset, settings=settings, size=size, seed=seed)
    fit_seconds = time.perf_counter() - start
    summary = evaluate(inspector, dataset).summary()
    return {
        "method": method,
        "preset": preset,
        "data": dataset.name,
        "seed": seed,
        **{key: summary[key] for key in KEYS},
        "fit_seconds": round(fit_seconds, 2),
        "seconds_per_image": round(summary["seconds_per_image"], 5),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "n_calibration": summary["n_calibration"],
        "n_good": summary["n_good"],
        "n_defective": summary["n_defective"],
        "config": {**inspector.record.hyperparameters, "size": size},
        "commit": _commit(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "src") else "")


def keep(line: dict[str, Any]) -> None:
    """Put the line in the method's results, in place of an older run of the same kind."""
    path = RESULTS / f"{line['method']}.jsonl"
    same = ("method", "preset", "data", "seed")
    old = [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []
    lines = [entry for entry in old if any(entry[key] != line[key] for key in same)] + [line]
    lines.sort(key=lambda entry: [str(entry[key]) for key in same])
    write_file(path, "".join(json.dumps(entry) + "\n" for entry in lines).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["patchcore", "padim"])
    parser.add_argument("--data", nargs="+", default=["mvtec_bottle", "mvtec_screw", "elpv:mono"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--set", nargs="*", default=[], help="name=value; such runs are printed, not kept")
    options = parser.parse_args()
    settings = parse_settings(options.set)
    for data in options.data:
        address = locate(data)
        if address is None:
            print(f"skipped {data}: set AMISS_DATA to the folder that holds it", file=sys.stderr)
            continue
        for method in options.methods:
            for seed in options.seeds:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:  # its peak memory is its own
                    line = fresh.submit(run, method, options.preset, address, seed, settings, options.size).result()
                if not settings and options.size == 256:
                    keep(line)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
