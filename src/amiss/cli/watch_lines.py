"""What ``amiss watch`` tells: a line per verdict that is not accept, a live line on a terminal, and a summary."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from amiss.cli.console import Unheard, aside, live_line, say, say_json

if TYPE_CHECKING:
    from amiss.connect.folder import FolderSource
    from amiss.ledger.events import Event
    from amiss.station.engine import Station

_EVERY = 60.0
"""Seconds between two summaries where there is no terminal."""

_MOST = 2000
"""Lines that wait to be printed; what is more is counted only."""


class Telling:
    """Prints from a thread of its own, so that a terminal that nobody reads stops nothing.

    Args:
        json: One JSON object per verdict on standard output, in place of lines.
    """

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._lines: deque[tuple[str, Any]] = deque()
        self._skipped = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amiss-telling", daemon=True)
        self._engine: Station | None = None
        self._source: FolderSource | None = None
        self._labels: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(timeout=2)

    def line(self, text: str) -> None:
        """A line for whoever watches."""
        self._put("line", text)

    def verdict(self, event: Event, accept: bool) -> None:
        """A verdict that is on disk."""
        self._put("verdict", (event, accept))

    def begin(self, engine: Station, source: FolderSource, statement: str) -> None:
        """Say what is promised; from now on there is something to count."""
        from amiss.station.systemd import notify

        self._engine, self._source = engine, source
        if not self._json:
            self.line(statement)
        notify("READY=1", "STATUS=waiting for images")

    def end(self, engine: Station, source: FolderSource) -> None:
        """The summary, once everything is told."""
        self.__exit__()
        counts = {name: engine.counts[name] for name in ("good", "review", "anomalous", "error")}
        seq, head = engine.writer.head
        told = {"parts": sum(counts.values()), **counts, "not_recorded": engine.counts["not recorded"]}
        if self._json:
            with suppress(Unheard):
                say_json({"run": {**told, "late": engine.counts["late"], "seq": seq, "head": head}})
            return
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        with suppress(Unheard):
            say(f"{told['parts']} parts: {words}. Event {seq}, head {head}.")
            if source.ignored:
                say("Ignored: " + ", ".join(f"{count} x {why}" for why, count in source.ignored.items()))
            if engine.charts.unfinished:
                say("The last control charts were not finished; amiss monitor draws them.")
            say(f"Next: amiss results report {engine.store} --output shift.html")

    def _put(self, kind: str, what: Any) -> None:
        if len(self._lines) < _MOST:
            self._lines.append((kind, what))
        else:
            self._skipped += 1

    def _run(self) -> None:
        said = time.monotonic()
        with live_line(sys.stderr.isatty() and not self._json) as show:
            ends = False
            while not ends:
                ends = self._ends.wait(0.1)
                with suppress(Unheard):
                    while self._lines:
                        self._tell(*self._lines.popleft())
                status = self._status()
                show(status)
                if not sys.stderr.isatty() and not self._json and time.monotonic() - said > _EVERY:
                    said = time.monotonic()
                    aside(status)

    def _tell(self, kind: str, what: Any) -> None:
        if kind == "line":
            say(what) if not self._json else aside(what)
            return
        event, accept = what
        data = event.data
        self._labels[data["label"]] += 1
        if self._json:
            names = ("id", "name", "label", "score", "threshold", "p_value", "reason", "serial", "lot", "regions")
            told = {name: data[name] for name in names}
            say_json({**told, "accept": accept, "seq": event.seq, "hash": event.hash})
        elif not accept:
            p_value = "" if data["p_value"] is None else f"  p = {data['p_value']:.4f}"
            reason = data["reason"] or ("" if data["label"] != "good" else "too late")
            say(f"{data['label'].upper():<10} {data['name']}{p_value}{f': {reason}' if reason else ''}")

    def _status(self) -> str:
        if self._engine is None or self._source is None:
            return "starting"
        counts, engine = self._engine.counts, self._engine
        words = ", ".join(f"{counts[name]} {name}" for name in ("good", "review", "anomalous", "error"))
        late = f", {counts['late']} late" if counts["late"] else ""
        trouble = f" | {self._source.trouble}" if self._source.trouble else ""
        chart = " | CHART ALARM" if any(engine.charts.alarm.values()) else ""
        skipped = f" | {self._skipped} lines not shown" if self._skipped else ""
        return f"{words}{late} | {engine.waiting} on their way | event {engine.writer.head[0]}{chart}{trouble}{skipped}"
