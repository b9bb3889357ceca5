"""Images go when their time is over, or when there are too many bytes: the least needed first, the oldest first.

Images of parts that a control chart speaks of, since the part from which on something has changed, stay; so do those of
parts that people have set aside.

What is removed becomes an event before it is. Only files that the table lists are removed, in small batches, and only
in a folder that carries the marker of a store: a table that was lost or made anew must not cost a single image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Row, Select, exists, func, select

from amiss.core.errors import OutputError
from amiss.ledger import tables
from amiss.ledger.events import Draft, now
from amiss.ledger.images import CLASSES, Keeping
from amiss.ledger.reader import Reader
from amiss.ledger.store import MARKER
from amiss.ledger.writer import Writer

BATCH = 100
"""Images that are removed together."""


def prune(writer: Writer, reader: Reader, keeping: Keeping, *, most: int | None = None) -> dict[str, dict[str, int]]:
    """Remove images whose time is over, then as many as the quota asks for.

    Args:
        writer: Of the store.
        reader: Of the same store.
        keeping: How long, and how many bytes.
        most: Batches at most; None for all that must go.

    Returns:
        Images and bytes that were removed, by "age" and "quota".

    Raises:
        OutputError: The event cannot be written; then nothing more is removed.
    """
    removed = {why: {"images": 0, "bytes": 0} for why in ("age", "quota")}
    while most is None or most > 0:
        most = None if most is None else most - 1
        batch, why = _rows(reader, _over(reader)), "age"
        if not batch:
            batch, why = _beyond(reader, keeping.quota), "quota"
        if not batch:
            break
        writer.submit(Draft("pruned", {"parts": [row.part for row in batch], "why": why})).result()
        removed[why]["images"] += len(batch)
        removed[why]["bytes"] += _unlink(reader, batch)
    return removed


def sweep_images(reader: Reader) -> int:
    """Remove what an interrupted `prune` has left: files that the table lists, all of whose rows are gone."""
    image = tables.image
    asked = select(image.c.part, image.c.sha256, image.c.bytes).where(
        image.c.station == reader.station, image.c.state == "gone"
    )
    newest = asked.order_by(image.c.seq.desc()).limit(BATCH * 10)
    return _unlink(reader, [row for row in _rows(reader, newest) if reader.store.image(row.sha256).exists()])


def _over(reader: Reader) -> Select[Any]:
    """Those whose time is over."""
    image = tables.image
    return _kept(reader).where(image.c.keep_until.is_not(None), image.c.keep_until <= now()).limit(BATCH)


def _beyond(reader: Reader, quota: int) -> list[Row[Any]]:
    """The next ones to go, when the bytes that are kept are more than the quota."""
    image = tables.image
    total = select(func.coalesce(func.sum(image.c.bytes), 0)).where(
        image.c.station == reader.station, image.c.state == "kept"
    )
    too_many = int(_rows(reader, total)[0][0]) - quota
    if too_many <= 0:
        return []
    for kind in CLASSES:
        asked = _kept(reader).where(image.c["class"] == kind).order_by(image.c.seq).limit(BATCH)
        batch: list[Row[Any]] = []
        for row in _rows(reader, asked):
            if too_many > 0:
                batch.append(row)
                too_many -= row.bytes
        if batch:
            return batch
    return []


def _kept(reader: Reader) -> Select[Any]:
    """Images that may go: all that are kept, that no chart speaks of, and that nobody has set aside."""
    image, chart, aside, part = tables.image, tables.chart, tables.quarantine, tables.part
    spoken_of = exists().where(
        chart.c.station == image.c.station,
        chart.c.alarm,
        image.c.seq >= chart.c.first,
        image.c.seq <= func.coalesce(chart.c.last, chart.c.seq),
    )
    set_aside = exists().where(
        part.c.id == image.c.part,
        aside.c.station == image.c.station,
        aside.c.recipe == part.c.recipe,
        image.c.seq >= aside.c.first,
        aside.c.last.is_(None) | (image.c.seq <= aside.c.last),
        aside.c.lot.is_(None) | (aside.c.lot == part.c.lot),
    )
    return select(image.c.part, image.c.sha256, image.c.bytes).where(
        image.c.station == reader.station, image.c.state == "kept", ~spoken_of, ~set_aside
    )


def _unlink(reader: Reader, rows: Sequence[Row[Any]]) -> int:
    """Remove the files that no other part needs; how many bytes."""
    if not (reader.store.folder / MARKER).is_file():
        raise OutputError(f"{reader.store} has no {MARKER}; nothing is removed from a folder that is not a store")
    hashes = {row.sha256: int(row.bytes) for row in rows}
    image, freed = tables.image, 0
    needed = select(image.c.sha256).where(image.c.sha256.in_(hashes), image.c.state == "kept")
    for sha256 in hashes.keys() - {row[0] for row in _rows(reader, needed)}:
        with suppress(OSError):
            reader.store.image(sha256).unlink()
            freed += hashes[sha256]
    return freed


def _rows(reader: Reader, asked: Select[Any]) -> list[Row[Any]]:
    with reader.connect() as connection:
        return list(connection.execute(asked).all())
