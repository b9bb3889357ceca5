"""What people said of parts, and which parts wait for them.

The newest label of a part counts; one whose truth is "withdrawn" takes back those before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from amiss.core.errors import InputError
from amiss.ledger import tables
from amiss.ledger.reader import Reader, has_label, is_newest, unlabelled_audit
from amiss.ledger.shadows import disputed

TRUTHS = ("good", "defective", "unclear", "withdrawn")
"""What can be said of a part."""

KINDS = ("review", "audit", "disagreement")
"""Why a part waits: it is neither clearly good nor clearly anomalous; it was drawn at random; or the version in the
shadow says otherwise than the one that judges."""


def truths(reader: Reader, parts: Sequence[str]) -> dict[str, str]:
    """The truth of those parts that have one, by their ids."""
    label, found = tables.label, dict[str, str]()
    for start in range(0, len(parts), 500):
        asked = select(label.c.part, label.c.truth).where(label.c.part.in_(parts[start : start + 500]))
        for row in _rows(reader, asked.order_by(label.c.seq)):
            found[row.part] = row.truth
    return {part: truth for part, truth in found.items() if truth != "withdrawn"}


def waiting(reader: Reader, kind: str, *, limit: int = 100, without: Iterable[str] = ()) -> list[str]:
    """Ids of parts that wait for a person, those that came first before the others.

    Args:
        reader: Of the store.
        kind: One of `KINDS`.
        limit: Parts at most.
        without: Ids that are left out: somebody has them before him.

    Raises:
        InputError: Another kind.
    """
    part = tables.part
    asked = select(part.c.id).where(*_waits(reader, kind), part.c.id.not_in(list(without)))
    return [row.id for row in _rows(reader, asked.order_by(part.c.seq).limit(limit))]


def count_waiting(reader: Reader, kind: str) -> int:
    """How many parts wait for a person; see `waiting`."""
    asked = select(func.count()).select_from(tables.part).where(*_waits(reader, kind))
    return int(_rows(reader, asked)[0][0])


def twin(reader: Reader, part: dict[str, Any]) -> str | None:
    """Id of the good part of the same recipe that was judged last before this one, and whose image is kept.

    None that waits for its audit: to be shown as good would tell its verdict.
    """
    other, image = tables.part, tables.image
    asked = (
        select(other.c.id)
        .join(image, image.c.part == other.c.id)
        .where(other.c.station == reader.station, other.c.recipe == part["recipe"], other.c.label == "good")
        .where(image.c.state == "kept", other.c.id != part["id"], ~unlabelled_audit())
    )
    before = asked.where(other.c.seq < part["seq"]).order_by(other.c.seq.desc()).limit(1)
    after = asked.order_by(other.c.seq).limit(1)
    for rows in (_rows(reader, before), _rows(reader, after)):
        for row in rows:
            return str(row.id)
    return None


@dataclass(frozen=True)
class Audited:
    """A part that was drawn at random and judged by a person.

    Args:
        part: Its id.
        label: Its verdict.
        truth: What a person said who had not seen the verdict; None where everybody who said something had.
        pool: What its label is for, "calibrate" or "certify"; None where there is no truth.
    """

    part: str
    label: str
    truth: str | None
    pool: str | None


def audited(reader: Reader, recipe: str) -> list[Audited]:
    """Every part of a recipe that was drawn at random and then labelled, in the order of the parts.

    What was said blind counts until it is taken back, whatever is said later by those who know the verdict: people tend
    to agree with a verdict that they know, and correct those that surprise them.
    """
    part, label = tables.part, tables.label
    asked = (
        select(part.c.id, part.c.label.label("verdict"), label.c.truth, label.c.blind, label.c.pool)
        .join(label, label.c.part == part.c.id)
        .where(part.c.station == reader.station, part.c.recipe == recipe, part.c.audit)
        .order_by(part.c.seq, label.c.seq)
    )
    found: dict[str, Audited] = {}
    for row in _rows(reader, asked):
        if row.truth == "withdrawn":
            found.pop(row.id, None)
        elif row.blind:
            found[row.id] = Audited(row.id, row.verdict, row.truth, row.pool)
        else:
            found.setdefault(row.id, Audited(row.id, row.verdict, None, None))
    return list(found.values())


def corrections(reader: Reader, recipe: str) -> dict[str, int]:
    """How many labels of a recipe are for learning: good parts, and defects, that were not drawn at random."""
    part, label = tables.part, tables.label
    asked = (
        select(label.c.pool, func.count().label("count"))
        .join(part, part.c.id == label.c.part)
        .where(part.c.station == reader.station, part.c.recipe == recipe, label.c.truth != "withdrawn", is_newest())
        .group_by(label.c.pool)
    )
    found = {row.pool: int(row.count) for row in _rows(reader, asked)}
    return {pool: found.get(pool, 0) for pool in ("learn", "defects")}


def hidden(reader: Reader, parts: Sequence[str]) -> set[str]:
    """Those of some parts that wait for the label of their audit."""
    part, found = tables.part, set[str]()
    for start in range(0, len(parts), 500):
        asked = select(part.c.id).where(part.c.id.in_(parts[start : start + 500]), unlabelled_audit())
        found.update(row.id for row in _rows(reader, asked))
    return found


def types(reader: Reader, recipe: str, since: str | None = None) -> list[tuple[str, int]]:
    """Types of defects that people named, the most frequent first; only the newest label of a part counts."""
    part, label = tables.part, tables.label
    asked = (
        select(label.c.type, func.count().label("count"))
        .join(part, part.c.id == label.c.part)
        .where(part.c.station == reader.station, part.c.recipe == recipe, label.c.truth == "defective", is_newest())
    )
    if since is not None:
        asked = asked.where(part.c.at >= since)
    rows = _rows(reader, asked.group_by(label.c.type).order_by(func.count().desc(), label.c.type))
    return [(row.type or "", int(row.count)) for row in rows]


def quarantines(reader: Reader) -> list[dict[str, Any]]:
    """What was set aside, the newest first: one entry per event, with its lots."""
    table = tables.quarantine
    asked = select(table).where(table.c.station == reader.station).order_by(table.c.seq.desc(), table.c.number)
    found: dict[int, dict[str, Any]] = {}
    for row in _rows(reader, asked):
        facts = dict(row._mapping)
        one = found.setdefault(facts["seq"], {**facts, "lots": []})
        if facts["lot"] is not None:
            one["lots"].append(facts["lot"])
    return [{name: value for name, value in one.items() if name not in ("lot", "number")} for one in found.values()]


def set_aside(reader: Reader, recipe: str, first: int, last: int | None, lots: Sequence[str]) -> int:
    """How many parts of a recipe lie between two events, of all lots or of some."""
    part = tables.part
    asked = select(func.count()).where(part.c.station == reader.station, part.c.recipe == recipe, part.c.seq >= first)
    if last is not None:
        asked = asked.where(part.c.seq <= last)
    if lots:
        asked = asked.where(part.c.lot.in_(list(lots)))
    return int(_rows(reader, asked)[0][0])


def spell_label(row: dict[str, Any]) -> dict[str, Any]:
    """A row of labels as plain JSON values."""
    kept = ("at", "by", "truth", "type", "comment", "blind")
    return {**{name: row[name] for name in kept}, "boxes": json.loads(row["boxes"])}


def _waits(reader: Reader, kind: str) -> list[ColumnElement[bool]]:
    part = tables.part
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    why: ColumnElement[bool] = unlabelled_audit()  # whoever labels a drawn part must not see its verdict
    if kind != "audit":
        asked = part.c.label == "review" if kind == "review" else disputed(reader)
        why = asked & ~part.c.audit & ~has_label()
    return [part.c.station == reader.station, why]


def _rows(reader: Reader, asked: Select[Any]) -> list[Any]:
    with reader.connect() as connection:
        return list(connection.execute(asked).all())
