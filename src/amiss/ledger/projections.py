"""From an event to rows: the one place that says what each kind of event means for the tables.

The writer runs it as events are written, `rebuild` and `verify` run it again over the whole chain.

What the kinds hold beside what `amiss.ledger.events` says:

    versioned   recipe, version, fingerprint, about
    deployed    recipe, version, reason
    shadow      recipe, version or null, reason
    judged      id, key, name, recipe, version, fingerprint, sha256, label, audit, score, threshold, p_value, reason,
                regions, size, health, ms, runtime; serial, lot, camera, taken_at; image {class, bytes, keep_until} or
                null; watched {path, size, mtime_ns} or null; sinks
    compared    part, recipe, acting, version (of the shadow), was (label of the part), label, differs, score,
                threshold, p_value
    late        part, label, score, reason
    labelled    part, by, truth, type, boxes, comment, blind, pool
    quarantined recipe, first, last, lots, reason
    chart       recipe, alarm, first, last, kind, text
    pruned      parts, why
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, insert, update

from amiss.core.errors import DataError
from amiss.ledger import tables
from amiss.ledger.events import Event

Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What an event changes in one table.

    Args:
        table: Which.
        values: A new row; or the new values of some rows.
        where: Column and values that the rows to be changed have; None for a new row.
    """

    table: Table
    values: Row
    where: tuple[str, tuple[Any, ...]] | None = None


def changes(event: Event) -> Iterator[Change]:
    """What an event means for the projections.

    Raises:
        DataError: It does not hold what its kind must.
    """
    make = _MAKE.get(event.kind)
    if make is None:
        return
    try:
        yield from make(event, event.data)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"event {event.seq}: a {event.kind} event must hold more than it does ({error})") from error


def project(connection: Connection, events: Iterable[Event]) -> None:
    """Write what some events mean, in their order; new rows of one table together."""
    rows: dict[Table, list[Row]] = {}
    for event in events:
        for change in changes(event):
            if change.where is None:
                rows.setdefault(change.table, []).append(change.values)
                continue
            _flush(connection, rows)
            column, values = change.where
            connection.execute(update(change.table).where(change.table.c[column].in_(values)).values(**change.values))
    _flush(connection, rows)


_NEW = {table: insert(table) for table in tables.PROJECTIONS}
"""Made once: to put a statement together takes longer than to run it."""


def _flush(connection: Connection, rows: dict[Table, list[Row]]) -> None:
    for table, new in rows.items():
        connection.execute(_NEW[table], new)
    rows.clear()


def _place(event: Event) -> Row:
    return {"station": event.station, "seq": event.seq}


def _versioned(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "recipe": text(data["recipe"]), "version": data["version"]}
    yield Change(tables.version, {**row, "fingerprint": data["fingerprint"], "about": plain(data["about"])})


def _deployed(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "recipe": text(data["recipe"]), "version": data["version"]}
    yield Change(tables.deployment, {**row, "reason": text(data["reason"]), "actor": text(event.actor)})


def _shadow(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "recipe": text(data["recipe"]), "version": data["version"]}
    yield Change(tables.shadow, {**row, "reason": text(data["reason"]), "actor": text(event.actor)})


_SAID = ("part", "acting", "version", "was", "label", "differs", "score", "threshold", "p_value")


def _compared(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "recipe": text(data["recipe"])}
    yield Change(tables.compared, {**row, **{name: data[name] for name in _SAID}})


_WORDS = ("recipe", "serial", "lot", "camera", "taken_at", "name", "key", "reason")
_AS_THEY_ARE = ("id", "version", "fingerprint", "sha256", "audit", "label", "score", "threshold", "p_value")


def _judged(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    health = data["health"]
    yield Change(
        tables.part,
        {
            **_place(event),
            "at": event.at,
            **{name: text(data[name]) for name in _WORDS},
            **{name: data[name] for name in _AS_THEY_ARE},
            **{name: plain(data[name]) for name in ("regions", "ms", "runtime")},
            "health": None if health is None else plain(health),
            "late": False,
            "block": event.seq // tables.BLOCK,
            **dict(zip(("height", "width"), data.get("size") or (None, None), strict=True)),
        },
    )
    kept, seen, part = data["image"], data["watched"], data["id"]
    if kept is not None:
        row = {"part": part, **_place(event), "sha256": data["sha256"], "state": "kept"}
        yield Change(tables.image, {**row, **{name: kept[name] for name in ("bytes", "class", "keep_until")}})
    if seen is not None:
        row = {**_place(event), "path": text(seen["path"]), "part": part}
        yield Change(tables.watched, {**row, "size": seen["size"], "mtime_ns": seen["mtime_ns"]})
    for sink in data["sinks"]:
        row = {**_place(event), "sink": sink, "part": part}
        yield Change(tables.outbox, {**row, "tries": 0, "next_at": None, "done_at": None, "error": None})


def _late(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    yield Change(tables.part, {"late": True}, ("id", (data["part"],)))


def _labelled(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "boxes": plain(data["boxes"]), "blind": data["blind"]}
    words = {name: text(data[name]) for name in ("part", "by", "truth", "type", "comment", "pool")}
    yield Change(tables.label, {**row, **words})


def _chart(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, **{name: data[name] for name in ("alarm", "first", "last", "kind")}}
    yield Change(tables.chart, {**row, "recipe": text(data["recipe"]), "text": text(data["text"])})


def _quarantined(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    row = {**_place(event), "at": event.at, "recipe": text(data["recipe"]), "reason": text(data["reason"])}
    row = {**row, "first": data["first"], "last": data["last"], "actor": text(event.actor)}
    for number, lot in enumerate(data["lots"] or [None]):
        yield Change(tables.quarantine, {**row, "number": number, "lot": text(lot)})


def _pruned(event: Event, data: Mapping[str, Any]) -> Iterator[Change]:
    yield Change(tables.image, {"state": "gone"}, ("part", tuple(data["parts"])))


_MAKE: dict[str, Callable[[Event, Mapping[str, Any]], Iterator[Change]]] = {
    "versioned": _versioned,
    "deployed": _deployed,
    "shadow": _shadow,
    "judged": _judged,
    "compared": _compared,
    "late": _late,
    "labelled": _labelled,
    "quarantined": _quarantined,
    "chart": _chart,
    "pruned": _pruned,
}


def text(value: Any) -> Any:
    """Words as every database holds them: lone surrogates and zero bytes as their codes; None stays.

    Example:
        >>> text("a\\udc80b\\0"), text(None)
        ('a\\\\udc80b\\\\x00', None)
    """
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def plain(value: Any) -> str:
    """A value as JSON for a column of text."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
