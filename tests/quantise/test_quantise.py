"""An int8 inspector: calibrated on its own scores, refused when it is worse, and honest about where it comes from."""

from dataclasses import replace

import numpy as np
import pytest

import amiss
from amiss.artefact import Golden
from amiss.calibration import largest_of_each
from amiss.core.errors import CalibrationError, DataError, InputError, ParityError
from amiss.core.images import Images
from amiss.core.scores import Scores
from amiss.core.survey import survey
from amiss.data import Origin
from amiss.inspector import Inspector
from amiss.metrics.roc import auroc
from amiss.quantise import measure_price, quantise, quantise_convolutions
from amiss.quantise.price import _difference
from amiss.quantise.run import LEAST, TOLERANCES, check_price, with_graph
from amiss.rules import Fixed
from amiss.synthesis.defects import draw_defect
from amiss.testing import toy_part

SETTINGS = {"method": "patchcore", "preset": "tiny", "size": 64, "calibration": 0.4}
LOST = 0.05
"""The network of the tiny preset knows little and loses more than a real one."""


@pytest.fixture(scope="module")
def parts():
    return toy_part(60, seed=0).images


@pytest.fixture(scope="module")
def float32(parts):
    return amiss.fit(parts, **SETTINGS)


@pytest.fixture(scope="module")
def both(float32, parts):
    """The int8 inspector and its price."""
    shuffled = parts.subset(np.random.default_rng(3).permutation(60))
    return quantise(float32, Images([*toy_part(5, seed=9).images, *shuffled]), most_lost=LOST)


def calibrated_on(inspector, parts):
    wanted = inspector.parts.images.calibrated
    return parts.subset([index for index, one in enumerate(survey(parts).identities) if one in wanted])


def test_scores_are_near_those_in_float32(both, float32):
    images = toy_part(10, seed=1).images
    wanted, found = float32.score(images), both[0].score(images)
    assert 0 < np.abs(found.map - wanted.map).max() < 0.1 * wanted.image.max()
    images = toy_part(40, seed=1, defective=True).images
    wanted, found = float32.score(images), both[0].score(images)
    assert np.quantile(np.abs(found.map - wanted.map), 0.99) < 0.1 * wanted.image.max()
    assert np.corrcoef(found.image, wanted.image)[0, 1] > 0.95


def test_the_threshold_is_that_of_the_int8_scores_of_the_calibration_images(both, float32, parts):
    int8 = both[0]
    scores = int8.scorer.run(np.stack(list(calibrated_on(float32, parts)))).image
    by_hand = float32.rule.calibrate(Scores(scores))
    assert int8.rule.n == float32.rule.n == 24
    np.testing.assert_array_equal(int8.rule.normal, np.sort(scores))
    assert int8.rule.threshold == by_hand.threshold == int8.record.threshold != float32.rule.threshold
    assert int8.seen == float32.seen and int8.record.calibration == float32.record.calibration


def test_it_is_saved_loaded_and_checked(both, tmp_path):
    int8 = both[0]
    int8.save(tmp_path / "int8.amiss")
    again = Inspector.load(tmp_path / "int8.amiss")
    assert again.fingerprint == int8.fingerprint and again.record.tolerance == TOLERANCES["int8"]
    images = toy_part(4, seed=1, defective=True).images
    np.testing.assert_array_equal(again.score(images).map, int8.score(images).map)
    with pytest.raises(InputError, match="in int8 already"):
        quantise(again, images)


def test_the_record_says_what_it_was_made_from(both, float32, tmp_path):
    int8 = both[0]
    note = int8.record.quantised
    assert (note.precision, note.ranges_from, note.runtime) == ("int8", 36, "onnxruntime")
    assert note.fingerprint == float32.fingerprint != int8.fingerprint
    assert float32.fingerprint[:12] in int8.statement() and "int8" not in float32.statement()
    assert "int8" in int8.with_rule(Fixed(1.0)).statement()
    golden = Golden(louder(int8.parts.golden.data))
    wrong = replace(int8, parts=replace(int8.parts, graph=float32.parts.graph, golden=golden))
    wrong.save(tmp_path / "wrong.amiss")
    with pytest.raises(ParityError, match="was calibrated on onnxruntime: choose that backend"):
        Inspector.load(tmp_path / "wrong.amiss")


def louder(golden):
    from safetensors.numpy import load, save

    arrays = load(golden)
    return save({**arrays, "map": 1.1 * arrays["map"]})


def test_the_same_seed_makes_the_same_model(both, float32, parts):
    again, price = quantise(float32, parts, most_lost=LOST)
    assert again.parts.graph == both[0].parts.graph and again.rule.threshold == both[0].rule.threshold
    assert price.auroc == both[1].auroc and price.defective == both[1].defective


