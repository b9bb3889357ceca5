"""`Station`: parts come in, each is judged once, and what is answered is on disk. No HTTP, no folders: see `connect`.

    submit -> bounded queue -> decoder child -> score -> image, if kept -> commit -> answer -> sinks

Only a verdict that is good, on disk and in time is accept. Whatever goes wrong on the way (a broken image, a decoder
that dies, a full disk, a deadline) rejects.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Self

from amiss.core.checks import check_rate
from amiss.core.errors import AmissError, BusyError, InputError, NotReadyError, OutputError
from amiss.core.threads import threads
from amiss.core.verdict import Label
from amiss.ledger.events import Draft, Event
from amiss.ledger.images import Keeping, class_of
from amiss.ledger.prune import prune, sweep_images
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.writer import Committed, Writer
from amiss.station.charts import Charts
from amiss.station.decoding import Decoders
from amiss.station.jobs import TOGETHER, Job, Line, Ticket, is_drawn, new_id
from amiss.station.recipes import Recipes
from amiss.station.shadows import Shadows
from amiss.station.systemd import notify, watchdog_seconds
from amiss.station.worker import Found, judge

STUCK = 60.0
"""Seconds at one part after which a thread that scores is taken to hang: systemd is told no more that all is well."""

DRAIN = 12.0
"""Seconds in which parts on their way are finished when the station ends."""

_TICK = 0.02
_MEND_SECONDS = 0.2
_PRUNE_SECONDS = 60.0
_PRUNE_PAUSE = 0.2
_LINGER = 0.3


class Station:
    """Judges parts, from several threads at once, and records each verdict.

    Args:
        store: Where the record is kept; nobody else writes it meanwhile.
        cores: Of the processor, to score with; those of `amiss.core.threads` when None.
        deadline: Seconds from arrival to answer, after which a part is rejected; None for no limit.
        audit: Share of parts that are drawn for an audit, whatever their verdict.
        keeping: Which images are kept, and how long.
        charts: Whether control charts are drawn.
        tell: Called with one line for whoever watches, from any thread.
        heard: Called with each new verdict on disk, from the thread that writes; must be quick.

    Raises:
        DataError: A store of a newer Amiss, or on another machine's disk.
        OutputError: The store is written by another process, or cannot be.
    """

    def __init__(
        self,
        store: Store,
        *,
        cores: int | None = None,
        deadline: float | None = 0.5,
        audit: float = 0.01,
        keeping: Keeping | None = None,
        charts: bool = True,
        tell: Callable[[str], None] = lambda line: None,
        heard: Callable[[Event], None] = lambda event: None,
    ) -> None:
        if deadline is not None and not 0 < deadline < 1e6:
            raise InputError(f"deadline must be seconds above 0, got {deadline}")
        self.store, self.tell, self.heard = store, tell, heard
        self.cores = threads() if cores is None else cores
        self.deadline, self.audit = deadline, audit if audit in (0, 1) else check_rate("audit", audit)
        self.keeping = Keeping.of() if keeping is None else keeping
        self.counts: Counter[str] = Counter()
        self.delays: deque[dict[str, float]] = deque(maxlen=1000)
        self._charted = charts
        self._queue = Line(2 * self.cores + TOGETHER)
        self._open: dict[str, Ticket] = {}
        self._busy: dict[int, float] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._draining = threading.Event()
        self._ends = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.writer = stack.enter_context(Writer(self.store, linger=self._linger))
            self.reader = Reader(stack.enter_context(self.store.reading()), self.store)
            sweep_images(self.reader)
            self.recipes = Recipes(self.writer, self.reader)
            self.decoders = Decoders(self.cores)
            stack.callback(self.decoders.close)
            self.charts = Charts(self.writer, self.reader, self.tell)
            if self._charted:
                self.charts.start()
                stack.callback(self.charts.stop)
            self.shadows = Shadows(self.writer, self.recipes, self.decoders, lambda: bool(self._open))
            self.shadows.start()
            stack.callback(self.shadows.stop)
            self._workers = [
                threading.Thread(target=self._work, args=(number,), name=f"amiss-score-{number}", daemon=True)
                for number in range(self.cores + 1)  # while all cores score, one more has its image decoded
            ]
            self._keeper = threading.Thread(target=self._keep_watch, name="amiss-watch", daemon=True)
            self._tidier = threading.Thread(target=self._tidy, name="amiss-prune", daemon=True)
            for thread in (*self._workers, self._keeper, self._tidier):
                thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.drain()

    def submit(self, job: Job, *, wait: float | None = None) -> Ticket:
        """Have a part judged.

        Args:
            job: The part.
            wait: Seconds to wait for room in the queue; None refuses at once.

        Returns:
            Its ticket: `answer` is what to tell the line, `committed` is done when a verdict is on disk.

        Raises:
            BusyError: There is no room.
            NotReadyError: The station ends, or no model is deployed for the recipe.
            OutputError: The disk has less room than it must.
        """
        return self._admit([job], wait)[0]

    def submit_all(self, jobs: Sequence[Job]) -> list[Ticket]:
        """Have parts of one recipe judged that came together: all of them are taken, or none.

        Args:
            jobs: The parts, up to `TOGETHER`.

        Returns:
            Their tickets.

        Raises:
            BusyError: There is no room for all of them.
            NotReadyError: The station ends, or no model is deployed for the recipe.
            OutputError: The disk has less room than it must.
        """
        return self._admit(jobs, None)

    def _admit(self, jobs: Sequence[Job], wait: float | None) -> list[Ticket]:
        if self._draining.is_set():
            raise NotReadyError("the station takes no more parts: it is ending")
        for recipe in {job.recipe for job in jobs}:
            self.recipes.current(recipe)
        self.check_room()
        tickets = []
        for job in jobs:
            part = new_id()
            tickets.append(Ticket(job, part, is_drawn(part, self.store.secret, self.audit), self.deadline))
        with self._lock:
            self._open |= {ticket.part: ticket for ticket in tickets}
        try:
            if wait is None:
                self._queue.put_all(tickets)
            else:
                for ticket in tickets:
                    self._queue.put(ticket, timeout=wait)
        except queue.Full:
            with self._lock:
                for ticket in tickets:
                    self._open.pop(ticket.part, None)
            self.counts["refused"] += len(tickets)
            raise BusyError(f"the station has no room for more than {self._queue.maxsize} parts; come again") from None
        return tickets

    def untold(self, tickets: Sequence[Ticket], reason: str) -> list[Future[Committed]]:
        """Record that parts are not accepted whose verdict is on disk, because whoever sent them is told no verdict.

        Args:
            tickets: Answered. Those that were not accepted stay as they are, and so do verdicts that were told before.
            reason: Why.

        Returns:
            One for each part that this concerns, done when it is on disk.
        """
        done = []
        for ticket in tickets:
            answer = ticket.answer.result()
            event = answer.event
            if answer.accept and event is not None and event.data["id"] == ticket.part:
                late = {"part": ticket.part, "label": str(answer.label), "score": event.data["score"], "reason": reason}
                done.append(self.writer.submit(Draft("late", late)))
        return done

    def check_room(self) -> None:
        """Refuse parts before the disk is full.

        Raises:
            OutputError: Less is free than the floor, or nobody can tell.
        """
        try:
            free = shutil.disk_usage(self.store.folder).free
        except OSError as error:
            self.counts["refused"] += 1
            raise OutputError(f"{self.store}: its disk cannot be looked at ({error.strerror or error})") from error
        if free < self.keeping.floor:
            self.counts["refused"] += 1
            raise OutputError(
                f"{self.store}: {self.keeping.floor / 1e6:.0f} MB must stay free on its disk, got {free / 1e6:.0f} MB"
            )

    @property
    def waiting(self) -> int:
        """Parts that are on their way."""
        return len(self._open)

    @property
    def draining(self) -> bool:
        """Whether no part is taken any more."""
        return self._draining.is_set()

    def refuse(self) -> None:
        """Take no more parts; those on their way are finished."""
        self._draining.set()

    def drain(self, seconds: float = DRAIN) -> bool:
        """Take no more parts, and finish those on their way.

        Returns:
            Whether all were; those that were not are answered with reject.
        """
        self._draining.set()
        end = time.monotonic() + seconds
        while self._open and time.monotonic() < end:
            time.sleep(0.005)
        rest = list(self._open.values())
        for ticket in rest:
            self._give_up(ticket, "the station ended before it was judged")
        if not self._ends.is_set():
            for _ in self._workers:
                self._queue.put(None)
            for thread in self._workers:
                thread.join(timeout=max(0.1, end - time.monotonic()))
            self._ends.set()
            self._keeper.join(timeout=2)
            self._tidier.join(timeout=2)
        return not rest

    def hurry(self) -> None:
        """Let the end not wait for charts that are not drawn yet: somebody wants this process gone."""
        self.charts.patience = 2.0

    def _work(self, number: int) -> None:
        while (ticket := self._queue.get()) is not None:
            self._busy[number] = time.monotonic()
            try:
                self._judge(ticket)
            except Exception as error:  # a fault of ours costs one part, not the thread
                self._record(
                    ticket, Found(Label.ERROR, reason=f"fault of the station: {type(error).__name__}: {error}")
                )
            finally:
                del self._busy[number]

    def _judge(self, ticket: Ticket) -> None:
        waited = 1000 * (time.monotonic() - ticket.began)
        if ticket.late:  # nobody waits for it any more
            return
        found = judge(self.recipes.current(ticket.job.recipe), ticket.job, self.decoders)
        found.ms["queue"], ticket.map = waited, found.map
        self._record(ticket, found)

    def _record(self, ticket: Ticket, found: Found) -> None:
        """Have a verdict written, and answer when it is on disk."""
        if not ticket.record():
            late = {"part": ticket.part, "label": str(found.label), "score": found.score, "reason": "scored too late"}
            self.writer.submit(Draft("late", late))
            return
        data, at = ticket.job.data, datetime.now(UTC)
        kind = class_of(str(found.label), ticket.audit)
        until = None if data is None else self.keeping.until(kind, at)
        image = None if until is None or data is None else {"bytes": len(data), "class": kind, "keep_until": until}
        draft = Draft("judged", found.event(ticket, image))
        began = time.monotonic()
        future = self.writer.submit(draft, None if image is None else data)
        future.add_done_callback(lambda done: self._settle(ticket, found, done, began))

    def _linger(self) -> float:
        """Seconds that a verdict may wait to be written with others: some, while parts queue for longer than that."""
        if self._queue.qsize() <= self.cores:
            return 0.0
        return _LINGER if self.deadline is None else min(_LINGER, self.deadline / 10)

    def _settle(self, ticket: Ticket, found: Found, done: Future[Committed], began: float) -> None:
        """Called by the writer when a verdict is on disk, or cannot be."""
        error = done.exception()
        if error is not None:
            self.counts["not recorded"] += 1
            self._answer(ticket, Label.ERROR, f"not on disk: {error}", None)
            ticket.committed.set_exception(error)
            return
        committed = done.result()
        event, label, reason, was_late = committed.event, found.label, found.reason, False
        if not committed.fresh:  # the answer is the one that was given then
            label, reason = Label(event.data["label"]), event.data["reason"]
            was_late = self.reader.part(event.data["id"])["late"]
        found.ms["store"] = 1000 * (time.monotonic() - began)
        self._answer(ticket, label, reason, event, was_late=was_late)
        if committed.fresh and label is Label.GOOD and not ticket.answer.result().accept:
            reason = f"on disk after {1000 * (time.monotonic() - ticket.began):.0f} ms"
            late = {"part": event.data["id"], "label": str(label), "score": found.score, "reason": reason}
            self.writer.submit(Draft("late", late))
        if committed.fresh:
            self.counts[str(label)] += 1
            self.delays.append(found.ms)
            self.heard(event)
            who = found.deployed
            if who is not None:
                self.shadows.offer(event.data["id"], ticket.job, who, label)
            if who is not None and self._charted:
                scored = (found.score, found.health)
                self.charts.add(who.recipe, who.version, who.inspector, event.seq, ticket.job.name, scored)
        ticket.committed.set_result(event)

    def _answer(
        self, ticket: Ticket, label: Label, reason: str, event: Event | None, *, was_late: bool = False
    ) -> None:
        ticket.say(label, reason, event, was_late=was_late)
        with self._lock:
            self._open.pop(ticket.part, None)

    def _give_up(self, ticket: Ticket, reason: str) -> None:
        """Reject a part whose time is over, and record it as an error unless its verdict is being written."""
        if ticket.say(Label.ERROR, reason, None):
            self.counts["late"] += 1
        if ticket.record():
            draft = Draft("judged", Found(Label.ERROR, reason=reason).event(ticket, None))
            future = self.writer.submit(draft)
            future.add_done_callback(lambda done: _pass_on(done, ticket))
        with self._lock:
            self._open.pop(ticket.part, None)

    def _keep_watch(self) -> None:
        """Deadlines, children that hang or are missing, and systemd's watchdog."""
        every, fed, mended = watchdog_seconds(), 0.0, 0.0
        while not self._ends.wait(_TICK):
            for ticket in list(self._open.values()):
                if ticket.late:
                    self._give_up(ticket, f"no verdict on disk within {1000 * (ticket.seconds or 0):.0f} ms")
            now = time.monotonic()
            if now - mended > _MEND_SECONDS:
                self.decoders.mend()
                mended = now
            if every is not None and now - fed > every / 3 and self.healthy():
                notify("WATCHDOG=1")
                fed = now

    def _tidy(self) -> None:
        """Remove images whose time is over, or that are too many: a few at a time, until none is left to go."""
        while not self._ends.wait(_PRUNE_SECONDS):
            try:
                while any(of["images"] for of in prune(self.writer, self.reader, self.keeping, most=1).values()):
                    if self._ends.wait(_PRUNE_PAUSE):
                        break
            except AmissError as error:
                self.tell(f"images cannot be removed: {error}")

    def healthy(self) -> bool:
        """Whether every thread that scores has done so lately, or has nothing to do."""
        now = time.monotonic()
        moving = all(now - since < STUCK for since in list(self._busy.values()))
        return moving and all(thread.is_alive() for thread in self._workers) and self.writer.alive


def _pass_on(done: Future[Committed], ticket: Ticket) -> None:
    error = done.exception()
    if error is None:
        ticket.committed.set_result(done.result().event)
    else:
        ticket.committed.set_exception(error)
