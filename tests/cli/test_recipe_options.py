"""``amiss fit --recipe`` and ``--print-recipe``: the options of a call as a file, and a file with options over it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from amiss.recipe import Recipe
from amiss.testing import toy_part

FILE = """
method = "padim"
preset = "tiny"
size = 64
calibration = 0.5
seed = 3
rule = "certified:20%,0.9"
settings = { dimension = 6, smoothing = 2.0 }

[[mask_filters]]
name = "min_area"
config = { pixels = 4 }

[[score_filters]]
name = "ignore_border"
config = { pixels = 2 }
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "parts"
    folder.mkdir()
    for number, image in enumerate(toy_part(40, seed=1).images):
        cv2.imwrite(str(folder / f"{number:03d}.png"), image[:, :, ::-1])
    return folder


@pytest.fixture
def printed(amiss, parts, tmp_path, monkeypatch):
    """The recipe that is printed for these options."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part.toml").write_text(FILE)

    def read(*options: object) -> Recipe:
        code, out, err = amiss("fit", parts, "--print-recipe", *options)
        assert code == 0, err
        (tmp_path / "printed.toml").write_text(out)
        return Recipe.read(tmp_path / "printed.toml")

    return read


def test_what_is_printed_is_read_again(printed, tmp_path):
    assert printed() == Recipe()
    assert printed("--recipe", "part.toml") == Recipe.read(tmp_path / "part.toml")
    options = ("--method", "padim", "--set", "dimension=6", "--size", "64x96", "--rule", "tail:1%", "--min-area", "5")
    recipe = printed(*options, "--calibration", "20%", "--seed", "4", "--device", "cpu")
    assert (recipe.method, recipe.settings, recipe.size, recipe.seed) == ("padim", {"dimension": 6}, (64, 96), 4)
    assert recipe.rule.name == "tail" and recipe.calibration == 0.2 and recipe.device == "cpu"
    assert recipe.mask_filters[0].config == {"pixels": 5}
    assert printed("--recipe", "printed.toml") == recipe
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.toml", "printed.toml"]


def test_options_override_the_file_and_only_what_is_given(printed, tmp_path):
    file = Recipe.read(tmp_path / "part.toml").to_dict()

    def changed(*options: object) -> dict:
        new = printed("--recipe", "part.toml", *options).to_dict()
        return {name: value for name, value in new.items() if value != file[name]}

    assert changed() == {}
    assert changed("--preset", "default") == {"preset": "default"}  # the option's own default, but given
    assert changed("--seed", "0", "--calibration", "auto") == {"seed": 0, "calibration": "auto"}
    assert changed("--set", "dimension=7") == {"settings": {"dimension": 7, "smoothing": 2.0}}
    assert changed("--tile", "32") == {"size": None, "tile": 32}
    assert changed("--size", "96") == {"size": [96, 96]}
    assert changed("--alpha", "10%") == {"rule": {"name": "certified", "config": {"alpha": 0.1, "confidence": 0.9}}}
    assert changed("--rule", "fixed", "--threshold", "2")["rule"] == {"name": "fixed", "config": {"threshold": 2.0}}
    assert changed("--min-area", "9")["mask_filters"] == [{"name": "min_area", "config": {"pixels": 9}}]
    assert changed("--min-area", "1") == {"mask_filters": []}


def test_masks_go_into_the_recipe(printed, tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[8:40] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    recipe = printed("--recipe", "part.toml", "--roi", tmp_path / "mask.png")
    assert [one.name for one in recipe.score_filters] == ["ignore_border", "region_of_interest"]
    np.testing.assert_array_equal(recipe.make_score_filters()[1].inside, mask > 0)
    again = printed("--recipe", "printed.toml", "--ignore", tmp_path / "mask.png")
    np.testing.assert_array_equal(again.make_score_filters()[1].inside, mask == 0)
    assert len(again.score_filters) == 2


def test_a_fit_from_a_recipe_keeps_it(amiss, parts, tmp_path):
    (tmp_path / "part.toml").write_text(FILE)
    code, out, err = amiss(
        "fit",
        parts,
        "--recipe",
        tmp_path / "part.toml",
        "--set",
        "dimension=7",
        "--json",
        "--output",
        tmp_path / "m.amiss",
    )
    assert code == 0, err
    record = json.loads(out)
    assert record["method"] == "padim" and record["hyperparameters"]["dimension"] == 7 and record["seed"] == 3
    assert record["rule"] == {"name": "certified", "config": {"alpha": 0.2, "confidence": 0.9}}
    assert record["recipe"]["settings"] == {"dimension": 7, "smoothing": 2.0} and record["recipe"]["size"] == [64, 64]
    assert [one["name"] for one in record["score_filters"] + record["mask_filters"]] == ["ignore_border", "min_area"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("presset = 'tiny'", (), ["part.toml", "recipe key must be one of", "got 'presset'", "Did you mean 'preset'"]),
        ("method = ", (), ["part.toml", "cannot be read"]),
        ("", ("--confidence", "0.9"), ["confidence", "conformal"]),
        ("", ("--overlap", "8"), ["without a tile"]),
        (None, (), ["part.toml", "No such file"]),
    ],
)
def test_mistakes_get_one_line(amiss, parts, tmp_path, text, options, words):
    if text is not None:
        (tmp_path / "part.toml").write_text(text)
    code, out, err = amiss("fit", parts, "--recipe", tmp_path / "part.toml", *options)
    assert code == 2 and out == "" and err.count("\n") == 1
    for word in words:
        assert word in err
