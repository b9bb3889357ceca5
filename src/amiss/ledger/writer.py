"""`Writer`: the one thread that writes a station's chain. What came in meanwhile is committed together.

An event has its number, its time and its hash from here. When a commit fails, everything of its group fails, nothing of
it is in the tables, and the next group is tried on a new connection: a full disk that has room again needs no restart.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from sqlalchemy import Connection, bindparam, func, insert, select

from amiss.core.errors import AmissError, InputError, OutputError
from amiss.ledger import database, tables
from amiss.ledger.events import ORIGIN, Draft, Event, make_event, now
from amiss.ledger.images import DURABLE, is_missing, write_images
from amiss.ledger.keys import known_keys, same_part
from amiss.ledger.projections import project
from amiss.ledger.store import Store
from amiss.storage import sweep

GROUP = 64
"""Events that are committed together, at most."""

_COMMITS = 200  # between two checkpoints of SQLite's log, or a pause
_IDLE = 1.0  # seconds
_GLANCE = 0.02  # seconds between two looks whether to linger

# made once: to put a statement together takes longer than to run it
_COLUMNS = tuple(column.name for column in tables.event.c)
_NEW_EVENT = insert(tables.event)
_KEPT = select(tables.image.c.sha256).where(
    tables.image.c.sha256.in_(bindparam("hashes", expanding=True)), tables.image.c.state == "kept"
)


@dataclass(frozen=True)
class Committed:
    """What is on disk.

    Args:
        event: The event.
        fresh: False where one with the same key, bytes and recipe was there already; `event` is that one.
    """

    event: Event
    fresh: bool = True


@dataclass
class _Waiting:
    draft: Draft
    image: bytes | None
    future: Future[Committed] = field(default_factory=Future)
    repeats: bool = False
    """Whether its key was given before."""
    new_file: bool = False
    """Whether the file of its image was not there before."""

    @property
    def needs_file(self) -> bool:
        """Whether its image is to be written."""
        return self.image is not None and not self.repeats

    @property
    def is_fresh(self) -> bool:
        """Whether it has become an event of its own."""
        return self.future.exception() is None and self.future.result().fresh


@dataclass
class _Work:
    work: Callable[[Connection], None]
    future: Future[None] = field(default_factory=Future)


class Writer:
    """Writes events, and the images that belong to them, and says when they are on disk.

    Args:
        store: Whose station is written; nobody else may write it meanwhile.
        linger: Seconds that a commit waits for more to come, as when parts queue anyway; asked again and again. One of
            ten events costs a third of ten of one.

    Raises:
        DataError: A schema of a newer Amiss.
        OutputError: Another process writes it, or it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Writer(Store.make(folder + "/store")) as writer:
        ...     print(writer.submit(Draft("pruned", {"parts": [], "why": "age"})).result().event.seq)
        2
    """

    def __init__(self, store: Store, linger: Callable[[], float] = lambda: 0.0) -> None:
        self.store, self.linger = store, linger
        self.head: tuple[int, str] = (0, ORIGIN)
        self._queue: queue.SimpleQueue[_Waiting | _Work | None] = queue.SimpleQueue()
        self._engine = database.writing_engine(store.place)
        self._connection: Connection | None = None
        self._stack = ExitStack()
        self._since_checkpoint = 0
        self._made: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="amiss-writer", daemon=True)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.store.held())
            with database.working(self.store):
                database.migrate(self._engine)
            stack.callback(self._disconnect)
            with self._writing():
                pass  # reads the head
            for folder in self.store.images.glob("??"):
                sweep(folder)
            self._stack = stack.pop_all()
        self._thread.start()
        if self.head[0] == 0:
            from amiss import __version__

            self.submit(Draft("opened", {"amiss": __version__})).result()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._queue.put(None)
            self._thread.join()
            with contextlib.suppress(AmissError), self._writing() as connection:
                connection.commit()
                database.checkpoint(connection, "TRUNCATE")

    def submit(self, draft: Draft, image: bytes | None = None) -> Future[Committed]:
        """Have something written.

        Args:
            draft: What; a "judged" one has a key, which no other one of this station has.
            image: The bytes of the image of a "judged" one, where it is to be kept.

        Returns:
            Done when it is on disk; raises `OutputError` where it could not be written, and `ConflictError` where the
            key was given before to other bytes or for another recipe.
        """
        if (image is None) != (draft.data.get("image") is None):
            raise InputError("an image must come with what is to be said of it, got one of the two only")
        waiting = _Waiting(draft, image)
        self._queue.put(waiting)
        return waiting.future

    @property
    def waiting(self) -> int:
        """How many wait to be written, about."""
        return self._queue.qsize()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def call(self, work: Callable[[Connection], None]) -> Future[None]:
        """Have a change of the projections made that is no event, such as that a message was delivered.

        Args:
            work: Called in a transaction, by the thread that writes; twice when the first try fails.
        """
        waiting = _Work(work)
        self._queue.put(waiting)
        return waiting.future

    def _run(self) -> None:
        ends = False
        while not ends:
            try:
                group = [self._queue.get(timeout=_IDLE)]
            except queue.Empty:
                self._tidy(idle=True)
                continue
            began = time.monotonic()
            while len(group) < GROUP and None not in group:
                patient = time.monotonic() - began < self.linger()
                try:
                    group.append(self._queue.get(block=patient, timeout=_GLANCE))
                except queue.Empty:
                    if not patient:
                        break
            ends = None in group
            taken = [one for one in group if one is not None]
            try:
                self._take(taken)
            except Exception as error:  # whatever it is, nobody may wait for ever, and the next group is tried
                _fail(taken, error)
            self._tidy(idle=False)

    def _take(self, group: Sequence[_Waiting | _Work]) -> None:
        """Write a group. When that fails, each alone, so that one that cannot be written takes no other with it."""
        events = [one for one in group if isinstance(one, _Waiting)]
        drafts = self._with_images(self._looked_up(events))
        works = [one for one in group if isinstance(one, _Work)]
        ready: list[_Waiting | _Work] = [*drafts, *works]
        failures: list[Exception] = []
        for one in ready if ready and self._commit(ready) is not None else []:
            hopeless = len(failures) > 1 and isinstance(failures[-1], OutputError)  # the disk, not the event
            why = failures[-1] if hopeless else self._commit([one])
            failures = [] if why is None else [*failures, why]
            if why is not None:
                one.future.set_exception(why)
        self._drop_images(events)

    def _looked_up(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Those to go on with: without a database that says which keys are known no image is written."""
        imaged = [one for one in group if one.image is not None]
        why = self._look_up(imaged) if imaged else None
        if why is not None:  # once more, on a new connection
            why = self._look_up(imaged)
        if why is None:
            return list(group)
        for one in imaged:
            one.future.set_exception(why)
        return [one for one in group if one.image is None]

    def _look_up(self, group: Sequence[_Waiting]) -> AmissError | None:
        """Note which keys were given before, whose images must not be written once more; what has gone wrong."""
        try:
            with self._writing() as connection:
                known = known_keys(connection, self.store.station, [one.draft for one in group])
            for one in group:
                one.repeats = one.draft.data.get("key") in known
        except AmissError as error:
            return error
        except Exception:  # one of them is no event: it fails alone when it is written
            return None
        return None

    def _commit(self, ready: Sequence[_Waiting | _Work]) -> Exception | None:
        """Write some of them together; what has gone wrong, if anything has. Then nothing was written."""
        try:
            done = self._write(ready)
        except AmissError as error:
            return error
        except Exception as error:  # whatever it is, nobody may wait for ever
            return OutputError(f"{self.store} cannot be written ({type(error).__name__}: {error})")
        for one in ready:
            if isinstance(one, _Work):
                one.future.set_result(None)
        for waiting, committed in done:
            waiting.future.set_result(committed)
        return None

    def _with_images(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """Write the images first. Without a durable one its event fails; without a good one it only says so."""
        ready = []
        for durable in (True, False):
            own = [one for one in group if one.needs_file and (_class(one.draft) in DURABLE) is durable]
            paths = [self.store.image(one.draft.data["sha256"]) for one in own]
            for path, one in zip(paths, own, strict=True):
                one.new_file = is_missing(path)
            failed = write_images([(p, one.image or b"") for p, one in zip(paths, own, strict=True)], durable=durable)
            for path, one in zip(paths, own, strict=True):
                if path not in failed:
                    ready.append(one)
                elif durable:
                    one.future.set_exception(failed[path])
                else:
                    one.draft = replace(one.draft, data={**one.draft.data, "image": None})
                    ready.append(one)
        kept = {id(one) for one in ready}
        return [one for one in group if not one.needs_file or id(one) in kept]

    def _drop_images(self, group: Sequence[_Waiting]) -> None:
        """Remove the files that were made for what has not become an event, as far as no part has such an image.

        Where that fails, as on a full disk, it is tried again with the next group.
        """
        self._made |= {one.draft.data["sha256"] for one in group if one.new_file and not one.is_fresh}
        if not self._made:
            return
        with contextlib.suppress(AmissError, OSError):
            with self._writing() as connection:
                needed = set(connection.execute(_KEPT, {"hashes": list(self._made)}).scalars())
            for sha256 in self._made - needed:
                self.store.image(sha256).unlink(missing_ok=True)
            self._made.clear()

    def _write(self, ready: Sequence[_Waiting | _Work]) -> list[tuple[_Waiting, Committed]]:
        group = [one for one in ready if isinstance(one, _Waiting)]
        with self._writing() as connection:
            seq, prev = self.head
            known = known_keys(connection, self.store.station, [one.draft for one in group])
            done, fresh, at = [], [], now()
            for one in group:
                key = one.draft.data.get("key")
                earlier = known.get(key) if key is not None else None
                if earlier is not None:
                    done.append((one, Committed(same_part(earlier, one.draft), fresh=False)))
                    continue
                event = make_event(self.store.station, seq + 1, at, one.draft, prev)
                seq, prev = event.seq, event.hash
                fresh.append(event)
                done.append((one, Committed(event)))
                if key is not None:
                    known[key] = event
            if fresh:
                rows = [{name: getattr(event, name) for name in _COLUMNS} for event in fresh]
                connection.execute(_NEW_EVENT, rows)
                project(connection, fresh)
            for each in ready:
                if isinstance(each, _Work):
                    each.work(connection)
        self.head = (seq, prev)
        self._since_checkpoint += 1
        return done

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction, and a new connection with the head as it is on disk after any failure."""
        try:
            with database.working(self.store):
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection.begin():
                    yield self._connection
        except BaseException:
            self._disconnect()
            raise

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        try:
            with connection.begin():
                database.take_station(connection, self.store.station)
                self.head = _head(connection, self.store.station)
        except BaseException:
            connection.invalidate()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()
            with contextlib.suppress(Exception):
                connection.close()

    def _tidy(self, *, idle: bool) -> None:
        if self._since_checkpoint and (idle or self._since_checkpoint >= _COMMITS) and self._connection is not None:
            self._since_checkpoint = 0
            with contextlib.suppress(Exception):  # the log stays, and is longer the next time
                database.checkpoint(self._connection, "PASSIVE")


def _fail(group: Sequence[_Waiting | _Work], error: Exception) -> None:
    for one in group:
        if not one.future.done():
            one.future.set_exception(OutputError(f"it cannot be written ({type(error).__name__}: {error})"))


def _class(draft: Draft) -> str:
    image = draft.data.get("image")
    return str(image["class"]) if isinstance(image, Mapping) else ""


def _head(connection: Connection, station: str) -> tuple[int, str]:
    table = tables.event
    last = select(func.max(table.c.seq)).where(table.c.station == station).scalar_subquery()
    found = connection.execute(
        select(table.c.seq, table.c.hash).where(table.c.station == station, table.c.seq == last)
    ).one_or_none()
    return (0, ORIGIN) if found is None else (int(found.seq), str(found.hash))