def test_the_price_is_what_counting_gives(both, float32, parts):
    int8, price = both
    normal = calibrated_on(float32, parts)
    listed = list(survey(parts).identities)
    order = [listed.index(name) for name in float32.parts.images.calibrated]
    normal = parts.subset(order)
    defects = [
        draw_defect(image, np.random.default_rng([5, 0, turn, index]))[0]
        for turn in range(9)
        for index, image in enumerate(normal)
    ]
    labels = [0] * 24 + [1] * 216
    alarms = []
    for inspector, found in ((float32, price.auroc.first), (int8, price.auroc.second)):
        verdicts = list(inspector.inspect(Images([*normal, *defects])))
        assert found == pytest.approx(auroc(labels, [verdict.score for verdict in verdicts]), abs=1e-12)
        alarms.append([verdict.label == "anomalous" for verdict in verdicts])
    one, other = np.array(alarms)
    assert vars(price.good) == dict(
        n=24, changed=(one != other)[:24].sum(), float32=one[:24].sum(), lower=other[:24].sum()
    )
    assert vars(price.defective) == dict(
        n=216, changed=(one != other)[24:].sum(), float32=one[24:].sum(), lower=other[24:].sum()
    )
    low, high = price.auroc.interval
    assert low <= price.auroc.difference <= high
    assert min(price.seconds) > 0 and len(price.lines()) == 4


def test_a_good_image_and_its_defective_versions_are_one_piece_of_evidence():
    scores = np.random.default_rng(1).normal(size=(10, 20)).astype(np.float32)
    scores[1:] += 1
    moved = scores + np.random.default_rng(2).normal(0, 0.2, scores.shape).astype(np.float32)
    found = _difference(scores, moved)
    assert found.first == pytest.approx(auroc([0] * 20 + [1] * 180, scores.ravel()))
    assert found.interval[0] < found.difference < found.interval[1]
    once = _difference(np.repeat(scores[:2], [1, 9], axis=0), np.repeat(moved[:2], [1, 9], axis=0))
    assert np.diff(once.interval) > np.diff(found.interval)  # nine copies of one defect say no more than one


def test_a_detector_and_itself_do_not_differ():
    scores = np.random.default_rng(1).normal(size=(3, 20)).astype(np.float32)
    same = _difference(scores, scores)
    assert same.difference == 0 and same.interval[0] == pytest.approx(-same.interval[1]) and same.p_value == 1


def test_a_graph_that_detects_less_is_refused_with_both_figures(float32, parts):
    """Ranges of a grey image: every activation is cut off."""
    graph = quantise_convolutions(float32.parts.graph, [np.full((64, 64, 3), 128, np.uint8)])
    normal = calibrated_on(float32, parts)
    blind = with_graph(float32, graph, ranges=1)
    blind = replace(blind, rule=blind.rule.calibrate(blind.image_scores(normal)))
    price = measure_price(float32, blind, normal)
    assert price.auroc.difference > 0.05
    words = f"from {price.auroc.first:.4f} to {price.auroc.second:.4f} .24 good images, 216 with synthetic defects"
    with pytest.raises(CalibrationError, match=words):
        check_price(price, most=0.05)
    check_price(price, most=price.auroc.difference)


def test_what_the_caller_will_not_lose_is_refused(float32, parts):
    with pytest.raises(CalibrationError, match="at most -1 may be lost"):
        quantise(float32, parts, most_lost=-1)


def test_other_data_is_refused(float32, parts):
    learned = float32.parts.images.learned
    without = [index for index, one in enumerate(survey(parts).identities) if one not in learned]
    with pytest.raises(DataError, match="0 of the 24 images that calibrated this model are among the 60 given"):
        quantise(float32, toy_part(60, seed=7).images)
    with pytest.raises(DataError, match=f"0 of the 36 images that this model has learned from.*at least {LEAST}"):
        quantise(float32, parts.subset(without))
    with pytest.raises(DataError, match="23 of the 24"):
        quantise(float32, parts.subset([index for index in range(60) if index != without[0]]))


def test_other_parts_are_refused(float32, parts):
    origins = [Origin(part="the same")] * 60
    with pytest.raises(DataError, match="show 1 parts here and 24 parts when the model was calibrated"):
        quantise(float32, parts, origins=origins)


def test_parts_count_as_when_it_was_calibrated(parts):
    origins = [Origin(part=str(index // 2)) for index in range(60)]
    inspector = amiss.fit(parts, origins=origins, **SETTINGS)
    int8, _ = quantise(inspector, parts, origins=origins, most_lost=LOST)
    normal = calibrated_on(inspector, parts)
    numbers = np.repeat(np.arange(len(normal) // 2), 2)
    assert int8.rule.n == inspector.rule.n == len(normal) // 2
    wanted = largest_of_each(int8.image_scores(normal).image, numbers)
    np.testing.assert_array_equal(int8.rule.normal, np.sort(wanted.image))


def test_folds_are_refused(parts):
    folds = amiss.fit(parts, method="patchcore", preset="tiny", size=64, calibration="folds:2")
    with pytest.raises(CalibrationError, match=r"calibrated by folds.*--calibration 20%"):
        quantise(folds, parts)


def test_what_runs_in_torch_is_refused(float32, parts):
    in_torch = replace(float32, parts=replace(float32.parts, graph=None))
    with pytest.raises(InputError, match="patchcore is not exported and runs in torch"):
        quantise(in_torch, parts)


def test_large_images_stay_in_tiles():
    large = toy_part(40, seed=0).images.resized((96, 80))
    inspector = amiss.fit(large, method="patchcore", preset="tiny", tile=64, overlap=16, calibration=0.5)
    int8, price = quantise(inspector, large, most_lost=1)
    assert int8.tiling == inspector.tiling and int8.rule.n == price.good.n == 20
    image = toy_part(1, seed=5).images.resized((96, 80))
    assert int8.score(image).map.shape == (1, 96, 80)
    np.testing.assert_allclose(int8.score(image).image, inspector.score(image).image, rtol=0.3)
