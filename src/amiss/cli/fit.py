"""``amiss fit``: from good images to a calibrated inspector."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from amiss.cli.common_options import Json, ModelOutput
from amiss.cli.console import aside, hold_file, hold_folder, progress_display, say, say_json, written_line
from amiss.cli.fit_options import (
    Bits,
    CalibrateOn,
    Contamination,
    Device,
    FeatureShard,
    GoodImages,
    HowToCalibrate,
    InputSize,
    Inside,
    Method,
    MinimumArea,
    Outside,
    Overlap,
    Preset,
    PrintRecipe,
    RecipeFile,
    Resume,
    Seed,
    Settings,
    Suspects,
    Tile,
)
from amiss.cli.pages_option import Pages
from amiss.cli.recipe_options import read_recipe, with_region
from amiss.cli.rule_options import Alpha, Confidence, Future, RuleWords, Threshold, trade_of
from amiss.cli.suspect_lines import list_suspects
from amiss.cli.workers_option import On, Workers
from amiss.core.listing import Ignored, describe_ignored

if TYPE_CHECKING:
    from amiss.core.origin import Origin
    from amiss.core.progress import Progress
    from amiss.data import Dataset
    from amiss.fitting import Rate
    from amiss.inspector import Inspector
    from amiss.recipe import Recipe


def fit(
    context: typer.Context,
    data: GoodImages,
    method: Method = "ensemble",
    preset: Preset = "default",
    settings: Settings = None,
    size: InputSize = None,
    tile: Tile = None,
    overlap: Overlap = None,
    bits: Bits = None,
    pages: Pages = "one",
    rule: RuleWords = "conformal",
    alpha: Alpha = None,
    confidence: Confidence = None,
    threshold: Threshold = None,
    calibration: HowToCalibrate = "auto",
    calibrate_on: CalibrateOn = None,
    future: Future = None,
    contamination: Contamination = None,
    min_area: MinimumArea = 1,
    roi: Inside = None,
    ignore: Outside = None,
    seed: Seed = 0,
    device: Device = "auto",
    recipe: RecipeFile = None,
    print_recipe: PrintRecipe = False,
    suspects: Suspects = False,
    resume: Resume = False,
    shard: FeatureShard = None,
    on: On = "local",
    workers: Workers = None,
    output: ModelOutput = Path("model.amiss"),
    json: Json = False,
) -> None:
    """Learn what normal looks like from good images, and calibrate the alarm threshold."""
    asked = read_recipe(context, recipe)  # of the options that make a recipe, those that are given count
    if roi is not None or ignore is not None:
        height, width, _ = _open(data, asked, pages).normal[0].shape
        asked = with_region(asked, roi, ignore, (height, width))
    if print_recipe:
        say(*asked.to_toml().rstrip().splitlines())
        return
    if shard is not None:
        _fill(context, asked, shard, json=json)
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _fit_together(context, asked, output, suspects=suspects, resume=resume, json=json)
    else:
        _fit(context, asked, output, suspects=suspects, resume=resume, json=json)


def _fit_together(
    context: typer.Context, asked: Recipe, output: Path, *, suspects: bool, resume: bool, json: bool
) -> None:
    """As one of the processes that torchrun has started: all learn, the first alone writes and speaks."""
    from amiss.core.errors import InputError
    from amiss.core.extras import needs_fit
    from amiss.front import fit_recipe

    if suspects or context.params["workers"] is not None or context.params["on"] != "local":
        raise InputError("--suspects, --workers and --on must be left out with torchrun")
    with needs_fit("learning"):
        from amiss.world import joined
    with joined() as first:
        if first:
            _fit(context, asked, output, suspects=False, resume=resume, json=json)
            return
        training = _training_folder(output, resume)
        data, calibrate_on, pages = (context.params[name] for name in ("data", "calibrate_on", "pages"))
        dataset = _open(data, asked, pages)
        apart = None if calibrate_on is None else _open(calibrate_on, asked, pages)
        good = None if apart is None else apart.normal
        fit_recipe(dataset.normal, asked, calibrate_on=good, origins=_origins(dataset, apart), checkpoint=training)


def _fit(context: typer.Context, asked: Recipe, output: Path, *, suspects: bool, resume: bool, json: bool) -> None:
    """Test every place before the work, learn, save, and report."""
    from amiss.artefact import check_place
    from amiss.evaluation.benchmark.forecast import forecast
    from amiss.front import fit_recipe

    check_place(output)
    hold_file(context, output)
    page = output.with_name(f"{output.name}.suspects") if suspects else None
    hold_folder(context, page)
    training = _training_folder(output, resume)
    data, calibrate_on, pages = (context.params[name] for name in ("data", "calibrate_on", "pages"))
    dataset = _open(data, asked, pages)
    apart = None if calibrate_on is None else _open(calibrate_on, asked, pages)
    if not json:
        say(*forecast(dataset, asked, apart))
    normal, origins = dataset.normal, _origins(dataset, apart)
    strange = list_suspects(dataset, asked, 0, page) if suspects else ({}, [])
    with (
        progress_display() as progress,
        _hint_at_resuming(training),
        _crew(context, asked, dataset, apart, progress) as rate,
    ):
        inspector = fit_recipe(
            normal,
            asked,
            calibrate_on=None if apart is None else apart.normal,
            origins=origins,
            checkpoint=training,
            rate=rate,
            progress=progress,
        )
    inspector.save(output)
    shutil.rmtree(training, ignore_errors=True)
    _report(inspector, output, normal.ignored, dataset.notes, strange, apart=apart is not None, json=json)


@contextmanager
def _crew(
    context: typer.Context, recipe: Recipe, dataset: Dataset, apart: Dataset | None, progress: Progress
) -> Iterator[Rate | None]:
    """Who else learns, and scores the images that calibrate."""
    from amiss.core.images import Images
    from amiss.shards.crew import Data, crew
    from amiss.shards.run import Options

    options = Options(context.params["on"], context.params["workers"])
    images = dataset.normal if apart is None else Images.join([dataset.normal, apart.normal])
    place = Data(*(context.params[name] for name in ("data", "calibrate_on", "pages")))
    with crew(place, images, recipe, options, progress) as found:
        yield None if found is None else found.rate


def _fill(context: typer.Context, recipe: Recipe, words: str, *, json: bool) -> None:
    """What a later fit of the same recipe finds."""
    from amiss.core.errors import InputError
    from amiss.shards.blocks import Shard
    from amiss.shards.fill import fill_cache

    data, apart, pages, on, workers = (
        context.params[name] for name in ("data", "calibrate_on", "pages", "on", "workers")
    )
    if on != "local" or workers is not None:
        raise InputError("--shard must come without --on and --workers: each share is one process")
    dataset, other = _open(data, recipe, pages), None if apart is None else _open(apart, recipe, pages)
    with progress_display() as progress:
        share = fill_cache(
            dataset.normal,
            recipe,
            Shard.parse(words),
            calibrate_on=None if other is None else other.normal,
            origins=_origins(dataset, other),
            progress=progress,
        )
    if json:
        say_json({"shard": words, share.kind: share.done, "of": share.whole})
        return
    if share.kind == "blocks" and share.whole == 0:
        say("There is nothing to share: the images to learn from are one block.")
    else:
        what = "Features of" if share.kind == "images" else "What is learned from"
        say(f"{what} {share.done} of {share.whole} {share.kind} is in AMISS_CACHE (shard {words}).")
    say("When all shards are done, the same command without --shard learns from them.")


def _open(data: str, recipe: Recipe, pages: str) -> Dataset:
    """The data set, by classes where the method learns them."""
    from amiss.data import open_dataset
    from amiss.registry import learns_classes

    return open_dataset(data, seed=recipe.seed, pages=pages, classes=learns_classes(recipe.method))


def _origins(dataset: Dataset, apart: Dataset | None) -> tuple[Origin, ...]:
    """Of the images that are learned from, and of those to calibrate on; nothing where neither names any."""
    from amiss.data.dataset import join_origins

    return join_origins((dataset,) if apart is None else (dataset, apart))


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
    count = record.learned_from
    learned = (
        f"learned from {count}{'' if apart else ' good'} image{'s' * (count != 1)}" if count else "learned nothing"
    )
    say(
        f"{record.method} {learned} ({pixels}, {record.weights_name}, weights: {record.weights_licence}).",
        inspector.statement(),
        *trade_of(inspector)[0],
        *(f"note: {note}" for note in notes),
        *strange[1],
        written_line(output),
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
