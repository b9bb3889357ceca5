"""The results of one block as a Parquet file, that is complete and unchanged or is made anew.

Its schema carries, under the key ``amiss``, a JSON object: which run and block, on what kind of machine, how the golden
images score there, and the SHA-256 of the rows.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from amiss.core.errors import DataError, OutputError
from amiss.core.extras import needs_extra
from amiss.core.plain_json import parse_json
from amiss.core.verdict import Verdict
from amiss.shards.blocks import Block
from amiss.storage import whole_file, write_file

FOLDER = "parts"
KEY = b"amiss"

COLUMNS = (
    *("row", "name", "label", "score", "p_value", "recognised", "most_like", "n_regions"),
    *("left", "top", "width", "height", "area", "reason", "sha256"),
)
"""Of parts and of their merge. row counts from 0; left to area are those of the region with the largest area."""

Row = dict[str, Any]
Head = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What one block gave.

    Args:
        run: Which run, the same for all its parts.
        kind: On what kind of machine: runtime, version, instruction set, processor, flags.
        golden: Image scores of the model's golden images there.
        block: Number of the block.
        rows: One per image, with `COLUMNS`.
    """

    run: Head
    kind: Head
    golden: list[float]
    block: int
    rows: list[Row]

    @property
    def head(self) -> Head:
        """What the file says of itself."""
        rows = hashlib.sha256(json.dumps(self.rows).encode()).hexdigest()
        return {"run": self.run, "kind": self.kind, "golden": self.golden, "block": self.block, "rows_sha256": rows}


def row_of(number: int, name: str, verdict: Verdict) -> Row:
    """A verdict as a row.

    Args:
        number: Of the image among all, from 0.
        name: As the manifest has it.
        verdict: Without its arrays or with them.
    """
    largest = max(verdict.regions, key=lambda region: region.area, default=None)
    left, top, width, height = (None,) * 4 if largest is None else largest.box
    return {
        "row": number,
        "name": name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        "label": str(verdict.label),
        "score": verdict.score,
        "p_value": verdict.p_value,
        "recognised": verdict.recognised,
        "most_like": verdict.most_like,
        "n_regions": len(verdict.regions),
        **{"left": left, "top": top, "width": width, "height": height},
        "area": None if largest is None else largest.area,
        "reason": verdict.reason,
        "sha256": verdict.sha256,
    }


def part_path(output: Path, number: int) -> Path:
    """The file of a block."""
    return output / FOLDER / f"{number:06d}.parquet"


def write_part(output: Path, part: Part) -> None:
    """Write the file of a block: complete or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    buffer = io.BytesIO()
    with _writer(buffer, part.head) as write:
        write(part.rows)
    write_file(part_path(output, part.block), buffer.getvalue())


def read_part(output: Path, run: Head, block: Block) -> Part | None:
    """The part of a block; None where there is none, or it is damaged, or of another run or block.

    Args:
        output: The folder of the run.
        run: Which run it must be of.
        block: With the names that its rows must have.
    """
    part = load_part(output, run, block.number)
    if part is None or [row["row"] for row in part.rows] != [*range(block.start, block.start + len(block))]:
        return None
    return part


def load_part(output: Path, run: Head, number: int) -> Part | None:
    """As `read_part`, whatever images the block has: their names are in the hash of the run."""
    with needs_extra("amiss score", "parquet"):
        from pyarrow import parquet
    try:
        with part_path(output, number).open("rb") as file:
            found = parquet.ParquetFile(file)
            head = parse_json(found.schema_arrow.metadata[KEY].decode())
            part = Part(head["run"], head["kind"], head["golden"], head["block"], found.read().to_pylist())
    except Exception:  # no file, cut off, damaged: pyarrow raises many kinds, and all mean that it is made anew
        return None
    return part if part.head == head and (part.run, part.block) == (run, number) else None


@contextmanager
def table(path: Path, head: Head) -> Iterator[Any]:
    """A Parquet file that appears complete or not at all; within the block it is a function that appends rows.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file, _writer(file, head) as write:
        yield write


@contextmanager
def _writer(file: IO[bytes], head: Head) -> Iterator[Any]:
    with needs_extra("amiss score", "parquet"):
        import pyarrow as pa
        from pyarrow import parquet
    whole = dict.fromkeys(("row", "n_regions", "left", "top", "width", "height", "area"), pa.int64())
    kinds = {**whole, "score": pa.float32(), "p_value": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    schema = schema.with_metadata({KEY: json.dumps(head, sort_keys=True).encode()})

    def write(rows: list[Row]) -> None:
        writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=max(1, len(rows)))

    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield write


def read_run(output: Path, name: str) -> Head:
    """What the folder of a run says of it.

    Raises:
        DataError: It is not the folder of a run, or is damaged.
    """
    try:
        found = parse_json((output / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{output}: must be the output of amiss score, but {name} cannot be read ({error})") from error
    if not isinstance(found, dict) or not {"fingerprint", "images", "names", "size", "tolerance"} <= set(found):
        raise DataError(f"{output}: {name} is not that of amiss score")
    return found


def begin_run(output: Path, name: str, run: Head) -> None:
    """Say which run the folder is for, or find that it says so already.

    Raises:
        OutputError: It belongs to another run, or cannot be written.
    """
    if not (output / name).exists():
        write_file(output / name, (json.dumps(run, indent=2, sort_keys=True) + "\n").encode())
        return
    there = read_run(output, name)
    if changed := [key for key in run if there.get(key) != run[key]]:
        raise OutputError(f"{output} has scores of another run (other {', '.join(changed)}); choose another name")
