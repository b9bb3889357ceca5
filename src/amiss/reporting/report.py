"""`write_report`: what was measured, as one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amiss.core.sentence import Sentence
from amiss.core.verdict import Label
from amiss.data.dataset import GOOD, Dataset
from amiss.inspector import Inspector
from amiss.metrics import Rate
from amiss.reporting import charts, gallery
from amiss.reporting.overlay import ColourScale
from amiss.reporting.page import render
from amiss.reporting.size_chart import pod_chart
from amiss.rules.trade import CAUTION, trade_legend
from amiss.storage import write_file

if TYPE_CHECKING:
    from amiss.evaluation import Evaluation

TEMPLATE = "report.html.jinja"

_METRICS = (
    ("image_auroc", "Image AUROC", "chance that a defective image scores above a good one", "images"),
    ("image_ap", "Image average precision", "mean precision over all recalls; depends on the defect rate", "images"),
    ("image_f1_max", "Image F1, best possible", "an oracle: it chooses its threshold with the labels", "images"),
    (
        "fpr_at_95_tpr",
        "False alarms at 95 % found",
        "an oracle too: the price of finding 95 % of the defects",
        "images",
    ),
    ("pixel_auroc", "Pixel AUROC", "chance that a defective pixel scores above a good one; flatters", "pixels"),
    ("pixel_ap", "Pixel average precision", "mean precision over all recalls", "pixels"),
    ("pixel_aupro", "Pixel AUPRO up to 30 %", "mean overlap with each marked defect", "pixels"),
    ("pixel_aupro_05", "Pixel AUPRO up to 5 %", "the same, when only few false pixels are allowed", "pixels"),
    ("pixel_spro_05", "Pixel sPRO up to 5 %", "the same, each defect found once enough of it is", "regions"),
    ("aupimo", "AUPIMO, mean", "share of a defect found while good images stay almost clean", "clean"),
    ("aupimo_p33", "AUPIMO, lowest third", "a third of the defective images has at most this", "clean"),
)


EXACT = Sentence(
    "The intervals are exact (Clopper-Pearson): with 95 % confidence they hold the share that many more of this kind "
    "would show.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)
OVER_LOTS = Sentence(
    "The intervals are for parts of other lots (Clopper-Pearson, of as many independent parts as these are worth): "
    "they hold the share that many more of this kind would show in 95 of 100 samples.",
    "tests/metrics/test_intervals.py::test_rare_events_in_few_lots_show_little_of_how_much_lots_differ",
)
BROKEN = Sentence(
    "On the test images {rate} of the good parts raised an alarm. That is more than promised, and more than chance "
    "explains at 95 %: ask whether the test images were taken as the calibration images were.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)
KEPT = Sentence(
    "On the test images {rate} of the good parts raised an alarm, which confirms the promise.",
    "tests/metrics/test_intervals.py::test_covers_at_least_as_often_as_promised",
)
OSCR_MEANS = "chance that a known image is told rightly and scores below an unknown one; at most accuracy and AUROC"
PASSED_MEANS = "an oracle: unknown images below the threshold that passes 95 % of the known ones"


@dataclass(frozen=True)
class Row:
    """One row of the verdict table: how the images of one truth were judged, and the rate of alarms."""

    title: str
    good: int
    review: int
    anomalous: int
    error: int
    rate: Rate
    what: str
    part: bool = False


@dataclass(frozen=True)
class Figure:
    """One row of the metric table."""

    title: str
    meaning: str
    value: float | None
    interval: tuple[float, float] | None
    n: str
    held: float = 0.95


def write_report(path: str | Path, evaluation: Evaluation, inspector: Inspector, *, worst: int = 6) -> None:
    """Write one HTML file: no network, no scripts, all images and charts inside. Complete or not at all.

    A few test images are read and inspected again to draw their maps; the rest comes from the evaluation.

    Args:
        path: The file; folders are made when they are missing.
        evaluation: What `amiss.evaluation.evaluate` returned for this inspector.
        inspector: Whose scale, promise and origin are shown.
        worst: At most this many misses, false alarms and typical detections each.
    """
    write_file(Path(path), render(TEMPLATE, **_context(evaluation, inspector, worst)))


def _context(evaluation: Evaluation, inspector: Inspector, worst: int) -> dict[str, Any]:
    dataset, scale = evaluation.tested, ColourScale.of_rule(inspector.rule)
    names = gallery.short_names([verdict.name for verdict in evaluation.verdicts])
    chosen = {
        "misses": gallery.misses(evaluation, worst),
        "alarms": gallery.false_alarms(evaluation, worst),
        "detections": gallery.typical_detections(evaluation, worst),
    }
    usable = evaluation.usable
    return {
        "evaluation": evaluation,
        **_counts(evaluation),
        **_words(evaluation),
        "trade_legend": f"{trade_legend(inspector.rule)} {CAUTION}",
        "smallest_p": inspector.rule.p_value_words(),
        "rows": verdict_rows(evaluation),
        "figures": metric_rows(evaluation),
        "decisions": decision_rows(evaluation),
        "types": type_rows(evaluation),
        "asks": evaluation.review_threshold is not None,
        "with_pixels": not math.isnan(evaluation.metrics.pixel_auroc),
        "auroc_held": evaluation.metrics.held["image_auroc"],
        "errors": [(n, v.reason) for n, v in zip(names, evaluation.verdicts, strict=True) if v.label is Label.ERROR],
        "histogram": _histogram(evaluation, inspector),
        "roc": charts.roc(
            evaluation.labels[usable],
            evaluation.scores[usable],
            evaluation.alpha,
            evaluation.false_alarms,
            evaluation.detections,
        ),
        "legend": charts.legend(inspector.rule, scale),
        "scale": scale,
        "cards": _cards(chosen, inspector, dataset, scale, names),
        **_classes(evaluation, inspector, scale, names),
        "size_chart": None if evaluation.by_size is None else pod_chart(evaluation.by_size),
        "facts": origin(evaluation, inspector),
    }


def _words(evaluation: Evaluation) -> dict[str, str]:
    """What the page says of the promise and of intervals."""
    return {
        "kept": promise_kept(evaluation),
        "sampling": evaluation.sampling.words(),
        "exact": (OVER_LOTS if evaluation.sampling.over_lots else EXACT)(),
        "interval_words": evaluation.metrics.words(),
    }


def _classes(evaluation: Evaluation, inspector: Inspector, scale: ColourScale, names: Sequence[str]) -> dict[str, Any]:
    """Known classes and the unknown: figures, confusions, and examples of each class."""
    found, dataset = evaluation.open_set, evaluation.tested
    if found is None:
        return {"open_set": None}
    examples = {row: gallery.typical_of_class(evaluation, dataset.test.labels, row) for row in found.rows}
    count, held = f"{int(found.table.sum())} images", evaluation.metrics.held
    figures = [
        Figure("OSCR", OSCR_MEANS, _number(found.oscr), _known(found.oscr_interval), count, held["image_auroc"]),
        Figure(
            "Unknown ones passed with 95 % of the known",
            PASSED_MEANS,
            _number(found.passed_at_95),
            _known(found.passed_at_95_interval),
            count,
            held["fpr_at_95_tpr"],
        ),
    ]
    return {
        "open_set": found,
        "class_rows": list(zip(found.rows, found.table.tolist(), strict=True)),
        "class_figures": figures,
        "class_cards": _cards(examples, inspector, dataset, scale, names),
    }


def _cards(
    chosen: Mapping[str, Sequence[int]],
    inspector: Inspector,
    dataset: Dataset,
    scale: ColourScale,
    names: Sequence[str],
) -> dict[str, list[gallery.Card]]:
    """Cards of the images chosen for each heading; none of an image that is gone by now."""
    made = {
        kind: [gallery.make_card(index, inspector, dataset, scale, names[index]) for index in indices]
        for kind, indices in chosen.items()
    }
    return {kind: [card for card in cards if card is not None] for kind, cards in made.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(interval: tuple[float, float]) -> tuple[float, float] | None:
    return None if math.isnan(interval[0]) else interval


def _counts(evaluation: Evaluation) -> dict[str, Any]:
    """What the page counts: parts in rates, images in galleries."""
    counts = evaluation.sampling.summary(evaluation.usable)
    by_parts = any(counts[f"n_{kind}_parts"] < counts[f"n_{kind}"] for kind in ("good", "defective"))
    shown = [(v.label, defect == GOOD) for v, defect in zip(evaluation.verdicts, evaluation.defects, strict=True)]
    return {
        "unit": "parts" if by_parts else "images",
        "counts": ", ".join(f"{_of_parts(counts, kind)} {kind}" for kind in ("good", "defective")),
        "images_good": counts["n_good"],
        "images_defective": counts["n_defective"],
        "n_missed": shown.count((Label.GOOD, False)),
        "n_alarms": shown.count((Label.ANOMALOUS, True)),
        "n_detected": shown.count((Label.ANOMALOUS, False)),
    }


def promise_kept(evaluation: Evaluation) -> str:
    """What the false alarms on the test images say about the promise, in one sentence."""
    seen, alpha = evaluation.false_alarms, evaluation.alpha
    if seen.n == 0:
        return "There were no usable good test images, so the promise could not be checked here."
    found = f"On the test images {seen} of the good parts raised an alarm"
    if alpha is None:
        return f"{found}."
    if seen.interval[0] > alpha:
        return BROKEN(rate=seen)
    if seen.interval[1] <= alpha:
        return KEPT(rate=seen)
    return f"{found}, which agrees with the promise; {seen.n} parts cannot tell more."


def verdict_rows(evaluation: Evaluation) -> list[Row]:
    """Good images, defective images, and below them each defect type when there are several."""

    def row(title: str, wanted: set[str], rate: Rate, part: bool = False) -> Row:
        labels = [v.label for v, d in zip(evaluation.verdicts, evaluation.defects, strict=True) if d in wanted]
        kinds = (Label.GOOD, Label.REVIEW, Label.ANOMALOUS, Label.ERROR)
        good, review, alarms, errors = (labels.count(label) for label in kinds)
        return Row(title, good, review, alarms, errors, rate, "false alarms" if GOOD in wanted else "detected", part)

    defects = set(evaluation.defects) - {GOOD}
    rows = [row("Good", {GOOD}, evaluation.false_alarms), row("Defective", defects, evaluation.detections)]
    if len(defects) > 1:
        rows += [row(defect, {defect}, rate, part=True) for defect, rate in evaluation.per_defect.items()]
    return rows


def metric_rows(evaluation: Evaluation) -> list[Figure]:
    """Every metric with its n and interval; those that are not defined say so by None."""
    values, counts = evaluation.metrics.summary(), evaluation.sampling.summary(evaluation.usable)
    n = _counts(evaluation)["counts"]
    shown = {
        "images": True,
        "pixels": values["pixel_auroc"] is not None,
        "regions": values["pixel_spro_05"] is not None,
        "clean": values["aupimo"] is not None,
    }
    return [
        Figure(
            title,
            meaning,
            values[key],
            values.get(f"{key}_interval"),
            f"{_of_parts(counts, 'good')} good, {evaluation.metrics.n_aupimo} marked" if kind == "clean" else n,
            evaluation.metrics.held.get(key, 0.95),
        )
        for key, title, meaning, kind in _METRICS
        if shown[kind]
    ]


def _of_parts(counts: dict[str, Any], kind: str) -> str:
    images, parts = counts[f"n_{kind}"], counts[f"n_{kind}_parts"]
    return f"{images}" if images == parts else f"{images} (of {parts} parts)"


def decision_rows(evaluation: Evaluation) -> list[Figure]:
    """What the verdicts are worth, at the rule's threshold."""
    outcomes, values = evaluation.outcomes, evaluation.metrics.summary()
    unit, images = _counts(evaluation)["unit"], int(evaluation.usable.sum())
    rates = (
        (
            "Precision",
            evaluation.precision,
            "alarms that are right; depends on the share of defects among these images",
        ),
        ("Accuracy", evaluation.accuracy, "verdicts that are right; flatters when one kind is rare"),
    )
    shares = (
        ("F1", "f1", "mean of precision and share of detections", f"{outcomes.n} {unit}"),
        ("Pixel F1", "seg_f1", "the same of all pixels above the threshold", f"{images} images"),
    )
    rows = [
        Figure(title, meaning, rate.rate if rate.n else None, rate.interval if rate.n else None, f"{rate.n} {unit}")
        for title, rate, meaning in rates
    ]
    return rows + [
        Figure(title, meaning, values[key], values[f"{key}_interval"], n, evaluation.metrics.held[key])
        for title, key, meaning, n in shares
        if key == "f1" or values[key] is not None
    ]


