"""`Study`: images of the same parts taken again and again, for a gauge study. From a table or from folders.

A table has a row per image, with the columns

path      the image, relative to the table's folder
part      the piece that is shown
station   camera, machine or operator that took it; may be left out when there is one
label     good or defective, the truth about the part; may be left out

Folders are PART/STATION/image, or PART/image when there is one station.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.data.table import ENDINGS, Row, inside, need_columns, need_files, read_table
from amiss.data.words import DEFECTIVE_WORDS, GOOD_WORDS, is_defective_word

ONE_STATION = "station"
"""Name of the only station, where none is named."""


@dataclass(frozen=True, repr=False)
class Study:
    """Repeated images of the same parts.

    Args:
        name: Of the study.
        images: Every image.
        parts: For each image the part that it shows.
        stations: For each image what took it.
        defective: For each part whether it is defective; empty when the truth is not known.
        ignored: Names of columns that were passed over.
    """

    name: str
    images: Images
    parts: Sequence[str]
    stations: Sequence[str]
    defective: dict[str, bool]
    ignored: Sequence[str] = ()


def read_study(path: str | Path) -> Study:
    """Read a study from a table (CSV, JSON lines, Parquet) or from folders.

    Raises:
        DataError: Nothing there, another layout, an unknown label, or a part with two truths; says where.
        MissingExtraError: A Parquet file without pyarrow.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for part in ("a", "b"):
        ...         (Path(folder) / part).mkdir()
        ...         _ = (Path(folder) / part / "1.png").write_bytes(b"")
        ...     study = read_study(folder)
        >>> study.parts, study.stations
        (('a', 'b'), ('station', 'station'))
    """
    place = Path(path)
    if place.is_file() and place.suffix.lower() in ENDINGS:
        return _from_table(place)
    return _from_folders(place)


def _from_table(table: Path) -> Study:
    rows = read_table(table)
    need_columns(table, rows, ["path", "part"])
    for column in ("path", "part"):
        bare = next((number for number, row in enumerate(rows, 1) if row.get(column) is None), None)
        if bare is not None:
            raise DataError(f"{table}, row {bare}: no {column}")
    paths = [inside(table.parent, str(row["path"]), table) for row in rows]
    need_files(table, paths, "images")
    return Study(
        name=table.stem,
        images=Images(paths),
        parts=tuple(str(row["part"]) for row in rows),
        stations=_stations(table, rows),
        defective=_truth(table, rows),
        ignored=tuple(sorted(set().union(*rows) - {"path", "part", "station", "label"})),
    )


def _stations(table: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    named = [row.get("station") for row in rows]
    if all(name is None for name in named):
        return (ONE_STATION,) * len(rows)
    if None in named:
        raise DataError(f"{table}, row {named.index(None) + 1}: no station while other rows have one; give all or none")
    return tuple(map(str, named))


def _truth(table: Path, rows: Sequence[Row]) -> dict[str, bool]:
    """Part to defective. Either every row has a label, or none."""
    found: dict[str, set[bool]] = defaultdict(set)
    bare = [number for number, row in enumerate(rows, 1) if row.get("label") is None]
    if len(bare) == len(rows):
        return {}
    if bare:
        raise DataError(f"{table}, row {bare[0]}: no label while other rows have one; give all or none")
    for number, row in enumerate(rows, 1):
        value = row["label"]
        word = str(int(value) if isinstance(value, float) and value.is_integer() else value).lower()
        if (defective := is_defective_word(word)) is None:
            raise DataError(
                f"{table}, row {number}: label must be one of {', '.join((*GOOD_WORDS, *DEFECTIVE_WORDS))}, "
                f"got {row['label']!r}"
            )
        found[str(row["part"])].add(defective)
    for part, truths in found.items():
        if len(truths) > 1:
            raise DataError(f"{table}: part {part} is called good in one row and defective in another")
    return {part: truths.pop() for part, truths in found.items()}


def _from_folders(root: Path) -> Study:
    images = Images(root)
    places = [path.relative_to(root).parts[:-1] for path in images.paths if path is not None]
    depths = {len(place) for place in places}
    if depths not in ({1}, {2}):
        raise DataError(
            f"{root}: images must lie in PART/STATION/ or, with one station, all in PART/; a table with the columns "
            "path, part, station and label works too"
        )
    return Study(
        name=root.resolve().name,
        images=images,
        parts=tuple(place[0] for place in places),
        stations=tuple(place[1] if len(place) == 2 else ONE_STATION for place in places),
        defective={},
    )
