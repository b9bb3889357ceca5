"""Parts and lots of test images: rates count parts, and intervals are over parts or lots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.shots import shots

import amiss
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.data import Dataset
from amiss.evaluation import Evaluation, evaluate
from amiss.inspector import Inspector
from amiss.rules import Fixed
from amiss.testing import toy_texture

N_GOOD, N_BAD = 12, 10


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    fitted = amiss.fit(toy_texture(20, seed=0).images, method="patchcore", preset="tiny", size=64, calibration=0.5)
    return fitted.with_rule(Fixed(float(np.median(fitted.rule.normal))))  # so that there are alarms of both kinds


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    good, bad = toy_texture(N_GOOD, seed=5), toy_texture(N_BAD, seed=6, defective=True)
    faint = [
        np.where(mask[:, :, None], image // 5 + clean // 5 * 4, image).astype(np.uint8)
        for image, mask, clean in zip(bad.images, bad.masks, bad.clean, strict=True)
    ]
    defects = ("good",) * N_GOOD + ("blot", "faint") * (N_BAD // 2)
    masks = (*(None for _ in range(N_GOOD)), *bad.masks)
    return Dataset("toy", Images([]), Images([*good.images, *faint]), defects, masks)


@pytest.fixture(scope="module")
def evaluation(inspector: Inspector, dataset: Dataset) -> Evaluation:
    return evaluate(inspector, dataset)


def several(dataset: Dataset, times: int, lots: int | None = None) -> Dataset:
    """Every image several times, as images of one part; parts in turn of one lot after the other."""
    places = np.tile(np.arange(len(dataset.test)), times)
    return replace(
        dataset,
        test=shots(dataset.test, times),
        defects=tuple(dataset.defects[i] for i in places),
        masks=tuple((dataset.masks or ())[i] for i in places),
        test_origins=tuple(Origin(part=str(i), lot=None if lots is None else f"lot {i % lots}") for i in places),
    )


def test_images_of_one_part_are_one_piece_of_evidence(
    inspector: Inspector, dataset: Dataset, evaluation: Evaluation
) -> None:
    found = evaluate(inspector, several(dataset, 5))
    summary, once = found.summary(), evaluation.summary()
    assert (summary["n_good"], summary["n_good_parts"]) == (5 * N_GOOD, N_GOOD)
    assert (summary["n_defective"], summary["n_defective_parts"]) == (5 * N_BAD, N_BAD)
    assert (summary["n_lots"], summary["intervals_over"]) == (None, "parts")
    for name in ("false_alarms", "detections", "escapes", "precision", "accuracy", "recall", "f1", "f1_interval"):
        assert summary[name] == once[name], name
    areas = ("image_auroc", "pixel_auroc", "pixel_aupro", "seg_f1")
    for name in areas:
        assert summary[name] == pytest.approx(once[name], abs=1e-6)
        assert summary[f"{name}_interval"] == pytest.approx(once[f"{name}_interval"], abs=0.01), name
    apart = evaluate(inspector, replace(several(dataset, 5), test_origins=())).summary()
    for name in areas:
        width, wrong = (np.diff(one[f"{name}_interval"])[0] for one in (summary, apart))
        assert wrong < 0.75 * width, name
    assert apart["detections"]["n"] == 5 * N_BAD


def test_a_part_raises_an_alarm_when_one_of_its_images_does(inspector: Inspector, dataset: Dataset) -> None:
    alarms = inspector.image_scores(dataset.test).image > np.float32(inspector.rule.threshold)
    origins = tuple(Origin(part=str(i // 3)) for i in range(len(alarms)))
    summary = evaluate(inspector, replace(dataset, masks=None, test_origins=origins)).summary()
    by_hand = alarms[:N_GOOD].reshape(-1, 3).any(axis=1)
    assert (summary["false_alarms"]["count"], summary["false_alarms"]["n"]) == (by_hand.sum(), len(by_hand))
    assert summary["per_defect"]["blot"]["n"] == len({i // 3 for i in range(N_GOOD, N_GOOD + N_BAD, 2)})


def test_what_intervals_are_for_is_said(inspector: Inspector, dataset: Dataset, evaluation: Evaluation) -> None:
    assert evaluation.sampling.words() == ""
    few = evaluate(inspector, replace(several(dataset, 1, lots=2), masks=None))
    assert "of 2 lots and the defective ones of 2, too few to speak for others" in few.sampling.words()
    assert few.summary()["intervals_over"] == "parts"
    assert few.summary()["false_alarms"] == evaluation.summary()["false_alarms"]
    many = evaluate(inspector, replace(several(dataset, 2, lots=8), masks=None))
    summary = many.summary()
    assert (summary["n_lots"], summary["intervals_over"]) == (8, "lots")
    assert "n counts parts" in many.sampling.words() and "of 8 lots; the intervals" in many.sampling.words()
    low, high = summary["false_alarms"]["interval"]
    alone = evaluation.summary()["false_alarms"]["interval"]
    assert low <= alone[0] and high >= alone[1] and summary["false_alarms"]["worth"] <= N_GOOD
