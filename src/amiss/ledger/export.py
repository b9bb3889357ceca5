"""The record for other programs: the chain as lines that `sha256sum` checks, parts as CSV, JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from amiss.core.errors import InputError, MissingExtraError
from amiss.ledger.reader import EVERYTHING, Filter, Reader
from amiss.reporting.journal import table_row
from amiss.storage import whole_file

COLUMNS = (
    *("seq", "at", "id", "recipe", "version", "serial", "lot", "camera", "taken_at", "name", "label", "accept", "late"),
    *("score", "threshold", "p_value", "regions", "left", "top", "width", "height", "area", "reason", "audit"),
    *("sha256", "fingerprint", "key", "station"),
)
"""Of a table of parts; regions is their number, and left to area are those of the one with the largest area."""

KINDS = (".csv", ".jsonl", ".parquet", ".chain")
"""What a file's ending asks for."""

_NUMBERS = {"score", "threshold", "p_value"}
_WHOLE = {"seq", "version", "regions", "left", "top", "width", "height", "area"}
_FLAGS = {"accept", "late", "audit"}


def export(reader: Reader, path: Path, only: Filter = EVERYTHING) -> int:
    """Write a file of all parts, or for ".chain" of all events.

    Args:
        reader: Of the store.
        path: Its ending is one of `KINDS`.
        only: Which parts; a chain is always whole.

    Returns:
        How many lines or rows.

    Raises:
        InputError: Another ending, or a filter for a chain.
        MissingExtraError: Parquet without pyarrow.
        OutputError: It cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"a file must end in {', '.join(KINDS)}, got {path.name!r}")
    if kind == ".chain" and only != EVERYTHING:
        raise InputError("a chain is exported whole, got a filter; filters are for parts (.csv, .jsonl, .parquet)")
    if kind == ".parquet":
        return _parquet(reader, path, only)
    count = 0
    with whole_file(path) as file:
        if kind == ".csv":
            file.write(table_row(COLUMNS))
        for line in _chain(reader) if kind == ".chain" else _lines(reader, only, kind):
            file.write(line)
            count += 1
    return count


def _chain(reader: Reader) -> Iterator[bytes]:
    for event in reader.events():
        yield event.line().encode("utf-8", "surrogatepass") + b"\n"


def _lines(reader: Reader, only: Filter, kind: str) -> Iterator[bytes]:
    for part in reader.every_part(only):
        if kind == ".jsonl":
            yield json.dumps(part, allow_nan=False).encode() + b"\n"
        else:
            row = flat(part)
            yield table_row(["" if row[name] is None else row[name] for name in COLUMNS])


def flat(part: dict[str, Any]) -> dict[str, Any]:
    """A part as one row of `COLUMNS`."""
    regions = part["regions"]
    largest = max(regions, key=lambda region: region["area"], default=None)
    place = (None,) * 5 if largest is None else (*largest["box"], largest["area"])
    names = ("left", "top", "width", "height", "area")
    row = {**part, "regions": len(regions), **dict(zip(names, place, strict=True))}
    return {name: row[name] for name in COLUMNS}


def _parquet(reader: Reader, path: Path, only: Filter) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("Parquet needs pyarrow; pip install 'amiss[parquet]'") from error
    kinds = {**dict.fromkeys(_NUMBERS, pa.float64()), **dict.fromkeys(_WHOLE, pa.int64())}
    kinds |= dict.fromkeys(_FLAGS, pa.bool_())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    parts, count = map(flat, reader.every_part(only)), 0
    with whole_file(path) as file, pq.ParquetWriter(file, schema) as table:
        while some := list(islice(parts, 5000)):
            table.write_table(pa.Table.from_pylist(some, schema=schema))
            count += len(some)
    return count
