"""Tables that describe images: CSV, JSON lines and Parquet files, and paths inside them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from amiss.core.errors import DataError, MissingExtraError
from amiss.core.plain_json import parse_json

ENDINGS = (".csv", ".jsonl", ".parquet")
"""Endings of table files that `read_table` reads."""

Row = dict[str, Any]

_LIMIT = 10_000_000  # bytes and entries of the footer of a Parquet file
_MOST_ROWS = 10_000_000


def read_table(path: Path) -> list[Row]:
    """The rows of a table; a cell without content is None. Formats that may run code when read are not supported.

    Raises:
        DataError: No such file, another ending, not UTF-8, no header, a row that does not fit it, or too many rows.
        MissingExtraError: A Parquet file, and pyarrow is not installed.
    """
    rows = list(islice(stream_table(path), _MOST_ROWS + 1))
    if len(rows) > _MOST_ROWS:
        raise DataError(f"{path}: a table must have at most {_MOST_ROWS} rows, got more")
    return rows


def stream_table(path: Path) -> Iterator[Row]:
    """As `read_table`, row by row: memory does not grow with their number. What is wrong is raised at its row."""
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if not is_file(path):
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: a table of another kind; {', '.join(ENDINGS)} are read")
    try:
        for row in readers[path.suffix.lower()](path):
            yield {key: _cell(value) for key, value in row.items()}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def need_columns(path: Path, rows: list[Row], columns: Iterable[str]) -> None:
    """All these columns are there, or a `DataError` that names the missing and the found ones."""
    found = set().union(*rows) if rows else set()
    if missing := [column for column in columns if column not in found]:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found: {', '.join(sorted(found)) or 'no rows at all'}"
        )


def inside(root: Path, path: str, table: Path) -> Path:
    """A path of a table, read from `root`.

    Raises:
        DataError: It leads out of `root`: a table may not reach for files elsewhere.
    """
    base = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would follow links that a user has set on purpose
    target = Path(os.path.normpath(base / path))
    if "\0" in path or not target.is_relative_to(base) or target == base:
        raise DataError(f"{table}: the path {path!r} leads out of {root}; only files below it are read")
    return root / target.relative_to(base)


def need_files(table: Path, paths: Iterable[Path], what: str) -> None:
    """All these files are there, or a `DataError` with their number and the first names."""
    if missing := [path for path in paths if not is_file(path)]:
        first = ", ".join(str(path)[:300] for path in missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(f"{table}: {len(missing)} {what} are missing: {first}")


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no system takes is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _cell(value: Any) -> Any:
    """Empty text and the NaN that some writers put for nothing are None."""
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, float) and value != value else value


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) != len(header) or not all(header):
                raise DataError(f"{path}: the first line must name each column once, separated by commas")
            if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
                raise DataError(f"{path}: the columns are separated by something else than commas")
            for cells in filter(None, reader):
                if len(cells) != len(header):
                    found = f"{len(cells)} cells under {len(header)} columns"
                    raise DataError(f"{path}, line {reader.line_num}: {found}")
                yield dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: must be a JSON object with the columns as keys")
            yield row


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow; pip install 'amiss[parquet]'") from error
    try:
        with path.open("rb") as file:
            found = parquet.ParquetFile(file, thrift_string_size_limit=_LIMIT, thrift_container_size_limit=_LIMIT)
            for piece in found.iter_batches(10_000, use_threads=False):
                yield from piece.to_pylist()
    except Exception as error:  # pyarrow raises many kinds, of its own and of Python; all mean the same to the user
        raise DataError(
            f"{path}: not a Parquet file, or a damaged one ({' '.join(str(error).split())[:120]})"
        ) from error
