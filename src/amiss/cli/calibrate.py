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
from amiss.cli.workers_option import On, Workers
from amiss.core.listing import Ignored, describe_ignored

if TYPE_CHECKING:
    from amiss.core.rule import Rule
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

RATES = ("alpha", "confidence", "accept", "reject")
"""Values of rules that are said in percent."""

DRAWN = ("seed", "resamples")
"""Values of rules that a promise does not rest on."""


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
    on: On = "local",
    workers: Workers = None,
    output: ModelOutput,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Change the rule on the stored scores, or calibrate on new good images that the detector has never seen."""
    from amiss.artefact import check_place
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
        after, ignored = _anew(context, before, chosen)
    after.save(output)
    if json:
        facts = {"output": str(output), "statement": after.statement(), "trade": trade_of(after)[1]}
        facts["ignored"] = [one.summary() for one in ignored]
        say_json(facts | after.record.model_dump(mode="json"))
        return
    say(*_lines(before, after), written_line(output))
    say(*([describe_ignored(ignored)] if ignored else []))


def _anew(context: typer.Context, inspector: Inspector, rule: Rule) -> tuple[Inspector, tuple[Ignored, ...]]:
    """Calibrated on new images, and which files were ignored."""
    from dataclasses import replace

    from amiss.core.images import Images
    from amiss.data import open_dataset
    from amiss.shards.judge import Model as Known
    from amiss.shards.judge import judges
    from amiss.shards.run import Options

    asked = context.params
    of_each = rule.name == "each_class"
    dataset = open_dataset(asked["data"], seed=inspector.learned.seed, pages=asked["pages"], classes=of_each)
    known = Known(*(str(asked[name] or "") for name in ("model", "backend", "trusted_key", "accepted")))
    options = Options(asked["on"], asked["workers"])
    with (
        judges(known, inspector, asked["data"], dataset, "normal", options, asked["pages"]) as others,
        progress_display() as progress,
    ):
        after = replace(inspector, rule=rule).calibrate(
            dataset.normal,
            origins=dataset.normal_origins,
            future=asked["future"],
            recent=None if asked["recent"] is None else Images(asked["recent"], pages=asked["pages"]),
            rate=None if others is None else others.rate,
            progress=progress,
        )
    return after, dataset.normal.ignored


def _lines(before: Inspector, after: Inspector) -> list[str]:
    return [
        f"Threshold {before.rule.threshold:.4g} (rule {before.rule.name}, n = {before.rule.n}) is now "
        f"{after.rule.threshold:.4g} (rule {after.rule.name}, n = {after.rule.n}).",
        _kept(before, after),
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


def _kept(before: Inspector, after: Inspector) -> str:
    """Whether the promise is another one now, and which both are."""
    old, new = _promise(before), _promise(after)
    return f"The promise is kept: {new}." if old == new else f"The promise was {old}; it is now {new}."


def _promise(inspector: Inspector) -> str:
    """Rule, its values, and for which parts it holds: what differs, but for how it was drawn, is another promise."""
    from amiss.core.words import percent

    rule, calibration = inspector.rule, inspector.calibration
    named = [
        f"{name} = {percent(value) if name in RATES else value}"
        for name, value in {**rule.config(), "alpha": rule.alpha}.items()
        if value is not None and name not in DRAWN
    ]
    about = {
        f"for {(calibration.future or '').replace('-', ' ')}": calibration.future is not None,
        f"for {', '.join(calibration.products)}": bool(calibration.products),
        "weighted for recent images": calibration.recent is not None,
        "no rate": rule.alpha is None,
    }
    return ", ".join([rule.name, *named, *(words for words, holds in about.items() if holds)])
