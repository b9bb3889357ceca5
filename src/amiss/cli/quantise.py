"""``amiss quantise``: a quicker model, in int8 or float16."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from amiss.cli.backend_option import Backend, backend_line
from amiss.cli.common_options import Json, ModelOutput
from amiss.cli.console import hold_file, progress_display, say, say_json, written_line
from amiss.cli.pages_option import Pages
from amiss.cli.trust_options import Accepted, TrustedKey

Precision = Literal["int8", "float16"]


def quantise(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Float32 artefact written by `amiss fit`.")],
    data: Annotated[str, typer.Argument(help="The folder or data set that the artefact was made from.")],
    *,
    to: Annotated[Precision, typer.Option(help="int8 for processors, float16 for cards (--backend cuda).")] = "int8",
    pages: Pages = "one",
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    output: ModelOutput,
    json: Json = False,
) -> None:
    """Convert to int8 or float16 and recalibrate. Refused when detection of synthetic defects suffers."""
    from amiss.artefact import check_place
    from amiss.data import open_dataset
    from amiss.front import load
    from amiss.quantise import quantise as make

    check_place(output)
    hold_file(context, output)
    before = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    dataset = open_dataset(data, seed=before.record.seed, pages=pages)
    with progress_display() as progress:
        after, price = make(
            before, dataset.normal, precision=to, origins=dataset.normal_origins, seed=seed, progress=progress
        )
    after.save(output)
    if json:
        record = after.record.model_dump(mode="json")
        say_json({"output": str(output), "price": price.summary(), "statement": after.statement(), **record})
        return
    say(
        *price.lines(),
        *backend_line(after, backend),
        f"Threshold {before.rule.threshold:.4g} is now {after.rule.threshold:.4g} (rule {after.rule.name}, "
        f"n = {after.rule.n}).",
        after.statement(),
        written_line(output),
    )
