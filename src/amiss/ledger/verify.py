"""Is the record what was written? The chain, the tables that are made from it, and the images; and making them anew."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, select, text

from amiss.core.errors import AmissError, DataError
from amiss.ledger import tables
from amiss.ledger.database import memory_engine
from amiss.ledger.events import Event, check_chain
from amiss.ledger.projections import project
from amiss.ledger.reader import Reader
from amiss.ledger.writer import Writer

SHOWN = 50
"""Faults that are told; all are counted."""

Group = tuple[int, list[tuple[Any, ...]]]


@dataclass
class Verification:
    """What was checked, and what is wrong.

    Args:
        station: Whose chain.
        events: How many.
        head: Hash of the last one: what an outside witness keeps.
        images: Kept images that were looked for.
        read: Whether these were read, and their hashes compared.
        faults: How many things are wrong.
        shown: The first of them, in words.
    """

    station: str
    events: int = 0
    head: str = ""
    images: int = 0
    read: bool = False
    faults: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, fault: str) -> None:
        """Count a fault."""
        self.faults += 1
        if len(self.shown) < SHOWN:
            self.shown.append(fault)

    def summary(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"sound": self.faults == 0, **vars(self)}


def verify(reader: Reader, *, heads: dict[str, str] | None = None, read_images: bool = False) -> Verification:
    """Check everything that can be checked from inside, and against what witnesses have seen.

    A station may write meanwhile: events and tables are those of one moment.

    Args:
        reader: Of the store.
        heads: Hashes that somebody outside has been told, with where; each must be in the chain. Only they can show
            that the end of a chain was cut off, or a whole chain replaced.
        read_images: Read every kept image, and compare its hash.
    """
    found = Verification(reader.station, read=read_images)
    try:
        _check_file(reader, found)
        missing = dict(heads or {})
        with tempfile.TemporaryDirectory() as folder, reader.connect(snapshot=True) as connection:
            for fault in check_chain(_counted(_events(connection, reader.station), found, missing)):
                found.add(fault)
            for head, where in missing.items():
                found.add(f"{where}: event {head[:12]} is not in the chain; events were cut off or replaced")
            _check_tables(connection, found, Path(folder) / "again.sqlite")
        _check_images(reader, found)
    except DataError as error:  # so damaged that the database itself gives up
        found.add(str(error))
    return found


def _check_file(reader: Reader, found: Verification) -> None:
    with reader.connect() as connection:
        if connection.dialect.name == "sqlite":
            for row in connection.execute(text("PRAGMA integrity_check")):
                if row[0] != "ok":
                    found.add(f"database: {row[0]}")


def _counted(events: Iterator[Event], found: Verification, missing: dict[str, str]) -> Iterator[Event]:
    for event in events:
        found.events += 1
        found.head = event.hash
        missing.pop(event.hash, None)
        yield event


def _check_tables(connection: Connection, found: Verification, path: Path) -> None:
    """Make all projections again beside, and compare them row by row."""
    again = memory_engine(path)
    tables.metadata.create_all(again)
    try:
        with again.begin() as beside:
            project_all(beside, _events(connection, found.station))
    except (AmissError, ValueError) as error:
        found.add(f"tables cannot be made again: {error}")
        return
    except Exception as error:  # a forged event that no table takes
        found.add(f"tables cannot be made again: {' '.join(str(error).split())[:200]}")
        return
    with again.connect() as beside:
        for table in tables.PROJECTIONS:
            for seq, wanted, is_now in _apart(
                _groups(beside, table, found.station), _groups(connection, table, found.station)
            ):
                what = "is missing" if not is_now else "is not from any event" if not wanted else "was changed"
                found.add(f"table {table.name}: the row of event {seq} {what}")
    again.dispose()


def _groups(connection: Connection, table: Table, station: str) -> Iterator[Group]:
    """Rows of one event at a time, without the columns that no event tells."""
    columns = [c for c in table.columns if c.name not in tables.OPERATIONAL.get(table.name, ())]
    asked = select(table.c.seq, *columns).where(table.c.station == station).order_by(table.c.seq)
    rows = connection.execute(asked, execution_options={"yield_per": 1000})
    for seq, same in itertools.groupby(rows, key=lambda row: row[0]):
        yield int(seq), sorted((tuple(row) for row in same), key=repr)


def _apart(wanted: Iterator[Group], found: Iterator[Group]) -> Iterator[tuple[int, Any, Any]]:
    """Where two lists of groups differ: number, rows of the one and rows of the other, None for none."""
    left, right = next(wanted, None), next(found, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield (left or (0, []))[0], (left or (0, []))[1], None
            left = next(wanted, None)
        elif left is None or right[0] < left[0]:
            yield right[0], None, right[1]
            right = next(found, None)
        else:
            if left[1] != right[1]:
                yield left[0], left[1], right[1]
            left, right = next(wanted, None), next(found, None)


def _check_images(reader: Reader, found: Verification) -> None:
    """Every kept image is there, of its size; when asked, of its hash."""
    for row in _kept_images(reader):
        found.images += 1
        path = reader.store.image(row.sha256)
        try:
            length = path.stat().st_size
            same = not found.read or hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
        except OSError as error:
            if _is_kept(reader, row.part):  # not pruned since it was listed: the table says so before the file goes
                found.add(f"image of event {row.seq}: {path} cannot be read ({error.strerror})")
            continue
        if length != row.bytes or not same:
            found.add(f"image of event {row.seq}: {path} is not what was judged")


def _kept_images(reader: Reader) -> Iterator[Any]:
    """Rows of images that are kept, some at a time: no connection stays open while images are read."""
    image, after = tables.image, -1
    asked = select(image.c.part, image.c.seq, image.c.sha256, image.c.bytes).where(
        image.c.station == reader.station, image.c.state == "kept"
    )
    while True:
        with reader.connect() as connection:
            page = connection.execute(asked.where(image.c.seq > after).order_by(image.c.seq).limit(1000)).all()
        yield from page
        if not page:
            return
        after = page[-1].seq


def _is_kept(reader: Reader, part: str) -> bool:
    with reader.connect() as connection:
        return connection.execute(select(tables.image.c.state).where(tables.image.c.part == part)).scalar() == "kept"


def rebuild(writer: Writer) -> int:
    """Make all projections anew from the events; how far messages are delivered is kept.

    Args:
        writer: Of the store.

    Returns:
        The number of events.

    Raises:
        DataError: The chain is not sound, so nothing is made from it.
    """
    counted: list[int] = []
    writer.call(lambda connection: counted.append(_rebuild(connection, writer.store.station))).result()
    return counted[-1]


def _rebuild(connection: Connection, station: str) -> int:
    for fault in check_chain(_events(connection, station)):
        raise DataError(f"{fault}; tables are made from a sound chain only")
    box = tables.outbox
    connection.execute(text("DROP TABLE IF EXISTS outbox_was"))
    connection.execute(
        text("CREATE TEMPORARY TABLE outbox_was AS SELECT * FROM outbox WHERE station = :station"),
        {"station": station},
    )
    for table in tables.PROJECTIONS:
        connection.execute(delete(table).where(table.c.station == station))
    done = project_all(connection, _events(connection, station))
    columns = sorted(tables.OPERATIONAL[box.name])
    values = ", ".join(f"{name} = outbox_was.{name}" for name in columns)
    connection.execute(
        text(
            f"UPDATE outbox SET {values} FROM outbox_was WHERE outbox.station = outbox_was.station "
            "AND outbox.sink = outbox_was.sink AND outbox.seq = outbox_was.seq"
        )
    )
    connection.execute(text("DROP TABLE outbox_was"))
    return done


def _events(connection: Connection, station: str) -> Iterator[Event]:
    table, after = tables.event, 0
    while True:
        asked = select(table).where(table.c.station == station, table.c.seq > after).order_by(table.c.seq).limit(1000)
        page = [Event(**row._mapping) for row in connection.execute(asked)]
        yield from page
        if not page:
            return
        after = page[-1].seq


def project_all(connection: Connection, events: Iterator[Event]) -> int:
    """Write what all events mean, some at a time; how many there were."""
    done = 0
    while some := list(itertools.islice(events, 500)):
        project(connection, some)
        done += len(some)
    return done
