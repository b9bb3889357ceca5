"""Options and arguments that mean the same in every verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _check_model(path: Path) -> Path:
    """Refused before any work."""
    from amiss.artefact import check_name

    check_name(path)
    return path


def output_option(text: str) -> Any:
    """``--output``, or ``-o``, of a verb.

    Args:
        text: What is written there.
    """
    return typer.Option("--output", "-o", help=text)


Model = Annotated[Path, typer.Argument(help="Artefact written by `amiss fit`.")]
ModelOutput = Annotated[
    Path, typer.Option("--output", "-o", callback=_check_model, help="Output: a file name.amiss, or a folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
