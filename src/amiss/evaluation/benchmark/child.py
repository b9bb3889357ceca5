"""What one fresh process of a benchmark does: ``python -m amiss.evaluation.benchmark.child``.

It reads one JSON request from standard input, writes JSON lines to standard output (progress, then one answer), and
ends. It ends too when its standard input closes: nobody is left who waits for the answer. Its memory is its own, so
that its peak can be measured, and its death is only its own.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import amiss
from amiss.core.errors import AmissError
from amiss.core.progress import Progress, silent
from amiss.evaluation.benchmark.lines import COUNTS, EXTRAS, FIGURES, Line
from amiss.recipe import Recipe


def measure_run(recipe: Recipe, address: str, *, progress: Progress = silent) -> Line:
    """Learn from the normal images of a data set, then look at its test images, once.

    The order is the safeguard: `fit_recipe` is given the normal images and nothing else, and what comes back is
    measured as it is. No step before the measurement has seen a test image.

    Args:
        recipe: What the fit is asked for; its seed is that of the split, too.
        address: See `amiss.data.open_dataset`.
        progress: See `amiss.core.progress`.

    Returns:
        The figures of a line: accuracy, counts, costs, commit and hardware.
    """
    from amiss.data import open_dataset
    from amiss.device import choose_device
    from amiss.evaluation.evaluate import evaluate
    from amiss.front import fit_recipe
    from amiss.registry import learns_classes

    dataset = open_dataset(address, seed=recipe.seed, classes=learns_classes(recipe.method))
    start = time.perf_counter()
    inspector = fit_recipe(dataset.normal, recipe, progress=progress)
    fit_seconds = time.perf_counter() - start
    evaluation = evaluate(inspector, dataset, progress=progress)
    summary, left_out = evaluation.summary(), len(dataset.test) - len(evaluation.tested.test)
    seconds = summary["seconds_per_image"]
    return {
        **{name: summary[name] for name in FIGURES},
        **{name: summary[name] for name in EXTRAS if summary.get(name) is not None},
        **{name: summary[name] for name in COUNTS},
        "n_errors": summary["n_errors"],
        **({"n_copies": left_out} if left_out else {}),
        "fit_seconds": round(fit_seconds, 2),
        "seconds_per_image": None if seconds is None else round(seconds, 5),
        "peak_mb": peak_mb(),
        **origin(choose_device().type),
    }


def configs(asked: list[tuple[str, str]], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each method and preset its name and all hyper-parameters: those of the preset, and those with the settings.

    The latter with the number of the way in which features are computed: figures of another way are other figures.

    Raises:
        InputError: An unknown method, preset or hyper-parameter.
        MissingExtraError: torch is not installed.
    """
    from amiss.features.extractor import GEOMETRY
    from amiss.registry import create, find_method

    return [
        {
            "name": find_method(method).card.name if ":" in method else method,
            "preset": create(method, preset).hyperparameters(),
            "config": {**create(method, preset, **settings).hyperparameters(), "geometry": GEOMETRY},
        }
        for method, preset in asked
    ]


def origin(device: str = "cpu") -> dict[str, str]:
    """Which code ran, and on what; an accelerator is named."""
    accelerator = "" if device == "cpu" else f", {device}"
    return {"commit": code_version(), "hardware": f"{platform.machine()}, {os.cpu_count()} cores{accelerator}"}


def code_version() -> str:
    """Commit of the checkout that the package runs from, "-dirty" when its sources were changed; else the version."""
    root = Path(amiss.__file__).parents[2]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return amiss.__version__
    try:
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "src") else "")
    except (OSError, subprocess.CalledProcessError):  # no git here, or not allowed to look
        return amiss.__version__


def peak_mb() -> int | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count what the parent had before this program started
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if peaks:
            return int(peaks[0]) // 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Serve one request."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        _write(answers, {"answer": _answer(request, answers)})
    except AmissError as error:
        _write(answers, {"refused": " ".join(str(error).split())})
    except Exception as error:  # whatever it is, the benchmark goes on and says it
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:500]
        _write(answers, {"refused": f"{type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"})


def _answer(request: Mapping[str, Any], answers: TextIO) -> Any:
    if "configs" in request:
        return configs(request["configs"], request["settings"])
    told = 0.0

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal told
        if time.monotonic() - told >= 0.2:
            told = time.monotonic()
            _write(answers, {"progress": [stage, done, total, note]})

    run = request["run"]
    return measure_run(Recipe.of(run["recipe"]), run["address"], progress=progress)


def _write(answers: TextIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message, allow_nan=False) + "\n")
    answers.flush()


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
