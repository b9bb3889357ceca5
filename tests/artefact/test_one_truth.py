"""What is saved is the inspector as it is: whatever `replace` has changed comes back from disk."""

from dataclasses import fields, replace

import numpy as np
import pytest

from amiss.artefact import Golden, SeenImages, read_artefact
from amiss.core.errors import InputError, NotReadyError, TamperedArtefactError
from amiss.core.scores import Scores
from amiss.inspector import Inspector
from amiss.postprocess import IgnoreBorder, MinArea
from amiss.record import SCHEMA, Component, CountedCalibration, Learned, Record
from amiss.rules import RULES, Conformal, Fixed, parse_rule
from amiss.rules.parse import EXAMPLES
from amiss.testing import toy_texture

SCORES = Scores(np.linspace(1, 9, 700, dtype=np.float32))
"""Enough of them for the example of each rule."""


@pytest.fixture
def again(tmp_path):
    """An inspector after it was saved and loaded."""

    def save_and_load(changed):
        changed.save(tmp_path / "line.amiss")
        return Inspector.load(tmp_path / "line.amiss")

    return save_and_load


@pytest.mark.parametrize("name", sorted(RULES))
def test_any_rule_comes_back(name, inspector, again):
    rule = parse_rule(EXAMPLES[name]).calibrate(SCORES)
    changed = replace(inspector, rule=rule)
    found = again(changed)
    assert (found.rule.name, found.rule.config()) == (name, rule.config())
    assert (found.rule.threshold, found.rule.alpha, found.rule.n) == (rule.threshold, rule.alpha, 700)
    np.testing.assert_array_equal(found.rule.normal, rule.normal)
    assert found.record == changed.record and found.record.calibration.n == 700
    assert found.record.threshold == rule.threshold and found.statement() == changed.statement()


def other_parts(parts):
    golden = Golden.of(parts.golden.pixels[1:], Scores.of_map(parts.golden.wanted[1:]))
    return replace(parts, golden=golden, images=SeenImages.of(parts.images.learned, parts.images.learned[:3]))


CHANGES = {
    "rule": lambda one: Fixed(0.25).calibrate(Scores(one.rule.normal)),
    "calibration": lambda one: one.calibration.model_copy(update={"kind": "held out", "images": 44, "lots": 3}),
    "learned": lambda one: one.learned.model_copy(update={"notes": ("made by hand",), "seed": 7}),
    "parts": lambda one: other_parts(one.parts),
    "mask_filters": lambda one: (MinArea(7), MinArea(9)),
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_comes_back_and_no_other_changes(field, inspector, again):
    changed = replace(inspector, **{field: CHANGES[field](inspector)})
    assert changed.fingerprint != inspector.fingerprint
    found = again(changed)
    assert found.fingerprint == changed.fingerprint and found.record == changed.record
    for one in ("calibration", "learned", "parts", "score_filters", "mask_filters"):
        assert getattr(found, one) == getattr(changed, one), one
    assert found.seen == changed.seen


def test_no_field_is_forgotten_here():
    """The scorer is the graph of `parts`, opened on a runtime; score filters and products have tests of their own."""
    assert {one.name for one in fields(Inspector)} == {*CHANGES, "scorer", "score_filters", "products"}


def test_everything_at_once_comes_back(inspector, again):
    filtered = replace(inspector, score_filters=(IgnoreBorder(3),)).calibrate(toy_texture(20, seed=5).images)
    changed = replace(filtered, mask_filters=(MinArea(5),)).with_rule(Conformal(0.2))
    found = again(changed)
    assert found.score_filters == (IgnoreBorder(3),) and found.mask_filters == (MinArea(5),)
    assert found.rule.config() == {"alpha": 0.2} and found.fingerprint == changed.fingerprint
    test = toy_texture(4, seed=2, defective=True).images
    for one, other in zip(found.inspect(test), changed.inspect(test), strict=True):
        assert one.summary() == other.summary()
        np.testing.assert_array_equal(one.mask, other.mask)


def test_other_score_filters_drop_the_rule_until_it_is_calibrated_anew(inspector, again, tmp_path):
    changed = replace(inspector, score_filters=(IgnoreBorder(3),))
    images = toy_texture(20, seed=5).images
    scores = changed.score(images)
    assert (scores.map[:, 0] == scores.map.min(axis=(1, 2))[:, None]).all()
    for use in (
        lambda: changed.decide(scores),
        lambda: list(changed.inspect(images)),
        changed.statement,
        lambda: changed.with_rule(Conformal(0.2)),
        lambda: changed.save(tmp_path / "never.amiss"),
        lambda: changed.fingerprint,
    ):
        with pytest.raises(NotReadyError, match=r"score filters must be those .* call calibrate"):
            use()
    assert not (tmp_path / "never.amiss").exists() and "conformal" in repr(changed)
    assert replace(changed, score_filters=inspector.score_filters).fingerprint == inspector.fingerprint
    anew = changed.calibrate(images)
    np.testing.assert_array_equal(anew.rule.normal, np.sort(scores.image))
    assert again(anew).score_filters == (IgnoreBorder(3),)
    with pytest.raises(NotReadyError):
        replace(again(anew), score_filters=()).decide(scores)


def test_a_rule_that_was_never_calibrated_is_not_saved(inspector, tmp_path):
    with pytest.raises(NotReadyError, match="not calibrated yet"):
        replace(inspector, rule=Fixed(1.0)).save(tmp_path / "line.amiss")
    assert not (tmp_path / "line.amiss").exists()


def test_the_record_is_the_facts_of_learning_and_what_is_derived():
    derived = {"schema_version", "calibration", "rule", "alpha", "threshold", "score_filters", "mask_filters"}
    assert set(Record.model_fields) == {*Learned.model_fields, *derived}
    assert "n" in CountedCalibration.model_fields and "score_filters" not in CountedCalibration(
        kind="folds", images=3, n=3
    ).model_dump(mode="json")


def test_an_artefact_of_before_recipes_is_read_with_its_fingerprint(inspector, tmp_path):
    old = replace(inspector, learned=inspector.learned.model_copy(update={"recipe": None}))
    old.save(tmp_path / "old")
    text = (tmp_path / "old" / "model.json").read_text()
    assert '"recipe"' not in text and f'"schema_version": {SCHEMA}' in text
    found = Inspector.load(tmp_path / "old")
    assert found.recipe is None and found.fingerprint == old.fingerprint
    assert read_artefact(tmp_path / "old").record.recipe is None


def test_parts_that_lack_an_array_are_refused():
    with pytest.raises(TamperedArtefactError, match="no learned"):
        SeenImages(Golden.of(np.zeros((1, 8, 8, 3), np.uint8), Scores(np.ones(1))).data).learned  # noqa: B018


def test_configurations_are_plain_values(inspector):
    class Odd(Fixed):
        def config(self):
            return {"threshold": object()}

    with pytest.raises(InputError, match="must be plain values"):
        replace(inspector, rule=Odd(1.0).calibrate(SCORES)).record  # noqa: B018


def test_auto_of_an_earlier_build_keeps_the_alpha_that_it_meant() -> None:
    """It was the smallest alpha that n supported, and is 5 % now; a saved model must not change its threshold."""
    record = Record.model_construct(rule=Component(name="conformal", config={"alpha": "auto"}), alpha=0.01)
    assert record.rule_config() == {"alpha": 0.01}
    assert Record.model_construct(rule=Component(name="sigma", config={"k": 3}), alpha=None).rule_config() == {"k": 3}
