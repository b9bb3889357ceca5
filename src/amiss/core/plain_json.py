"""JSON and numbers from files that anybody may have written."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, whose errors are then all of one kind.

    Raises:
        ValueError: Not JSON, or deeper than Python goes.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("lists or objects inside one another, deeper than can be read") from error


def is_finite(value: Any) -> bool:
    """Whether a value is a number, other than True and False, that a float can hold.

    Example:
        >>> is_finite(1), is_finite(float("nan")), is_finite(10**400), is_finite("1")
        (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
