"""The directory of a TIFF: numbers by tag. EXIF is one too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ImageError

_KINDS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}  # whole numbers without sign
_BYTES = {2: 1, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 17: 8}  # the other types
_ORIENTATION = 274
_SMALL, _BIG = (4, 2, 12), (8, 8, 20)  # bytes of an offset, of the number of entries, and of an entry

Span = tuple[int, int]


@dataclass(frozen=True)
class Directory:
    """Numbers by tag, the span of each value outside the directory, and where the next directory starts."""

    numbers: dict[int, NDArray[Any]]
    spans: list[Span]
    following: int

    def number(self, tag: int, default: int = 0) -> int:
        """The first number of a tag, or `default` if the tag is missing."""
        values = self.numbers.get(tag)
        return default if values is None or not len(values) else int(values[0])


def read_directory(data: bytes, name: str, start: int, order: str, big: bool) -> Directory:
    """The directory at byte `start`; `order` is "<" or ">", and `big` says whether this is BigTIFF.

    Raises:
        ImageError: It points beyond the end of the file, or names one thing twice.
    """
    word, short, step = _BIG if big else _SMALL
    numbers = partial(_numbers, data, name, order)
    stop = start + short + step * int(numbers(f"u{short}", 1, start)[0])
    following = next_directory(data, name, start, order, big)
    found: dict[int, NDArray[Any]] = {}
    spans = [(start, stop + word)]
    for entry in range(start + short, stop, step):
        tag, kind = map(int, numbers("u2", 2, entry))
        length = int(numbers(f"u{word}", 1, entry + 4)[0])
        size = length * (int(_KINDS[kind][1]) if kind in _KINDS else _BYTES.get(kind, 0))
        place = entry + 4 + word
        if size > word:
            place = int(numbers(f"u{word}", 1, place)[0])
            spans.append((place, place + size))
        if tag in found or place + size > len(data):
            raise ImageError(name, "the header is damaged")
        found[tag] = numbers(_KINDS.get(kind, "u1"), length if kind in _KINDS else size, place)
    return Directory(found, spans, following)


def next_directory(data: bytes, name: str, start: int, order: str, big: bool) -> int:
    """Where the directory after the one at byte `start` lies, 0 after the last. Arguments as for `read_directory`."""
    word = (_BIG if big else _SMALL)[0]
    return int(_numbers(data, name, order, f"u{word}", 1, next_link(data, name, start, order, big))[0])


def next_link(data: bytes, name: str, start: int, order: str, big: bool) -> int:
    """The byte at which the directory at `start` names the next one. Arguments as for `read_directory`."""
    _, short, step = _BIG if big else _SMALL
    return start + short + step * int(_numbers(data, name, order, f"u{short}", 1, start)[0])


def _numbers(data: bytes, name: str, order: str, kind: str, count: int, place: int) -> NDArray[Any]:
    if place + int(kind[1]) * count > len(data):
        raise ImageError(name, "the file is cut off or damaged: its directory points beyond its end")
    return np.frombuffer(data, order + kind, count, place)


def orientation_of(block: bytes) -> int:
    """What EXIF says about how to turn an image: 1 to 8, and 1 (not at all) if it cannot be understood."""
    if block[:4] not in (b"II*\0", b"MM\0*") or len(block) < 16:
        return 1
    order = "<" if block.startswith(b"II") else ">"
    try:
        directory = read_directory(block, "", int(np.frombuffer(block, order + "u4", 1, 4)[0]), order, False)
    except ImageError:
        return 1
    turned = directory.number(_ORIENTATION, 1)
    return turned if 1 <= turned <= 8 else 1
