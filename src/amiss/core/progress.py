"""How long work reports its progress: one plain function, so that any display can be plugged in."""

from typing import Protocol

INSIDE = " > "
"""Between the name of a stage and that of a stage inside it."""


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


def inside(progress: Progress, name: str) -> Progress:
    """The progress of work that is a part of other work: its stages are called by both.

    Example:
        >>> inside(lambda *told: print(told), "fit 2 of 6")("features", 3, 8)
        ('fit 2 of 6 > features', 3, 8, '')
    """

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        progress(f"{name}{INSIDE}{stage}", done, total, note)

    return report
