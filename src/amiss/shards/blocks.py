"""Blocks of fixed size, and which of them a shard has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Self

from amiss.core.errors import InputError

TO_SCORE = 1000
"""Images of a block to score."""

TO_LEARN = 256
"""Images of a block to learn from."""


@dataclass(frozen=True)
class Block:
    """Some images in a row.

    Args:
        number: From 0; its place in every merge.
        start: Number of its first image among all.
        names: Of its images.
        about: What else a worker must know of it, as plain JSON values.
    """

    number: int
    start: int
    names: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def to_json(self) -> str:
        """One line, in ASCII, for a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        known = json.loads(text)
        return cls(known["number"], known["start"], tuple(known["names"]), known["about"])


def cut(names: Iterable[str], size: int) -> Iterator[Block]:
    """Blocks of so many images, the last one of what is left.

    Example:
        >>> [(block.number, block.start, block.names) for block in cut("abcde", 2)]
        [(0, 0, ('a', 'b')), (1, 2, ('c', 'd')), (2, 4, ('e',))]
    """
    rest, number = iter(names), 0
    while some := tuple(islice(rest, size)):
        yield Block(number, number * size, some)
        number += 1


def count_blocks(images: int, size: int) -> int:
    """How many blocks so many images are."""
    return -(-images // size)


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of all blocks: those whose number leaves a remainder.

    Args:
        index: From 0.
        count: Of all shards.
    """

    index: int = 0
    count: int = 1

    def has(self, number: int) -> bool:
        """Whether a block is in it."""
        return number % self.count == self.index

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "i/n", with i from 0.

        Raises:
            InputError: Anything else.

        Example:
            >>> Shard.parse("0/3")
            Shard(index=0, count=3)
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise InputError(f"shard must be i/n with i from 0 to n - 1, such as 0/3, got {text!r}")
        return cls(int(index), int(count))
