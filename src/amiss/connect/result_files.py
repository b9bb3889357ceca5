"""The sink of a folder: one JSON file per part, under the name of its image, written after its verdict is on disk.

A file is there complete or not at all. It carries the number and hash of its event, so that whoever keeps result files
is a witness of the chain (`amiss results verify STORE --witness FOLDER`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from amiss.core.errors import AmissError, OutputError
from amiss.core.plain_json import parse_json
from amiss.core.verdict import Label
from amiss.ledger import outbox
from amiss.ledger.events import Draft, Event, now
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer
from amiss.storage import sweep, write_files

SINK = "result-folder"

_TOGETHER = 64
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class _Told:
    event: Event
    accept: bool


class ResultFiles:
    """Writes result files from a thread of its own: a folder that is slow, full or gone stops no inspection.

    Args:
        folder: Where they go.
        writer: Of the store, where it is noted what was written.
        reader: Of the same store.
        deadline: Whether answers have a deadline: then what was not told before a restart is told as reject.
    """

    def __init__(self, folder: Path, writer: Writer, reader: Reader, *, deadline: bool) -> None:
        self.folder = folder
        self._writer, self._reader, self._deadline = writer, reader, deadline
        self._queue: SimpleQueue[_Told | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="amiss-results", daemon=True)
        self._accept: dict[int, bool] = {}  # of what could not be written yet
        self._swept: set[Path] = set()
        self.error = ""
        self.written = self._upto = 0

    def start(self) -> None:
        """Begin, with what an earlier station did not come to tell.

        Raises:
            OutputError: The folder cannot be written.
        """
        write_files({self.folder / ".amiss-try": b""})
        (self.folder / ".amiss-try").unlink()
        self._upto = self._writer.head[0]
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
        self._tell_left(self._upto)
        ends = False
        while not ends:
            some: list[_Told] = []
            with suppress(Empty):
                while len(some) < _TOGETHER:
                    one = self._queue.get(timeout=0 if some else _RETRY_SECONDS)
                    if one is None:
                        ends = True
                        break
                    some.append(one)
            self._write(some or [_Told(e, self._accept[e.seq]) for e in self._left() if e.seq in self._accept])

    def _tell_left(self, upto: int) -> None:
        """What was committed before this station began, and not told."""
        while some := [event for event in self._left() if event.seq <= upto]:
            self._write([_Told(event, self._after_restart(event)) for event in some])

    def _left(self) -> list[Event]:
        """What is not told yet and may be tried now."""
        try:
            return self._reader.waiting(SINK, _TOGETHER, now())
        except AmissError:
            return []

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

    def _write(self, some: list[_Told]) -> None:
        """Write some files together, and note it; what fails is tried again later."""
        if not some:
            return
        files = {self.path(one.event.data["name"]): result(one.event, one.accept) for one in some}
        seqs = [one.event.seq for one in some]
        try:
            for folder in {path.parent for path in files} - self._swept:
                sweep(folder)
                self._swept.add(folder)
            write_files(files)
        except OutputError as error:
            self.error = str(error)
            self._accept.update((one.event.seq, one.accept) for one in some)
            with suppress(AmissError):
                outbox.failed(self._writer, SINK, seqs, str(error)).result()
            return
        self.error = ""
        self.written += len(some)
        for seq in seqs:
            self._accept.pop(seq, None)
        with suppress(AmissError):
            outbox.delivered(self._writer, SINK, seqs).result()

    def path(self, name: str) -> Path:
        """The result file of an image, given its path below the folder that is watched."""
        return self.folder / f"{name}.json"


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
