"""``amiss fit``: from good images to a calibrated inspector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.console import aside, hold_file, hold_folder, progress_display, say, say_json
from amiss.cli.pages_option import Pages
from amiss.cli.recipe_options import read_recipe, with_region
from amiss.cli.rule_options import Alpha, Confidence, Future, RuleWords, Threshold, trade_of
from amiss.cli.suspect_lines import list_suspects
from amiss.core.listing import Ignored, describe_ignored

if TYPE_CHECKING:
    from amiss.core.origin import Origin
    from amiss.data import Dataset
    from amiss.inspector import Inspector
    from amiss.recipe import Recipe


def fit(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A folder of good images (or of classes), a data set, or elpv:mono.")],
    method: Annotated[str, typer.Option(help="Method (see `amiss methods`), or module:Class.")] = "ensemble",
    preset: Annotated[
        str, typer.Option(help="Preset of the method: default, paper or tiny; the ensemble also has fast and accurate.")
    ] = "default",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter, name=value; see `amiss methods METHOD`.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Size that images are resized to: 256, or 256x384 (height x width). Default: 256."),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(help="Cut large images into tiles of this side, such as 256, instead of resizing them."),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Pixels that neighbouring tiles share. Default: an eighth of the tile.")
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(help="Bits that the values of 16-bit images really have, such as 12. Default: 16."),
    ] = None,
    pages: Pages = "one",
    rule: RuleWords = "conformal",
    alpha: Alpha = None,
    confidence: Confidence = None,
    threshold: Threshold = None,
    calibration: Annotated[
        str,
        typer.Option(
            help="Share of good images to hold out, such as 20%; folds or folds:10; auto: 20%, folds below 50."
        ),
    ] = "auto",
    calibrate_on: Annotated[
        str | None,
        typer.Option(help="Good images to calibrate on instead; for methods that learn from unlabelled images."),
    ] = None,
    future: Future = None,
    min_area: Annotated[int, typer.Option(help="Ignore alarming regions with fewer map pixels than this.")] = 1,
    roi: Annotated[Path | None, typer.Option(help="Mask of the images' size; black areas are not inspected.")] = None,
    ignore: Annotated[
        Path | None, typer.Option(help="Mask of the images' size; all but black areas are ignored.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="Device for gradient training: auto, cpu, cuda or mps.")] = "auto",
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file written by --print-recipe; other options override it.")
    ] = None,
    print_recipe: Annotated[
        bool,
        typer.Option("--print-recipe", help="Print the recipe of these options as TOML and exit."),
    ] = False,
    suspects: Annotated[
        bool,
        typer.Option(
            "--suspects", help="Also list good images that look strange, on a page in OUTPUT.suspects; five more fits."
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted fit with this output.")] = False,
    output: Annotated[Path, typer.Option(help="Output: a file name.amiss, or a folder.")] = Path("model.amiss"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Learn what normal looks like from good images, and calibrate the alarm threshold."""
    from amiss.artefact import check_place
    from amiss.front import fit_recipe

    asked = read_recipe(context, recipe)  # of the options that make a recipe, those that are given count
    if roi is not None or ignore is not None:
        height, width, _ = _open(data, asked, pages).normal[0].shape
        asked = with_region(asked, roi, ignore, (height, width))
    if print_recipe:
        say(*asked.to_toml().rstrip().splitlines())
        return
    check_place(output)
    hold_file(context, output)
    page = output.with_name(f"{output.name}.suspects") if suspects else None
    hold_folder(context, page)
    training = _training_folder(output, resume)
    dataset = _open(data, asked, pages)
    apart = None if calibrate_on is None else _open(calibrate_on, asked, pages)
    normal, origins = dataset.normal, _origins(dataset, apart)
    strange = list_suspects(dataset, asked, 0, page) if suspects else ({}, [])
    with progress_display() as progress, _hint_at_resuming(training):
        inspector = fit_recipe(
            normal,
            asked,
            calibrate_on=None if apart is None else apart.normal,
            origins=origins,
            checkpoint=training,
            progress=progress,
        )
    inspector.save(output)
    shutil.rmtree(training, ignore_errors=True)
    _report(inspector, output, normal.ignored, dataset.notes, strange, apart=apart is not None, json=json)


def _open(data: str, recipe: Recipe, pages: str) -> Dataset:
    """The data set, by classes where the method learns them."""
    from amiss.data import open_dataset
    from amiss.registry import learns_classes

    return open_dataset(data, seed=recipe.seed, pages=pages, classes=learns_classes(recipe.method))


def _origins(dataset: Dataset, apart: Dataset | None) -> tuple[Origin, ...]:
    """Of the images that are learned from, and of those to calibrate on; nothing where neither names any."""
    from amiss.core.origin import Origin

    if apart is None or not (dataset.normal_origins or apart.normal_origins):
        return tuple(dataset.normal_origins)
    sets = (dataset, apart)
    return tuple(one for each in sets for one in each.normal_origins or (Origin(),) * len(each.normal))


def _report(
    inspector: Inspector,
    output: Path,
    ignored: Sequence[Ignored],
    notes: Sequence[str],
    strange: tuple[dict[str, Any], list[str]],
    *,
    apart: bool,
    json: bool,
) -> None:
    if json:
        facts: dict[str, Any] = {
            "output": str(output),
            "statement": inspector.statement(),
            "trade": trade_of(inspector)[1],
        }
        facts |= {"data_notes": list(notes), "ignored": [one.summary() for one in ignored]}
        facts |= {"suspects": strange[0]} if strange[0] else {}
        say_json({**facts, **inspector.record.model_dump(mode="json")})
        return
    record = inspector.record
    pixels = f"{record.size[0]} x {record.size[1]} pixels"
    if record.tiling is not None:
        pixels = f"tiles of {pixels} that overlap by {record.tiling.overlap}"
    say(
        f"{record.method} learned from {record.learned_from}{'' if apart else ' good'} images "
        f"({pixels}, {record.weights_name}, weights: {record.weights_licence}).",
        inspector.statement(),
        *trade_of(inspector)[0],
        *(f"note: {note}" for note in notes),
        *strange[1],
        f"Written to {output}. Next: amiss inspect {output} IMAGE_OR_FOLDER",
    )
    if ignored:
        say(describe_ignored(ignored))


def _training_folder(output: Path, resume: bool) -> Path:
    """Folder for the training state until the output is written: OUTPUT.training."""
    from amiss.core.errors import InputError

    folder = output.with_name(f"{output.name}.training")
    if folder.is_dir() and not resume:
        raise InputError(
            f"{folder} belongs to an interrupted fit: add --resume to continue, or delete it to start over"
        )
    return folder


@contextmanager
def _hint_at_resuming(training: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if training.is_dir():
            aside(f"amiss: training is kept in {training}; the same command with --resume continues")
        raise
