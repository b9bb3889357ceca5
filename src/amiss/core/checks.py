"""Checks of arguments that several places share. Each says what must hold, and what was got."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from amiss.core.errors import AmissError, DataError, InputError
from amiss.core.plain_json import is_finite
from amiss.core.ranges import OneOf

T = TypeVar("T")


@contextmanager
def readable(source: object) -> Iterator[None]:
    """Around the listing of folders and files: what the system does not take is an error of Amiss.

    Raises:
        DataError: A name that is too long or holds a null byte, folders too deep, no permission.
    """
    try:
        yield
    except AmissError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{str(source)[:200]}: cannot be read ({why})") from error


def check_rate(name: str, value: float) -> float:
    """A rate strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} must be a number above 0 and below 1, such as 0.05, got {value!r}")
    return float(value)


def read_rate(name: str, text: str) -> float:
    """A rate as people write it: "0.05", "5%", or "0,5 %" with the comma that many countries write.

    Example:
        >>> read_rate("alpha", "5%"), read_rate("alpha", "0.05"), read_rate("alpha", "2,5 %")
        (0.05, 0.05, 0.025)
    """
    words = with_point(text.strip())
    try:
        value = float(words.removesuffix("%")) / (100 if words.endswith("%") else 1)
    except ValueError:
        raise InputError(f"{name} must be a rate such as 0.05 or 5%, got {text!r}") from None
    return check_rate(name, value)


def with_point(text: str) -> str:
    """One number with a decimal point, also where it was written with a comma.

    Example:
        >>> with_point("0,5%"), with_point("1,000.5"), with_point("5%,1%")
        ('0.5%', '1,000.5', '5%,1%')
    """
    return text.replace(",", ".") if re.fullmatch(r"[+-]?\d*,\d+ ?%?", text) else text


def check_count(name: str, value: int, *, least: int = 1) -> int:
    """A whole number that is not too small."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value


def check_real(name: str, value: float, *, least: float = -math.inf) -> float:
    """A finite number that is not too small."""
    if not isinstance(value, (int, float)) or not is_finite(value) or value < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise InputError(f"{name} must be a finite number{bound}, got {value!r}")
    return float(value)


def check_choice(name: str, value: str, allowed: Iterable[str]) -> str:
    """One of the allowed words; a near miss is pointed out."""
    return OneOf(*sorted(allowed)).check(name, value)


def create_named(what: str, table: Mapping[str, Callable[..., T]], name: str, config: Mapping[str, Any]) -> T:
    """The entry of a table, called with keyword arguments; an unknown name or argument is an `InputError`."""
    check_choice(what, name, table)
    try:
        return table[name](**config)
    except TypeError as error:
        raise InputError(f"{what} {name!r}: {error}") from error
