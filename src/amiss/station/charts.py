"""The chart thread: has something changed, and since which part? It never slows what judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amiss.core.errors import AmissError
from amiss.core.rule import Rule
from amiss.inspector import Inspector
from amiss.ledger.events import Draft
from amiss.ledger.projections import text
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer

PARTS, SECONDS = 100, 10.0
"""A chart is drawn anew after so many parts, or after so long when there are new ones."""

LEAST = 20
"""Parts before there is a chart, and calibration scores."""

MOST = 2000
"""Parts of one stream: after so many the charts begin anew, so that their promise is for streams of a known length."""


_Said = tuple[bool, str, bool]
"""Whether it alarms, of what kind, and whether that goes on."""

_NO_CHART: dict[str, Any] = {
    "alarm": False,
    "first": None,
    "last": None,
    "kind": "none",
    "text": f"No chart: the version that judges has fewer than {LEAST} calibration scores.",
}


@dataclass
class _Line:
    """What has come of one version of a recipe since its charts began."""

    recipe: str
    inspector: Inspector
    version: int
    seqs: list[int] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    health: list[dict[str, float] | None] = field(default_factory=list)
    drawn: int = 0

    @property
    def can_be_drawn(self) -> bool:
        """Whether there are enough calibration scores to compare with."""
        return self.inspector.rule.n >= LEAST


class Charts:
    """Has control charts drawn of what a station judges, and records when they alarm.

    Args:
        writer: Where events go.
        reader: What was recorded before: an alarm goes on until a chart says that it has ended.
        tell: Called with one line when a chart alarms, or does so no more.
    """

    def __init__(self, writer: Writer, reader: Reader, tell: Callable[[str], None]) -> None:
        self._writer, self._reader, self._tell = writer, reader, tell
        self._lines: dict[str, _Line] = {}
        self._full: deque[_Line] = deque()
        self._said: dict[str, _Said] = {}
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._more = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amiss-charts", daemon=True)
        self._child: subprocess.Popen[str] | None = None
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
        self._end_child()
        self._thread.join(timeout=2)

    @property
    def unfinished(self) -> bool:
        """Whether there are parts, enough for a chart, that are in none."""
        lines = (*self._full, *self._lines.values())
        return any(line.drawn < len(line.seqs) and len(line.seqs) >= PARTS for line in lines)

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
        with self._lock:
            line = self._lines.get(recipe)
            if line is not None and line.version == version and len(line.seqs) >= MOST:
                self._full.append(line)  # to be drawn once more
                line = None
            if line is None or line.version != version:
                line = self._lines[recipe] = _Line(recipe, inspector, version)
                if not line.can_be_drawn:
                    self._more.set()  # an alarm of the version before ends
            if not line.can_be_drawn:
                return
            line.seqs.append(seq)
            line.scores.append(found[0])
            line.names.append(name)
            line.health.append(found[1])
            if len(line.seqs) - line.drawn >= PARTS:
                self._more.set()

    def _run(self) -> None:
        last, ends = time.monotonic(), False
        while not ends:
            self._more.wait(timeout=max(0.1, SECONDS - (time.monotonic() - last)))
            ends = self._ends.is_set()
            self._more.clear()
            last = time.monotonic()
            for line in self._to_draw():
                try:
                    self._draw(line)
                except (AmissError, OSError, ValueError) as error:  # what cannot be charted, or not be recorded
                    self.failed = str(error)
        self._end_child()

    def _to_draw(self) -> list[_Line]:
        """Lines that are full, then those of now."""
        with self._lock:
            lines = [*self._full, *self._lines.values()]
            self._full.clear()
        return lines

    def _draw(self, line: _Line) -> None:
        if not line.can_be_drawn:
            self._compare(line, _NO_CHART)
            return
        with self._lock:
            count = len(line.seqs)
            if count == line.drawn:
                return
            scores = line.scores[:count]
            parts = {"scores": scores, "names": line.names[:count], "health": line.health[:count]}
        try:
            found = self._chart(line.inspector.rule, parts)
        finally:  # whatever came of it: once more when there are more parts
            line.drawn = count
        if found is None:
            return
        if "error" in found:
            self.failed = found["error"]
            return
        self._compare(line, found)

    def _chart(self, rule: Rule, parts: dict[str, Any]) -> dict[str, Any] | None:
        """What the charts of some parts say; None where they are too few."""
        if sum(score is not None for score in parts["scores"]) < LEAST:
            return None
        threshold = rule.threshold if np.isfinite(rule.threshold) else None
        asked = {**parts, "normal": rule.normal.tolist(), "threshold": threshold}
        try:
            return self._ask(asked)
        except (OSError, ValueError):  # it has died: once more, with a new one
            self._end_child()
            self._child = None
            return self._ask(asked)

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One request to the process; `ValueError` or `OSError` when it is gone, and the next one begins another."""
        if self._child is None or self._child.poll() is not None:
            self._end_child()
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "amiss.station.charter", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                encoding="ascii",
            )
        source, answers = self._child.stdin, self._child.stdout
        if source is None or answers is None:
            raise OSError("no pipes")
        source.write(json.dumps(asked) + "\n")
        source.flush()
        answer: dict[str, Any] = json.loads(answers.readline())
        return answer

    def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError, ValueError):
                    pipe.close()

    def _compare(self, line: _Line, found: dict[str, Any]) -> None:
        """An event when something began, ended, or turns out to be something else."""
        self.alarm[line.recipe] = found["alarm"]
        now = (found["alarm"], found["kind"], found["last"] is None)
        said = self._said_of(line.recipe)
        if now == said or not (found["alarm"] or said[0]):
            return
        first, last = (None if at is None else line.seqs[at] for at in (found["first"], found["last"]))
        facts = {"alarm": found["alarm"], "first": first, "last": last, "kind": found["kind"], "text": found["text"]}
        self._writer.submit(Draft("chart", {"recipe": line.recipe, **facts})).result()
        self._said[line.recipe] = now
        since = "" if first is None else f" (since event {first})"
        self._tell(f"chart of {line.recipe}: {found['text']}{since}")

    def _said_of(self, recipe: str) -> _Said:
        """What was recorded last of a recipe, by whichever version or run of the station."""
        if recipe not in self._said:
            rows = [row for row in self._reader.charts() if row["recipe"] == text(recipe)]
            last = rows[-1] if rows else {"alarm": False, "kind": "", "last": None}
            self._said[recipe] = (bool(last["alarm"]), str(last["kind"]), last["last"] is None)
        return self._said[recipe]