def type_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Each defect type against the good images, where there are several."""
    parts = evaluation.summary()["per_defect"]
    measured = {defect: part for defect, part in parts.items() if part.get("image_auroc") is not None}
    return [{"defect": defect, **part} for defect, part in measured.items()] if len(measured) > 1 else []


def origin(evaluation: Evaluation, inspector: Inspector) -> list[tuple[str, str]]:
    """How the inspector was made and the report too: title and text, in order."""
    record = inspector.record
    settings = ", ".join(f"{name} = {value}" for name, value in sorted(record.hyperparameters.items()))
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    filters = ", ".join(part.name for part in (*record.score_filters, *record.mask_filters)) or "none"
    speed = evaluation.seconds_per_image
    size = f"{record.size[0]} x {record.size[1]} pixels"
    cut = record.tiling
    return [
        ("Method", record.method),
        ("Settings", settings or "none"),
        ("Backbone", f"{record.weights_name} (licence of the weights: {record.weights_licence})"),
        ("Image size", f"{size}, the whole image resized")
        if cut is None
        else ("Tiles", f"{size}, overlapping by {cut.overlap}; images keep their size"),
        ("Learned from", f"{record.learned_from} good images"),
        ("Calibrated on", f"{evaluation.n_calibration} good images, {record.calibration.kind}"),
        ("Rule", f"{evaluation.rule}, alarm when the score is above {evaluation.threshold:.6g}"),
        ("Filters", filters),
        ("Data set", f"{evaluation.dataset} (licence of the images: {evaluation.tested.licence or 'not stated'})"),
        (
            "Time per image",
            "not measured" if math.isnan(speed) else f"{1000 * speed:.0f} ms, all steps, mean of the images",
        ),
        ("Seed", f"{record.seed} to learn"),
        ("Fingerprint of the inspector", f"SHA-256 {inspector.fingerprint}"),
        ("Made with", f"amiss {record.amiss_version}, {versions}"),
        ("Inspector made", record.created),
        ("Report made", f"{datetime.now(UTC).isoformat(timespec='seconds')}, amiss {version('amiss')}"),
    ]


def _histogram(evaluation: Evaluation, inspector: Inspector) -> charts.Histogram:
    scores, labels = evaluation.scores, evaluation.labels
    usable = scores == scores
    calibration = inspector.rule.normal if inspector.rule.n else scores[:0]
    return charts.histogram(
        [
            ("good, calibration", "calibration", calibration),
            ("good, test", "good", scores[usable & ~labels]),
            ("defective, test", "bad", scores[usable & labels]),
        ],
        evaluation.threshold,
    )
