"""``amiss evaluate``: measure an inspector on images whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amiss.cli.backend_option import Backend, backend_line
from amiss.cli.common_options import Json, output_option
from amiss.cli.common_options import Model as ModelPath
from amiss.cli.console import hold_folder, progress_display, say, say_json, unusable_lines
from amiss.cli.pages_option import Pages
from amiss.cli.trust_options import Accepted, TrustedKey
from amiss.cli.workers_option import On, Workers
from amiss.core.sentence import Sentence
from amiss.core.words import low_to_high, sure

if TYPE_CHECKING:
    from amiss.evaluation import Evaluation
    from amiss.inspector import Inspector


def evaluate(
    context: typer.Context,
    model: ModelPath,
    data: Annotated[str, typer.Argument(help="Data set with test images, or elpv:mono.")],
    output: Annotated[Path | None, output_option("Folder for report.html and evaluation.json.")] = None,
    pages: Pages = "one",
    on: On = "local",
    workers: Workers = None,
    backend: Backend = "onnxruntime",
    trusted_key: TrustedKey = None,
    accepted: Accepted = None,
    json: Json = False,
) -> None:
    """Measure false alarms, detections and areas under curves on a labelled data set."""
    from amiss.evaluation import evaluate as run
    from amiss.evaluation import open_for
    from amiss.front import load
    from amiss.shards.judge import Model, judges
    from amiss.shards.run import Options

    hold_folder(context, output)
    inspector = load(model, backend=backend, trusted_key=trusted_key, accepted=accepted)
    dataset = open_for(data, inspector, pages=pages)
    known = Model(str(model), backend, str(trusted_key or ""), str(accepted or ""))
    with (
        judges(known, inspector, data, dataset, "test", Options(on, workers), pages) as others,
        progress_display() as progress,
    ):
        evaluation = run(inspector, dataset, look=None if others is None else others.look, progress=progress)
    summary = evaluation.summary()
    if output is not None:
        import json as codec

        from amiss.reporting import write_report
        from amiss.storage import write_file

        write_report(output / "report.html", evaluation, inspector)
        write_file(output / "evaluation.json", codec.dumps(summary, indent=2, allow_nan=False).encode())
    if json:
        say_json(summary)
        return
    say(*summary_lines(evaluation), *_trade_lines(evaluation, inspector))
    say(*(f"note: {note}" for note in evaluation.tested.notes), *backend_line(inspector, backend))
    if output is not None:
        say(f"Report: {output / 'report.html'}")


MEASURED = Sentence("{value} ({confidence} interval {interval})", "bench/interval_coverage.py image")
TYPE = Sentence(
    "{defect}: {count} of {n} detected ({interval}, 95 % for all types together)",
    "tests/metrics/test_intervals.py::test_intervals_of_several_types_hold_together",
)

_METRICS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1 max (oracle)",
    "fpr_at_95_tpr": "false alarms at 95 % found (oracle)",
    "f1": "F1 at the rule's threshold",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_aupro": "AUPRO to FPR 0.3",
    "pixel_aupro_05": "AUPRO to FPR 0.05",
    "pixel_spro_05": "sPRO to FPR 0.05",
    "aupimo": "AUPIMO, mean",
    "seg_f1": "pixel F1 at the rule's threshold",
}


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The result as text."""
    summary = evaluation.summary()
    seconds = summary["seconds_per_image"]
    asked = evaluation.review_threshold is not None
    held = evaluation.metrics.held
    shown = {label: key for key, label in _METRICS.items() if summary[key] is not None}
    measured = [f"{label:<36}{_value(summary, key, held)}" for label, key in shown.items()]
    return [
        f"{summary['dataset']}: {counted(summary)} test images, {summary['method']}",
        *([words] if (words := evaluation.sampling.words()) else []),
        f"false alarms: {evaluation.false_alarms}",
        f"detections:   {evaluation.detections}",
        *([f"escapes:      {evaluation.escapes}"] if asked else []),
        *([f"review:       of good {evaluation.good_reviews}"] if asked else []),
        *([f"              of defective {evaluation.defective_reviews}"] if asked else []),
        f"precision:    {evaluation.precision}",
        f"accuracy:     {evaluation.accuracy}",
        *([f"errors:       {_images(summary['n_errors'])} could not be inspected"] if summary["errors"] else []),
        *unusable_lines([(one["name"], one["reason"]) for one in summary["errors"]]),
        *measured,
        *([evaluation.metrics.words()] if measured else []),
        *_class_lines(evaluation),
        *_rim_line(evaluation),
        *_hot_spot_line(evaluation),
        *_size_lines(evaluation),
        *_type_lines(summary, held),
        *([f"{1000 * seconds:.1f} ms per image, from file to verdict"] if seconds is not None else []),
        evaluation.statement,
    ]


