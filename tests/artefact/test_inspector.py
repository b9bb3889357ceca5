"""The inspector: rules change without a refit, filters only remove, boxes lie in the image, errors are not good."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amiss
from amiss.core.decode import resize, to_rgb8
from amiss.core.errors import CalibrationError, DataError, ImageError
from amiss.core.images import Images
from amiss.core.scores import Region
from amiss.core.survey import survey
from amiss.core.verdict import Label
from amiss.data import Origin
from amiss.inspector import Inspector
from amiss.postprocess import MinArea, find_regions, resize_regions
from amiss.record import FOLDS_NOTE
from amiss.rules import Certified, Conformal, Fixed
from amiss.testing import toy_part, toy_texture, write_image


@pytest.fixture(scope="module")
def defective():
    return toy_texture(6, seed=2, defective=True).images


def test_most_defects_are_found_and_most_good_parts_pass(inspector, defective):
    assert [verdict.label for verdict in inspector.inspect(defective)].count(Label.ANOMALOUS) >= 4
    good = [verdict.label for verdict in inspector.inspect(toy_texture(20, seed=3).images)]
    assert good.count(Label.GOOD) >= 15


def test_another_rule_needs_no_image_and_no_learning(inspector, defective):
    other = inspector.with_rule(Certified(0.2, 0.9))
    assert other.scorer is inspector.scorer and other.parts is inspector.parts
    assert other.rule.n == inspector.rule.n == 30
    assert other.record.rule.name == "certified" and other.record.alpha == 0.2
    assert other.record.threshold == other.rule.threshold
    assert inspector.record.rule.name == "conformal"
    assert other.record.calibration == inspector.record.calibration
    assert "by folds" in other.statement()
    np.testing.assert_array_equal(other.score(defective).map, inspector.score(defective).map)


def test_a_rule_that_promises_too_much_is_refused_and_nothing_changes(inspector):
    with pytest.raises(CalibrationError, match="969 more are needed"):
        inspector.with_rule(Conformal(0.001))
    assert inspector.rule.alpha == 0.05


def test_calibration_on_new_images_learns_nothing_and_drops_the_note_on_folds(inspector, defective):
    fresh = inspector.calibrate(toy_texture(20, seed=5).images)
    assert fresh.scorer is inspector.scorer and fresh.parts.weights is inspector.parts.weights
    assert fresh.rule.n == fresh.record.calibration.n == 20
    assert fresh.record.calibration.kind == "held out" and fresh.record.notes == ()
    np.testing.assert_array_equal(fresh.score(defective).map, inspector.score(defective).map)
    with pytest.raises(CalibrationError, match="2 more are needed"):
        inspector.calibrate(toy_texture(7, seed=5).images)


def test_a_bad_calibration_image_is_an_error(inspector):
    with pytest.raises(ImageError, match="image 1"):
        inspector.calibrate(
            Images(
                [
                    np.zeros((64, 64), np.uint8),
                    np.zeros((64, 64)),
                    *(np.full((64, 64), i, np.uint8) for i in range(1, 20)),
                ]
            )
        )


def test_what_was_learned_from_cannot_calibrate_and_what_was_seen_is_known(inspector):
    learned = toy_texture(30, seed=0).images
    with pytest.raises(DataError, match="30 of 30 images were learned from"):
        inspector.calibrate(learned)
    fresh = toy_texture(20, seed=5).images
    assert inspector.seen == set(survey(learned).identities)
    again = inspector.calibrate(fresh)
    assert again.seen == inspector.seen | set(survey(fresh).identities)
    assert again.fingerprint != inspector.fingerprint


def test_images_of_one_part_count_once(inspector):
    images = toy_texture(40, seed=6).images
    origins = [Origin(lot=f"lot {i // 8}", part=f"part {i // 2}") for i in range(40)]
    several = inspector.calibrate(images, origins=origins, future="these-lots")
    single = inspector.image_scores(images).image.reshape(20, 2).max(axis=1)
    np.testing.assert_array_equal(several.rule.normal, np.sort(single))
    assert "40 calibration images show 20 parts" in several.statement() and "these 5 lots" in several.statement()


@pytest.mark.parametrize("pixels", [1, 20, 60, 5000])
def test_min_area_only_removes(pixels, inspector, defective):
    scores = inspector.with_rule(Fixed(float(np.median(inspector.score(defective).map)))).score(defective)
    loose = replace(inspector, rule=Fixed(float(np.quantile(scores.map, 0.9))))
    before, after = loose.decide(scores), replace(loose, mask_filters=(MinArea(pixels),)).decide(scores)
    assert not (after.mask & ~before.mask).any()
    assert not (after.label & ~before.label).any()
    np.testing.assert_array_equal(after.label, after.mask.any(axis=(1, 2)))
    for kept, all_regions in zip(after.regions, before.regions, strict=True):
        assert kept == tuple(region for region in all_regions if region.area >= pixels)
    assert after.label.any() == (pixels < 5000)


def test_regions_and_boxes_are_in_pixels_of_the_image(inspector):
    image = resize(toy_texture(1, seed=4).images[0], (128, 192))
    image[32:48, 120:150] = 255
    verdict = inspector.inspect_one(image)
    assert verdict.label is Label.ANOMALOUS and verdict.mask.shape == (64, 64)
    enlarged = [each.repeat(2, axis=0).repeat(3, axis=1) for each in (verdict.mask, verdict.map)]
    assert set(verdict.regions) == set(find_regions(*enlarged))
    left, top, width, height = verdict.regions[0].box
    assert left <= 125 and left + width >= 145 and top <= 36 and top + height >= 44
    assert left > 60 and top + height < 100


@settings(max_examples=300, deadline=None, derandomize=True)
@given(*[st.integers(1, 300)] * 2, *[st.integers(1, 3000)] * 2, st.data())
def test_boxes_cover_their_region_and_never_leave_the_image(height, width, rows, columns, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (left, top, data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top)))
    (region,) = resize_regions([Region(box, 1, 0.0)], (height, width), (rows, columns))
    x, y, w, h = region.box
    assert x >= 0 and y >= 0 and w >= 1 and h >= 1 and x + w <= columns and y + h <= rows
    assert x * width <= box[0] * columns and (x + w) * width >= (box[0] + box[2]) * columns
    assert y * height <= box[1] * rows and (y + h) * height >= (box[1] + box[3]) * rows
    assert region.area >= 1


def test_a_bad_file_is_an_error_and_the_next_one_is_inspected(inspector, tmp_path):
    write_image(tmp_path / "a.png", np.zeros((50, 70, 3), np.uint8))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "c.png").write_bytes(b"")
    write_image(tmp_path / "d.png", toy_texture(1, seed=6).images[0])
    steps = []
    verdicts = list(inspector.inspect(tmp_path, progress=lambda *step: steps.append(step)))
    assert [verdict.name for verdict in verdicts] == [str(tmp_path / f"{name}.png") for name in "abcd"]
    assert [verdict.label for verdict in verdicts][:3] == [Label.ANOMALOUS, Label.ERROR, Label.ERROR]
    for bad in verdicts[1:3]:
        assert bad.reason and bad.score is None and bad.p_value is None and bad.map is None and bad.regions == ()
    assert verdicts[3].score is not None
    assert [step[1] for step in steps] == [1, 2, 3, 4]


def test_a_verdict_carries_the_score_and_p_value_of_the_rule(inspector, defective):
    scores = inspector.score(defective)
    decision = inspector.decide(scores)
    for index, verdict in enumerate(inspector.inspect(defective)):
        assert verdict.score == scores.image[index] == scores.map[index].max()
        assert verdict.p_value == decision.p_value[index] >= 1 / 31 - 1e-12
        np.testing.assert_array_equal(verdict.mask, decision.mask[index])


def test_a_rule_that_was_never_calibrated_gives_no_p_value(inspector, defective):
    verdict = next(replace(inspector, rule=Fixed(0.0)).inspect(defective))
    assert verdict.p_value is None and verdict.label is Label.ANOMALOUS


def test_image_scores_are_the_scores_without_maps(inspector, defective):
    np.testing.assert_array_equal(inspector.image_scores(defective).image, inspector.score(defective).image)
    assert inspector.image_scores(defective).map is None


def test_the_statement_ends_with_what_weakens_it(inspector):
    assert "n = 30" in inspector.statement() and inspector.statement().endswith(FOLDS_NOTE)


def test_the_detector_in_torch_comes_back_from_the_artefact_and_scores_alike(inspector, defective, tmp_path):
    inspector.save(tmp_path / "line.amiss")
    scores = Inspector.load(tmp_path / "line.amiss").detector().score(defective)
    np.testing.assert_allclose(scores.image, inspector.score(defective).image, rtol=1e-4, atol=1e-4)


def test_a_detector_that_knows_its_images_by_heart_is_noted() -> None:
    """PaDiM with more dimensions than images fits them exactly; PatchCore does not."""
    images = toy_texture(60, seed=0).images
    settings = {"dimension": 20, "regularisation": 1e-7}
    inspector = amiss.fit(images.subset(range(60)), method="padim", preset="tiny", settings=settings, size=64)
    few = amiss.fit(images.subset(range(14)), method="padim", preset="tiny", settings=settings, size=64)
    assert not any("by heart" in note for note in inspector.record.notes)
    assert any("times as high as those it has (medians): it knows these by heart" in note for note in few.record.notes)
    sound = amiss.fit(images.subset(range(14)), method="patchcore", preset="tiny", size=64)
    assert not any("by heart" in note for note in sound.record.notes)


def test_images_that_lose_their_shape_are_noted_and_the_note_survives_recalibration():
    wide = Images([np.repeat(image, 4, axis=1) for image in toy_part(12, seed=0).images])
    inspector = amiss.fit(wide, preset="tiny", size=64)
    assert "64 x 256 pixels (height x width) are squeezed to 64 x 64; a size of 64x256" in inspector.statement()
    again = inspector.calibrate(Images([255 - image for image in wide]))
    assert "squeezed" in again.statement() and "by folds" not in again.statement()


@pytest.mark.parametrize("cores", ["1", "3"])
def test_several_images_at_once_get_the_verdicts_of_one_at_a_time(inspector, monkeypatch, cores):
    monkeypatch.setenv("AMISS_THREADS", cores)
    images = [*toy_texture(6, seed=3).images, np.zeros((64, 64)), *toy_texture(6, seed=4, defective=True).images]
    steps = []
    together = list(inspector.inspect(Images(images), progress=lambda *step: steps.append(step)))
    assert [verdict.name for verdict in together] == [f"image {n}" for n in range(13)]
    assert together[6].label == Label.ERROR
    assert steps == [("inspecting", done, 13) for done in range(1, 14)]
    for number, verdict in enumerate(together):
        if number != 6:
            alone = inspector.inspect_one(images[number], name=f"image {number}")
            assert (verdict.label, verdict.regions) == (alone.label, alone.regions)
            assert verdict.score == pytest.approx(alone.score, rel=1e-5)
    good = Images(images[:6] + images[7:])
    np.testing.assert_allclose(
        inspector.score(good).image, [v.score for n, v in enumerate(together) if n != 6], rtol=1e-5
    )


def test_a_bad_image_among_many_stops_scoring(inspector, monkeypatch):
    monkeypatch.setenv("AMISS_THREADS", "2")
    with pytest.raises(ImageError, match="image 9"):
        inspector.image_scores(Images([*toy_texture(9, seed=3).images, np.zeros((64, 64))]))


def test_copies_count_once_in_learning_and_calibrating_and_the_statement_says_so():
    """A copy on the other side of the split has a score as if it had been learned, and breaks the promise."""
    parts = toy_part(30, seed=0).images
    twice = Images.join([parts, parts])
    inspector = amiss.fit(twice, method="knn", preset="tiny", size=64, calibration=0.4, rule="conformal:10%")
    once = amiss.fit(parts, method="knn", preset="tiny", size=64, calibration=0.4, rule="conformal:10%")
    assert inspector.rule.n == 12 and np.array_equal(inspector.rule.normal, once.rule.normal)
    assert "30 of the good images given are copies of others" in inspector.statement()
    assert "copies" not in once.statement()
    fresh = toy_part(15, seed=1).images
    again = inspector.calibrate(Images.join([fresh, fresh.subset([3])]))
    assert again.rule.n == 15 and "1 of the good images given is a copy" in again.statement()


def test_the_depth_of_a_camera_is_kept_and_checked(tmp_path):
    parts = [(image.astype(np.uint32) * 4095 // 255).astype(np.uint16) for image in toy_part(20, seed=0).images]
    dark = amiss.fit(parts, method="knn", preset="tiny", size=64, calibration=0.5, rule="conformal:10%")
    assert "they seem to hold 12 bits" in dark.statement()
    asked = {"method": "knn", "preset": "tiny", "size": 64, "calibration": 0.5, "rule": "conformal:10%"}
    inspector = amiss.fit(parts, **asked, bits=12)
    assert inspector.statement().count("bits") == 0
    eight = amiss.fit([to_rgb8(part, bits=12) for part in parts], **asked)
    assert np.array_equal(inspector.rule.normal, eight.rule.normal)
    inspector.save(tmp_path / "a.amiss")
    loaded = amiss.load(tmp_path / "a.amiss")
    good, bright = loaded.inspect([parts[0], parts[0] + 4000])
    assert good.score == next(eight.inspect([to_rgb8(parts[0], bits=12)])).score
    assert good.label == "good" and bright.label == "error" and "does not fit into 12 bits" in bright.reason
