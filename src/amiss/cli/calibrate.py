"""``amiss calibrate``: another rule, or other calibration images, without learning again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model, ModelOutput
from amiss.cli.console import hold_file, progress_display, say, say_json, written_line
from amiss.cli.pages_option import Pages
from amiss.cli.rule_options import Alpha, Confidence, Future, RuleWords, Threshold, read_rule, trade_of
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.listing import Ignored, describe_ignored

if TYPE_CHECKING:
    from amiss.inspector import Inspector


Data = Annotated[
    str | None,
    typer.Argument(
        help="A folder of good images, or a data set, whose good images are used. Default: the stored scores."
    ),
]
Product = Annotated[
    str | None,
    typer.Option(help="Of a model of several products: the one that the threshold is for, by its stored scores."),
]
Recent = Annotated[
    Path | None,
    typer.Option(
        help="Folder of recent images, good or not, under other light: the scores of DATA are weighted to promise "
        "the rate for images like these. At least 200."
    ),
]


def calibrate(
    context: typer.Context,
    model: Model,
    data: Data = None,
    *,
    rule: RuleWords = None,
    alpha: Alpha = None,
    confidence: Confidence = None,
    threshold: Threshold = None,
    future: Future = None,
    product: Product = None,
    pages: Pages = "one",
    recent: Recent = None,
    output: ModelOutput,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Change the rule on the stored scores, or calibrate on new good images that the detector has never seen."""
    from dataclasses import replace

    from amiss.artefact import check_place
    from amiss.core.images import Images
    from amiss.data import open_dataset
    from amiss.front import load

    _check(data, recent, product, rule, alpha, confidence, threshold, future)
    check_place(output)
    hold_file(context, output)
    before = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    chosen = read_rule(rule, alpha, confidence, threshold, present=before.rule)
    ignored: tuple[Ignored, ...] = ()
    if data is None:
        after = before.with_rule(chosen, future=future, product=product)
    else:
        dataset = open_dataset(data, seed=before.record.seed, pages=pages)
        ignored = dataset.normal.ignored
        with progress_display() as progress:
            after = replace(before, rule=chosen).calibrate(
                dataset.normal,
                origins=dataset.normal_origins,
                future=future,
                recent=None if recent is None else Images(recent, pages=pages),
                progress=progress,
            )
    after.save(output)
    if json:
        facts = {"output": str(output), "statement": after.statement(), "trade": trade_of(after)[1]}
        facts["ignored"] = [one.summary() for one in ignored]
        say_json(facts | after.record.model_dump(mode="json"))
        return
    say(*_lines(before, after), written_line(output))
    say(*([describe_ignored(ignored)] if ignored else []))


def _lines(before: Inspector, after: Inspector) -> list[str]:
    return [
        f"Threshold {before.rule.threshold:.4g} (rule {before.rule.name}, n = {before.rule.n}) is now "
        f"{after.rule.threshold:.4g} (rule {after.rule.name}, n = {after.rule.n}).",
        _kept(before.rule.alpha, after.rule.alpha),
        after.statement(),
        *trade_of(after)[0],
    ]


def _check(data: str | None, recent: Path | None, product: str | None, *others: object) -> None:
    from amiss.core.errors import InputError

    if recent is not None and data is None:
        raise InputError("--recent needs the good images to weigh too: amiss calibrate MODEL GOOD --recent FOLDER")
    if data is None and all(option is None for option in (product, *others)):
        raise InputError("nothing to change; give good images to calibrate on, or --rule, such as certified:1%")
    if data is not None and product is not None:
        raise InputError(f"--product chooses among the stored scores; with good images give theirs: {data}#{product}")


def _kept(before: float | None, after: float | None) -> str:
    """Whether the promise is another one now."""
    from amiss.core.words import percent

    old, new = ("no rate" if alpha is None else f"alpha = {percent(alpha)}" for alpha in (before, after))
    return f"The promise is kept: {new}." if old == new else f"The promise was {old} and is now {new}."
