"""`About`: what a reader knows about its data set besides its images, and how it says that a part is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from amiss.core.errors import DataError

OWN_SPLIT = "The set has no split for learning from good images alone; this one is Amiss's own, drawn with the seed."
"""Note of every reader that has to draw a split."""


@dataclass(frozen=True)
class About:
    """One published data set.

    Args:
        title: Its name.
        layout: Its files, in one line.
        home: Where people get it. Amiss downloads nothing.
        licence: Licence of the images.

    Example:
        >>> about = About("Bolts", "train/ok, test/ok, test/ko", "example.org/bolts", "CC BY 4.0")
        >>> print(about.missing(Path("bolts"), "test/ok/"))
        bolts: test/ok/ is missing. Bolts is laid out as train/ok, test/ok, test/ko; get it from example.org/bolts \
(licence: CC BY 4.0)
    """

    title: str
    layout: str
    home: str
    licence: str

    def missing(self, root: Path, what: str) -> DataError:
        """The error that says what is missing below `root`, what was expected, and where to get it."""
        return self.error(f"{root}: {what} is missing")

    def error(self, problem: str) -> DataError:
        """The error for another problem with the layout, with the same advice."""
        return DataError(
            f"{problem}. {self.title} is laid out as {self.layout}; get it from {self.home} (licence: {self.licence})"
        )
