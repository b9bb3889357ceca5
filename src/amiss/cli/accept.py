"""``amiss accept``: a site's own check of a model, with images of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model
from amiss.cli.console import progress_display, say, say_json
from amiss.cli.trust_options import TrustedKey


def accept(
    model: Model,
    images: Annotated[Path, typer.Argument(help="Folder of own images, good and defective, that stays at the site.")],
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    json: Json = False,
) -> None:
    """Keep what a model says of own images; `--accepted FOLDER` then refuses any other model, or other verdicts."""
    from amiss.acceptance import FILE
    from amiss.acceptance import accept as accept_model
    from amiss.inspector import Inspector

    inspector = Inspector.load(model, backend=backend, trusted_key=trusted_key)
    with progress_display() as progress:
        verdicts = accept_model(inspector, images, progress=progress)
    if json:
        say_json({"fingerprint": inspector.fingerprint, "verdicts": [verdict.summary() for verdict in verdicts]})
        return
    counts = Counter(str(verdict.label) for verdict in verdicts)
    say(
        *(f"{str(verdict.label).upper():<10} {verdict.name}  score = {verdict.score:.4g}" for verdict in verdicts),
        f"Accepted with {len(verdicts)} images: "
        + ", ".join(f"{counts[label]} {label}" for label in sorted(counts))
        + ".",
        f"If one of these verdicts is wrong, delete {images / FILE}.",
        f"Next: amiss inspect {model} IMAGES --accepted {images}",
    )
