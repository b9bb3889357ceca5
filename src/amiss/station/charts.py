"""The chart thread: has something changed, and since which part? It never slows what judges."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from amiss.core.errors import AmissError
from amiss.inspector import Inspector
from amiss.ledger.events import Draft
from amiss.ledger.writer import Writer
from amiss.monitoring import Health, Monitoring, Stream, monitor

PARTS, SECONDS = 100, 10.0
"""A chart is drawn anew after so many parts, or after so long when there are new ones."""

LEAST = 20
"""Parts before there is a chart."""

MOST = 2000
"""Parts of one stream: after so many the charts begin anew, so that their promise is for streams of a known length."""


@dataclass
class _Line:
    """What has come of one version of a recipe since its charts began."""

    recipe: str
    inspector: Inspector
    version: int
    seqs: list[int] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    health: list[Health | None] = field(default_factory=list)
    drawn: int = 0
    said: tuple[Any, ...] | None = None


class Charts:
    """Draws control charts of what a station judges, and records when they alarm.

    Args:
        writer: Where events go.
        tell: Called with one line when a chart alarms, or does so no more.
    """

    def __init__(self, writer: Writer, tell: Callable[[str], None]) -> None:
        self._writer, self._tell = writer, tell
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._more = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amiss-charts", daemon=True)
        self.patience = 60.0
        self.alarm: dict[str, bool] = {}
        self.failed = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Draw what is not drawn yet, and end; wait for that no longer than `patience` seconds."""
        self._ends.set()
        self._more.set()
        self._thread.join(timeout=self.patience)

    def add(
        self, recipe: str, version: int, inspector: Inspector, seq: int, name: str, found: tuple[float | None, Any]
    ) -> None:
        """Note a part. Quick, from any thread.

        Args:
            recipe: By which it was judged.
            version: Of the recipe.
            inspector: That judged it.
            seq: Number of its event.
            name: Of its image.
            found: Score and measures, None where there are none.
        """
        score, health = found
        with self._lock:
            line = self._lines.get(recipe)
            if line is None or line.version != version or (len(line.seqs) >= MOST and line.drawn == len(line.seqs)):
                line = self._lines[recipe] = _Line(recipe, inspector, version)
            line.seqs.append(seq)
            line.scores.append(score)
            line.names.append(name)
            line.health.append(None if health is None else Health(**health))
            if len(line.seqs) - line.drawn >= PARTS:
                self._more.set()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        last, ends = time.monotonic(), False
        while not ends:
            self._more.wait(timeout=max(0.1, SECONDS - (time.monotonic() - last)))
            ends = self._ends.is_set()
            self._more.clear()
            last = time.monotonic()
            self._draw_all()

    def _draw_all(self) -> None:
        for line in list(self._lines.values()):
            with self._lock:
                count = len(line.seqs)
                usable = sum(score is not None for score in line.scores)
                stream = Stream(line.scores[:count], line.names[:count], health=line.health[:count]) if count else None
            if stream is None or usable < LEAST or count == line.drawn or line.inspector.rule.n < LEAST:
                continue
            try:
                rule = line.inspector.rule
                found = monitor(stream, rule.normal, threshold=rule.threshold)
                line.drawn = count
                self._compare(line, found)
            except AmissError as error:  # what cannot be charted, or not be recorded
                line.drawn = count
                self.failed = str(error)

    def _compare(self, line: _Line, found: Monitoring) -> None:
        """An event when something began, ended, or turns out to be something else."""
        changed = found.diagnosis.changed
        alarm = found.alarm and changed is not None
        first = last = None
        if alarm and changed is not None:
            usable = found.stream.usable
            first = line.seqs[int(usable[changed.first])]
            last = None if changed.lasts(len(usable)) else line.seqs[int(usable[changed.end - 1])]
        now = (alarm, found.diagnosis.kind, last is None)
        self.alarm[line.recipe] = alarm
        if now == line.said or (line.said is None and not alarm):
            return
        facts = {"alarm": alarm, "first": first, "last": last, "kind": found.diagnosis.kind}
        self._writer.submit(Draft("chart", {"recipe": line.recipe, **facts, "text": found.diagnosis.text})).result()
        line.said = now
        since = "" if first is None else f" (since event {first})"
        self._tell(f"chart of {line.recipe}: {found.diagnosis.text}{since}")
