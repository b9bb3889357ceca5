"""The option for files that hold several images."""

from __future__ import annotations

from typing import Annotated

import typer

Pages = Annotated[
    str,
    typer.Option(
        help="A file of several images, such as a TIFF with pages, is an error (one), or each page is an image (each)."
    ),
]
