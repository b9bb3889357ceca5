"""What is said when an optional library is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from amiss.core.errors import MissingExtraError


def needs_fit(what: str) -> AbstractContextManager[None]:
    """Wraps imports from the lab; see `needs_extra`."""
    return needs_extra(what, "fit")


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Wraps imports: without a library of an extra, say which and what needs it.

    Args:
        what: Begins the message, such as "learning".
        extra: Such as "fit".

    Raises:
        MissingExtraError: A library is not installed. A missing module of Amiss itself propagates.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("amiss"):
            raise
        raise MissingExtraError(f"{what} needs {error.name}; pip install 'amiss[{extra}]'") from error


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
