"""How verbs are told the runtime: ``--backend NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from amiss.inspector import Inspector

Backend = Annotated[
    str,
    typer.Option(
        help="Runtime: onnxruntime, openvino, cuda, tensorrt, or auto (times those of the processor once and keeps the "
        "fastest)."
    ),
]


def backend_line(inspector: Inspector, asked: str) -> list[str]:
    """The runtime chosen, when the choice was left to Amiss."""
    from amiss.runtime import Graph

    if asked != "auto" or not isinstance(inspector.scorer, Graph):
        return []
    program = inspector.scorer.program
    return [f"Runtime: {program.runtime}, {program.threads} thread{'' if program.threads == 1 else 's'}"]
