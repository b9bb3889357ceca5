"""`evaluate` on the toy world: against scikit-learn, counts by hand, and files that cannot be used."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, precision_score, roc_auc_score

import amiss
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.data import Dataset
from amiss.data.truth import RegionFiles, Saturation
from amiss.evaluation import Evaluation, evaluate
from amiss.inspector import Inspector
from amiss.metrics import aupimo, spro
from amiss.postprocess.mask_filters import MinArea
from amiss.rules import Fixed, Triage
from amiss.testing import toy_texture, write_image

N_GOOD, N_BAD = 12, 10


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    fitted = amiss.fit(toy_texture(20, seed=0).images, preset="tiny", size=64, calibration=0.5)
    return fitted.with_rule(Fixed(float(np.median(fitted.rule.normal))))  # so that there are alarms of both kinds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Good and faint defective images, masks at twice the size of the map, so that they have to be resized."""
    folder = tmp_path_factory.mktemp("toy")
    good, bad = toy_texture(N_GOOD, seed=5), toy_texture(N_BAD, seed=6, defective=True)
    images = list(good.images)
    masks: list[Path | None] = [None] * N_GOOD
    for number, (image, mask) in enumerate(zip(bad.images, bad.masks, strict=True)):
        faint = np.where(mask[:, :, None], image // 5 + bad.clean[number] // 5 * 4, image).astype(np.uint8)
        images.append(faint if number % 2 else image)
        masks.append(folder / f"{number}.png")
        write_image(masks[-1], mask.repeat(2, 0).repeat(2, 1))
    large = [image.repeat(2, 0).repeat(2, 1) for image in images]
    defects = ("good",) * N_GOOD + ("blot", "faint") * (N_BAD // 2)
    return Dataset("toy", Images(images[:1]), Images(large), defects, tuple(masks))


@pytest.fixture(scope="module")
def evaluation(inspector: Inspector, dataset: Dataset) -> Evaluation:
    return evaluate(inspector, dataset)


def test_image_metrics_are_those_of_sklearn(inspector: Inspector, dataset: Dataset, evaluation: Evaluation) -> None:
    scores = inspector.image_scores(dataset.test).image
    labels = dataset.anomalous
    summary = evaluation.summary()
    np.testing.assert_array_equal(evaluation.scores, scores)
    np.testing.assert_array_equal(evaluation.labels, labels)
    assert 0.5 < summary["image_auroc"] < 1  # a toy task that is neither solved nor hopeless
    assert summary["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert summary["image_ap"] == pytest.approx(average_precision_score(labels, scores))
    precision, recall, _ = precision_recall_curve(labels, scores)
    best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
    assert summary["image_f1_max"] == pytest.approx(best)
    low, high = summary["image_auroc_interval"]
    assert low <= summary["image_auroc"] <= high


def test_pixel_metrics_are_those_of_sklearn(inspector: Inspector, dataset: Dataset, evaluation: Evaluation) -> None:
    maps = inspector.score(dataset.test).map
    assert maps is not None
    truth = [
        np.zeros((64, 64), bool) if m is None else cv2.imread(str(m), 0)[::2, ::2] > 0 for m in dataset.masks or ()
    ]
    labels = np.stack(truth).ravel()
    summary = evaluation.summary()
    assert summary["pixel_auroc"] == pytest.approx(roc_auc_score(labels, maps.ravel()))
    assert summary["pixel_ap"] == pytest.approx(average_precision_score(labels, maps.ravel()))
    assert 0 <= summary["pixel_aupro_05"] <= summary["pixel_aupro"] <= 1


def test_good_images_that_peak_on_the_rim_by_hand(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation
) -> None:
    maps = np.stack([verdict.map for verdict in inspector.inspect(dataset.test)][:N_GOOD])
    inside = maps[:, 4:-4, 4:-4].max(axis=(1, 2))
    summary = evaluation.summary()
    assert summary["rim_peaks"]["count"] == int((maps.max(axis=(1, 2)) > inside).sum())
    assert summary["rim_peaks"]["n"] == N_GOOD
    assert summary["rim_area"] == pytest.approx(1 - 56**2 / 64**2)


def test_counts_by_hand(inspector: Inspector, dataset: Dataset, evaluation: Evaluation) -> None:
    alarms = inspector.image_scores(dataset.test).image > np.float32(inspector.rule.threshold)
    summary = evaluation.summary()
    false = int(alarms[:N_GOOD].sum())
    assert false > 0
    interval = binomtest(false, N_GOOD).proportion_ci(method="exact")
    assert summary["false_alarms"]["count"] == false
    assert summary["false_alarms"]["n"] == summary["n_good"] == N_GOOD
    assert summary["false_alarms"]["rate"] == pytest.approx(false / N_GOOD)
    assert summary["false_alarms"]["interval"] == pytest.approx([interval.low, interval.high])
    assert summary["detections"]["count"] == int(alarms[N_GOOD:].sum())
    assert summary["detections"]["n"] == summary["n_defective"] == N_BAD
    parts = summary["per_defect"]
    assert list(parts) == ["blot", "faint"]
    assert parts["blot"]["count"] == int(alarms[N_GOOD::2].sum())
    assert parts["faint"]["count"] == int(alarms[N_GOOD + 1 :: 2].sum())
    assert parts["blot"]["n"] == parts["faint"]["n"] == N_BAD // 2


def test_the_promise_is_in_the_summary(inspector: Inspector, dataset: Dataset) -> None:
    from amiss.rules import Conformal

    ruled = inspector.with_rule(Conformal(0.1))
    summary = evaluate(ruled, dataset).summary()
    assert summary["alpha"] == 0.1
    assert summary["n_calibration"] == ruled.rule.n == 10
    assert summary["rule"] == "conformal"
    assert summary["threshold"] == ruled.rule.threshold
    assert summary["statement"] == ruled.statement()
    assert (summary["dataset"], summary["method"]) == ("toy", "ensemble")
    assert summary["seconds_per_image"] > 0


def test_no_maps_are_kept(evaluation: Evaluation) -> None:
    assert all(verdict.map is None and verdict.mask is None for verdict in evaluation.verdicts)


def test_intervals_do_not_depend_on_the_masks_or_on_chance(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation
) -> None:
    again = evaluate(inspector, replace(dataset, masks=None))
    for name in ("image_auroc", "image_ap", "fpr_at_95_tpr", "f1"):
        assert again.metrics.interval(name) == evaluation.metrics.interval(name)


def test_without_masks_pixel_metrics_are_null(inspector: Inspector, dataset: Dataset) -> None:
    summary = evaluate(inspector, replace(dataset, masks=None)).summary()
    assert [summary[key] for key in ("pixel_auroc", "pixel_ap", "pixel_aupro", "pixel_aupro_05")] == [None] * 4
    assert summary["image_auroc"] is not None


def test_a_file_that_cannot_be_used_is_an_error_and_not_good(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    images = list(dataset.test)
    masks = dataset.masks or ()
    mixed = Dataset(
        "mixed",
        dataset.normal,
        Images([broken, *images, broken]),
        ("good", *dataset.defects, "faint"),
        (None, *masks, masks[-1]),
    )
    found = evaluate(inspector, mixed)
    summary = found.summary()
    assert summary["n_errors"] == 2
    assert [entry["name"] for entry in summary["errors"]] == [str(broken)] * 2
    assert all("cut off or damaged" in entry["reason"] for entry in summary["errors"])
    assert found.verdicts[0].label is Label.ERROR
    assert math.isnan(found.scores[0])
    same = ("false_alarms", "detections", "per_defect", "n_good", "n_defective", "image_auroc", "pixel_auroc")
    assert {key: summary[key] for key in same} == {key: evaluation.summary()[key] for key in same}


def test_json_has_no_nan_even_when_nothing_is_defined(inspector: Inspector, dataset: Dataset, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    only_errors = evaluate(inspector, Dataset("none", dataset.normal, Images([broken]), ("good",)))
    only_good = evaluate(inspector, Dataset("good", dataset.normal, Images(list(dataset.test)[:3]), ("good",) * 3))
    for found in (only_errors, only_good):
        text = json.dumps(found.summary(), allow_nan=False)
        assert json.loads(text)["image_auroc"] is None
        assert json.loads(text)["image_auroc_interval"] is None
    assert only_errors.summary()["false_alarms"]["rate"] is None
    assert only_errors.summary()["seconds_per_image"] is None
    assert only_good.summary()["detections"] == {"count": 0, "n": 0, "rate": None, "interval": [0.0, 1.0]}


def test_a_defective_image_without_a_mask_has_no_pixel_truth(inspector: Inspector, dataset: Dataset) -> None:
    masks = dataset.masks or ()
    kept = [i for i in range(len(masks)) if i != N_GOOD]
    partial = replace(dataset, masks=tuple(None if i == N_GOOD else mask for i, mask in enumerate(masks)))
    fewer = Dataset(
        "fewer",
        dataset.normal,
        dataset.test.subset(kept),
        tuple(dataset.defects[i] for i in kept),
        tuple(masks[i] for i in kept),
    )
    assert evaluate(inspector, partial).metrics.pixel_ap == evaluate(inspector, fewer).metrics.pixel_ap


def test_no_test_images_is_an_error_that_teaches(inspector: Inspector, dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"bare: no test images.*MVTec"):
        evaluate(inspector, Dataset("bare", dataset.normal, Images([])))


def test_every_area_has_an_interval_around_it(evaluation: Evaluation) -> None:
    summary = evaluation.summary()
    for name in ("image_auroc", "image_ap", "fpr_at_95_tpr", "f1", "pixel_auroc", "pixel_ap", "pixel_aupro",
                 "pixel_aupro_05", "seg_f1"):  # fmt: skip
        low, high = summary[f"{name}_interval"]
        assert 0 <= low <= summary[name] <= high <= 1, name
        assert low < high, name
    assert summary["aupimo"] is None and summary["aupimo_interval"] is None  # 12 good maps of 64 x 64 are too few
    assert summary["pixel_spro_05"] is None and summary["mean_over_types"] is None


def test_what_holds_at_the_threshold_is_that_of_sklearn(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation
) -> None:
    maps = inspector.score(dataset.test).map
    assert maps is not None
    labels = dataset.anomalous
    alarms = maps.max(axis=(1, 2)) > np.float32(inspector.rule.threshold)
    summary = evaluation.summary()
    assert summary["precision"]["rate"] == pytest.approx(precision_score(labels, alarms))
    assert summary["recall"] == summary["detections"]
    assert summary["accuracy"]["rate"] == pytest.approx(np.mean(labels == alarms))
    assert summary["f1"] == pytest.approx(f1_score(labels, alarms))
    truth = np.stack([dataset.mask(index, (64, 64)) for index in range(len(labels))])
    assert summary["seg_f1"] == pytest.approx(
        f1_score(truth.ravel(), maps.ravel() > np.float32(inspector.rule.threshold))
    )


def test_each_defect_type_against_the_good_images(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation
) -> None:
    parts = evaluation.summary()["per_defect"]
    for defect in ("blot", "faint"):
        chosen = [i for i, name in enumerate(dataset.defects) if name in ("good", defect)]
        masks = dataset.masks or ()
        alone = Dataset(
            defect,
            dataset.normal,
            dataset.test.subset(chosen),
            tuple(dataset.defects[i] for i in chosen),
            tuple(masks[i] for i in chosen),
        )
        wanted = evaluate(inspector, alone).summary()
        for name in ("image_auroc", "pixel_aupro", "pixel_aupro_05"):
            assert parts[defect][name] == wanted[name]
        low, high = parts[defect]["image_auroc_interval"]
        assert low <= parts[defect]["image_auroc"] <= high
        assert parts[defect]["n"] == N_BAD // 2


def test_review_is_neither_alarm_nor_escape(inspector: Inspector, dataset: Dataset) -> None:
    asking = inspector.with_rule(Triage(accept=0.6, reject=0.1))
    found = evaluate(asking, replace(dataset, masks=None))
    scores, low, high = found.scores, asking.rule.review_threshold, asking.rule.threshold
    assert low is not None and low < high
    counts = {
        kind: (
            int((scores[rows] <= np.float32(low)).sum()),
            int(((scores[rows] > np.float32(low)) & (scores[rows] <= np.float32(high))).sum()),
            int((scores[rows] > np.float32(high)).sum()),
        )
        for kind, rows in (("good", slice(0, N_GOOD)), ("defective", slice(N_GOOD, None)))
    }
    summary = found.summary()
    assert summary["review_threshold"] == low and counts["good"][1] > 0 and counts["defective"][1] > 0
    assert [summary["reviews"][kind]["count"] for kind in counts] == [counts[kind][1] for kind in counts]
    assert summary["reviews"]["good"]["n"] == N_GOOD and summary["reviews"]["defective"]["n"] == N_BAD
    assert summary["false_alarms"]["count"] == counts["good"][2]
    assert summary["detections"]["count"] == counts["defective"][2]
    assert summary["escapes"]["count"] == counts["defective"][0]
    assert summary["precision"]["n"] == counts["good"][2] + counts["defective"][2]
    of_types = summary["per_defect"].values()
    for name in ("escapes", "reviews"):
        whole = summary[name] if name == "escapes" else summary[name]["defective"]
        assert sum(part[name]["count"] for part in of_types) == whole["count"]


@dataclass
class Part:
    mask: np.ndarray
    saturation: float


def test_regions_with_saturation_give_spro(inspector: Inspector, dataset: Dataset, tmp_path: Path) -> None:
    """Two regions per defective image, in files of their own, as MVTec LOCO AD has them."""
    sources: list[RegionFiles | None] = [None] * N_GOOD
    regions: list[list[Part]] = [[] for _ in range(N_GOOD)]
    rng = np.random.default_rng(0)
    for number in range(N_BAD):
        paths = []
        regions.append([])
        for part in range(2):
            y, x = rng.integers(0, 90, 2)
            mask = np.zeros((128, 128), np.uint8)
            mask[y : y + 30, x : x + 30] = 1 + part
            paths.append(tmp_path / f"{number}_{part}.png")
            write_image(paths[-1], mask)
            small = mask[::2, ::2] > 0
            regions[-1].append(Part(small, min((90, 450)[part] / 4, small.sum())))
        sources.append(RegionFiles(tuple(paths), {1: Saturation(90, False), 2: Saturation(0.5, True)}))
    marked = replace(dataset, masks=tuple(sources))
    maps = inspector.score(marked.test).map
    assert maps is not None and marked.has_saturation
    wanted = spro(regions, maps)
    found = evaluate(inspector, marked)
    summary = found.summary()
    keys = [f"pixel_spro_{number}" for number in ("01", "05", "10", "30", "100")]
    assert [summary[key] for key in keys] == pytest.approx(wanted)
    for key in keys:
        low, high = summary[f"{key}_interval"]
        assert low <= summary[key] <= high
    types = summary["per_defect"]
    for name in ("image_auroc", "pixel_spro_05"):
        wanted_mean = (types["blot"][name] + types["faint"][name]) / 2
        assert summary["mean_over_types"][name] == pytest.approx(wanted_mean)


@pytest.mark.slow
def test_enough_good_pixels_give_aupimo(dataset: Dataset) -> None:
    larger = amiss.fit(toy_texture(20, seed=0).images, preset="tiny", size=96, calibration=0.5)
    found = evaluate(larger, dataset)
    assert N_GOOD * 96 * 96 > 100_000
    maps = larger.score(dataset.test).map
    assert maps is not None
    masks = np.stack([dataset.mask(index, (96, 96)) for index in range(len(maps))])
    pimo = aupimo(masks, maps, defective=dataset.anomalous)
    summary = found.summary()
    assert (summary["aupimo"], summary["aupimo_median"], summary["aupimo_p33"]) == (pimo.mean, pimo.median, pimo.p33)
    assert summary["n_aupimo"] == N_BAD
    low, high = summary["aupimo_interval"]
    assert low <= summary["aupimo"] <= high


def test_an_empty_mask_of_a_defective_image_is_measured_as_such(
    inspector: Inspector, dataset: Dataset, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    write_image(empty, np.zeros((128, 128), np.uint8))
    masks = list(dataset.masks or ())
    masks[N_GOOD] = empty
    found = evaluate(inspector, replace(dataset, masks=tuple(masks))).summary()
    assert 0 < found["pixel_aupro"] < 1 and found["detections"]["n"] == N_BAD
    nothing = tuple(None if mask is None else empty for mask in masks)
    found = evaluate(inspector, replace(dataset, masks=nothing)).summary()
    assert found["pixel_auroc"] is None and found["pixel_aupro_interval"] is None and found["seg_f1"] is None
    assert found["image_auroc"] is not None


def test_a_mask_of_another_size_is_an_error(inspector: Inspector, dataset: Dataset, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.png"
    write_image(wrong, np.full((50, 60), 255, np.uint8))
    masks = list(dataset.masks or ())
    masks[-1] = wrong
    with pytest.raises(DataError, match=r"wrong\.png"):
        evaluate(inspector, replace(dataset, masks=tuple(masks)))


def test_progress_counts_to_the_end(inspector: Inspector, dataset: Dataset) -> None:
    calls: list[tuple[str, int, int]] = []
    evaluate(inspector, replace(dataset, masks=None), progress=lambda *call: calls.append(call))
    n = len(dataset.test)
    assert calls == [(stage, done, n) for stage in ("reading", "evaluating") for done in range(1, n + 1)]


def test_what_other_alphas_would_have_done(inspector: Inspector, dataset: Dataset, evaluation: Evaluation) -> None:
    """Each row is what an inspector with that rule finds; mask filters, which remove detections, included."""
    for filters in ((), (MinArea(pixels=40),)):
        filtered = replace(inspector, mask_filters=filters)
        rows = evaluate(filtered, dataset).tried if filters else evaluation.tried
        assert len(rows) >= 2 and sum(row.choice.in_use for row in rows) == 1
        for row in rows:
            alone = evaluate(replace(filtered, rule=row.choice.rule), dataset)
            assert (row.detections.count, row.false_alarms.count) == (alone.detections.count, alone.false_alarms.count)
        found = [row.detections.count for row in rows]
        assert found == sorted(found) and evaluation.summary()["trade"][0]["detections"]["n"] == evaluation.detections.n
