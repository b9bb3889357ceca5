"""The program of a child that learns: from a folder of good images to a model, with progress on standard output.

    python -m amiss.station.learner FOLDER

FOLDER holds job.json (method, preset, size, rule) and images/; the model is written to FOLDER/model.amiss. Each line of
standard output is JSON: {"stage", "done", "total"} while it learns, and {"error"} where it cannot. Ended and begun
again, it goes on where it was.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from amiss.core.errors import AmissError, MissingExtraError

EVERY = 0.25
"""Seconds between two lines of one stage."""


def main() -> None:
    """Learn; exit code 1 when it cannot."""
    folder = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may speak there
    told: dict[str, float] = {}

    def say(**facts: Any) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done >= total or now - told.get(stage, 0.0) > EVERY:
            told[stage] = now
            say(stage=stage, done=done, total=total)

    try:
        learn(folder, progress)
    except AmissError as error:
        say(error=str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        say(error=f"learning needs the lab, pip install 'amiss[fit]' ({error.name} is missing)")
        sys.exit(1)


def learn(folder: Path, progress: Any) -> None:
    """Learn what FOLDER asks for.

    Raises:
        AmissError: It cannot be done.
    """
    from amiss.front import fit

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    try:
        inspector = fit(
            str(folder / "images"),
            method=job["method"],
            preset=job["preset"],
            size=job["size"],
            rule=job["rule"],
            progress=progress,
            checkpoint=folder / "training",
        )
    except ImportError as error:
        if isinstance(error, MissingExtraError):
            raise
        raise MissingExtraError(f"learning needs the lab: pip install 'amiss[fit]' ({error})") from error
    inspector.save(folder / "model.amiss")


if __name__ == "__main__":
    main()
