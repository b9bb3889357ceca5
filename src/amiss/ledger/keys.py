"""Keys of parts: a part that comes again under its key is not judged anew, and is told what was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from amiss.core.errors import ConflictError
from amiss.ledger import tables
from amiss.ledger.events import Draft, Event
from amiss.ledger.projections import text

# made once: to put a statement together takes longer than to run it
_KEYS = select(tables.part.c.seq, tables.part.c.key).where(
    tables.part.c.station == bindparam("station"), tables.part.c.key.in_(bindparam("keys", expanding=True))
)


def known_keys(connection: Connection, station: str, drafts: Sequence[Draft]) -> dict[str, Event]:
    """Events that have one of these keys already, by key: few of them, so that the first look is a small one."""
    keys = {text(key): key for draft in drafts if (key := draft.data.get("key")) is not None}
    if not keys:
        return {}
    found = connection.execute(_KEYS, {"station": station, "keys": list(keys)}).all()
    if not found:
        return {}
    places = {int(row.seq): keys[row.key] for row in found}
    event = tables.event
    asked = select(event).where(event.c.station == station, event.c.seq.in_(places))
    return {places[row.seq]: Event(**row._mapping) for row in connection.execute(asked)}


def same_part(earlier: Event, draft: Draft) -> Event:
    """The earlier event, if it is about the same bytes and by the same recipe: another one would say something else.

    Raises:
        ConflictError: It is not.
    """
    was, is_now = earlier.data["recipe"], draft.data["recipe"]
    if was != is_now:
        raise ConflictError(
            f"a key must belong to one recipe, got {draft.data['key']!r} for {is_now!r}, and {was!r} has it"
        )
    was, is_now = earlier.data["sha256"], draft.data["sha256"]
    if was != is_now:
        raise ConflictError(
            f"a key must belong to one image, got {draft.data['key']!r} for {was[:12]} and {is_now[:12]}"
        )
    return earlier
