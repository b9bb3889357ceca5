"""`Journal`: verdicts as lines of two files, on disk before anybody is told.

    run.json        which run this is: model, options, counts; "complete" is true when it came to its end
    results.jsonl   one line per image, `Verdict.summary` with the image's file, the model and the run
    results.csv     the same as rows, for spreadsheets

A line that is cut off at the end of a file was never told to anybody: power or process ended while it was written.
`results.jsonl` counts; a run that is resumed writes `results.csv` anew from it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from amiss.core.errors import ImageError, InputError, OutputError
from amiss.core.images import Images
from amiss.core.plain_json import parse_json
from amiss.core.verdict import Label
from amiss.storage import claim, sweep, write_file

RUN, LINES, TABLE, INDEX = "run.json", "results.jsonl", "results.csv", "index.html"
IMAGES = ("overlays", "masks", "thumbnails")

COLUMNS = (
    "name",
    "label",
    "score",
    "threshold",
    "margin",
    "p_value",
    "recognised",
    "most_like",
    "n_regions",
    "left",
    "top",
    "width",
    "height",
    "area",
    "reason",
    "image",
    "sha256",
    "model",
    "run",
)
"""Of ``results.csv``; left to area are those of the region with the largest area, in pixels of the image. A file name
that is not UTF-8 keeps its bytes: read with ``errors="surrogateescape"``."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_AT_ONCE, _SECONDS = 64, 0.1  # so many lines, or those of so long, are forced to disk together

Line = dict[str, Any]


class Journal:
    """The results of one run in a folder, appended line by line; one run at a time holds it.

    Args:
        folder: Made when it is missing.
        resume: Continue the run whose results are there, if any.
        overwrite: Replace the results that are there, with their images.

    Raises:
        InputError: Both are asked for.
        OutputError: It cannot be written, another run holds it, or it holds results and neither is asked for.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Journal(folder) as journal:
        ...     _ = journal.begin("f00d", {}, Images([]))
        ...     journal.add({"name": "a.png", "label": "good", "score": 0.5, "regions": []})
        ...     journal.complete({"good": 1})
        ...     print((Path(folder) / "results.csv").read_text().splitlines()[1][:14])
        a.png,good,0.5
    """

    def __init__(self, folder: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
        if resume and overwrite:
            raise InputError("results can be resumed or overwritten, got both --resume and --overwrite")
        self.folder = Path(folder)
        self.resume, self.overwrite = resume, overwrite
        self.head: Line = {}
        self._stack = ExitStack()
        self._files: list[_File] = []
        self._waiting: list[Callable[[], None]] = []
        self._forced = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(claim(self.folder, folder=True))
            self._check()
            for name in IMAGES:
                sweep(self.folder / name)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is None or not issubclass(kind, OutputError):  # what was judged is told, whatever ended the run
                self.commit()

    def begin(self, model: str, options: Mapping[str, Any], images: Images) -> dict[int, Line]:
        """Open the files: empty ones, or those of the run that is resumed.

        Args:
            model: Fingerprint of the inspector.
            options: What else verdicts depend on; a run is resumed under the same only.
            images: What is inspected. Those that have a verdict must be the same bytes as then.

        Returns:
            The lines that are there already, by number of the image.

        Raises:
            InputError: The run cannot be resumed with this model, these options or these images.
            OutputError: A file cannot be written.
        """
        lines: list[Line] = []
        if self.resume and (self.folder / RUN).is_file():
            self.head = _read_head(self.folder / RUN)
            _check_same(self.folder, self.head, model, options)
            lines, whole = _read_lines(self.folder / LINES, self.head["run"])
            with suppress(FileNotFoundError):
                os.truncate(self.folder / LINES, whole)
        else:
            self._clear()
            self.head = {"run": _run_id(), "model": model, "options": dict(options), "started": _now()}
        self.head |= {"complete": False, "images": len(images)}
        found = _finished(self.folder, lines, images)
        self._write_head()
        write_file(self.folder / TABLE, b"".join([table_row(COLUMNS), *(table_row(_row(line)) for line in lines)]))
        self._files = [self._stack.enter_context(_File(self.folder / name)) for name in (LINES, TABLE)]
        return found

    def add(self, line: Line, tell: Callable[[], None] = lambda: None) -> None:
        """Append a line; it is forced to disk at once, or with those that follow within a tenth of a second.

        Args:
            line: See `ResultsWriter.add`.
            tell: Called when it is on disk.

        Raises:
            OutputError: It cannot be written; what was told is there.
        """
        line = {**line, "model": self.head["model"], "run": self.head["run"]}
        lines, table = self._files
        lines.add(json.dumps(line, allow_nan=False).encode() + b"\n")
        table.add(table_row(_row(line)))
        self._waiting.append(tell)
        if len(self._waiting) >= _AT_ONCE or time.monotonic() - self._forced >= _SECONDS:
            self.commit()

    def commit(self) -> None:
        """Force what was added to disk, then tell.

        Raises:
            OutputError: It cannot be written. Neither file has any of it then.
        """
        try:
            for file in self._files:
                file.force()
        except OutputError:
            for file in self._files:
                file.take_back()
            raise
        for file in self._files:
            file.keep()
        self._forced = time.monotonic()
        while self._waiting:
            self._waiting.pop(0)()

    def complete(
        self,
        counts: Mapping[str, int],
        ignored: Sequence[Mapping[str, str]] = (),
        said: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that the run has come to its end.

        Args:
            counts: Images by label.
            ignored: What was found and is not an image: name and reason.
            said: What a reader of the lines must know, such as how small a p-value can be.
        """
        self.commit()
        self.head |= {"complete": True, "finished": _now(), "counts": dict(counts), "ignored": list(ignored)}
        self.head |= said or {}
        self._write_head()

    def _write_head(self) -> None:
        write_file(self.folder / RUN, json.dumps(self.head, indent=2, allow_nan=False).encode())

    def _check(self) -> None:
        """Refuse what is not ours to write over, before any work."""
        there = [name for name in (RUN, LINES, TABLE) if os.path.lexists(self.folder / name)]
        if there and not (self.resume or self.overwrite):
            raise OutputError(
                f"{self.folder} holds the results of another run ({_words(self.folder)}); --resume continues it, "
                "--overwrite replaces it, or choose another --output"
            )
        if there and self.resume and not (self.folder / RUN).is_file():
            raise OutputError(f"{self.folder} holds results without {RUN}, which cannot be resumed; see --overwrite")
        for name in () if there else IMAGES:
            if (self.folder / name).is_dir() and list((self.folder / name).iterdir()):
                raise OutputError(f"{self.folder / name} holds other things; choose another --output")

    def _clear(self) -> None:
        """Remove the earlier run, its head last, so that what is left of it is still known for a run."""
        for name in IMAGES:
            if (self.folder / name).is_dir():
                shutil.rmtree(self.folder / name)
        for name in (INDEX, LINES, TABLE, RUN):
            (self.folder / name).unlink(missing_ok=True)


class _File:
    """A file that grows by whole lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, bytearray()
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror})") from error
        self._kept = os.fstat(self._handle).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def add(self, data: bytes) -> None:
        self._new += data

    def force(self) -> None:
        """To disk, all of it."""
        try:
            rest = memoryview(bytes(self._new))
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written ({error.strerror}); verdicts up to here are kept, --resume goes on"
            ) from error

    def take_back(self) -> None:
        self._new.clear()
        with suppress(OSError):
            os.ftruncate(self._handle, self._kept)

    def keep(self) -> None:
        self._kept += len(self._new)
        self._new.clear()


