"""Which images a store keeps and how long, and how they are written.

An image that raised an alarm, is for review, could not be used or was drawn for an audit is on disk before its verdict
is answered. Good ones are written as well as can be, and only if there is room.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from amiss.core.errors import InputError, OutputError
from amiss.ledger.events import spell
from amiss.storage import UNFINISHED, sync_folder

CLASSES = ("good", "error", "review", "anomalous", "audit")
"""Kinds of images, those that go first when there is no room first."""

DURABLE = frozenset(CLASSES[1:])
"""On disk before the answer."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_HOURS = {"h": 1.0, "d": 24.0}


@dataclass(frozen=True)
class Keeping:
    """How long images are kept, and how many bytes of them.

    Args:
        hours: Hours for each of `CLASSES`; 0 keeps none.
        quota: Bytes of all images together.
        floor: Bytes that must stay free on the disk; with less no part is taken.
    """

    hours: dict[str, float]
    quota: int
    floor: int = 64_000_000

    @classmethod
    def of(cls, text: str = "", quota: str = "20G", floor: str = "64M") -> Keeping:
        """Of words: "good=24h,anomalous=365d" changes what is usual, 24 h for good images and 365 d for others.

        Raises:
            InputError: Not such words.

        Example:
            >>> Keeping.of("good=0h,review=2d").hours["review"]
            48.0
        """
        hours = {name: 24.0 if name == "good" else 365 * 24.0 for name in CLASSES}
        for word in filter(None, (one.strip() for one in text.split(","))):
            name, _, time = word.partition("=")
            found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([hd])", time)
            if name not in CLASSES or found is None:
                raise InputError(f"keep must be such as good=24h,review=30d ({', '.join(CLASSES)}), got {word!r}")
            hours[name] = float(found[1]) * _HOURS[found[2]]
        return cls(hours, parse_bytes("quota", quota), parse_bytes("floor", floor))

    def until(self, kind: str, at: datetime) -> str | None:
        """When an image of a class may be removed that was taken at some time; None when it is not kept at all."""
        hours = self.hours[kind]
        return spell(at.astimezone(UTC) + timedelta(hours=hours)) if hours else None


def parse_bytes(name: str, text: str) -> int:
    """A size such as 500M or 20G, in bytes.

    Raises:
        InputError: Not a size.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?) ?([KMGT]?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if found is None:
        raise InputError(f"{name} must be a size such as 500M or 20G, got {text!r}")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def class_of(label: str, audit: bool) -> str:
    """The class of an image by its verdict, and whether it was drawn for an audit."""
    return "audit" if audit else label


def write_images(files: Sequence[tuple[Path, bytes]], *, durable: bool) -> dict[Path, OutputError]:
    """Write some images under their names, each complete or not at all.

    Args:
        files: Paths and contents. One that is there already has the same content: its name is its hash.
        durable: Force them to disk; together, which costs little more than one.

    Returns:
        Those that could not be written, and why.
    """
    failed: dict[Path, OutputError] = {}
    written: list[tuple[Path, Path]] = []
    for path, data in files:
        with _noting(path, failed):
            if not _is_there(path, len(data)):
                written.append((_write_beside(path, data), path))
            elif durable:  # perhaps as a good one, which was not
                _force(path)
    for temporary, path in written:
        with _noting(path, failed):
            if durable:
                _force(temporary)
            temporary.replace(path)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    for folder in {above for _, path in written for above in path.parents[:2]} if durable else ():
        try:
            sync_folder(folder)
        except OSError as error:
            why = OutputError(f"{folder} cannot be forced to disk ({error.strerror or error})")
            failed.update({path: why for _, path in written if folder in path.parents})
    return failed


@contextmanager
def _noting(path: Path, failed: dict[Path, OutputError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed[path] = OutputError(f"{path} cannot be written ({error.strerror or error})")


def is_missing(path: Path) -> bool:
    """Whether there is no such file; no, where whatever is wrong keeps it from being looked at."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _is_there(path: Path, size: int) -> bool:
    """A file of another size was cut off by a power cut, as one that nobody forced to disk may be."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _write_beside(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(6)}{UNFINISHED}"
    try:
        temporary.write_bytes(data)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _force(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
