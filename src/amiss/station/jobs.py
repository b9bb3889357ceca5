"""`Job`, one part to be judged, and `Answer`, what is said of it. Accept is the exception; everything else rejects."""

from __future__ import annotations

import hashlib
import hmac
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amiss.core.verdict import Label
from amiss.ledger.events import Event

TOGETHER = 16
"""Parts that may come together, at most: all of them are taken, or none."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One part to be judged.

    Args:
        name: How people call its image.
        data: Bytes of the image file as they came; None when it could not be read, which `trouble` says.
        recipe: What kind of part it is: which model judges it.
        key: Belongs to this part alone: the same key with the same bytes and recipe is the same part, judged once.
        serial: Its serial number.
        lot: The batch it was made in.
        camera: What took the image.
        taken_at: When it was taken, as text.
        watched: Path, size and time of the file, where it comes from a folder.
        sinks: Who must be told.
        trouble: What is wrong with it before anybody has looked: it will be an error.
        wants_map: Whether its score map is asked for, which is never stored.
    """

    name: str
    data: bytes | None = field(repr=False)
    recipe: str
    key: str
    serial: str | None = None
    lot: str | None = None
    camera: str | None = None
    taken_at: str | None = None
    watched: Mapping[str, Any] | None = None
    sinks: tuple[str, ...] = ()
    trouble: str = ""
    wants_map: bool = False

    @cached_property
    def sha256(self) -> str:
        """Of the bytes, hex; "" when there are none."""
        return "" if self.data is None else hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What is said of one part.

    Args:
        part: Its id.
        accept: True only when the label is good, the verdict is on disk, and it was so in time.
        label: Of the verdict; "error" where there is none.
        reason: Why it is not accepted, where the label does not say it.
        event: The verdict on disk, or None where it is not, or not yet.
        ms: Milliseconds from the arrival of the part.
    """

    part: str
    accept: bool
    label: Label
    reason: str
    event: Event | None
    ms: float


@dataclass(frozen=True)
class ScoreMap:
    """A score map as bytes: float32 in the order of the machine, row by row.

    Args:
        height: Rows.
        width: Columns.
        data: Of 4 bytes per pixel.
    """

    height: int
    width: int
    data: bytes = field(repr=False)


class Ticket:
    """A job on its way. Its verdict is recorded once, and it is answered once, whoever comes first.

    Args:
        job: The part.
        part: Its id, made before anybody has looked at it.
        audit: Whether it was drawn for an audit, likewise.
        seconds: After which it is late; None for never.
    """

    def __init__(self, job: Job, part: str, audit: bool, seconds: float | None) -> None:
        self.job, self.part, self.audit = job, part, audit
        self.seconds = seconds
        self.began = time.monotonic()
        self.due = None if seconds is None else self.began + seconds
        self.answer: Future[Answer] = Future()
        self.committed: Future[Event] = Future()
        self._lock = threading.Lock()
        self._recorded = self._answered = False
        self.map: ScoreMap | None = None

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return self.due is not None and time.monotonic() > self.due

    def record(self) -> bool:
        """Whether the caller is the one to record the verdict."""
        with self._lock:
            first, self._recorded = not self._recorded, True
        return first

    def say(self, label: Label, reason: str, event: Event | None, *, was_late: bool = False) -> bool:
        """Answer, unless that was done. An answer that comes too late is never accept.

        Args:
            label: Of the verdict.
            reason: Why it is not accepted, where the label does not say it.
            event: The verdict on disk, or None.
            was_late: Whether this verdict was given before, too late.

        Returns:
            Whether this was the answer.
        """
        with self._lock:
            if self._answered:
                return False
            self._answered = True
        accept = label is Label.GOOD and event is not None and not self.late and not was_late
        ms = 1000 * (time.monotonic() - self.began)
        self.answer.set_result(Answer(self.part, accept, label, reason, event, ms))
        return True


class Line(queue.Queue[Ticket | None]):
    """Tickets that wait for whoever judges them; None ends one who waits for a ticket."""

    def put_all(self, tickets: Sequence[Ticket]) -> None:
        """Add some together.

        Raises:
            queue.Full: There is no room for all of them; then none is added.
        """
        with self.mutex:
            if self._qsize() + len(tickets) > self.maxsize:
                raise queue.Full
            for ticket in tickets:
                self._put(ticket)
            self.unfinished_tasks += len(tickets)
            self.not_empty.notify(len(tickets))


def new_id() -> str:
    """A UUID of version 7: it begins with the time, so that ids lie in an index as parts came.

    Example:
        >>> import uuid
        >>> one = uuid.UUID(new_id())
        >>> one.version, one.variant == uuid.RFC_4122
        (7, True)
    """
    ms = time.time_ns() // 1_000_000
    value = (ms & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(3 << 62) | 2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def is_drawn(part: str, secret: str, rate: float) -> bool:
    """Whether a part is drawn for an audit, decided by its id alone, which nobody can foresee without the secret.

    Args:
        part: Its id.
        secret: That of the store, hex.
        rate: Probability, 0 to 1.

    Example:
        >>> sum(is_drawn(str(number), "ab", 0.1) for number in range(1000))
        92
    """
    drawn = hmac.digest(bytes.fromhex(secret), part.encode(), "sha256")
    return int.from_bytes(drawn[:8]) < rate * 2**64
