"""What a person may choose from to learn, and what each choice costs.

    python -m amiss.station.choices

prints the list as JSON. A process of its own does that, since only the lab knows its methods: a station that judges
never imports torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import Any

from amiss.core.checks import check_choice
from amiss.core.errors import AmissError, MissingExtraError, OutputError

SECONDS = 120.0
"""In which the list must be there."""

FIRST = "ensemble"
"""The usual method, at the head of the list."""


class Choices:
    """Methods that learn from good images alone, with their presets; asked for once."""

    def __init__(self) -> None:
        self._known: list[dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def list(self) -> list[dict[str, Any]]:
        """All of them, the usual one first and then by what was measured of them.

        Raises:
            MissingExtraError: The lab is not installed.
            OutputError: The list cannot be made.
        """
        with self._lock:
            if self._known is None:
                self._known = _ask()
        return self._known

    def check(self, method: str, preset: str) -> None:
        """Refuse what cannot be chosen.

        Raises:
            InputError: An unknown method or preset.
            MissingExtraError: The lab is not installed.
        """
        known = {one["method"]: one for one in self.list()}
        own = known[check_choice("method", method, known)]
        check_choice(f"preset of {method}", preset, [one["preset"] for one in own["presets"]])


def _ask() -> list[dict[str, Any]]:
    command = [sys.executable, "-P", "-m", "amiss.station.choices"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
        told: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"the list of methods cannot be made ({type(error).__name__})") from error
    if "error" in told:
        raise MissingExtraError(told["error"])
    found: list[dict[str, Any]] = told["methods"]
    return found


def make_list() -> list[dict[str, Any]]:
    """Method, title, paper, what it can do; of each preset its accuracy, speed and memory, where they were measured.

    Raises:
        MissingExtraError: The lab is not installed.
    """
    from amiss.core.card import LearnsFrom
    from amiss.evaluation.benchmark.measured import measured
    from amiss.registry import find_method, list_methods

    found, figures = [], measured()
    for name in list_methods():
        card = find_method(name).card
        if card.learns_from is not LearnsFrom.NORMAL:
            continue
        presets = []
        for preset in card.presets:
            one = figures.get((name, preset))
            known = None if one is None else {**asdict(one), "mean": one.mean, "words": one.words()}
            presets.append({"preset": preset, "measured": known})
        facts = {"method": name, "title": card.title, "paper": card.paper, "url": card.url, "year": card.year}
        facts |= {"learning": str(card.learning), "localises": card.localises, "exportable": card.exportable}
        found.append({**facts, "weights_licence": card.weights_licence, "presets": presets})
    return sorted(found, key=_order)


def _order(one: dict[str, Any]) -> tuple[bool, float, str]:
    means = [preset["measured"]["mean"] or 0.0 for preset in one["presets"] if preset["measured"] is not None]
    return one["method"] != FIRST, -max(means, default=0.0), one["method"]


def main() -> None:
    """Say what there is, as one line of JSON."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else may speak there
    try:
        told: dict[str, Any] = {"methods": make_list()}
    except AmissError as error:
        told = {"error": str(error)}
    except ModuleNotFoundError as error:
        told = {"error": f"learning needs the lab, pip install 'amiss[fit]' ({error.name} is missing)"}
    answers.write(json.dumps(told) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
