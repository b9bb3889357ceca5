"""`Event`: what happened, as exact bytes that are chained by their hashes. The events are the truth of a store.

    hash = SHA-256(prev + body)

`prev` is the hash of the station's event before it, 64 hexadecimal digits, and `ORIGIN` for the first. `body` is one
line of JSON in ASCII that also holds the station, the number, the time, the kind and the actor, so that nothing about
an event can be changed without changing its hash. ``printf %s%s "$prev" "$body" | sha256sum`` checks one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from amiss.core.errors import DataError, InputError
from amiss.core.plain_json import parse_json

ORIGIN = "0" * 64
"""What the first event of a station follows."""

KINDS = (
    "opened",  # the store was made: station, version of Amiss
    "versioned",  # an artefact became a version of a recipe
    "deployed",  # a version of a recipe judges from now on
    "shadow",  # a version judges in the shadow of the one that judges from now on, or none does any more
    "judged",  # a verdict on one part
    "compared",  # what the version in the shadow says of the same part
    "late",  # what came of a part after its deadline, or was not told
    "labelled",  # what a person says of a part
    "quarantined",  # a person sets parts aside
    "chart",  # a control chart alarms, or does so no more
    "pruned",  # images were removed
)
"""What may happen."""

HEAD = ("station", "seq", "at", "kind", "actor")
"""What each body begins with, beside its data."""


@dataclass(frozen=True)
class Draft:
    """Something that is to become an event: the writer gives it a number and a time.

    Args:
        kind: One of `KINDS`.
        data: Plain JSON values; see `amiss.ledger.projections` for what each kind holds.
        actor: Who did it: "station", or the name of a person.
    """

    kind: str
    data: Mapping[str, Any]
    actor: str = "station"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")


@dataclass(frozen=True)
class Event:
    """One link of the chain of a station.

    Args:
        station: Whose chain.
        seq: Its number, from 1, without gaps.
        at: When it was written, ISO 8601 in UTC by the clock of the station, which may jump: order by `seq`.
        kind: One of `KINDS`.
        actor: Who did it.
        body: The exact text that is hashed, ASCII, one line.
        prev: Hash of the event before it.
        hash: SHA-256 of prev and body, hex.
    """

    station: str
    seq: int
    at: str
    kind: str
    actor: str
    body: str = field(repr=False)
    prev: str = field(repr=False)
    hash: str

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the event says, beside `HEAD`; read once, so it must not be changed.

        Raises:
            DataError: The body is not that of an event.
        """
        return read_body(self.body)[1]

    def line(self) -> str:
        """``seq prev hash body``, as exported chains hold it."""
        return f"{self.seq} {self.prev} {self.hash} {self.body}"


def make_event(station: str, seq: int, at: str, draft: Draft, prev: str) -> Event:
    """Give a draft its place in the chain.

    Example:
        >>> event = make_event("line 1", 1, "2026-01-01T00:00:00Z", Draft("opened", {"amiss": "1"}), ORIGIN)
        >>> event.hash == link(ORIGIN, event.body), event.data
        (True, {'amiss': '1'})
    """
    head = {"station": station, "seq": seq, "at": at, "kind": draft.kind, "actor": draft.actor}
    body = json.dumps({**head, "data": finite(draft.data)}, allow_nan=False, separators=(",", ":"))
    return Event(station, seq, at, draft.kind, draft.actor, body, prev, link(prev, body))


def link(prev: str, body: str) -> str:
    """The hash of an event."""
    return hashlib.sha256((prev + body).encode("utf-8", "surrogatepass")).hexdigest()


def read_body(body: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Head and data of a body.

    Raises:
        DataError: Not the body of an event.
    """
    try:
        found = parse_json(body)
    except ValueError as error:
        raise DataError(f"the body of an event must be JSON, got {body[:60]!r}") from error
    if not isinstance(found, dict) or set(found) != {*HEAD, "data"} or not isinstance(found["data"], dict):
        raise DataError(f"the body of an event must have {', '.join(HEAD)} and data, got {body[:60]!r}")
    return {name: found[name] for name in HEAD}, found["data"]


_TEXTS = ("at", "kind", "actor", "body", "prev", "hash")


def check_chain(events: Iterable[Event], prev: str = ORIGIN, seq: int = 0) -> Iterator[str]:
    """What is wrong with the events of one station, which must come in the order of their numbers.

    Args:
        events: As they are stored.
        prev: Hash of the event before the first of them.
        seq: Its number.

    Yields:
        One sentence per fault; nothing when all is as it was written.
    """
    for event in events:
        if not isinstance(event.seq, int) or not all(isinstance(getattr(event, name), str) for name in _TEXTS):
            yield f"event {seq + 1}: not of the kinds of values that were written"
            seq += 1
            continue
        if event.seq != seq + 1:
            yield f"event {seq + 1}: missing; event {event.seq} comes after {seq}"
        if event.prev != prev:
            yield f"event {event.seq}: does not follow the event before it (another prev)"
        if event.hash != link(event.prev, event.body):
            yield f"event {event.seq}: the hash must be {link(event.prev, event.body)[:12]}, got {event.hash[:12]}"
        yield from _check_head(event)
        prev, seq = event.hash, event.seq


def _check_head(event: Event) -> Iterator[str]:
    try:
        head, _ = read_body(event.body)
    except DataError as error:
        yield f"event {event.seq}: {error}"
        return
    for name in HEAD:
        if head[name] != getattr(event, name):
            yield f"event {event.seq}: {name} must be {head[name]!r} as in its body, got {getattr(event, name)!r}"


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds: text that sorts as time does."""
    return spell(datetime.now(UTC))


def spell(moment: datetime) -> str:
    """A time as `now` writes it; one without a zone is of this machine's.

    Example:
        >>> spell(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2026-01-02T03:04:05.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str) -> str:
    """A time that a person wrote, such as 2026-01-31 or 2026-01-31T22:00, as `spell` writes it.

    Raises:
        InputError: Not a time.

    Example:
        >>> read_time("2026-01-02T03:04:05+01:00")
        '2026-01-02T02:04:05.000000Z'
    """
    try:
        return spell(datetime.fromisoformat(text))
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"a time must be such as 2026-01-31 or 2026-01-31T22:00, got {text!r}") from error


def finite(value: Any) -> Any:
    """The same plain JSON values; a number that is not finite, such as an endless threshold, becomes None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return value
