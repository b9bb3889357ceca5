"""The options of ``amiss fit`` that other verbs do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _complete_method(incomplete: str) -> list[str]:
    """Methods for the shell's completion."""
    from amiss.registry import list_methods

    return [name for name in list_methods() if name.startswith(incomplete)]


GoodImages = Annotated[str, typer.Argument(help="A folder of good images (or of classes), a data set, or elpv:mono.")]
Method = Annotated[
    str, typer.Option(help="Method (see `amiss methods`), or module:Class.", autocompletion=_complete_method)
]
Preset = Annotated[
    str, typer.Option(help="Preset of the method: default, paper or tiny; the ensemble also has fast and accurate.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A hyper-parameter, name=value; see `amiss methods METHOD`.")
]
InputSize = Annotated[
    str | None,
    typer.Option(help="Size that images are resized to: 256, or 256x384 (height x width). Default: 256."),
]
Tile = Annotated[
    int | None,
    typer.Option(help="Cut large images into tiles of this side, such as 256, instead of resizing them."),
]
Overlap = Annotated[
    int | None, typer.Option(help="Pixels that neighbouring tiles share. Default: an eighth of the tile.")
]
Bits = Annotated[
    int | None,
    typer.Option(help="Bits that the values of 16-bit images really have, such as 12. Default: 16."),
]
HowToCalibrate = Annotated[
    str,
    typer.Option(help="Share of good images to hold out, such as 20%; folds or folds:10; auto: 20%, folds below 50."),
]
Contamination = Annotated[
    str | None,
    typer.Option(
        help="Share of the good images that may be defective, such as 10%: so many, the strangest, do not learn. Five "
        "more fits of patchcore."
    ),
]
CalibrateOn = Annotated[
    str | None,
    typer.Option(
        help="Good images to calibrate on instead: where unlabelled images are learned from, or with --contamination."
    ),
]
MinimumArea = Annotated[int, typer.Option(help="Ignore alarming regions with fewer map pixels than this.")]
Inside = Annotated[Path | None, typer.Option(help="Mask of the images' size; black areas are not inspected.")]
Outside = Annotated[Path | None, typer.Option(help="Mask of the images' size; all but black areas are ignored.")]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0)]
Device = Annotated[str, typer.Option(help="Device for gradient training: auto, cpu, cuda or mps.")]
RecipeFile = Annotated[
    Path | None, typer.Option(help="TOML file written by --print-recipe; other options override it.")
]
PrintRecipe = Annotated[
    bool, typer.Option("--print-recipe", help="Print the recipe of these options as TOML and exit.")
]
Suspects = Annotated[
    bool,
    typer.Option(
        "--suspects", help="Also list good images that look strange, on a page in OUTPUT.suspects; five more fits."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume an interrupted fit with this output.")]
FeatureShard = Annotated[
    str | None,
    typer.Option(
        help="Learn nothing yet: put what one of n equal shares of the images leaves, such as 0/3, into the folder "
        "AMISS_CACHE."
    ),
]
