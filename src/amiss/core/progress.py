"""How long work reports its progress: one plain function, so that any display can be plugged in."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``: called often and cheaply; ``done == total`` ends the stage."""


def silent(stage: str, done: int, total: int) -> None:
    """The default: report nothing."""
