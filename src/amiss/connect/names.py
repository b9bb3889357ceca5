"""Serial number, lot, camera and time of a part: from the name of its file, or from a file of JSON beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amiss.core.errors import InputError
from amiss.core.plain_json import parse_json

FIELDS = ("serial", "lot", "camera", "time")

LONGEST = 200
"""Letters of a field."""

_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class About:
    """What is known of a part beside its image; None where it is not."""

    serial: str | None = None
    lot: str | None = None
    camera: str | None = None
    time: str | None = None


class NamePattern:
    """Reads fields out of the path of a file below the folder that is watched.

    Args:
        text: The path without its ending, with `FIELDS` in braces and ``*`` for anything; a slash is a folder.

    Raises:
        InputError: No field, one twice, or another one; two fields with nothing between them.

    Example:
        >>> NamePattern("{lot}/{serial}_{time}").read("L7/0815_2026-01-02T10.png")
        About(serial='0815', lot='L7', camera=None, time='2026-01-02T10')
        >>> NamePattern("{lot}/{serial}_{time}").read("other.png")
        About(serial=None, lot=None, camera=None, time=None)
    """

    def __init__(self, text: str) -> None:
        pieces = re.split(r"(\{\w*\}|\*)", text)
        names = [piece[1:-1] for piece in pieces[1::2] if piece != "*"]
        if not names or len(set(names)) < len(names) or not set(names) <= set(FIELDS):
            raise InputError(
                f"names must hold each of {', '.join('{' + name + '}' for name in FIELDS)} once at most, and one of "
                f"them, such as {{lot}}/{{serial}}_*, got {text!r}"
            )
        if any(not between for between in pieces[2:-1:2]):
            raise InputError(f"names must have something between two fields, got {text!r}")
        words = [re.escape(piece) if not number % 2 else _group(piece) for number, piece in enumerate(pieces)]
        self._pattern = re.compile("".join(words))

    def read(self, path: str) -> About:
        """The fields of a path, with slashes; nothing where it does not fit."""
        stem = path.rpartition(".")[0] if "." in path.rpartition("/")[2] else path
        found = self._pattern.fullmatch(stem)
        return About() if found is None else About(**{name: _short(value) for name, value in found.groupdict().items()})


def read_sidecar(path: Path) -> About:
    """The fields that a file of JSON beside an image holds.

    Raises:
        InputError: It cannot be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            found = parse_json(file.read(_MOST_BYTES + 1)[: _MOST_BYTES + 1])
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{path.name} must be JSON ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path.name} must be a JSON object with {', '.join(FIELDS)}")
    values = {name: found.get(name) for name in FIELDS}
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
            raise InputError(f"{name} in {path.name} must be text, got {value!r}"[:200])
    return About(**{name: None if value is None else _short(str(value)) for name, value in values.items()})


def _group(piece: str) -> str:
    return "[^/]*" if piece == "*" else f"(?P<{piece[1:-1]}>[^/]+?)"


def _short(value: str) -> str | None:
    return value[:LONGEST] or None