def read_lines(path: Path) -> tuple[list[bytes], int]:
    """The whole lines of a file that grows, and their length in bytes; none when it is not there."""
    data = path.read_bytes() if path.is_file() else b""
    whole = data.rfind(b"\n") + 1
    return data[:whole].splitlines(), whole


def _read_lines(path: Path, run: str) -> tuple[list[Line], int]:
    texts, whole = read_lines(path)
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = parse_json(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or line.get("run") != run or not {"name", "label", "sha256"} <= set(line):
            raise InputError(f"{path}, line {number}: not a verdict of run {run}; --overwrite begins anew")
        lines.append(line)
    return lines, whole


def _read_head(path: Path) -> Line:
    try:
        head = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); --overwrite begins anew") from error
    if not isinstance(head, dict) or not {"run", "model", "options", "started"} <= set(head):
        raise InputError(f"{path} must be that of a run of amiss inspect; --overwrite begins anew")
    return head


def _check_same(folder: Path, head: Line, model: str, options: Mapping[str, Any]) -> None:
    if head["model"] != model:
        raise InputError(
            f"the model must be the one that began the results in {folder} ({str(head['model'])[:12]}), "
            f"got {model[:12]}; --overwrite begins anew"
        )
    for name in sorted({*head["options"], *options}):
        if head["options"].get(name) != options.get(name):
            raise InputError(
                f"{name} must be as when the results in {folder} were begun, {head['options'].get(name)!r}, "
                f"got {options.get(name)!r}; --overwrite begins anew"
            )


def _finished(folder: Path, lines: Sequence[Line], images: Images) -> dict[int, Line]:
    """Which images have a line. One that is no longer there keeps its verdict; one that has changed is refused."""
    given: dict[str, list[Line]] = {}
    for line in lines:
        given.setdefault(line["name"], []).append(line)
    found: dict[int, Line] = {}
    for index, name in enumerate(images.names):
        if not given.get(name):
            continue
        found[index] = given[name].pop(0)
        try:
            sha256 = images.read(index).sha256
        except ImageError:
            sha256 = ""
        if sha256 != found[index]["sha256"]:
            raise InputError(f"{name} has changed since its verdict in {folder}; --overwrite begins anew")
    return found


def _row(line: Line) -> tuple[Any, ...]:
    largest = max(line["regions"], key=lambda region: region["area"], default=None)
    place = ("",) * 5 if largest is None else (*largest["box"], largest["area"])
    counted = "" if line["label"] == Label.ERROR else len(line["regions"])
    cells = {
        **line,
        "n_regions": counted,
        **dict(zip(("left", "top", "width", "height", "area"), place, strict=True)),
    }
    return tuple(cells.get(name, "") for name in COLUMNS)


def _text(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def table_row(cells: Sequence[Any]) -> bytes:
    """One row of a CSV file, with cells that no spreadsheet takes for a formula."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow([_text(cell) for cell in cells])
    try:
        return text.getvalue().encode("utf-8", "surrogateescape")  # the bytes of the file's name
    except UnicodeEncodeError:
        return text.getvalue().encode("utf-8", "backslashreplace")


def _words(folder: Path) -> str:
    lines = len(read_lines(folder / LINES)[0])
    try:
        head = _read_head(folder / RUN)
    except InputError:
        return f"{lines} images"
    return f"{lines} images, begun {head['started']}, {'complete' if head.get('complete') else 'not complete'}"


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
