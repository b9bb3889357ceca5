"""A method that learns from unlabelled images is calibrated on good ones that are given apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from amiss import Inspector, fit
from amiss.core.errors import CalibrationError, DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.testing import toy_part

GOOD = toy_part(12, seed=5).images
MIXED = Images.join([toy_part(8, seed=0).images, toy_part(2, seed=1, defective=True).images])
OPTIONS = {"method": "musc", "preset": "tiny", "size": 64, "rule": "conformal:10%"}


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return fit(MIXED, **OPTIONS, calibrate_on=GOOD)


def test_all_unlabelled_images_learn_and_only_the_good_ones_calibrate(inspector: Inspector) -> None:
    assert inspector.learned.learned_from == 10 and inspector.rule.n == 12
    wanted = np.sort(inspector.image_scores(GOOD).image)
    np.testing.assert_allclose(inspector.rule.normal, wanted)
    assert {verdict.label for verdict in inspector.inspect(MIXED.subset([8, 9]))} == {"anomalous"}


def test_without_good_images_it_is_refused_in_words() -> None:
    with pytest.raises(CalibrationError, match=r"nobody knows which of them are good.*--calibrate-on or calibrate_on"):
        fit(MIXED, **OPTIONS)


def test_other_methods_may_be_calibrated_apart_too() -> None:
    made = fit(MIXED.subset(range(8)), **OPTIONS | {"method": "knn"}, calibrate_on=GOOD)
    assert made.learned.learned_from == 8 and made.rule.n == 12


def test_an_image_on_both_sides_is_learned_from_and_does_not_calibrate() -> None:
    both = Images.join([GOOD, MIXED.subset([0, 3])])
    made = fit(MIXED, **OPTIONS, calibrate_on=both)
    assert made.learned.learned_from == 10 and made.rule.n == 12 and made.calibration.copies == 2


def test_too_few_good_images_are_refused_before_learning() -> None:
    with pytest.raises(CalibrationError, match="needs 9 good calibration images, got 4"):
        fit(MIXED, **OPTIONS, calibrate_on=GOOD.subset(range(4)))


def test_parts_of_the_good_images_are_counted() -> None:
    origins = [Origin()] * 10 + [Origin(part=str(number)) for number in range(12)]
    assert fit(MIXED, **OPTIONS, calibrate_on=GOOD, origins=origins).rule.n == 12
    with pytest.raises(CalibrationError, match="got 4"):
        fit(MIXED, **OPTIONS, calibrate_on=GOOD, origins=origins[:10] + [Origin(part=str(n % 4)) for n in range(12)])


def test_what_is_learned_from_and_what_calibrates_are_of_other_lots_and_parts() -> None:
    origins = [Origin(lot=f"L{number // 2}", part=str(number)) for number in range(12)]
    learned = toy_part(12, seed=0).images
    options = OPTIONS | {"method": "knn", "rule": "fixed:1"}
    with pytest.raises(
        CalibrationError, match=r"lots that calibrate must be others .* got 6 on both sides, such as 'L0"
    ):
        fit(learned, **options, calibrate_on=GOOD, origins=origins + origins)
    with pytest.raises(
        CalibrationError, match=r"parts that calibrate must be others .* got 12 on both sides, such as '0"
    ):
        fit(learned, **options, calibrate_on=GOOD, origins=origins + origins, future="these-lots")
    others = [Origin(lot=one.lot, part=f"{one.part}b") for one in origins]
    made = fit(learned, **options, calibrate_on=GOOD, origins=origins + others, future="these-lots")
    assert made.calibration.future == "these-lots"


def test_a_copy_of_a_learned_image_is_left_out_before_its_lot_is_looked_at() -> None:
    origins = [Origin(lot=f"L{number}") for number in range(24)]
    both, named = Images.join([GOOD, MIXED.subset([0])]), [*origins[:22], origins[0]]
    made = fit(MIXED, **OPTIONS, calibrate_on=both, origins=named)
    assert made.rule.n == 12 and made.calibration.lots == 12


def written(folder: Path, images: Images) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:02}.png"), image[:, :, ::-1])
    return folder


def test_the_verb(amiss, tmp_path: Path) -> None:
    mixed, good = written(tmp_path / "mixed", MIXED), written(tmp_path / "good", GOOD)
    arguments = ["fit", mixed, "--method", "musc", "--preset", "tiny", "--size", "64", "--rule", "conformal:10%"]
    code, _, error = amiss(*arguments, "--output", tmp_path / "part.amiss")
    assert code == 4 and "--calibrate-on" in error
    code, out, error = amiss(*arguments, "--output", tmp_path / "part.amiss", "--calibrate-on", good)
    assert code == 0, error
    assert "learned from 10" in out and "12 good" in out


def test_a_folder_of_defects_does_not_calibrate(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NG"):
        fit(MIXED, **OPTIONS, calibrate_on=written(tmp_path / "NG", GOOD.subset([0])))
