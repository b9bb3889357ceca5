"""How long work reports its progress: one plain function, so that any display can be plugged in."""

from typing import Protocol


class Progress(Protocol):
    """``progress(stage, done, total)``: called often and cheaply; ``done == total`` ends the stage."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Report.

        Args:
            stage: Name of the work.
            done: Units done so far.
            total: Units in all.
            note: What else a person wants to know now, such as the loss.
        """


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """The default: report nothing."""
