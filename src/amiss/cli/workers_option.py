"""Who works, where a verb can share its work: ``--on NAME --workers N``."""

from __future__ import annotations

from typing import Annotated

import typer

On = Annotated[str, typer.Option(help="Who works: local (this machine) or ray (a cluster).")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes that share the work. Default: this one alone; with --on ray, a process per core."
    ),
]
