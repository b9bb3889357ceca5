"""What a hyper-parameter may be, as marks in its declaration: ``noise: Annotated[float, Positive] = 0.25``.

Each mark judges a value of the right type, says so in words and as JSON Schema, and knows values just outside it.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from amiss.core.errors import InputError


class Range(ABC):
    """One mark of a declaration; several hold at once."""

    @property
    def adjective(self) -> str:
        """Word before the noun, such as "odd"."""
        return ""

    @property
    def phrase(self) -> str:
        """Words after the noun, such as " of at least 1"."""
        return ""

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value of the declared type is allowed."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The same as keywords of JSON Schema, or of our own where it has none."""

    @abstractmethod
    def outside(self, good: Any) -> tuple[Any, ...]:
        """Values just outside, of the same type as an allowed one."""


@dataclass(frozen=True)
class AtLeast(Range):
    """A number from `least` on.

    Example:
        >>> AtLeast(1).holds(1), AtLeast(1).outside(3), AtLeast(1).phrase
        (True, (0,), ' of at least 1')
    """

    least: float

    @property
    def phrase(self) -> str:
        return f" of at least {self.least:g}"

    def holds(self, value: Any) -> bool:
        return bool(value >= self.least)

    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return (_below(self.least, good),)


@dataclass(frozen=True)
class Above(Range):
    """A number above `bound`, which itself is not allowed.

    Example:
        >>> Above(0).holds(0), Above(0).outside(0.25), Above(0).phrase
        (False, (0.0,), ' above 0')
    """

    bound: float

    @property
    def phrase(self) -> str:
        return f" above {self.bound:g}"

    def holds(self, value: Any) -> bool:
        return bool(value > self.bound)

    def schema(self) -> dict[str, Any]:
        return {"exclusiveMinimum": self.bound}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return (type(good)(self.bound),)


Positive = Above(0)
"""A number above 0."""


@dataclass(frozen=True)
class Between(Range):
    """A number between two bounds.

    Args:
        low: Lower bound.
        high: Upper bound.
        closed: Which bounds are allowed themselves: "neither", "left" or "both".

    Example:
        >>> Between(0, 1).holds(1), Between(0, 1, "both").holds(1), Between(0, 1, "left").phrase
        (False, True, ' of at least 0 and below 1')
    """

    low: float
    high: float
    closed: Literal["neither", "left", "both"] = "neither"

    @property
    def phrase(self) -> str:
        if self.closed == "both":
            return f" from {self.low:g} to {self.high:g}"
        first = "above" if self.closed == "neither" else "of at least"
        return f" {first} {self.low:g} and below {self.high:g}"

    def holds(self, value: Any) -> bool:
        above = value > self.low if self.closed == "neither" else value >= self.low
        return bool(above and (value <= self.high if self.closed == "both" else value < self.high))

    def schema(self) -> dict[str, Any]:
        low, high = {
            "neither": ("exclusiveMinimum", "exclusiveMaximum"),
            "left": ("minimum", "exclusiveMaximum"),
            "both": ("minimum", "maximum"),
        }[self.closed]
        return {low: self.low, high: self.high}

    def outside(self, good: Any) -> tuple[Any, ...]:
        low = type(good)(self.low) if self.closed == "neither" else _below(self.low, good)
        return low, -_below(-self.high, good) if self.closed == "both" else type(good)(self.high)


@dataclass(frozen=True)
class _Odd(Range):
    @property
    def adjective(self) -> str:
        return "odd"

    def holds(self, value: Any) -> bool:
        return bool(value % 2 == 1)

    def schema(self) -> dict[str, Any]:
        return {"odd": True}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return (2,)


Odd = _Odd()
"""An odd whole number: what lies around a pixel on all sides."""


@dataclass(frozen=True)
class MultipleOf(Range):
    """A whole number that `factor` divides.

    Example:
        >>> MultipleOf(4).holds(8), MultipleOf(4).outside(8), MultipleOf(4).phrase
        (True, (5,), ', divisible by 4')
    """

    factor: int

    @property
    def phrase(self) -> str:
        return f", divisible by {self.factor}"

    def holds(self, value: Any) -> bool:
        return bool(value % self.factor == 0)

    def schema(self) -> dict[str, Any]:
        return {"multipleOf": self.factor}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return (self.factor + 1,)


@dataclass(frozen=True, init=False)
class OneOf(Range):
    """One of some words.

    Example:
        >>> OneOf("full", "diagonal").holds("ful"), OneOf("full", "diagonal").outside("full")
        (False, ('full?', ''))
    """

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    @property
    def phrase(self) -> str:
        return f" out of {', '.join(self.words)}"

    def holds(self, value: Any) -> bool:
        return value in self.words

    def check(self, name: str, value: str) -> str:
        """The value of an argument that may be one of these words only; a near miss is pointed out.

        Raises:
            InputError: Another word.
        """
        if value in self.words:
            return value
        raise InputError(f"{name} must be one of {', '.join(self.words)}, got {value!r}{self.hint(value)}")

    def hint(self, value: Any) -> str:
        """Of an unknown word: which one it may have been."""
        near = difflib.get_close_matches(value, self.words, n=1) if isinstance(value, str) else []
        return f". Did you mean {near[0]!r}?" if near else ""

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return (f"{self.words[0]}?", "")


@dataclass(frozen=True)
class _NotEmpty(Range):
    @property
    def adjective(self) -> str:
        return "non-empty"

    def holds(self, value: Sequence[Any]) -> bool:
        return len(value) > 0

    def schema(self) -> dict[str, Any]:
        return {"minItems": 1}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return ((),)


NotEmpty = _NotEmpty()
"""A list with something in it."""


@dataclass(frozen=True)
class _Different(Range):
    @property
    def phrase(self) -> str:
        return ", each once"

    def holds(self, value: Sequence[Any]) -> bool:
        return all(one not in value[:number] for number, one in enumerate(value))

    def schema(self) -> dict[str, Any]:
        return {"uniqueItems": True}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return ((*good, good[0]),)


Different = _Different()
"""A list in which nothing comes twice."""


@dataclass(frozen=True)
class _Ascending(Range):
    @property
    def phrase(self) -> str:
        return ", in ascending order"

    def holds(self, value: Sequence[Any]) -> bool:
        return all(one < other for one, other in pairwise(value))

    def schema(self) -> dict[str, Any]:
        return {"ascending": True}

    def outside(self, good: Any) -> tuple[Any, ...]:
        return ((*good, good[-1]), (*good, good[0] - 1))


Ascending = _Ascending()
"""A list in which each number is larger than the one before."""

Count = Annotated[int, AtLeast(1)]
"""How many: a whole number of at least 1."""

OddCount = Annotated[Count, Odd]
"""Side of a window around a cell."""

Share = Annotated[float, Between(0, 1)]
"""A part of a whole: more than nothing, less than all."""

Stages = Annotated[Sequence[Count], NotEmpty, Ascending]
"""Stages of a backbone, by their strides (by the numbers of its blocks where all have one stride)."""

Smoothing = Annotated[float, AtLeast(0)]
"""Standard deviation of the Gaussian on a map; 0 for none."""


def _below(bound: float, like: float) -> float:
    """The next number below, whole when `like` is."""
    return math.ceil(bound) - 1 if isinstance(like, int) else math.nextafter(bound, -math.inf)
