"""``amiss distil``: make a teacher, a small network that describes patches as a large one would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.common_options import Json, output_option
from amiss.cli.console import hold_file, hold_folder, parse_numbers, progress_display, say, say_json

if TYPE_CHECKING:
    from amiss.core.images import Images
    from amiss.distillation import Distilled

PROCEDURAL = "procedural"
"""The word for images that Amiss draws itself."""

Steps = Annotated[
    int | None,
    typer.Option(help="Training steps. Default: 2000, about ten minutes for pdn-xs or students-33-xs."),
]
State = Annotated[
    Path | None, typer.Option(help="Folder for the training state; if interrupted, the same command resumes from it.")
]


Arch = Annotated[str, typer.Option(help="pdn-xs, pdn-s, pdn-m, or students-17, -33, -65, each also as -xs.")]
BackboneOption = Annotated[str, typer.Option(help="Backbone to learn from; see docs/backbones.md.")]
Stages = Annotated[str, typer.Option(help="Strides of the backbone's stages to learn.")]
ImagesOption = Annotated[
    str, typer.Option(help="Folder of images of many kinds, or procedural (drawn by Amiss, licence-free).")
]
Count = Annotated[int, typer.Option(help="Number of procedural images.")]
Size = Annotated[int, typer.Option(help="Side that images are resized to, in pixels.")]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0)]
DeviceOption = Annotated[str, typer.Option(help="Device to learn on: auto, cpu, cuda or mps.")]
OutputOption = Annotated[Path, output_option("Output file, name.safetensors.")]


def distil(
    context: typer.Context,
    *,
    arch: Arch,
    backbone: BackboneOption = "efficientnet-lite0",
    stages: Stages = "8,16",
    images: ImagesOption = PROCEDURAL,
    count: Count = 1000,
    steps: Steps = None,
    size: Size = 256,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    output: OutputOption,
    checkpoint: State = None,
    json: Json = False,
) -> None:
    """Make a teacher for EfficientAD or Uninformed Students from a backbone and images of many kinds.

    If AMISS_CACHE names a folder, the backbone's features are kept there for next time.
    """
    from amiss.core.extras import needs_torch

    _check_file(output, arch)
    with needs_torch("distilling"):
        from amiss.distillation import distil as make
    hold_file(context, output)
    hold_folder(context, checkpoint)
    drawn = _images(images, count, size, seed)
    with progress_display() as progress:
        made = make(
            arch,
            drawn,
            backbone=backbone,
            stages=parse_numbers("stages", stages),
            steps=steps,
            size=size,
            seed=seed,
            checkpoint=checkpoint,
            device=device,
            progress=progress,
        )
    _finish(made, _record(made.record, images, len(drawn)), output, backbone=backbone, json=json)


def _check_file(output: Path, arch: str) -> None:
    from amiss.core.errors import InputError

    if output.is_dir():
        raise InputError(
            f"{output} is a folder; --output names the teacher's file, such as {output / arch}.safetensors"
        )


def _finish(made: Distilled, record: dict[str, str], output: Path, *, backbone: str, json: bool) -> None:
    """Write the teacher's file and report the result."""
    from amiss.storage import write_file

    data = made.to_bytes(record)
    write_file(output, data)
    steps = len(made.losses)
    last = made.losses[-max(1, steps // 20) :]
    first_loss, last_loss = made.losses[0], sum(last) / len(last)
    if json:
        say_json(
            {"output": str(output), "bytes": len(data), "first_loss": first_loss, "last_loss": last_loss, **record}
        )
        return
    say(
        f"{record['architecture']} learned from {backbone} in {steps} steps; images: {record['images']}.",
        f"Loss: {first_loss:.4g} in the first step, {last_loss:.4g} mean of the last {len(last)}.",
        f"Written to {output} ({len(data) / 1e6:.2f} MB of 16-bit weights, licence: {record['licence']}).",
    )


def _record(known: dict[str, str], images: str, count: int) -> dict[str, str]:
    """Metadata on how the file was made, with the command that reproduces it."""
    drawn = images == PROCEDURAL
    name = PROCEDURAL if drawn else Path(images).name  # other machines have other folders
    source = f"{name} --count {count}" if drawn else name
    command = (
        f"amiss distil --arch {known['architecture']} --backbone {known['backbone']} --stages {known['stages']} "
        f"--images {source} --steps {known['steps']} --size {known['size']} --seed {known['seed']}"
    )
    words = "drawn by Amiss" if drawn else f"in folder {name}"
    licence = known["licence"] + ("" if drawn else " (backbone); that of the images is for their owner to say")
    return {**known, "images": f"{count}, {words}", "licence": licence, "command": command}


def _images(images: str, count: int, size: int, seed: int) -> Images:
    from amiss.core.images import Images
    from amiss.synthesis.images import procedural_images

    return procedural_images(count, (size, size), seed) if images == PROCEDURAL else Images(images)
