"""`write_suspects`: good images, the strangest first, as one HTML file for a person and one JSON file for machines."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from amiss.reporting.gallery import data_uri, short_names
from amiss.reporting.overlay import fit_inside
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation.suspects import Suspects

SHOWN = 60
"""Images on the page; the JSON file names all."""

THUMBNAIL = 220
"""Pixels of the long side of an image on the page."""


def write_suspects(folder: str | Path, suspects: Suspects, name: str) -> tuple[Path, Path]:
    """Write ``suspects.html`` and ``suspects.json``, each at once; the paths of both.

    Args:
        folder: Made when it is missing.
        suspects: What was found.
        name: What the images are called.

    Raises:
        ImageError: An image is gone by now.
    """
    shown = min(SHOWN, len(suspects.scores))
    cards = [
        {"name": short, "score": float(score), "ratio": float(ratio), "image": data_uri(fit_inside(image, THUMBNAIL))}
        for short, score, ratio, image in zip(
            short_names(suspects.images.names)[:shown],
            suspects.scores[:shown],
            suspects.ratios[:shown],
            suspects.images.subset(range(shown)),
            strict=True,
        )
    ]
    page = render("suspects.html.jinja", s=suspects, name=name, cards=cards, version=version("amiss"))
    html, plain = Path(folder) / "suspects.html", Path(folder) / "suspects.json"
    write_file(html, page)
    write_file(plain, json.dumps(suspects.summary(), indent=2, allow_nan=False).encode())
    return html, plain