def counted(summary: dict[str, Any]) -> str:
    """How many images, and of how many parts where they are fewer."""
    said = []
    for kind in ("good", "defective"):
        images, parts = summary[f"n_{kind}"], summary[f"n_{kind}_parts"]
        said.append(f"{images} {kind}" + ("" if parts == images else f" (of {parts} parts)"))
    return " and ".join(said)


def _trade_lines(evaluation: Evaluation, inspector: Inspector) -> list[str]:
    """What other alphas would have done."""
    from amiss.evaluation.tried import tried_lines
    from amiss.rules.trade import CAUTION, trade_legend

    if not evaluation.tried:
        return []
    return [*tried_lines(evaluation.tried), f"{trade_legend(inspector.rule)} {CAUTION}"]


def _class_lines(evaluation: Evaluation) -> list[str]:
    """Known classes told apart, and a line of the table of confusions for each class."""
    found = evaluation.open_set
    if found is None:
        return []
    plain = found.summary()
    known = evaluation.metrics.held
    held = {"oscr": known["image_auroc"], "unknown_passed_at_95_known": known["fpr_at_95_tpr"]}
    shown = {"OSCR": "oscr", "unknown passed with 95 % of known (oracle)": "unknown_passed_at_95_known"}
    measured = [f"{label:<36}{_value(plain, key, held)}" for label, key in shown.items() if plain[key] is not None]
    rows = []
    for name, counts in zip(found.rows, found.table.tolist(), strict=True):
        called = ", ".join(f"{count} {said}" for said, count in zip(found.columns, counts, strict=True) if count)
        note = "" if name in found.classes else " (not known)"
        rows.append(f"  {name}{note}: called {called or 'nothing'}")
    strange = [f"  {name} called unknown: {rate}" for name, rate in found.called_unknown.items()]
    return [f"known classes told rightly: {found.accuracy}", *measured, *rows, *strange]


def _rim_line(evaluation: Evaluation) -> list[str]:
    if evaluation.rim_peaks is None:
        return []
    return [
        f"good images that peak on the rim: {evaluation.rim_peaks}; {100 * evaluation.rim_area:.0f} % of the pixels "
        "lie there"
    ]


def _hot_spot_line(evaluation: Evaluation) -> list[str]:
    found = evaluation.hot_spots_outside
    return [] if found is None else [f"detected for something else: {found} have their highest score outside the mark"]


def _size_lines(evaluation: Evaluation) -> list[str]:
    found = evaluation.by_size
    if found is None:
        return []
    if found.pod is None:
        return [f"size of defects: {found.note}"]
    return [f"size of defects: {found.words()}", *([found.note] if found.note else [])]


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _value(summary: dict[str, Any], key: str, held: Mapping[str, float]) -> str:
    interval, value = summary.get(f"{key}_interval"), f"{summary[key]:.4f}"
    if not interval:
        return value
    return MEASURED(value=value, confidence=sure(held[key]), interval=low_to_high(interval, ".4f"))


def _type_lines(summary: dict[str, Any], held: Mapping[str, float]) -> list[str]:
    """One line per defect type, where there are several."""
    parts = summary["per_defect"]
    if len(parts) < 2:
        return []
    lines = []
    for defect, part in parts.items():
        shown = {"image AUROC": "image_auroc", "AUPRO 0.3": "pixel_aupro", "sPRO 0.05": "pixel_spro_05"}
        values = [f"{label} {_value(part, key, held)}" for label, key in shown.items() if part.get(key) is not None]
        together = low_to_high(part["simultaneous_interval"])
        words = TYPE(defect=defect, count=part["count"], n=part["n"], interval=together)
        lines.append(f"  {words}; {', '.join(values)}".rstrip("; "))
    mean = {key: value for key, value in (summary["mean_over_types"] or {}).items() if value is not None}
    return lines + ([f"  mean of the types: {', '.join(f'{k} {v:.4f}' for k, v in mean.items())}"] if mean else [])
