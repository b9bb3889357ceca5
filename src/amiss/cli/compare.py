"""``amiss compare``: two inspectors on the same images, and whether they differ by more than luck."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amiss.cli.backend_option import Backend
from amiss.cli.common_options import Json, output_option
from amiss.cli.console import hold_folder, progress_display, say, say_json, unusable_lines
from amiss.cli.evaluate import counted
from amiss.cli.exit_codes import ExitCode
from amiss.cli.pages_option import Pages
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.core.sentence import Sentence
from amiss.core.words import low_to_high, percent, rounded_down, sure

RIGHT = Sentence(
    "right verdicts on {kind} parts, B - A: {value} (95 % interval {interval}, n = {n}{lots})",
    "tests/evaluation/test_conclusions.py::test_over_lots_intervals_and_margins_hold",
)
NO_WORSE = Sentence(
    "B worse than A by less than {margin} on {kind} parts: {shown} (B - A is at least {bound} with {confidence} "
    "confidence, n = {n}{lots})",
    "bench/verdicts.py margins",
)
AREA = Sentence(
    "{name}: A {first}, B {second}, A - B = {difference} ({confidence} interval {interval}, p = {p})",
    "bench/interval_coverage.py paired",
)
TOGETHER = Sentence(
    "all {count} tests together, p-values by Holm: {each}",
    "tests/evaluation/test_conclusions.py::test_the_family_error_holds",
)
VERDICTS = Sentence(
    "right on {kind} parts: both {both}, only A {first}, only B {second}, neither {neither} (n = {n}{lots}, {test} "
    "p = {p})",
    "tests/metrics/test_paired.py::test_the_tests_of_verdicts_err_as_stated",
)

TESTS = {
    "image_auroc": "image AUROC",
    "pixel_aupro": "AUPRO 0.3",
    "pixel_aupro_05": "AUPRO 0.05",
    "good": "good parts",
    "defective": "defective parts",
}

if TYPE_CHECKING:
    from amiss.evaluation.compare import Comparison
    from amiss.evaluation.conclusions import Conclusions
    from amiss.metrics import Agreement, Difference


First = Annotated[Path, typer.Argument(metavar="MODEL_A", help="Artefact written by `amiss fit`.")]
SecondOption = Annotated[Path, typer.Argument(metavar="MODEL_B", help="Second artefact.")]
DataOption = Annotated[str, typer.Argument(help="Data set with test images that neither model has seen.")]
Output = Annotated[Path | None, output_option("Folder for comparison.html and comparison.json.")]
Margin = Annotated[
    str | None,
    typer.Option(help="Show that the second model's share of right verdicts is below the first's by less: 3%."),
]


def compare(
    context: typer.Context,
    first: First,
    second: SecondOption,
    data: DataOption,
    output: Output = None,
    margin: Margin = None,
    pages: Pages = "one",
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Compare two models: differences with intervals and p-values. Exits with 4 when a margin was not shown."""
    from amiss.core.checks import read_rate
    from amiss.evaluation import compare as run
    from amiss.evaluation import open_for
    from amiss.evaluation.conclusions import conclude
    from amiss.front import load
    from amiss.reporting.comparison_page import write_comparison

    allowed = None if margin is None else read_rate("margin", margin)
    hold_folder(context, output)
    models = (
        load(first, backend=backend, trusted_key=trusted_key, accepted=accepted),
        load(second, backend=backend, trusted_key=trusted_key, accepted=accepted),
    )
    dataset = open_for(data, *models, pages=pages)
    with progress_display() as progress:
        comparison = run(*models, dataset, names=(str(first), str(second)), progress=progress)
    conclusions = conclude(comparison, allowed)
    summary = comparison.summary() | {"conclusions": conclusions.summary()}
    told = conclusion_lines(conclusions)
    pages_written = [] if output is None else write_comparison(output, comparison, conclusions, told)
    if json:
        say_json(summary)
    else:
        notes = [f"note: {note}" for note in comparison.notes]
        say(*comparison_lines(comparison), *told, *notes, *(f"Written to {page}" for page in pages_written))
    if not conclusions.shown:
        raise typer.Exit(ExitCode.PROMISE)


def comparison_lines(comparison: Comparison) -> list[str]:
    """The result as text."""
    summary = comparison.summary()
    lines = [
        f"{comparison.dataset}: {counted(summary)} images that both used"
        + (f", {summary['n_excluded']} left out for both" if summary["n_excluded"] else ""),
        comparison.sampling.words(),
    ]
    for letter, side in zip("AB", (comparison.first, comparison.second), strict=True):
        promise = "no promise" if side.alpha is None else f"alpha = {percent(side.alpha)}"
        lines += [
            f"{letter}: {side.name} ({side.method}, {side.rule}, {promise})"
            + (f", errors: {side.errors}" if side.errors else ""),
            f"   false alarms {side.false_alarms}",
            f"   detections   {side.detections}",
        ]
    differences = {
        "image AUROC": comparison.image_auroc,
        "AUPRO to FPR 0.3": comparison.pixel_aupro,
        "AUPRO to FPR 0.05": comparison.pixel_aupro_05,
    }
    held = comparison.held
    lines += [_difference(name, one, held) for name, one in differences.items() if not math.isnan(one.difference)]
    lines += [_agreement("good", comparison.good), _agreement("defective", comparison.defective)]
    lines += unusable_lines(comparison.excluded)
    return [line for line in lines if line]


def conclusion_lines(conclusions: Conclusions) -> list[str]:
    """Rates, margins, and all tests together, as text."""
    rates = {"good": conclusions.right_on_good, "defective": conclusions.right_on_defective}
    lines = [
        RIGHT(
            kind=kind,
            value=f"{100 * one.value:+.1f} %",
            interval=low_to_high(one.interval, "+.1%"),
            n=one.n,
            lots=_lots(one.lots),
        )
        for kind, one in rates.items()
        if one is not None
    ]
    lines += [
        NO_WORSE(
            margin=percent(one.margin),
            kind=kind,
            shown="shown" if one.shown else "NOT SHOWN",
            bound=rounded_down(one.bound, "+.1%"),
            confidence=sure(one.confidence),
            n=one.n,
            lots=_lots(one.lots),
        )
        for kind, one in conclusions.non_inferior.items()
    ]
    if len(conclusions.adjusted) > 1:
        each = ", ".join(f"{TESTS[name]} {p:.2g}" for name, p in conclusions.adjusted.items())
        lines.append(TOGETHER(count=len(conclusions.adjusted), each=each))
    return lines


def _lots(count: int | None) -> str:
    return "" if count is None else f" of {count} lots"


def _difference(name: str, one: Difference, confidence: float) -> str:
    return AREA(
        name=name,
        first=f"{one.first:.4f}",
        second=f"{one.second:.4f}",
        difference=f"{one.difference:+.4f}",
        confidence=sure(confidence),
        interval=low_to_high(one.interval, "+.4f"),
        p=f"{one.p_value:.2g}",
    )


def _agreement(kind: str, one: Agreement) -> str:
    if one.n == 0:
        return ""
    return VERDICTS(
        kind=kind,
        both=one.both,
        first=one.only_first,
        second=one.only_second,
        neither=one.neither,
        n=one.n,
        lots=_lots(len(one.lots) or None),
        test="exact test over lots," if one.lots else "McNemar",
        p=f"{one.p_value:.2g}",
    )
