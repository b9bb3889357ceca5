"""`write_certificate`: what was shown, as one HTML file for people and one JSON file for machines."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from amiss.reporting.gallery import short_names
from amiss.reporting.page import render
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation import Certificate


def write_certificate(folder: str | Path, certificate: Certificate, model: str = "") -> tuple[Path, Path]:
    """Write ``certificate.html`` and ``certificate.json``, each at once; the paths of both.

    Bounds are rounded up, so that no more is claimed than was shown.

    Args:
        folder: Made when it is missing.
        certificate: What `amiss.evaluation.certify` returned.
        model: The file of the model, as people call it; "" when it has none.
    """
    names = short_names([entry.name for entry in certificate.entries])
    thresholds = (entry.verdict.threshold for entry in certificate.entries)
    page = render(
        "certificate.html.jinja",
        c=certificate,
        names=names,
        model=model,
        products=certificate.products,
        threshold=next((one for one in thresholds if one is not None), None),
        with_lots=any(entry.lot for entry in certificate.entries),
        version=version("amiss"),
    )
    html, plain = Path(folder) / "certificate.html", Path(folder) / "certificate.json"
    write_file(html, page)
    write_file(plain, json.dumps(certificate.summary(), indent=2, allow_nan=False).encode())
    return html, plain
