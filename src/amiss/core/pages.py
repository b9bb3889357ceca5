"""Files of several images, such as TIFF with pages or an animated WebP or PNG: each page as an image of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from amiss.core.checks import check_choice
from amiss.core.decode import count_pages, read_page
from amiss.core.errors import ImageError

PAGES = ("one", "each")
"""What to do with a file of several images: refuse it, or read each of them."""


@dataclass(frozen=True)
class Page:
    """One image of a file that holds several.

    Args:
        path: The file.
        number: Which one, from 1.
    """

    path: Path
    number: int

    @property
    def name(self) -> str:
        """The file and the number."""
        return f"{self.path}#{self.number}"

    def read(self) -> NDArray[Any]:
        """Its pixels, RGB or grey, uint8 or uint16.

        Raises:
            ImageError: The file cannot be used.
        """
        return read_page(self.path, self.number)


def check_pages(pages: str) -> str:
    """One of `PAGES`.

    Raises:
        InputError: Anything else.
    """
    return check_choice("pages", pages, PAGES)


def split_pages(path: Path) -> list[Path | Page]:
    """A file of one image as it is, and one of several as its pages; what cannot be read becomes an error later on."""
    try:
        count = count_pages(path)
    except ImageError:
        return [path]
    return [path] if count == 1 else [Page(path, number) for number in range(1, count + 1)]
