"""What versions in the shadow said of the same parts as those that judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_, select

from amiss.ledger import tables
from amiss.ledger.reader import Reader


@dataclass(frozen=True)
class Pair:
    """A version in the shadow of another one.

    Args:
        recipe: Of both.
        acting: The version that judges.
        version: The version in its shadow.
    """

    recipe: str
    acting: int
    version: int

    def compared(self) -> ColumnElement[bool]:
        """What the shadow said beside this acting version."""
        table = tables.compared
        mine = (table.c.recipe == self.recipe) & (table.c.version == self.version)
        return and_(mine, table.c.acting == self.acting)


@dataclass(frozen=True)
class Disagreement:
    """A part that one of two versions accepts and the other does not.

    Args:
        part: Its id.
        lot: Its lot, or None.
        was: Label by the version that judges.
        label: Label by the one in the shadow.
    """

    part: str
    lot: str | None
    was: str
    label: str


def pairs(reader: Reader) -> dict[str, Pair]:
    """Every version that is in the shadow now, by its recipe."""
    acting = {row["recipe"]: int(row["version"]) for row in reader.deployments()}
    found = {}
    for recipe, version in reader.shadows().items():
        if acting.get(recipe) not in (None, version):
            found[recipe] = Pair(recipe, acting[recipe], version)
    return found


def count_compared(reader: Reader, pair: Pair) -> int:
    """Parts that both have judged."""
    table = tables.compared
    asked = select(func.count()).where(table.c.station == reader.station, pair.compared())
    with reader.connect() as connection:
        return int(connection.execute(asked).scalar_one())


def disagreements(reader: Reader, pair: Pair) -> list[Disagreement]:
    """Parts on which they disagree, in the order in which that was found."""
    table, part = tables.compared, tables.part
    asked = (
        select(table.c.part, part.c.lot, table.c.was, table.c.label)
        .join(part, part.c.id == table.c.part)
        .where(table.c.station == reader.station, pair.compared(), table.c.differs)
        .order_by(table.c.seq)
    )
    with reader.connect() as connection:
        return [Disagreement(**row._mapping) for row in connection.execute(asked).all()]


def disputed(reader: Reader) -> ColumnElement[bool]:
    """A part on which a version in the shadow now disagrees with the one that judges."""
    table: Any = tables.compared
    now = [pair.compared() for pair in pairs(reader).values()]
    if not now:
        return false()
    asked = select(table.c.part).where(table.c.station == reader.station, table.c.differs, or_(*now))
    return tables.part.c.id.in_(asked)
