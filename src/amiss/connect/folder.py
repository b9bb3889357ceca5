"""Parts as image files in a folder: each is taken once it has stopped growing, and judged once, across restarts too.

The folder is looked through again and again, since file systems of other machines tell nobody of changes. A file is
taken when its size and time are the same in two looks, and read; when they still are the same after that, it is judged.
Path, size and time of what has a verdict are in the store: a file that is written again under its name is another part.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from amiss.connect.names import About, NamePattern, read_sidecar
from amiss.connect.result_files import ResultFiles
from amiss.core.decode import read_bytes
from amiss.core.errors import AmissError, BusyError, DataError, ImageError, InputError, NotReadyError, OutputError
from amiss.core.listing import ENDINGS, HEAD, is_image_start
from amiss.ledger.events import Event
from amiss.ledger.projections import text
from amiss.station.engine import Station
from amiss.station.jobs import Job, Ticket

SIDECAR_SECONDS = 30.0
"""How long an image waits for the file beside it; then it is an error, for nobody knows which part it shows."""

_AGAIN = 1.0  # seconds after a look that failed
_GROWING = frozenset((".tmp", ".part", ".partial", ".crdownload", ".filepart"))
"""Endings of files that are going to get another name."""

State = tuple[int, int]
"""Size in bytes, and time of the last change in nanoseconds."""


@dataclass(frozen=True)
class Watching:
    """How a folder is watched.

    Args:
        folder: What is watched, with all folders in it.
        recipe: What kind of parts come there.
        seconds: Between two looks.
        names: How fields are read out of names, or None.
        sidecars: Whether each image has a file of JSON beside it: part.json or part.png.json for part.png.
        results: Folder for result files, or None.
        once: Judge what is there, and end.
    """

    folder: Path
    recipe: str
    seconds: float = 0.5
    names: NamePattern | None = None
    sidecars: bool = False
    results: Path | None = None
    once: bool = False


class FolderSource:
    """Takes images from a folder to a station.

    Args:
        station: Entered, with a model for the recipe.
        watching: How.
        tell: Called with one line for whoever watches.
        heard: Called with each verdict on disk, and whether it was accept; must be quick.

    Raises:
        DataError: No such folder.
        InputError: Store or results lie inside it, whose images would be taken for parts.
    """

    def __init__(
        self,
        station: Station,
        watching: Watching,
        tell: Callable[[str], None] = lambda line: None,
        heard: Callable[[Event, bool], None] = lambda event, accept: None,
    ) -> None:
        self._station, self._how, self._tell, self._heard = station, watching, tell, heard
        check_places(watching, station.store.folder)
        self._root = os.path.realpath(watching.folder)
        self._known: dict[str, State] = {}
        self._seen: dict[str, State] = {}
        self._since: dict[str, float] = {}
        self._flying: dict[str, State] = {}
        self._lock = threading.Lock()
        self._sink: ResultFiles | None = None
        self._trouble = self._unseen = ""
        self._next_try = 0.0
        self.ignored: Counter[str] = Counter()
        self.failed = 0

    def run(self, ends: threading.Event) -> None:
        """Watch until `ends` is set; with `once` until everything that is there has a verdict.

        Raises:
            OutputError: Results cannot be written to their folder.
            DataError: With `once`: the folder or the store cannot be read.
        """
        if self._how.results is not None:
            station = self._station
            self._sink = ResultFiles(
                self._how.results,
                station.writer,
                station.reader,
                deadline=station.deadline is not None,
                images=self._root,
            )
            self._sink.start()
        try:
            while not ends.is_set():
                began = time.monotonic()
                rest = self._try_to_look(ends)
                if self._how.once and not rest and not self._flying:
                    break
                ends.wait(max(0.02, self._how.seconds - (time.monotonic() - began)))
            self._station.drain()
        finally:
            if self._sink is not None:
                self._sink.stop()

    @property
    def trouble(self) -> str:
        """Why no part is taken just now, or results are not written; "" when all is well."""
        return self._unseen or self._trouble or ("" if self._sink is None else self._sink.error)

    def _try_to_look(self, ends: threading.Event) -> int:
        """As `_look`. One that fails, as while a database begins anew, is told, and the next one may do better."""
        try:
            rest = self._look(ends)
        except (AmissError, OSError) as error:
            if self._how.once:
                raise
            if str(error) != self._unseen:
                self._unseen = str(error)
                self._tell(f"no part is taken: {error}")
            ends.wait(_AGAIN)
            return 1
        if self._unseen:
            self._unseen = ""
            self._tell(f"{self._how.folder} is looked through again")
        return rest

    def _look(self, ends: threading.Event) -> int:
        """One look through the folder; how many files are not judged yet."""
        now = dict(self._scan())
        fresh = [path for path in now if path not in self._seen and path not in self._known]
        with self._lock:
            stored = {self._stored(path): path for path in fresh}
            for name, states in self._station.reader.known(list(stored)).items():
                if now[stored[name]] in states:
                    self._known[stored[name]] = now[stored[name]]
            self._known = {path: state for path, state in self._known.items() if path in now}
            done, flying = dict(self._known), dict(self._flying)
        todo = [path for path in now if done.get(path) != now[path] and flying.get(path) != now[path]]
        self._since = {path: self._since.get(path, time.monotonic()) for path in todo}
        ready = [path for path in todo if self._seen.get(path) == now[path]]
        self._seen = now
        for path in sorted(ready, key=lambda one: (now[one][1], one)):
            if ends.is_set() or time.monotonic() < self._next_try or not self._take(path, now[path], ends):
                break
        return len(todo)

    def _scan(self) -> Iterator[tuple[str, State]]:
        """Files that are or claim to be images, by their path below the folder, with slashes.

        Raises:
            DataError: The folder cannot be looked through.
        """
        folders = [self._how.folder]
        self.ignored.clear()
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    found = list(entries)
            except OSError as error:
                if folder == self._how.folder:
                    raise DataError(f"{folder} cannot be looked through ({error.strerror or error})") from error
                continue
            for entry in found:
                with suppress(OSError):  # gone meanwhile
                    if entry.is_dir():
                        if not entry.name.startswith(".") and not entry.is_symlink():
                            folders.append(Path(entry.path))
                    elif entry.is_file() and self._is_part(entry):
                        status = entry.stat()
                        path = Path(entry.path).relative_to(self._how.folder).as_posix()
                        yield path, (status.st_size, status.st_mtime_ns)

    def _is_part(self, entry: os.DirEntry[str]) -> bool:
        ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        beside = ending == ".json" and self._how.sidecars
        if entry.name.startswith(".") or ending in _GROWING or beside:
            return False
        if ending in ENDINGS:
            return True
        with open(entry.path, "rb") as file:  # noqa: PTH123
            inside = is_image_start(file.read(HEAD))
        if not inside:
            self.ignored["not an image"] += 1
        return inside

    def _take(self, path: str, state: State, ends: threading.Event) -> bool:
        """Read a file and have it judged. False: the station takes nothing just now."""
        where = self._how.folder / path
        about, trouble = self._about(path)
        if about is None:
            return True
        data: bytes | None = None
        try:
            data = read_bytes(where)
            status = where.stat()
            if (status.st_size, status.st_mtime_ns) != state or len(data) != state[0]:
                return True  # still growing
        except FileNotFoundError:
            return True
        except (ImageError, OSError) as error:
            if not os.path.exists(where):  # noqa: PTH110 - whatever keeps it from being looked at
                return True
            trouble = trouble or (error.reason if isinstance(error, ImageError) else str(error.strerror or error))
        job = Job(
            name=path,
            data=data,
            recipe=self._how.recipe,
            key=f"{self._stored(path)} {state[0]} {state[1]}",
            serial=about.serial,
            lot=about.lot,
            camera=about.camera,
            taken_at=about.time,
            watched={"path": self._stored(path), "size": state[0], "mtime_ns": state[1]},
            sinks=() if self._sink is None else (self._sink.sink,),
            trouble=trouble,
        )
        return self._submit(job, path, state, ends)

    def _submit(self, job: Job, path: str, state: State, ends: threading.Event) -> bool:
        with self._lock:
            self._flying[path] = state
        try:
            while True:
                try:
                    ticket = self._station.submit(job, wait=0.2)
                    break
                except BusyError:
                    if ends.is_set():
                        raise
        except (AmissError, OSError) as error:
            with self._lock:
                self._flying.pop(path, None)
            if isinstance(error, OutputError):
                self._pause(str(error))
            elif not isinstance(error, (BusyError, NotReadyError)):
                raise
            return False
        ticket.committed.add_done_callback(lambda done: self._settled(ticket, path, state, done.exception()))
        return True

    def _settled(self, ticket: Ticket, path: str, state: State, error: BaseException | None) -> None:
        """Called when a verdict is on disk, or could not be written: then the file is taken again later."""
        with self._lock:
            self._flying.pop(path, None)
            if error is None:
                self._known[path] = state
        if error is not None:
            self.failed += 1
            self._pause(str(error))
            return
        if self._trouble:
            self._trouble = ""
            self._tell("verdicts are on disk again")
        event, accept = ticket.committed.result(), ticket.answer.result().accept
        if self._sink is not None:
            self._sink.tell(event, accept)
        self._heard(event, accept)

    def _stored(self, path: str) -> str:
        """A file in the store: whole, so that another folder with files of the same names is another folder."""
        return str(text(f"{self._root}/{path}"))

    def _pause(self, trouble: str) -> None:
        self._next_try = time.monotonic() + 1.0
        self._say(trouble)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell(f"no part is taken: {trouble}")

    def _about(self, path: str) -> tuple[About | None, str]:
        """What is known of a part, and what is wrong with that; None while its sidecar may still come."""
        about = About() if self._how.names is None else self._how.names.read(path)
        if not self._how.sidecars:
            return about, ""
        where = self._how.folder / path
        for beside in (where.with_suffix(".json"), where.with_name(where.name + ".json")):
            if beside.is_file():
                try:
                    found = read_sidecar(beside)
                except InputError as error:
                    return (None, "") if self._may_come(path) else (about, str(error))
                return About(**{name: value or getattr(about, name) for name, value in vars(found).items()}), ""
        return (None, "") if self._may_come(path) else (about, f"no {where.stem}.json came beside it")

    def _may_come(self, path: str) -> bool:
        return time.monotonic() - self._since.get(path, 0.0) < SIDECAR_SECONDS


def check_places(watching: Watching, store: Path) -> None:
    """Refuse a folder that is none, and a store or results inside it.

    Raises:
        DataError: No such folder.
        InputError: Something that Amiss writes would lie inside it.
    """
    folder = watching.folder
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    real = Path(os.path.realpath(folder))
    for what, place in (("store", store), ("results", watching.results)):
        if place is not None and Path(os.path.realpath(place)).is_relative_to(real):
            raise InputError(f"{what} must lie outside the folder that is watched ({folder}), got {place}")
