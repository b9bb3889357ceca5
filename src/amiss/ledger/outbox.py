"""What has been told to whom: each message of a sink is one row, made with the event that it tells."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from amiss.ledger import tables
from amiss.ledger.events import now, spell
from amiss.ledger.writer import Writer

LONGEST = 300.0
"""Seconds between two tries at most."""


def pause(tries: int) -> float:
    """Seconds until the next try, after so many earlier ones: 1, 2, 4, ..., up to 5 minutes."""
    return min(LONGEST, 2.0 ** min(tries, 16))


def delivered(writer: Writer, sinks: Sequence[str], seqs: Sequence[int], why: str | None = None) -> Future[None]:
    """Note that whichever of these sinks was to be told of some events has been, or why it need not."""
    at = now()

    def note(connection: Connection) -> None:
        _change(connection, writer, sinks, seqs, {"done_at": at, "error": why})

    return writer.call(note)


def failed(writer: Writer, sinks: Sequence[str], seqs: Sequence[int], error: str) -> Future[None]:
    """Note that a try has failed, and when the next one may be, see `pause`."""
    began = datetime.now(UTC)

    def note(connection: Connection) -> None:
        box = tables.outbox
        station = writer.store.station
        asked = select(box.c.seq, box.c.tries).where(
            box.c.station == station, box.c.sink.in_(sinks), box.c.seq.in_(seqs)
        )
        for seq, tries in connection.execute(asked).all():
            next_at = spell(began + timedelta(seconds=pause(tries)))
            _change(connection, writer, sinks, [seq], {"tries": tries + 1, "next_at": next_at, "error": error[:500]})

    return writer.call(note)


def _change(
    connection: Connection, writer: Writer, sinks: Sequence[str], seqs: Sequence[int], values: dict[str, object]
) -> None:
    box = tables.outbox
    connection.execute(
        update(box)
        .where(box.c.station == writer.store.station, box.c.sink.in_(sinks), box.c.seq.in_(seqs))
        .values(**values)
    )
