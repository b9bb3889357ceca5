"""One, two, four or eight good images: `fit` works, and nothing is claimed that so few cannot show."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import amiss
from amiss import Inspector, fit
from amiss.core.errors import CalibrationError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.recipe import Recipe
from amiss.registry import create
from amiss.rules import Conformal, FewShot, Fixed
from amiss.testing import toy_part

GOOD = toy_part(8, seed=0).images
MORE = toy_part(12, seed=5).images
BAD = toy_part(6, seed=1, defective=True).images
OPTIONS = {"method": "patchcore", "preset": "tiny", "size": 64}
RATES = ("95 %", "at most", "on average", "below", "certif")


@pytest.fixture(scope="module")
def inspectors() -> dict[int, Inspector]:
    return {n: fit(GOOD.subset(range(n)), **OPTIONS) for n in (1, 2)}


@pytest.mark.parametrize("n", [1, 2, pytest.param(4, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_it_learns_from_all_finds_defects_and_promises_nothing(inspectors, n) -> None:
    made = inspectors[n] if n in inspectors else fit(GOOD.subset(range(n)), **OPTIONS)
    assert made.learned.learned_from == n == made.rule.n and isinstance(made.rule, FewShot)
    assert made.record.alpha is None and made.recipe.rule.name == "conformal"
    said = made.statement()
    assert f"no false-alarm rate is promised from n = {n} good image" in said and not any(
        word in said for word in RATES
    )
    verdicts = list(made.inspect(BAD))
    assert sum(verdict.label == "anomalous" for verdict in verdicts) >= 4
    assert all(verdict.p_value is None for verdict in verdicts)


def test_each_is_scored_by_a_detector_of_the_others(inspectors) -> None:
    alone = []
    for number in (0, 1):
        other = create("patchcore", "tiny").fit(GOOD.subset([1 - number]).resized((64, 64)))
        alone.append(other.score(GOOD.subset([number]).resized((64, 64))).image[0])
    np.testing.assert_allclose(inspectors[2].rule.normal, np.sort(alone), rtol=1e-5)
    assert inspectors[2].calibration.kind == "folds" and "learned from the others only" in inspectors[2].statement()


def test_a_single_one_by_altered_copies_of_itself_and_nothing_else_may_be_made_of_those(inspectors, tmp_path) -> None:
    one = inspectors[1]
    assert one.calibration.kind == "altered copies" and "8 altered copies" in one.statement()
    assert one.rule.threshold > one.image_scores(GOOD.subset([0])).image[0]  # not that of the very image
    for rule in (Conformal(0.5), Fixed(1.0)):
        with pytest.raises(CalibrationError, match="altered copies of the images that were learned from"):
            one.with_rule(rule)
    one.save(tmp_path / "one.amiss")
    again = amiss.load(tmp_path / "one.amiss")
    assert again.statement() == one.statement() and again.fingerprint == one.fingerprint
    several = fit(GOOD.subset(range(3)), **OPTIONS, origins=[Origin(part="a")] * 3)
    assert several.calibration.kind == "altered copies" and several.rule.n == 1 and several.calibration.images == 3


def test_more_good_images_bring_a_promise(inspectors) -> None:
    after = inspectors[1].calibrate(MORE)
    assert after.rule.name == "conformal" and after.rule.n == 12 and "altered" not in after.statement()
    still = inspectors[1].calibrate(MORE.subset(range(5)))
    assert isinstance(still.rule, FewShot) and still.calibration.kind == "held out" and still.rule.n == 5
    assert isinstance(inspectors[2].with_rule(Conformal()).rule, FewShot)


def test_a_rate_that_was_asked_for_is_refused_and_so_is_every_other_rule_for_one_image() -> None:
    with pytest.raises(CalibrationError, match="5 % needs 19 good calibration images, got 4"):
        fit(GOOD.subset(range(4)), **OPTIONS, rule="conformal:5%")
    with pytest.raises(amiss.core.errors.DataError, match="at least 2 good images are needed"):
        fit(GOOD.subset([0]), **OPTIONS, rule="fixed:1")


@pytest.mark.slow
def test_the_default_method_is_patchcore_then() -> None:
    assert (Recipe().for_parts(8).method, Recipe().for_parts(8).preset) == ("patchcore", "few_shot")
    assert Recipe().for_parts(9) == Recipe() and Recipe(method="padim").for_parts(1) == Recipe(method="padim")
    assert Recipe(settings={"held_out": 0.3}).for_parts(1).method == "ensemble"
    made = fit([GOOD[0]] * 20, size=64)  # copies count once
    assert made.learned.method == "patchcore" and made.rule.n == 1
    assert "patchcore learned, preset few_shot" in made.statement()
    assert made.recipe.method == "patchcore"  # what asks for the same again


def test_a_method_that_cannot_learn_from_one_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"padim needs at least 2 .*Of 2 good images 1 learn, .* preset few_shot"):
        fit(GOOD.subset(range(2)), **OPTIONS | {"method": "padim"})


@pytest.mark.slow
def test_images_of_new_lots_and_tiles() -> None:
    made = fit(GOOD.subset(range(4)), **OPTIONS, origins=[Origin(lot=str(i // 2)) for i in range(4)])
    assert isinstance(made.rule, FewShot) and not any(word in made.statement() for word in RATES)
    options = {key: value for key, value in OPTIONS.items() if key != "size"}
    tiled = fit(GOOD.subset([0]), **options, tile=64)
    assert isinstance(tiled.rule, FewShot) and tiled.calibration.tiles is not None
    assert not any(word in tiled.statement() for word in RATES)


def test_the_verbs(amiss, tmp_path: Path) -> None:
    for name, images in (("one", GOOD.subset([0])), ("bad", BAD)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image[:, :, ::-1])
    model = tmp_path / "m.amiss"
    code, out, error = amiss(
        "fit", tmp_path / "one", "--method", "patchcore", "--preset", "tiny", "--size", "64", "--output", model
    )
    assert code == 0, error
    assert (
        "learns from 1 good image," in out
        and "altered copies calibrate" in out
        and "learned from 1 good image (" in out
    )
    assert "rate below" not in out
    code, out, _ = amiss("inspect", model, tmp_path / "bad")
    assert "p = " not in out and "ANOMALOUS" in out
    code, _, error = amiss("inspect", model, tmp_path / "bad", "--batch", "5%")
    assert code != 0 and "needs p-values, and the rule few_shot has none" in error
    code, _, error = amiss("calibrate", model, "--rule", "fixed:2", "--output", tmp_path / "n.amiss")
    assert code != 0 and "altered copies" in error


@pytest.mark.slow
def test_learning_from_few_and_calibrating_on_enough() -> None:
    made = fit([GOOD[0]], **OPTIONS, calibrate_on=Images(list(MORE)))
    assert made.rule.name == "conformal" and made.rule.n == 12 and made.learned.learned_from == 1
