"""``amiss export``: a model for programs in other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from amiss.cli.common_options import Json, Model
from amiss.cli.console import hold_folder, say, say_json
from amiss.cli.trust_options import Accepted, TrustedKey


def export(
    context: typer.Context,
    model: Model,
    onnx: Annotated[Path, typer.Option(help="Folder for model.onnx, what comes before and after it, and examples.")],
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Write a model for C++, C# and other programs: ONNX graph, preprocessing, rule, and two example programs."""
    from amiss.front import load
    from amiss.portable import check_folder, write_portable

    check_folder(onnx)
    hold_folder(context, onnx)
    inspector = load(model, trusted_key=trusted_key, accepted=accepted)
    files = write_portable(inspector, onnx)
    if json:
        say_json({"output": str(onnx), "files": [file.name for file in files], "statement": inspector.statement()})
        return
    say(
        f"Written to {onnx}: {', '.join(file.name for file in files)}.",
        inspector.statement(),
        f"Next: read {onnx / 'README.md'}; build inspect.cpp or Inspect.cs, and try it on the golden images.",
    )
