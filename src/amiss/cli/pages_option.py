"""The option for files that hold several images."""

from __future__ import annotations

from typing import Annotated

import typer


def _check(pages: str) -> str:
    """Refused before any work."""
    from amiss.core.pages import check_pages

    return check_pages(pages)


Pages = Annotated[
    str,
    typer.Option(
        callback=_check,
        help="A file of several images, such as a TIFF with pages, is an error (one), or each page is an image (each).",
    ),
]
