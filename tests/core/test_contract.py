"""The small parts of the contract: scores, decisions, checks, the error tree, the card, the verdict."""

import copy
import inspect
import json
import math
import pickle

import numpy as np
import pytest

from amiss.core import errors
from amiss.core.card import Card, Learning
from amiss.core.checks import check_choice, check_count, check_rate, check_real
from amiss.core.errors import AmissError, ImageError, InputError
from amiss.core.progress import silent
from amiss.core.scores import Region, Scores
from amiss.core.verdict import Label, Verdict

ERRORS = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


def test_the_image_score_of_a_map_is_its_maximum():
    score_map = np.random.default_rng(0).normal(size=(5, 4, 3))
    scores = Scores.of_map(score_map)
    assert scores.image.dtype == scores.map.dtype == np.float32
    np.testing.assert_array_equal(scores.image, score_map.astype(np.float32).max(axis=(1, 2)))
    assert len(scores) == 5


@pytest.mark.parametrize("shape", [(), (2, 2), (2, 2, 2)])
def test_image_scores_have_one_dimension(shape):
    with pytest.raises(InputError, match=r"image scores must have 1 dimension\(s\), got shape"):
        Scores(np.zeros(shape))


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4, 1)])
def test_score_maps_have_three_dimensions(shape):
    with pytest.raises(InputError, match=r"score map must have 3 dimension\(s\), got shape"):
        Scores.of_map(np.zeros(shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_scores_that_are_not_finite_in_float32_are_refused(bad):
    with pytest.raises(InputError, match="1 of 3 numbers are not finite"):
        Scores(np.array([0.0, bad, 1.0]))
    with pytest.raises(InputError, match="1 of 4 numbers are not finite"):
        Scores.of_map(np.array([[[0.0, bad], [1.0, 2.0]]]))


def test_there_are_as_many_maps_as_image_scores():
    with pytest.raises(InputError, match="2 maps and 3 image scores"):
        Scores(np.zeros(3), np.zeros((2, 4, 4)))


def test_joined_scores_keep_order_and_maps_only_when_all_have_one():
    one, two = Scores.of_map(np.zeros((2, 3, 3))), Scores.of_map(np.ones((1, 3, 3)))
    both = Scores.join([one, two])
    assert both.image.tolist() == [0, 0, 1] and both.map.shape == (3, 3, 3)
    assert Scores.join([one, Scores(np.ones(1))]).map is None
    assert len(Scores.join([])) == 0


def test_scores_are_frozen():
    with pytest.raises(AttributeError):
        Scores(np.zeros(1)).image = np.ones(1)


@pytest.mark.parametrize("value", [0.05, 1e-9, 0.999, np.float64(0.5)])
def test_these_are_rates(value):
    assert check_rate("alpha", value) == value


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, math.nan, "0.05", None, True])
def test_these_are_no_rates(value):
    with pytest.raises(InputError, match=r"alpha must be a number above 0 and below 1, such as 0.05, got "):
        check_rate("alpha", value)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True])
def test_these_are_no_counts(value):
    with pytest.raises(InputError, match=r"steps must be a whole number of at least 1, got "):
        check_count("steps", value)
    assert check_count("steps", 3, least=3) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, "3", None, True])
def test_these_are_no_numbers(value):
    with pytest.raises(InputError, match=r"threshold must be a finite number, got "):
        check_real("threshold", value)
    with pytest.raises(InputError, match="sigma must be a finite number of at least 0, got -1"):
        check_real("sigma", -1.0, least=0)
    assert check_real("threshold", 3) == 3.0


def test_an_unknown_word_lists_the_known_ones_and_points_out_a_near_miss():
    assert check_choice("kind", "mono", ["poly", "mono"]) == "mono"
    with pytest.raises(InputError) as caught:
        check_choice("kind", "momo", ["poly", "mono"])
    assert str(caught.value) == "kind must be one of mono, poly, got 'momo'. Did you mean 'mono'?"
    with pytest.raises(InputError, match=r"kind must be one of mono, poly, got 'xyz'$"):
        check_choice("kind", "xyz", ["poly", "mono"])


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_an_amiss_error_drawn_in_the_tree_under_its_parent(error):
    assert issubclass(error, AmissError)
    (line,) = [line for line in errors.__doc__.splitlines() if f" {error.__name__}" in line and line[:4] == "    "]
    if error is not AmissError:
        assert line.index(error.__name__) == 4 * len([c for c in error.__mro__ if c in ERRORS])
    for base in error.__bases__:
        assert base in ERRORS or base is Exception or f"{error.__name__} ({base.__name__})" in line


def test_an_image_error_survives_copying_and_pickling():
    error = ImageError("part.png", "the file is empty")
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is ImageError and str(twin) == "part.png: the file is empty"
        assert (twin.name, twin.reason) == ("part.png", "the file is empty")


def test_a_card_says_how_a_method_learns_and_what_it_can_do():
    assert [str(kind) for kind in Learning] == ["none", "one pass", "gradient"]
    card = Card(
        name="x",
        family="f",
        title="X",
        paper="P",
        url="u",
        year=2026,
        learning=Learning.NONE,
        weights_licence="none",
        presets={"default": {}},
    )
    assert card.localises and card.exportable
    with pytest.raises(AttributeError):
        card.year = 1900


def test_a_verdict_becomes_plain_json():
    assert [str(label) for label in Label] == ["good", "review", "anomalous", "error"]
    regions = (Region(box=(1, 2, 3, 4), area=5, peak=6.0),)
    verdict = Verdict(
        name="a",
        label=Label.ANOMALOUS,
        score=1.5,
        p_value=0.05,
        regions=regions,
        threshold=1.25,
        sha256="ab" * 32,
        mask=np.ones((2, 2)),
    )
    assert json.loads(json.dumps(verdict.summary())) == {
        "name": "a",
        "label": "anomalous",
        "score": 1.5,
        "threshold": 1.25,
        "margin": 0.25,
        "p_value": 0.05,
        "regions": [{"box": [1, 2, 3, 4], "area": 5, "peak": 6.0}],
        "reason": "",
        "sha256": "ab" * 32,
        "recognised": None,
        "most_like": None,
    }
    assert Verdict(name="a", label=Label.ERROR, threshold=1.25).margin is None


def test_silence_is_a_progress():
    assert silent("learning", 1, 2) is None
