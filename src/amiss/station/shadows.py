"""The shadow thread: what would another version say of the same parts? Only while nothing waits for its verdict.

What a line needs goes first: as long as a part is on its way the shadow waits, and what it has no room for it leaves
out. That depends on how busy the line is, not on verdicts, so what is compared stays a fair sample.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from amiss.core.verdict import Label
from amiss.ledger.events import Draft
from amiss.ledger.writer import Writer
from amiss.station.decoding import Decoders
from amiss.station.jobs import Job
from amiss.station.recipes import Deployed, Recipes
from amiss.station.worker import judge

ROOM = 64 * 2**20
"""Bytes of images that may wait."""

_PAUSE = 0.02


@dataclass(frozen=True)
class _Waiting:
    part: str
    job: Job
    acting: int
    label: Label


class Shadows:
    """Has parts judged by the versions in the shadow, and records what they say.

    Args:
        writer: Where events go.
        recipes: Which version is in the shadow.
        decoders: Children that decode; there is one more than threads that score.
        busy: Whether a part waits for its verdict.
    """

    def __init__(self, writer: Writer, recipes: Recipes, decoders: Decoders, busy: Callable[[], bool]) -> None:
        self._writer, self._recipes, self._decoders, self._busy = writer, recipes, decoders, busy
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._more = threading.Condition()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amiss-shadow", daemon=True)
        self.left_out: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what waits is left out."""
        self._ends.set()
        with self._more:
            self._more.notify()
        self._thread.join(timeout=30)

    def offer(self, part: str, job: Job, acting: Deployed, label: Label) -> None:
        """A part that has its verdict. Quick, from any thread."""
        if label is Label.ERROR or job.data is None or self._recipes.shadow(job.recipe) is None:
            return
        with self._more:
            if self._bytes + len(job.data) > ROOM:
                self.left_out[job.recipe] += 1
                return
            self._bytes += len(job.data)
            self._waiting.append(_Waiting(part, job, acting.version, label))
            self._more.notify()

    def _run(self) -> None:
        while (one := self._next()) is not None:
            while self._busy() and not self._ends.wait(_PAUSE):
                pass
            shadow = self._recipes.shadow(one.job.recipe)
            if shadow is not None and shadow.version != one.acting and not self._ends.is_set():
                self._compare(one, shadow)

    def _next(self) -> _Waiting | None:
        """The part that waits for longest; None at the end."""
        with self._more:
            while not self._waiting and not self._ends.is_set():
                self._more.wait()
            if self._ends.is_set():
                return None
            one = self._waiting.popleft()
            self._bytes -= len(one.job.data or b"")
        return one

    def _compare(self, one: _Waiting, shadow: Deployed) -> None:
        try:
            found = judge(shadow, one.job, self._decoders)
        except Exception:  # a fault of the shadow costs the line nothing
            self.left_out[one.job.recipe] += 1
            return
        if found.label is Label.ERROR:
            self.left_out[one.job.recipe] += 1
            return
        facts = {"part": one.part, "recipe": one.job.recipe, "acting": one.acting, "version": shadow.version}
        facts |= {"was": str(one.label), "label": str(found.label), "score": found.score}
        facts |= {"threshold": found.threshold, "p_value": found.p_value}
        differs = (one.label is Label.GOOD) != (found.label is Label.GOOD)
        self._writer.submit(Draft("compared", {**facts, "differs": differs}))
