"""What verbs share: words on the terminal, progress, outputs, and how options are read.

Every word that reaches a terminal passes `plain`: names of files and labels come from others, and could forge lines.
"""

from __future__ import annotations

import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from amiss.cli.exit_codes import ExitCode
from amiss.core.errors import InputError
from amiss.core.progress import INSIDE, Progress
from amiss.core.words import about, megabytes
from amiss.storage import claim

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that are not printed: controls, formats (bidi among them), lone surrogates, line breaks."""

SHOWN = 20
"""Unusable images that are listed for a person; JSON has all of them."""


class Unheard(SystemExit):
    """Nobody takes standard output any more: its reader has gone, or its disk is full."""


def plain(text: str) -> str:
    """One line of visible characters: whatever could move the cursor, hide or reorder is written as its code.

    Example:
        >>> print(plain("a.png\\x1b[2K\\nGOOD b.png\\u202e"))
        a.png\\x1b[2K\\x0aGOOD b.png\\u202e
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_code(letter) if unicodedata.category(letter) in _HIDDEN else letter for letter in text)


def _code(letter: str) -> str:
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


@contextmanager
def progress_display() -> Iterator[Progress]:
    """Progress bars on a terminal, one line a finished stage elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        yield _Log()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    with Bars(*columns, *times, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        totals: dict[str, int] = {}

        def show(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks or totals[stage] != total:
                tasks[stage], totals[stage] = bars.add_task(stage, note=""), total
            bars.update(tasks[stage], completed=done, total=total, note=plain(note))
            if done == total and INSIDE in stage:  # one of many: the stage around it stays
                bars.remove_task(tasks.pop(stage))

        yield show


@contextmanager
def live_line(shown: bool) -> Iterator[Callable[[str], None]]:
    """A line at the bottom of a terminal that is written over again and again; nothing where it is not shown."""
    if not shown:
        yield lambda text: None
        return
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    with Status("", console=Console(stderr=True)) as status:
        yield lambda text: status.update(Text(plain(text)))


class _Log:
    """A line when a stage ends, and one a minute while it goes on. The time left is that of the stage it names."""

    def __init__(self) -> None:
        self._said = time.monotonic()
        self._began: dict[str, tuple[float, int]] = {"fits": (self._said, 0)}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        began, first = self._began.setdefault(stage, (now, done))
        tail = f"; {note}" if note else ""
        if done == total:
            del self._began[stage]
            if INSIDE in stage:  # one of many: the stage around it says how far it is
                return
            aside(f"{stage}: {total} done{tail}")
        elif done > first and (now - self._said > 60 or stage == "fits"):
            left = about((now - began) * (total - done) / (done - first))
            aside(f"{stage}: {done} of {total}, {left} left {'in all' if stage == 'fits' else 'of this step'}{tail}")
        else:
            return
        self._said = now


def say(*lines: str) -> None:
    """Print lines for a person; see `plain`.

    Raises:
        Unheard: Standard output cannot be written.
    """
    if lines:
        _print("\n".join(map(plain, lines)))


def written_line(model: Path) -> str:
    """Where a model lies, how large it is, and what to do with it."""
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    size = megabytes(sum(file.stat().st_size for file in files))
    return f"Written to {model} ({size}). Next: amiss inspect {model} IMAGES --output results"


def unusable_lines(images: Sequence[tuple[str, str]]) -> list[str]:
    """Images that could not be used, by name and reason: the first `SHOWN`, and how many more."""
    lines = [f"Unusable: {name}: {reason}" for name, reason in images[:SHOWN]]
    return lines + ([f"and {len(images) - SHOWN} more; --json lists all"] if len(images) > SHOWN else [])


def say_json(value: Any) -> None:
    """Print one JSON value on one line, in ASCII.

    Raises:
        Unheard: Standard output cannot be written.
    """
    _print(json.dumps(value, allow_nan=False))


def aside(text: str) -> None:
    """Print a line on standard error, if anybody takes it; see `plain`."""
    with suppress(OSError, ValueError):
        print(plain(text), file=sys.stderr, flush=True)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        with suppress(OSError, ValueError):  # what is still buffered goes nowhere, without an error at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise Unheard(ExitCode.PIPE) from error
        aside(f"amiss: standard output cannot be written ({error.strerror or error})")
        raise Unheard(ExitCode.FAILED) from error


def hold_file(context: typer.Context, path: Path | None) -> None:
    """Test, before any work, that a file can be written, and keep other runs from it until the verb ends.

    Raises:
        OutputError: It cannot, or another run is writing it.
    """
    if path is not None:
        context.with_resource(claim(path, folder=False))


def hold_folder(context: typer.Context, path: Path | None) -> None:
    """As `hold_file`, for a folder of files."""
    if path is not None:
        context.with_resource(claim(path, folder=True))


def parse_number(text: str | float) -> float:
    """A number, also with a decimal comma.

    Raises:
        InputError: Anything else.
    """
    from amiss.core.checks import with_point

    try:
        return float(with_point(str(text).strip()))
    except ValueError:
        raise InputError(f"a number such as 2.5 is needed, got {text!r}") from None


def parse_size(text: str) -> tuple[int, int]:
    """ "256" or "256x384" (height x width).

    Raises:
        InputError: Neither.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 0 < int(side) <= 10_000 for side in sides):
        raise InputError(f"size must be pixels such as 256, or height x width such as 256x384, got {text!r}")
    return int(sides[0]), int(sides[-1])


def parse_shifts(text: str) -> tuple[int, int]:
    """ "20x200": 20 shifts of 200 parts.

    Raises:
        InputError: Anything else.
    """
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(number.isdecimal() and int(number) for number in numbers):
        raise InputError(f"shifts must be their number x the parts of one, such as 20x200, got {text!r}")
    return int(numbers[0]), int(numbers[1])


def parse_words(name: str, text: str) -> list[str]:
    """Words separated by commas, without duplicates.

    Args:
        name: Name of the option, for the error.
        text: What was given.

    Raises:
        InputError: A word is missing.
    """
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    if not all(words):
        raise InputError(f"{name} must be words separated by commas, got {text!r}")
    return words


def parse_numbers(name: str, text: str) -> list[int]:
    """Whole numbers from 0 with commas between them, each once; otherwise as `parse_words`."""
    words = parse_words(name, text)
    if not all(word.isdecimal() for word in words):
        raise InputError(f"{name} must be whole numbers from 0, separated by commas, such as 8,16, got {text!r}")
    return [int(word) for word in words]


def parse_settings(pairs: Sequence[str], method: str | None = None) -> dict[str, Any]:
    """``name=value`` pairs; a value is read by the type that the method declares for it.

    Without a method (the benchmark has several, and looks at none of them in its own process), or if it does not know
    the name, a value is read as JSON where it is JSON, ``4,8`` as a list, else as text.

    Raises:
        InputError: No ``=``, or a name given twice; an unknown method.
    """
    from amiss.core.parameters import read_text
    from amiss.registry import find_method

    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or name in settings:
            raise InputError(f"--set must be name=value, each name once, got {pair!r}")
        declared = {} if method is None else find_method(method).declared
        settings[name] = declared[name].read(text) if name in declared else read_text(text)
    return settings
