"""``amiss update``: good images that came later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, Model, ModelOutput
from amiss.cli.console import hold_file, progress_display, say, say_json, written_line
from amiss.cli.fit_options import HowToCalibrate
from amiss.cli.pages_option import Pages
from amiss.cli.rule_options import Future, trade_of
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.listing import describe_ignored
from amiss.core.sentence import Sentence

if TYPE_CHECKING:
    from amiss.inspector import Inspector
    from amiss.updating import Update

Data = Annotated[
    str,
    typer.Argument(help="A folder of good images, or a data set, whose good images are used; old ones may be in it."),
]

STOPPED = Sentence(
    "Of the new good parts the model would have stopped, before it had seen them: {stopped}.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)


def update(
    context: typer.Context,
    model: Model,
    data: Data,
    *,
    calibration: HowToCalibrate = "auto",
    future: Future = None,
    pages: Pages = "one",
    output: ModelOutput,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Take in good images that came later, without the old ones; the new ones alone calibrate the threshold."""
    from amiss.artefact import check_place
    from amiss.data import open_dataset
    from amiss.front import load
    from amiss.front import update as take_in

    check_place(output)
    hold_file(context, output)
    before = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    dataset = open_dataset(data, seed=before.record.seed, pages=pages)
    with progress_display() as progress:
        done = take_in(
            before,
            dataset.normal,
            origins=dataset.normal_origins,
            calibration=calibration,
            future=future,
            progress=progress,
        )
    done.inspector.save(output)
    if json:
        facts = {"output": str(output), **_facts(done), "trade": trade_of(done.inspector)[1]}
        facts["ignored"] = [one.summary() for one in dataset.normal.ignored]
        say_json(facts | done.inspector.record.model_dump(mode="json"))
        return
    say(*_lines(before, done), written_line(output))
    say(*([describe_ignored(dataset.normal.ignored)] if dataset.normal.ignored else []))


def _facts(done: Update) -> dict[str, Any]:
    low, high = done.stopped.interval
    return {
        "taken": done.taken,
        "known": done.known,
        "stopped_before": {"count": done.stopped.count, "n": done.stopped.n, "interval_95": [low, high]},
        "golden": [{"before": first, "after": second} for first, second in done.golden.tolist()],
        "statement": done.inspector.statement(),
    }


def _lines(before: Inspector, done: Update) -> list[str]:
    after = done.inspector
    known = f" {done.known} of the images it had seen before." if done.known else ""
    golden = ", ".join(f"{first:.4g} is now {second:.4g}" for first, second in done.golden)
    return [
        f"Learned from {after.learned.learned_from} good images in all, {done.taken} of them new.{known}",
        STOPPED(stopped=done.stopped),
        f"Threshold {before.rule.threshold:.4g} (n = {before.rule.n}) is now {after.rule.threshold:.4g} "
        f"(n = {after.rule.n}, new parts only).",
        f"Scores of the golden images: {golden}.",
        after.statement(),
        *trade_of(after)[0],
    ]
