"""``amiss watch --demo``: a line that is not there, from the first part to the page of the shift."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amiss.cli.console import hold_folder, progress_display, say
from amiss.cli.watch_lines import Telling
from amiss.core.errors import InputError
from amiss.core.verdict import Label

if TYPE_CHECKING:
    from amiss.station.engine import Station
    from amiss.testing.line import FakeLine

PARTS, SECONDS_BETWEEN = 400, 0.06


def run_demo(context: typer.Context, folder: Path, model: Path | None, watched: Path | None) -> None:
    """Learn toy parts, let a fake line run, judge what comes, and write the page of the shift.

    Args:
        context: Of the command.
        folder: Everything goes below it.
        model: None.
        watched: None.

    Raises:
        InputError: A model or folder is given as well.
    """
    from amiss.connect.folder import FolderSource, Watching
    from amiss.connect.names import NamePattern
    from amiss.front import fit
    from amiss.ledger.reader import Filter, Reader
    from amiss.ledger.store import Store
    from amiss.reporting.shift_page import write_shift
    from amiss.station.engine import Station
    from amiss.station.shift import collect_shift
    from amiss.testing import toy_part
    from amiss.testing.line import NAMES, FakeLine

    if model is not None or watched is not None:
        raise InputError("--demo makes its own model and folder, got MODEL or FOLDER as well")
    hold_folder(context, folder)
    say(f"A toy line: {PARTS} parts in lots of 40, every third lot bad, brighter light in the end. All below {folder}.")
    with progress_display() as progress:
        inspector = fit(toy_part(120, seed=0).images, method="padim", preset="tiny", size=64, progress=progress)
    inspector.save(folder / "toy.amiss")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    line = FakeLine(folder / "images", parts=PARTS, seed=1, brighter_from=PARTS * 3 // 4, stalls=100)
    ends, telling = threading.Event(), Telling(json=False)
    how = Watching(folder / "images", "toy", 0.6, NamePattern(NAMES), results=folder / "results")
    with telling, Station(Store.make(folder / "store", "demo"), deadline=5, tell=telling.line) as engine:
        engine.recipes.deploy("toy", inspector, reason="demo")
        engine.charts.patience = 300.0  # the last one is what the page begins with
        source = FolderSource(engine, how, telling.line, telling.verdict)
        telling.begin(engine, source, inspector.statement())
        runner = threading.Thread(target=_let_run, args=(line, engine, ends), daemon=True)
        runner.start()
        source.run(ends)
    telling.end(engine, source)
    shift = folder / "shift.html"
    with engine.store.reading() as connection:
        write_shift(shift, collect_shift(Reader(connection, engine.store), Filter()))
    say(f"Page of the shift: {shift}", f"Ask: amiss results list {engine.store} --label anomalous")


def _let_run(line: FakeLine, engine: Station, ends: threading.Event) -> None:
    """The line, until its last part has a verdict."""
    made = len(list(line.run(SECONDS_BETWEEN, ends)))
    while not ends.wait(0.1) and sum(engine.counts[label] for label in Label) < made:
        pass
    ends.set()
