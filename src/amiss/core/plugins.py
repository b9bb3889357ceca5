"""What other packages add by entry points. Looked up once a process: each look reads every installed package's list."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points


@cache
def plugged_in(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group, of all packages that are installed; none of them is imported."""
    return tuple(entry_points(group=group))
