"""Who learns and who calibrates: nobody twice, whole lots, one score per part, refusals before any work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import amiss
from amiss.calibration import largest_of_each
from amiss.core.errors import CalibrationError, DataError, InputError
from amiss.core.origin import part_numbers
from amiss.data import Origin
from amiss.rules import Conformal, Fixed
from amiss.splitting import Folds, plan_calibration, read_calibration
from amiss.testing import toy_part

LOTS = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@given(LOTS, st.floats(0.05, 0.9), st.integers(0, 5))
def test_held_out_images_are_whole_lots_and_nobody_is_in_both_parts(lots, share, seed):
    origins = [Origin(lot=f"L{lot}") for lot in lots]
    n = len(lots)
    groups = {tuple(i for i in range(n) if lots[i] == lot) for lot in set(lots)}
    if len(groups) == 1:
        groups = {(i,) for i in range(n)}  # one lot: single images are divided
    plan = plan_calibration(n, share, Fixed(0.0), seed, origins)
    assert sorted([*plan.learn, *plan.calibrate]) == list(range(n))
    assert len(plan.learn) and len(plan.calibrate)
    held = set(plan.calibrate.tolist())
    assert all(set(group) <= held or not set(group) & held for group in groups)


@given(LOTS, st.floats(0.05, 0.9), st.integers(0, 5))
def test_for_further_parts_of_these_lots_whole_parts_are_held_out(lots, share, seed):
    n = 2 * len(lots)
    origins = [Origin(lot=f"L{lots[i // 2]}", part=str(i // 2)) for i in range(n)]
    plan = plan_calibration(n, share, Fixed(0.0), seed, origins, "these-lots")
    held = set(plan.calibrate.tolist())
    assert all((i in held) == (i + 1 in held) for i in range(0, n, 2))
    assert abs(len(held) - share * n) <= 2
    assert plan.lots.future == "these-lots" and plan.lots.count == len({origins[i].lot for i in held})


def test_for_new_lots_lots_are_the_unit_and_one_lot_is_refused():
    origins = [Origin(lot=f"L{i // 20}", part=str(i // 2)) for i in range(400)]
    plan = plan_calibration(400, "auto", Conformal(0.05), 0, origins)
    assert plan.folds and plan.lots.count == 20 and plan.n == 200  # below 95 lots by folds
    assert all(len({origins[i].lot for i in fold}) == 4 and len(fold) == 80 for fold in plan.folds)
    assert plan.lots.numbers[plan.parts].tolist() == [i // 20 for i in range(400)]
    with pytest.raises(CalibrationError, match=r"5 % needs 19 lots .*, got 4: .*n = 40 parts count.*folds.*uses all"):
        plan_calibration(400, 0.2, Conformal(0.05), 0, origins)
    one = [Origin(lot="A", part=str(i)) for i in range(400)]
    with pytest.raises(CalibrationError, match=r"needs 9 lots .*, got 1: .*One lot says nothing .*future='these-lots'"):
        plan_calibration(400, "auto", Conformal(), 0, one)
    plan = plan_calibration(400, "auto", Conformal(), 0, one, "these-lots")
    assert len(plan.calibrate) == 80 and plan.lots.count == 1
    assert (
        plan_calibration(2000, "auto", Conformal(), 0, [Origin(lot=str(i // 20)) for i in range(2000)]).lots.count == 20
    )


def test_a_lot_that_is_not_known_is_refused_for_new_lots_only():
    origins = [*(Origin(lot=str(i)) for i in range(30)), *(Origin() for _ in range(10))]
    with pytest.raises(CalibrationError, match="10 of 40 good images have no lot"):
        plan_calibration(40, "auto", Conformal(), 0, origins)
    assert plan_calibration(40, "folds", Conformal(), 0, origins, "these-lots").lots.count == 31
    with pytest.raises(InputError, match="'new-lots' needs the lots of the images"):
        plan_calibration(40, "auto", Conformal(), 0, [Origin()] * 40, "new-lots")
    with pytest.raises(InputError, match="future must be"):
        plan_calibration(40, "auto", Conformal(), 0, origins, "next week")


@given(st.integers(2, 60), st.integers(2, 70), st.integers(0, 5))
def test_folds_cover_everybody_once_and_k_is_capped(n, k, seed):
    plan = plan_calibration(n, Folds(k), Fixed(0.0), seed)
    assert len(plan.folds) == min(k, n)
    assert sorted(np.concatenate(plan.folds)) == list(range(n)) == list(plan.learn)
    sizes = [len(fold) for fold in plan.folds]
    assert max(sizes) - min(sizes) <= 1


def test_without_origins_the_share_is_exact_and_the_draw_depends_on_the_seed_only():
    plans = [plan_calibration(200, 0.2, Conformal(), seed) for seed in (0, 0, 1)]
    assert [len(plan.calibrate) for plan in plans] == [40, 40, 40]
    assert plans[0].calibrate.tolist() == plans[1].calibrate.tolist() != plans[2].calibrate.tolist()
    assert plans[0].n == 40 and plans[0].lots is None


def test_parts_are_counted_not_images():
    origins = [Origin(lot="A", part=str(i // 4)) for i in range(80)]  # one lot: parts are kept together
    plan = plan_calibration(80, 0.5, Conformal(), 0, origins, "these-lots")
    assert plan.n == 10 and len(plan.calibrate) == 40 and plan.lots.count == 1
    with pytest.raises(CalibrationError, match="got 10: 9 more are needed"):
        plan_calibration(80, 0.5, Conformal(0.05), 0, origins, "these-lots")


def test_a_part_number_belongs_to_its_lot():
    origins = [Origin(lot="A", part="1"), Origin(lot="B", part="1"), Origin(part="1"), Origin(), Origin(part="1")]
    assert part_numbers(np.arange(5), origins).tolist() == [0, 1, 2, 3, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-9, 9, width=32)), min_size=1))
def test_the_largest_score_of_each_part(pairs):
    numbers = part_numbers(np.arange(len(pairs)), [Origin(part=str(part)) for part, _ in pairs])
    found = largest_of_each(np.array([score for _, score in pairs], np.float32), numbers).image
    assert sorted(found) == sorted(max(s for q, s in pairs if q == p) for p in {p for p, _ in pairs})


@pytest.mark.parametrize(
    ("words", "meaning"),
    [("auto", "auto"), ("folds", Folds(5)), ("folds:12", Folds(12)), ("0.3", 0.3), ("30%", 0.3), (0.25, 0.25)],
)
def test_words(words, meaning):
    assert read_calibration(words) == meaning


@pytest.mark.parametrize("words", ["fold", "folds:", "folds:x", "folds:1", "", "1.5", "0", 1.0, True, "-20%"])
def test_other_words_are_refused(words):
    with pytest.raises(InputError, match=r"(calibration|folds) must be .*, got "):
        read_calibration(words)


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(DataError, match="all 5 good images show one part"):
        plan_calibration(5, 0.2, Fixed(0.0), 0, [Origin(lot="A", part="1")] * 5)
    with pytest.raises(DataError, match=r"at least 2 good images are needed .*got 1"):
        plan_calibration(1, 0.2, Fixed(0.0), 0)
    with pytest.raises(InputError, match="3 origins for 5 images"):
        plan_calibration(5, 0.2, Fixed(0.0), 0, [Origin()] * 3)


def test_fit_keeps_lots_together_and_says_so(tmp_path):
    images = toy_part(40, seed=0).images
    origins = [Origin(lot=f"{i // 4}", part=f"{i // 2}") for i in range(40)]
    asked = {"method": "padim", "preset": "tiny", "size": 64, "calibration": "folds:2", "origins": origins}
    inspector = amiss.fit(images, **asked)
    assert inspector.rule.n == 20 and inspector.rule.alpha == pytest.approx(1 / 11)  # 10 lots support no less
    said = inspector.statement()
    for words in ("at most 9.1 % of good parts of new lots", "n = 20 good images of 10 lots", "5 % needs 19 lots",
                  "40 calibration images show 20 parts", "by folds", "counts each of the 10 lots once",
                  "lies between lots (95 % interval"):  # fmt: skip
        assert words in said, said
    found = inspector.record.calibration
    assert (found.lots, found.future) == (10, "new-lots")
    assert found.variance.lots + found.variance.parts + found.variance.images == pytest.approx(1, abs=1e-3)

    inspector.save(tmp_path / "m.amiss")
    again = amiss.load(tmp_path / "m.amiss")
    assert again.statement() == said and again.fingerprint == inspector.fingerprint
    assert again.rule.lots.numbers.tolist() == inspector.rule.lots.numbers.tolist()
    these = again.with_rule(Conformal(0.05), future="these-lots")
    assert these.rule.alpha == 0.05 and "further parts of these 10 lots and says nothing about" in these.statement()
    with pytest.raises(InputError, match="further parts of its own lots"):
        these.with_rule(Conformal(), future="new-lots")
    with pytest.raises(CalibrationError, match="5 % needs 19 lots"):
        again.with_rule(Conformal(0.05))
    fewer = again.calibrate(toy_part(10, seed=7).images, origins=[Origin(lot=str(i)) for i in range(10)])
    assert fewer.calibration.variance is None and "10 lots" in fewer.statement()
