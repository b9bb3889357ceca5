"""`Reader`: what a store says, for people and programs that only read. Lists come by pages, never by skipping rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, ScalarSelect, Select, func, literal, select

from amiss.core.errors import DataError, InputError
from amiss.core.verdict import Label
from amiss.ledger import tables
from amiss.ledger.database import working
from amiss.ledger.events import ORIGIN, Event
from amiss.ledger.projections import text
from amiss.ledger.store import Store

PAGE = 100
"""Parts of one page."""

_BEHIND_ALL = 2**31 - 1
"""No event has a number above it."""

_JSON = ("regions", "health", "ms", "runtime")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which parts are asked for; None asks for all.

    Args:
        label: "good", "review", "anomalous" or "error".
        lot: Its lot.
        recipe: By which recipe it was judged.
        serial: Its serial number.
        since: Written at this time or later, see `amiss.ledger.events.spell`.
        until: Written before this time.
        blind: For people who are to label: without parts that were drawn for an audit and have no label yet.
    """

    label: str | None = None
    lot: str | None = None
    recipe: str | None = None
    serial: str | None = None
    since: str | None = None
    until: str | None = None
    blind: bool = False

    def __post_init__(self) -> None:
        if self.label is not None and self.label not in set(Label):
            raise InputError(f"label must be one of {', '.join(Label)}, got {self.label!r}")

    def summary(self) -> dict[str, str]:
        """What was asked for, as plain JSON values."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in (None, False)}


EVERYTHING = Filter()


class Reader:
    """Reads one station of a store.

    Args:
        engine: See `Store.reading`.
        store: The store.
        station: Whose chain; that of the store when None.
    """

    def __init__(self, engine: Engine, store: Store, station: str | None = None) -> None:
        self._engine = engine
        self.store, self.station = store, station or store.station

    @contextmanager
    def connect(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A connection for queries of one's own.

        Args:
            snapshot: Whether all queries see what the first one did, whatever is written meanwhile. In SQLite they do
                anyway, and its log grows as long as the connection is open.
        """
        with working(self.store, reading=True), self._engine.connect() as connection:
            if snapshot and connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def stations(self) -> list[str]:
        """All stations of the database."""
        return [str(row[0]) for row in self._rows(select(tables.event.c.station).distinct().order_by("station"))]

    def parts(
        self, only: Filter = EVERYTHING, *, before: int | None = None, after: int | None = None, limit: int = PAGE
    ) -> list[dict[str, Any]]:
        """One page of parts, the newest first; the oldest first where it goes on `after` a number.

        Args:
            only: Which.
            before: Numbers below this one: the last of the page before.
            after: Numbers above this one.
            limit: Parts at most.
        """
        part = tables.part
        asked = self._matching(select(part), only, before=before, after=after)
        order = part.c.seq.desc() if after is None else part.c.seq
        return [_plain(row._mapping) for row in self._rows(asked.order_by(order).limit(limit))]

    def every_part(self, only: Filter = EVERYTHING) -> Iterator[dict[str, Any]]:
        """All parts, the oldest first, page by page: memory does not grow with their number."""
        after = 0
        while page := self.parts(only, after=after, limit=1000):
            yield from page
            after = page[-1]["seq"]

    def part(self, name: str) -> dict[str, Any]:
        """One part with everything that is known of it.

        Args:
            name: Its id; its serial number, of which the newest part is taken; or the number of its event, with or
                without a # before it.

        Raises:
            DataError: There is none.
        """
        part = tables.part
        asked = select(part).where(part.c.station == self.station)
        number = name.removeprefix("#")
        one = self._one(asked.where(part.c.id == name.lower()))
        if one is None and name != "":
            one = self._one(asked.where(part.c.serial == name).order_by(part.c.seq.desc()).limit(1))
        if one is None and number.isdecimal():
            one = self._one(asked.where(part.c.seq == min(int(number), _BEHIND_ALL)))
        if one is None:
            raise DataError(f"part must be an id, number or serial number of {self.store}, got {name!r}")
        found = _plain(one._mapping)
        for key, table in (("image", tables.image), ("labels", tables.label), ("outbox", tables.outbox)):
            rows = [dict(row._mapping) for row in self._rows(select(table).where(table.c.part == found["id"]))]
            found[key] = rows if key != "image" else next(iter(rows), None)
        return found

    def worst(self, only: Filter, limit: int) -> list[dict[str, Any]]:
        """Parts with the highest scores, the highest first."""
        part = tables.part
        asked = self._matching(select(part).where(part.c.score.is_not(None)), only)
        return [
            _plain(row._mapping) for row in self._rows(asked.order_by(part.c.score.desc(), part.c.seq).limit(limit))
        ]

    def counts(self, only: Filter = EVERYTHING, *, by: str | None = None) -> list[dict[str, Any]]:
        """How many parts have which label, of them late ones, also by one of "lot" and "recipe"."""
        part = tables.part
        columns = [part.c[name] for name in filter(None, [by, "label", "late"])]
        asked = self._matching(select(*columns, func.count().label("parts")), only).group_by(*columns)
        return [dict(row._mapping) for row in self._rows(asked.order_by(*columns))]

    def spans(self, only: Filter = EVERYTHING) -> dict[str | None, tuple[int, int]]:
        """Numbers of the first and the last part of every lot."""
        part = tables.part
        asked = self._matching(select(part.c.lot, func.min(part.c.seq), func.max(part.c.seq)), only)
        return {lot: (int(first), int(last)) for lot, first, last in map(tuple, self._rows(asked.group_by(part.c.lot)))}

    def versions(self) -> list[dict[str, Any]]:
        """Every version of every recipe, with what is stated of it."""
        table = tables.version
        asked = select(table).where(table.c.station == self.station).order_by(table.c.seq)
        return [{**row._mapping, "about": json.loads(row._mapping["about"])} for row in self._rows(asked)]

    def deployments(self) -> list[dict[str, Any]]:
        """Which version judged from when on."""
        table = tables.deployment
        asked = select(table).where(table.c.station == self.station).order_by(table.c.seq)
        return [dict(row._mapping) for row in self._rows(asked)]

    def shadows(self) -> dict[str, int]:
        """Which version judges each recipe in the shadow now, of those that one does."""
        table = tables.shadow
        asked = select(table.c.recipe, table.c.version).where(table.c.station == self.station).order_by(table.c.seq)
        last = {row.recipe: row.version for row in self._rows(asked)}
        return {recipe: int(version) for recipe, version in last.items() if version is not None}

    def charts(self, only: Filter = EVERYTHING) -> list[dict[str, Any]]:
        """What the control charts said, in the times and of the recipe of a filter."""
        table = tables.chart
        asked = select(table).where(table.c.station == self.station)
        if only.recipe is not None:
            asked = asked.where(table.c.recipe == only.recipe)
        if only.since is not None:
            asked = asked.where(table.c.at >= only.since)
        if only.until is not None:
            asked = asked.where(table.c.at < only.until)
        return [dict(row._mapping) for row in self._rows(asked.order_by(table.c.seq))]

    def between(self, first: int, last: int, recipe: str | None = None) -> list[dict[str, Any]]:
        """Number, id, name, serial number, lot and label of the parts of some events."""
        part = tables.part
        columns = [part.c[name] for name in ("seq", "at", "id", "name", "serial", "lot", "label")]
        asked = select(*columns).where(part.c.station == self.station, part.c.seq.between(first, last))
        if recipe is not None:
            asked = asked.where(part.c.recipe == recipe)
        return [dict(row._mapping) for row in self._rows(asked.order_by(part.c.seq))]

    def events(self, *, after: int = 0, kind: str | None = None) -> Iterator[Event]:
        """Events in their order, those of one kind or all."""
        table = tables.event
        while True:
            asked = select(table).where(table.c.station == self.station, table.c.seq > after)
            if kind is not None:
                asked = asked.where(table.c.kind == kind)
            page = [Event(**row._mapping) for row in self._rows(asked.order_by(table.c.seq).limit(1000))]
            yield from page
            if not page:
                return
            after = page[-1].seq

    def last_events(self, before: int, *, kind: str | None = None, limit: int) -> list[Event]:
        """The newest events before one, the newest first."""
        table = tables.event
        asked = select(table).where(table.c.station == self.station, table.c.seq < before)
        if kind is not None:
            asked = asked.where(table.c.kind == kind)
        return [Event(**row._mapping) for row in self._rows(asked.order_by(table.c.seq.desc()).limit(limit))]

    def head(self) -> tuple[int, str]:
        """Number and hash of the last event."""
        table = tables.event
        asked = select(table.c.seq, table.c.hash).where(table.c.station == self.station)
        row = self._one(asked.order_by(table.c.seq.desc()).limit(1))
        return (0, ORIGIN) if row is None else (int(row.seq), str(row.hash))

    def kept(self) -> dict[str, Any]:
        """How many images are kept, and their bytes, by class."""
        table = tables.image
        asked = (
            select(table.c["class"], func.count().label("images"), func.sum(table.c.bytes).label("bytes"))
            .where(table.c.station == self.station, table.c.state == "kept")
            .group_by(table.c["class"])
        )
        rows = (row._mapping for row in self._rows(asked))
        return {row["class"]: {"images": int(row["images"]), "bytes": int(row["bytes"])} for row in rows}

    def known(self, paths: Sequence[str]) -> dict[str, set[tuple[int, int]]]:
        """Size and time of the files of these paths that have a verdict."""
        table, found = tables.watched, dict[str, set[tuple[int, int]]]()
        for start in range(0, len(paths), 500):
            asked = select(table.c.path, table.c.size, table.c.mtime_ns).where(
                table.c.station == self.station, table.c.path.in_(paths[start : start + 500])
            )
            for row in self._rows(asked):
                found.setdefault(row.path, set()).add((row.size, row.mtime_ns))
        return found

    def waiting(
        self, sinks: Sequence[str], *, after: int = 0, only: Sequence[int] | None = None, limit: int | None = None
    ) -> list[Event]:
        """Events that one of these sinks has not delivered, the oldest first.

        Args:
            sinks: Which.
            after: Numbers above this one.
            only: Of these numbers; None for all.
            limit: Events at most.
        """
        box, event = tables.outbox, tables.event
        asked = (
            select(event)
            .join(box, (box.c.station == event.c.station) & (box.c.seq == event.c.seq))
            .where(box.c.station == self.station, box.c.sink.in_(sinks), box.c.done_at.is_(None), box.c.seq > after)
        )
        if only is not None:
            asked = asked.where(box.c.seq.in_(only))
        return [Event(**row._mapping) for row in self._rows(asked.order_by(box.c.seq).limit(limit))]

    def followed(self, sinks: Sequence[str], events: Sequence[Event]) -> set[int]:
        """Numbers of those events whose file was judged again later, for one of the same sinks."""
        seen, box = tables.watched, tables.outbox
        paths = {event.seq: text(event.data["watched"]["path"]) for event in events if event.data["watched"]}
        if not paths:
            return set()
        asked = (
            select(seen.c.path, func.max(seen.c.seq))
            .join(box, (box.c.station == seen.c.station) & (box.c.seq == seen.c.seq))
            .where(seen.c.station == self.station, seen.c.path.in_(set(paths.values())), box.c.sink.in_(sinks))
        )
        last = {path: int(seq) for path, seq in map(tuple, self._rows(asked.group_by(seen.c.path)))}
        return {seq for seq, path in paths.items() if last.get(path, 0) > seq}

    def _matching(
        self, asked: Select[Any], only: Filter, *, before: int | None = None, after: int | None = None
    ) -> Select[Any]:
        part = tables.part
        asked = asked.where(part.c.station == self.station)
        for name in ("label", "lot", "recipe", "serial"):
            if (value := getattr(only, name)) is not None:
                asked = asked.where(part.c[name] == value)
        if only.blind:
            asked = asked.where(~unlabelled_audit())
        # The first and last block in time let the order of the numbers be followed, whatever the clock did. A database
        # follows it from one bound to one other, so there is only one of each.
        starts, ends = [] if after is None else [after + 1], [] if before is None else [before]
        if only.since is not None:
            asked = asked.where(part.c.at >= only.since)
            starts.append(self._first_block(only.since))
        if only.until is not None:
            asked = asked.where(part.c.at < only.until)
            ends.append(self._behind_last_block(only.until))
        if starts:
            asked = asked.where(part.c.seq >= max(starts))
        return asked.where(part.c.seq < min(ends)) if ends else asked

    def _first_block(self, since: str) -> int:
        """Where the first block with a part of this time or later begins; behind all parts where there is none."""
        block, newest = self._blocks(tables.part.c.at.desc())
        first = self._one(select(func.min(block)).where(newest >= since))
        return _BEHIND_ALL if first is None or first[0] is None else int(first[0]) * tables.BLOCK

    def _behind_last_block(self, until: str) -> int:
        """Where the last block with a part of before this time ends; 0 where there is none."""
        block, oldest = self._blocks(tables.part.c.at)
        last = self._one(select(func.max(block)).where(oldest < until))
        return 0 if last is None or last[0] is None else (int(last[0]) + 1) * tables.BLOCK

    def _blocks(self, order: ColumnElement[str]) -> tuple[ColumnElement[int], ScalarSelect[str]]:
        """The numbers of all blocks, and the first time of each in an order: one look into an index for each block."""
        part = tables.part
        last = select(func.max(part.c.block)).where(part.c.station == self.station).scalar_subquery()
        numbers = select(literal(0).label("number")).cte(recursive=True)
        numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < last))
        mine = select(part.c.at).where(part.c.station == self.station, part.c.block == numbers.c.number)
        return numbers.c.number, mine.order_by(order).limit(1).scalar_subquery()

    def _one(self, asked: Select[Any]) -> Row[Any] | None:
        return next(iter(self._rows(asked)), None)

    def _rows(self, asked: Select[Any]) -> list[Row[Any]]:
        with self.connect() as connection:
            return list(connection.execute(asked).all())


def has_label() -> ColumnElement[bool]:
    """A part with a label that nobody has taken back."""
    part, label = tables.part, tables.label
    return select(label.c.seq).where(label.c.part == part.c.id, label.c.truth != "withdrawn", is_newest()).exists()


def is_newest() -> ColumnElement[bool]:
    """A label after which nothing else was said of its part."""
    label, other = tables.label, tables.label.alias()
    return ~select(other.c.seq).where(other.c.part == label.c.part, other.c.seq > label.c.seq).exists()


def unlabelled_audit() -> ColumnElement[bool]:
    """A part that was drawn for an audit and waits for its label; an error is no verdict that anybody could judge."""
    part = tables.part
    return part.c.audit & (part.c.label != Label.ERROR) & ~has_label()


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of parts as plain JSON values, with what was answered."""
    found = {str(name): value for name, value in row.items()}
    for name in _JSON:
        found[name] = None if found[name] is None else json.loads(found[name])
    found["accept"] = found["label"] == Label.GOOD and not found["late"]
    return found
