"""What is said when an optional library is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amiss.core.errors import MissingExtraError


@contextmanager
def needs_torch(what: str) -> Iterator[None]:
    """Wraps an import: without torch, say what needs it. Other import errors propagate.

    Args:
        what: Begins the message, such as "learning".

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "torch":
            raise MissingExtraError(f"{what} needs torch; pip install 'amiss[fit]'") from error
        raise
