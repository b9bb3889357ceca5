"""A recipe is one value: through JSON and TOML and back it is the same, and what is unknown is refused with a hint."""

import json
import tomllib
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amiss
from amiss.core.errors import InputError
from amiss.front import fit_recipe
from amiss.postprocess import IgnoreBorder, MinArea, RegionOfInterest
from amiss.recipe import Recipe
from amiss.record import Component
from amiss.rules import RULES, Conformal
from amiss.rules.parse import EXAMPLES
from amiss.testing import toy_texture

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
LEAVES = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)

FILTERS = {
    "score_filters": (Component.of(IgnoreBorder(2)), Component.of(RegionOfInterest.of_mask(np.eye(3)))),
    "mask_filters": (Component.of(MinArea(4)),),
}


def rules():
    words = st.sampled_from(sorted(EXAMPLES.values()))
    return words.map(lambda text: Recipe.of({"rule": text}).rule)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    TEXT.filter(bool),
    st.dictionaries(TEXT, VALUES, max_size=3),
    rules(),
    st.sampled_from([{}, {"size": (64, 96)}, {"tile": 64}, {"tile": 64, "overlap": 9}, FILTERS]),
    st.floats(0.01, 0.99) | st.sampled_from(["auto", "folds", "folds:7", "20%"]),
    st.integers(0, 10**6),
)
def test_through_json_and_toml_and_back(method, values, rule, shape, calibration, seed):
    recipe = Recipe(method=method, settings=values, rule=rule, calibration=calibration, seed=seed, **shape)
    assert Recipe.of(json.loads(json.dumps(recipe.to_dict(), allow_nan=False))) == recipe
    assert Recipe.of(tomllib.loads(recipe.to_toml())) == recipe
    assert Recipe.of(tomllib.loads(recipe.to_toml())).to_toml() == recipe.to_toml()


@pytest.mark.parametrize("name", sorted(RULES))
def test_rules_are_whole_and_may_be_words(name):
    recipe = Recipe.of({"rule": EXAMPLES[name]})
    assert recipe.rule.name == name and recipe.make_rule().config() == recipe.rule.config
    short = {key: value for key, value in recipe.rule.config.items() if value is not None}
    assert Recipe.of({"rule": {"name": name, "config": short}}) == recipe


def test_it_is_frozen_and_its_lists_are_those_of_json():
    recipe = Recipe(settings={"stages": (8, 16)}, size=[64, 96])  # type: ignore[arg-type]
    assert recipe.settings == {"stages": [8, 16]} and recipe.size == (64, 96)
    with pytest.raises(FrozenInstanceError):
        recipe.seed = 3  # type: ignore[misc]
    assert replace(recipe, seed=3).seed == 3 and recipe == replace(replace(recipe, seed=3), seed=0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"metod": "padim"}, r"recipe key must be one of .*got 'metod'\. Did you mean 'method'\?"),
        (
            {"rule": {"name": "conformal", "confg": {}}},
            r"rule key must be one of .*got 'confg'\. Did you mean 'config'",
        ),
        ({"rule": {"name": "conformall"}}, r"rule must be one of .*got 'conformall'\. Did you mean 'conformal'"),
        ({"rule": 5}, "rule must have a name.*got 5"),
        ({"rule": {"name": "fixed", "config": 3}}, "config of 'fixed' must be a mapping"),
        ({"mask_filters": [{"name": "min_aria"}]}, r"mask filter must be one of .*got 'min_aria'.*'min_area'"),
        ({"mask_filters": {"name": "min_area"}}, "mask_filters must be a list"),
        ({"mask_filters": [{"name": "min_area", "config": {"pixels": 0}}]}, "pixels"),
        ({"method": 3}, "method must be a name, got 3"),
        ({"settings": [1]}, "settings must be a mapping"),
        ({"settings": {"rate": float("nan")}}, "settings rate must be plain values"),
        ({"settings": {"rate": object()}}, "settings rate must be plain values"),
        ({"size": "256"}, "size must be .*got '256'"),
        ({"size": [1, 2, 3]}, r"size must be pixels .* got \[1, 2, 3\]"),
        ({"size": 64, "tile": 64}, "size must be left out"),
        ({"overlap": 4}, "without a tile"),
        ({"calibration": "some"}, "calibration"),
        ({"seed": -1}, "seed must be .*got -1"),
        ({"device": None}, "device must be a name, got None"),
    ],
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        Recipe.of(values)


def test_files(tmp_path):
    recipe = Recipe(method="padim", settings={"note": 'a "quoted"\nline\x7f'}, **FILTERS)
    (tmp_path / "a.toml").write_text(recipe.to_toml(), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(recipe.to_dict()), encoding="utf-8")
    assert Recipe.read(tmp_path / "a.toml") == Recipe.read(tmp_path / "a.json") == recipe
    (tmp_path / "bad.toml").write_text("method = ")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "near.toml").write_text("presset = 'tiny'")
    for name, words in (
        ("none.toml", "cannot be read"),
        ("bad.toml", "cannot be read"),
        ("list.json", "must be a table of keys and values, got list"),
        ("near.toml", r"near\.toml: recipe key must be one of .*got 'presset'.*'preset'"),
    ):
        with pytest.raises(InputError, match=words):
            Recipe.read(tmp_path / name)


def test_what_toml_cannot_say_is_said():
    with pytest.raises(InputError, match=r"settings limit must have a value.*JSON may"):
        Recipe(settings={"limit": None}).to_toml()


def test_the_artefact_keeps_it_and_it_makes_the_same_inspector(tmp_path):
    images = toy_texture(24, seed=0).images
    first = amiss.fit(
        images,
        method="padim",
        preset="tiny",
        settings={"dimension": 6},
        size=64,
        rule=Conformal(0.2),
        calibration=0.5,
        score_filters=[IgnoreBorder(2)],
        mask_filters=[MinArea(3)],
        seed=4,
        device="cpu",
    )
    first.save(tmp_path / "m.amiss")
    recipe = amiss.load(tmp_path / "m.amiss").recipe
    assert (
        recipe
        == first.recipe
        == Recipe(
            method="padim",
            preset="tiny",
            settings={"dimension": 6},
            size=(64, 64),
            rule=Component(name="conformal", config={"alpha": 0.2}),
            calibration=0.5,
            score_filters=(Component.of(IgnoreBorder(2)),),
            mask_filters=(Component.of(MinArea(3)),),
            seed=4,
            device="cpu",
        )
    )
    again = fit_recipe(images, recipe)
    np.testing.assert_array_equal(again.rule.normal, first.rule.normal)
    assert (again.score_filters, again.mask_filters) == (first.score_filters, first.mask_filters)
    assert again.seen == first.seen and again.recipe == recipe
