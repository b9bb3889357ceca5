"""The sink of a folder: one JSON file per part, under the name of its image, written after its verdict is on disk.

A file is there complete or not at all. It carries the number and hash of its event, so that whoever keeps result files
is a witness of the chain (`amiss results verify STORE --witness FOLDER`).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from amiss.core.errors import AmissError
from amiss.core.plain_json import parse_json
from amiss.core.verdict import Label
from amiss.ledger import outbox
from amiss.ledger.events import Draft, Event
from amiss.ledger.projections import text
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer
from amiss.storage import sweep, write_files

SINK = "result-folder"
"""Of an Amiss that had one name for all folders; what it left goes where the results of those images go now."""

_TOGETHER = 64
_RETRY_SECONDS = 1.0
_OUTDATED = "not written: there is a newer image of this name"


@dataclass(frozen=True)
class _Told:
    event: Event
    accept: bool

    @property
    def seq(self) -> int:
        return self.event.seq


@dataclass
class _Late:
    """What could not be written yet.

    Args:
        accept: What was answered.
        tries: How many there were.
        due: When the next one may be, by `time.monotonic`.
    """

    accept: bool
    tries: int = 0
    due: float = 0.0


class ResultFiles:
    """Writes result files from a thread of its own: a folder that is slow, full or gone stops no inspection.

    Args:
        folder: Where they go.
        writer: Of the store, where it is noted what was written.
        reader: Of the same store.
        deadline: Whether answers have a deadline: then what was not told before a restart is told as reject.
        images: Folder whose images they are about, as the paths in the store begin.
    """

    def __init__(self, folder: Path, writer: Writer, reader: Reader, *, deadline: bool, images: str = "") -> None:
        self.folder, self.sink, self._images = folder, sink_of(folder), images
        self._sinks = (self.sink, SINK)
        self._writer, self._reader, self._deadline = writer, reader, deadline
        self._queue: SimpleQueue[_Told | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="amiss-results", daemon=True)
        self._late: dict[int, _Late] = {}
        self._next_try = 0.0
        self._swept: set[Path] = set()
        self._upto = self._looked = self._newest = 0
        self.error = ""

    def start(self) -> None:
        """Begin, with what an earlier station did not come to tell.

        Raises:
            OutputError: The folder cannot be written.
        """
        self._touch()
        self._upto = self._newest = self._writer.head[0]
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Write what is left, and end."""
        self._queue.put(None)
        self._thread.join(timeout=seconds)

    def tell(self, event: Event, accept: bool) -> None:
        """Have a result file written.

        Args:
            event: The verdict on disk.
            accept: What was answered.
        """
        self._queue.put(_Told(event, accept))

    def _run(self) -> None:
        ends = False
        self._try_again()
        while not ends:
            some, ends = self._fresh()
            self._write(some)
            if ends or time.monotonic() >= self._next_try:
                self._try_again()

    def _fresh(self) -> tuple[list[_Told], bool]:
        """What was answered since, and whether the end is asked for; waits until the next try at most."""
        some: list[_Told] = []
        with suppress(Empty):
            while len(some) < _TOGETHER:
                one = self._queue.get(timeout=0 if some else _RETRY_SECONDS)
                if one is None:
                    return some, True
                some.append(one)
        return some, False

    def _try_again(self) -> None:
        """What an earlier station left, and what has failed and may be tried now, as long as nothing else comes."""
        self._next_try = time.monotonic() + _RETRY_SECONDS
        try:
            self._find_left()
            while some := self._due():
                if not self._write(some) or not self._queue.empty():
                    break
        except AmissError as error:
            self.error = str(error)
            return
        if not self._late:
            self.error = ""

    def _find_left(self) -> None:
        """What was committed before this station began, and not told, whenever an earlier one meant to try again."""
        while self._looked < self._upto:
            some = self._reader.waiting(self._sinks, after=self._looked, limit=_TOGETHER)
            for event in some:
                if event.seq <= self._upto and self._owns(event):
                    self._late[event.seq] = _Late(self._after_restart(event))
            self._looked = some[-1].seq if some else self._upto

    def _owns(self, event: Event) -> bool:
        """Whether it was to be told here, or by an Amiss that did not say where, of an image of this folder."""
        seen = event.data["watched"]
        named = text(f"{self._images}/{event.data['name']}")
        return self.sink in event.data["sinks"] or (seen is not None and text(seen["path"]) == named)

    def _due(self) -> list[_Told]:
        """The oldest of what may be tried now."""
        at = time.monotonic()
        seqs = sorted(seq for seq, one in self._late.items() if one.due <= at)[:_TOGETHER]
        found = self._reader.waiting(self._sinks, only=seqs) if seqs else []
        for seq in set(seqs) - {event.seq for event in found}:
            del self._late[seq]
        return [_Told(event, self._late[event.seq].accept) for event in found]

    def _after_restart(self, event: Event) -> bool:
        """Nobody has waited so long: with a deadline, what could not be told before is no accept, and is noted so."""
        data = event.data
        if data["label"] != Label.GOOD or self._reader.part(data["id"])["late"]:
            return False
        if not self._deadline:
            return True
        late = {"part": data["id"], "label": data["label"], "score": data["score"], "reason": "told after a restart"}
        with suppress(AmissError):
            self._writer.submit(Draft("late", late)).result()
        return False

    def _write(self, some: Sequence[_Told]) -> bool:
        """Write some files; what fails is tried again later. Whether there is a place to write to."""
        try:
            outdated = self._outdated(some)
        except AmissError as error:
            self._failed(some, str(error))
            return False
        self._newest = max([self._newest, *(one.seq for one in some)])
        self._noted([one for one in some if one.seq in outdated], _OUTDATED)
        rest = [one for one in some if one.seq not in outdated]
        why = self._put(rest)
        if why and not self._is_there():
            self._failed(rest, why)
            return False
        if why:
            self._write_each(rest)
        else:
            self._noted(rest)
        return True

    def _write_each(self, some: Sequence[_Told]) -> None:
        """Write each alone, so that one that cannot be written takes no other with it."""
        for one in some:
            why = self._put([one])
            if why:
                self._failed([one], why)
            else:
                self._noted([one])

    def _outdated(self, some: Sequence[_Told]) -> set[int]:
        """Numbers of events whose image has been followed by another one of its name: their files say more."""
        last = {self.path(one.event.data["name"]): one.seq for one in sorted(some, key=lambda one: one.seq)}
        found = {one.seq for one in some} - set(last.values())
        late = [one.event for one in some if one.seq <= self._newest and one.seq not in found]
        return found | self._reader.followed(self._sinks, late)

    def _put(self, some: Sequence[_Told]) -> str:
        """Write some files together; why they cannot be written, or "". Then some of them may have been."""
        files = {self.path(one.event.data["name"]): result(one.event, one.accept) for one in some}
        try:
            for folder in {path.parent for path in files} - self._swept:
                sweep(folder)
                self._swept.add(folder)
            write_files(files)
        except OSError as error:
            return str(error)
        return ""

    def _touch(self) -> None:
        write_files({self.folder / ".amiss-try": b""})
        (self.folder / ".amiss-try").unlink(missing_ok=True)

    def _is_there(self) -> bool:
        """Whether the folder can be written at all."""
        try:
            self._touch()
        except OSError:
            return False
        return True

    def _failed(self, some: Sequence[_Told], why: str) -> None:
        self.error = why
        for one in some:
            late = self._late.setdefault(one.seq, _Late(one.accept))
            late.due = time.monotonic() + outbox.pause(late.tries)
            late.tries += 1
        with suppress(AmissError):
            outbox.failed(self._writer, self._sinks, [one.seq for one in some], why).result()

    def _noted(self, some: Sequence[_Told], why: str | None = None) -> None:
        """Note that some are told, or why they need not be; where that cannot be noted, they are told again."""
        if not some:
            return
        try:
            outbox.delivered(self._writer, self._sinks, [one.seq for one in some], why).result()
        except AmissError as error:
            self._failed(some, str(error))
            return
        for one in some:
            self._late.pop(one.seq, None)
        if not self._late:
            self.error = ""

    def path(self, name: str) -> Path:
        """The result file of an image, given its path below the folder that is watched."""
        return self.folder / f"{name}.json"


def sink_of(folder: Path) -> str:
    """What a folder for results is called in the store: what is left for it goes nowhere else."""
    return f"{SINK} {text(os.path.realpath(folder))}"


def result(event: Event, accept: bool) -> bytes:
    """What a result file says."""
    data = event.data
    names = ("id", "name", "label", "score", "threshold", "p_value", "regions", "reason", "serial", "lot", "camera")
    more = ("taken_at", "recipe", "version", "fingerprint", "sha256", "audit")
    told: dict[str, Any] = {"accept": accept, **{name: data[name] for name in (*names, *more)}}
    told |= {"station": event.station, "seq": event.seq, "at": event.at, "hash": event.hash}
    return json.dumps(told, indent=2, allow_nan=False).encode() + b"\n"


def witnessed(folder: Path) -> Iterator[tuple[str, str]]:
    """Hash and path of every result file of a folder: what whoever keeps them has been told."""
    for path in sorted(folder.rglob("*.json")):
        with suppress(OSError, ValueError):
            told = parse_json(path.read_bytes())
            if isinstance(told, dict) and isinstance(told.get("hash"), str) and "accept" in told:
                yield told["hash"], str(path)
