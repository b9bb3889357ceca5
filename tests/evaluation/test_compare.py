"""Two inspectors on the same images: values of each, paired intervals, parts, and images that must be the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from tests.evaluation.shots import shots

import amiss
from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.verdict import Label, Verdict
from amiss.data import Dataset
from amiss.evaluation import Comparison, compare, evaluate
from amiss.evaluation.compare import paired
from amiss.inspector import Inspector
from amiss.rules import Fixed
from amiss.testing import toy_texture, write_image

N_GOOD, N_BAD = 14, 12


def fit(method: str, size: int) -> Inspector:
    fitted = amiss.fit(toy_texture(20, seed=0).images, method=method, preset="tiny", size=size, calibration=0.5)
    return fitted.with_rule(Fixed(float(np.median(fitted.rule.normal))))


@pytest.fixture(scope="module")
def first() -> Inspector:
    return fit("patchcore", 64)


@pytest.fixture(scope="module")
def second() -> Inspector:
    return fit("padim", 48)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("toy")
    good, bad = toy_texture(N_GOOD, seed=5), toy_texture(N_BAD, seed=6, defective=True)
    faint = [
        np.where(mask[:, :, None], image // 6 + clean // 6 * 5, image).astype(np.uint8)
        for image, mask, clean in zip(bad.images, bad.masks, bad.clean, strict=True)
    ]
    masks: list[Path | None] = [None] * N_GOOD
    for number, mask in enumerate(bad.masks):
        masks.append(folder / f"{number}.png")
        write_image(masks[-1], mask)
    images = Images([*good.images, *faint])
    return Dataset("toy", Images([]), images, ("good",) * N_GOOD + ("blot",) * N_BAD, tuple(masks))


@pytest.fixture(scope="module")
def comparison(first: Inspector, second: Inspector, dataset: Dataset) -> Comparison:
    return compare(first, second, dataset)


def test_each_has_the_values_of_its_own_evaluation(
    first: Inspector, second: Inspector, dataset: Dataset, comparison: Comparison
) -> None:
    summary = comparison.summary()
    for side, inspector in (("first", first), ("second", second)):
        alone = evaluate(inspector, dataset).summary()
        for name in ("image_auroc", "pixel_aupro", "pixel_aupro_05"):
            assert summary[name][side] == pytest.approx(alone[name])
        assert summary[side]["false_alarms"] == alone["false_alarms"]
        assert summary[side]["detections"] == alone["detections"]
    assert (comparison.n_good, comparison.n_defective, comparison.n_excluded) == (N_GOOD, N_BAD, 0)
    json.dumps(summary, allow_nan=False)


def test_the_interval_of_the_difference_is_near_that_of_drawing_pairs_of_images(
    first: Inspector, second: Inspector, dataset: Dataset, comparison: Comparison
) -> None:
    """Near it, and not inside: a bootstrap of 26 images is too narrow."""
    labels = dataset.anomalous
    scores = [inspector.image_scores(dataset.test).image for inspector in (first, second)]
    rng = np.random.default_rng(3)
    bad, good, moves = np.flatnonzero(labels), np.flatnonzero(~labels), []
    for _ in range(500):
        chosen = np.concatenate([rng.choice(bad, len(bad)), rng.choice(good, len(good))])
        a, b = (roc_auc_score(labels[chosen], one[chosen]) for one in scores)
        moves.append(a - b)
    found = comparison.image_auroc
    assert found.interval[0] < found.difference < found.interval[1]
    assert 0.9 < (found.interval[1] - found.interval[0]) / np.diff(np.quantile(moves, [0.025, 0.975]))[0] < 2.2
    wanted = min(1, 2 * min(np.mean(np.array(moves) <= 0), np.mean(np.array(moves) >= 0)))
    assert wanted - 0.05 < found.p_value < wanted + 0.2


def test_verdicts_are_compared_on_good_and_on_defective_images_apart(
    first: Inspector, second: Inspector, dataset: Dataset, comparison: Comparison
) -> None:
    a, b = (
        inspector.image_scores(dataset.test).image > np.float32(inspector.rule.threshold)
        for inspector in (first, second)
    )
    bad = dataset.anomalous
    for agreement, wins, losses in (
        (comparison.good, (~a & b)[~bad].sum(), (a & ~b)[~bad].sum()),
        (comparison.defective, (a & ~b)[bad].sum(), (~a & b)[bad].sum()),
    ):
        assert (agreement.only_first, agreement.only_second) == (wins, losses)
        wanted = binomtest(int(wins), int(wins + losses)).pvalue if wins + losses else 1.0
        assert agreement.p_value == pytest.approx(wanted)
    assert (comparison.good.n, comparison.defective.n) == (N_GOOD, N_BAD)


def test_an_inspector_does_not_differ_from_itself(first: Inspector, dataset: Dataset) -> None:
    same = compare(first, first, dataset)
    for one in (same.image_auroc, same.pixel_aupro, same.pixel_aupro_05):
        assert (one.difference, one.p_value) == (0.0, 1.0)
        assert one.interval[0] == -one.interval[1] < 0  # 26 images do not show that two detectors are the same
    assert same.good.p_value == same.defective.p_value == 1.0


def test_what_one_cannot_use_is_left_out_for_both(
    first: Inspector, second: Inspector, dataset: Dataset, comparison: Comparison, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    mixed = replace(
        dataset,
        test=Images([broken, *dataset.test]),
        defects=("good", *dataset.defects),
        masks=(None, *(dataset.masks or ())),
    )
    found = compare(first, second, mixed)
    assert (found.n_good, found.n_defective, found.n_excluded) == (N_GOOD, N_BAD, 1)
    assert (found.first.errors, found.second.errors) == (1, 1)
    assert found.image_auroc == comparison.image_auroc and found.pixel_aupro == comparison.pixel_aupro


def test_errors_of_either_are_excluded() -> None:
    def verdicts(*labels: Label) -> list[Verdict]:
        return [Verdict(name=str(number), label=label) for number, label in enumerate(labels)]

    one = verdicts(Label.GOOD, Label.ERROR, Label.ANOMALOUS)
    other = verdicts(Label.ERROR, Label.GOOD, Label.REVIEW)
    assert paired(one, other).tolist() == [False, False, True]
    with pytest.raises(DataError, match="must be on the same images, got 3 and 2"):
        paired(one, other[:2])
    with pytest.raises(DataError, match="image 0 is 0 for the first and 1"):
        paired(one, other[1:])
    assert paired([], []).tolist() == []


def test_images_that_one_has_seen_are_left_out(first: Inspector, second: Inspector, dataset: Dataset) -> None:
    known = Images([*dataset.test, toy_texture(1, seed=0).images[0]])
    leaky = replace(dataset, test=known, defects=(*dataset.defects, "good"), masks=None)
    found = compare(first, second, leaky)
    assert (found.n_good, found.n_defective) == (N_GOOD, N_BAD)
    assert found.notes == ("left out 1 of 27 test images: the model has seen them while it was made.",)
    assert found.summary()["notes"] == list(found.notes)


def test_without_masks_or_one_class(first: Inspector, second: Inspector, dataset: Dataset) -> None:
    found = compare(first, second, replace(dataset, masks=None))
    assert math.isnan(found.pixel_aupro.difference) and not math.isnan(found.image_auroc.difference)
    good = Dataset("good", dataset.normal, dataset.test.subset(range(N_GOOD)), ("good",) * N_GOOD)
    summary = compare(first, second, good).summary()
    assert summary["image_auroc"]["difference"] is None and summary["defective"]["n"] == 0
    json.dumps(summary, allow_nan=False)
    with pytest.raises(DataError, match="no test images"):
        compare(first, second, Dataset("bare", dataset.normal, Images([])))


def test_images_of_one_part_are_one_piece_of_evidence(first: Inspector, second: Inspector, dataset: Dataset) -> None:
    """Every image four times, as four images of one part: the areas stay, the intervals and tests hardly change."""
    n = len(dataset.test)
    places = np.tile(np.arange(n), 4)
    shown = replace(
        dataset,
        test=shots(dataset.test, 4),
        defects=tuple(dataset.defects[i] for i in places),
        masks=tuple((dataset.masks or ())[i] for i in places),
        test_origins=tuple(Origin(part=str(i)) for i in places),
    )
    once, four = compare(first, second, dataset), compare(first, second, shown)
    summary = four.summary()
    assert (summary["n_good"], summary["n_good_parts"]) == (4 * N_GOOD, N_GOOD)
    assert (summary["n_defective_parts"], summary["intervals_over"]) == (N_BAD, "parts")
    assert four.image_auroc.interval == pytest.approx(once.image_auroc.interval, abs=0.01)
    assert four.pixel_aupro.interval == pytest.approx(once.pixel_aupro.interval, abs=0.01)
    assert four.image_auroc.p_value == pytest.approx(once.image_auroc.p_value, abs=0.02)
    assert (four.good, four.defective) == (once.good, once.defective)
    assert four.first.false_alarms == once.first.false_alarms
    apart = compare(first, second, replace(shown, test_origins=()))
    assert np.diff(apart.image_auroc.interval)[0] < 0.7 * np.diff(four.image_auroc.interval)[0]
