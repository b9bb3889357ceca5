"""``amiss serve --demo``: a line that is not there, behind a page that is."""

from __future__ import annotations

import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from amiss.cli.console import aside, progress_display, say

if TYPE_CHECKING:
    from amiss.inspector import Inspector
    from amiss.server.context import Context

PARTS, SECONDS_BETWEEN = 100_000, 0.5


def run_demo(port: int, load: Callable[[str], Inspector]) -> None:
    """Learn toy parts, and solar cells where they are installed; let a fake line run until somebody ends it."""
    from amiss.server.run import serve
    from amiss.server.settings import Settings
    from amiss.testing.line import NAMES, FakeLine

    with tempfile.TemporaryDirectory(prefix="amiss-demo-") as scratch:
        folder = Path(scratch)
        recipes = {"toy": {"artefact": str(_learn_toy(folder))}}
        if (cells := _learn_cells(folder)) is not None:
            recipes["solar-cell"] = {"artefact": str(cells)}
        (folder / "images").mkdir()
        source = {"kind": "folder", "recipe": "toy", "folder": str(folder / "images"), "names": NAMES}
        settings = Settings.model_validate(
            {
                "station": {"name": "demo", "deadline_ms": 5000.0},
                "store": {"path": str(folder / "store")},
                "http": {"port": port},
                "audit": {"rate": 0.05},
                "recipe": recipes,
                "connect": {"line": source},
            }
        )
        line = FakeLine(folder / "images", parts=PARTS, seed=1, defective=0.08, brighter_from=600, stalls=100)
        ends = threading.Event()

        def begun(found: Context, address: str) -> None:
            threading.Thread(target=lambda: list(line.run(SECONDS_BETWEEN, ends)), daemon=True).start()
            say(f"Open {address}   (Ctrl-C ends it, and removes {folder})")
            webbrowser.open(address)

        try:
            serve(settings, load, aside, begun=begun)
        finally:
            ends.set()


def _learn_toy(folder: Path) -> Path:
    from amiss.front import fit
    from amiss.testing import toy_part

    say("Toy parts: learning from 500 good ones.")
    with progress_display() as progress:
        rule = "triage:5%,1%"
        found = fit(toy_part(500, seed=0).images, method="padim", preset="tiny", size=64, rule=rule, progress=progress)
    found.save(folder / "toy.amiss")
    return folder / "toy.amiss"


def _learn_cells(folder: Path) -> Path | None:
    """Solar cells, when elpv-dataset is installed."""
    from importlib.util import find_spec

    if find_spec("elpv_dataset") is None:
        return None
    from amiss.data import open_dataset
    from amiss.front import fit

    say("Solar cells: learning from 200 functional ones.")
    with progress_display() as progress:
        cells = open_dataset("elpv:mono").normal
        found = fit(cells.subset(range(200)), method="padim", progress=progress)
    found.save(folder / "cells.amiss")
    return folder / "cells.amiss"
