"""Some of the good images are defective: the strangest do not learn, and what calibrates is not touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from amiss import fit
from amiss.contamination import describe_left_out, leave_out_strangest
from amiss.core.errors import DataError, InputError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.tiling import Tiling
from amiss.folds import Lab
from amiss.recipe import Recipe
from amiss.runtime import Tiles
from amiss.splitting import CalibrationPlan, plan_apart, plan_folds
from amiss.testing import toy_classes, toy_part

GOOD = toy_part(20, seed=0).images
BAD = toy_part(2, seed=1, defective=True).images
APART = toy_part(20, seed=2).images
WHOLE = Images.join([GOOD, BAD])
MIXED = WHOLE.resized((64, 64))
PLANTED = {20, 21}
ASKED = Recipe(method="padim", preset="tiny", size=64, contamination=0.1)


def everyone(n: int) -> CalibrationPlan:
    return replace(plan_folds(n, 2, 0), folds=())


def test_defects_among_good_images_are_the_strangest_and_do_not_learn() -> None:
    plan, strangest = leave_out_strangest(everyone(22), MIXED, ASKED)
    assert len(strangest) == 3 and set(strangest) > PLANTED
    assert set(plan.learn) == set(range(22)) - set(strangest) and len(plan.calibrate) == 22


def test_each_is_scored_by_a_detector_of_other_folds(monkeypatch) -> None:
    seen = []
    learn = Lab.fit

    def watched(self, images, *rest, **options) -> None:
        seen.append(len(images))
        learn(self, images, *rest, **options)

    monkeypatch.setattr("amiss.folds.Lab.fit", watched)
    parts = tuple(Origin(lot="a" if index < 18 else f"b{index}") for index in range(22))
    _, strangest = leave_out_strangest(everyone(22), MIXED, ASKED, parts)
    assert sorted(seen)[:1] == [4] and len(seen) == 5  # the lot of 18 is never divided
    assert len(strangest) == 3


def test_whole_images_are_left_out_where_they_are_cut_into_tiles() -> None:
    few = WHOLE.subset([*range(8), *PLANTED])
    tiles = Tiles(few, Tiling(48, 0), lambda *_: None)
    plan, strangest = leave_out_strangest(everyone(10), few, replace(ASKED, contamination=0.2), (), tiles)
    assert set(strangest) == {8, 9} and len(plan.learn) == 8


def test_nothing_is_left_out_unless_it_was_asked() -> None:
    plan = everyone(22)
    same, strangest = leave_out_strangest(plan, MIXED, replace(ASKED, contamination=None))
    assert same is plan and len(strangest) == 0 and describe_left_out((), strangest, 22) == ()


def test_the_rest_learns_as_if_the_others_had_never_been_there() -> None:
    _, strangest = leave_out_strangest(plan_apart(22, 20, ASKED.make_rule(), (), None), MIXED, ASKED)
    cleaned = WHOLE.subset(np.setdiff1d(np.arange(22), strangest))
    options = {"method": "padim", "preset": "tiny", "size": 64, "calibrate_on": APART}
    asked = fit(WHOLE, contamination="10%", **options)
    alone = fit(cleaned, **options)
    np.testing.assert_array_equal(asked.rule.normal, alone.rule.normal)
    assert asked.learned.learned_from == 19 == alone.learned.learned_from
    note = next(note for note in asked.record.notes if "contamination" in note)
    assert "3 of 22 images to learn from were left out as the strangest to patchcore" in note and "more" not in note
    assert sum(MIXED.names[index] in note for index in strangest) == 3
    assert "raises the threshold" in note and asked.recipe.contamination == 0.1
    assert not any("contamination" in note for note in alone.record.notes)


def test_folds_calibrate_on_all_and_learn_from_the_rest() -> None:
    made = fit(WHOLE, contamination=0.1, method="padim", preset="tiny", size=64, calibration="folds:3")
    assert made.learned.learned_from == 19 and made.rule.n == 22


@pytest.mark.parametrize("share", [0.5, "60%", 1, 0, -0.1, True, "many", float("nan")])
def test_a_share_that_is_none_is_refused(share) -> None:
    with pytest.raises(InputError, match="contamination must be"):
        fit(GOOD, contamination=share)


def test_methods_that_do_not_learn_from_good_images_have_no_use_for_it() -> None:
    with pytest.raises(InputError, match=r"must be left out for musc, which learns from unlabelled"):
        fit(GOOD, method="musc", contamination=0.1, calibrate_on=APART)
    with pytest.raises(InputError, match=r"must be left out for max_logit, which learns from classes"):
        fit(toy_classes(30, seed=0).images, method="max_logit", contamination=0.1)


def test_one_part_cannot_be_sorted() -> None:
    origins = (Origin(lot="a", part="1"),) * 22
    with pytest.raises(DataError, match="at least 2 parts"):
        leave_out_strangest(everyone(22), MIXED, ASKED, origins)


def test_a_recipe_holds_it() -> None:
    read = Recipe.of({"contamination": "10%"})
    assert read.contamination == 0.1 and Recipe.of(read.to_dict()) == read
    assert "contamination = 0.1\n" in read.to_toml() and "contamination" not in Recipe().to_toml()
