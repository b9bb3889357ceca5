"""Good images that look strange: planted ones come first, each scored by a detector that never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amiss.core.errors import DataError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.evaluation.suspects import Suspects, find_suspects
from amiss.recipe import Recipe
from amiss.testing import toy_texture, write_image

RECIPE = Recipe(method="knn", preset="tiny", size=(64, 64))


def test_planted_images_come_first_and_copies_are_left_out() -> None:
    good, planted = toy_texture(27, seed=0).images, toy_texture(3, seed=1, defective=True).images
    images = Images.join([good, planted, planted.subset([0])])
    found = find_suspects(images, RECIPE)
    strange = {planted.sha256(index) for index in range(3)}
    assert len({found.images.sha256(index) for index in range(4)} & strange) == 3  # 3 of 30 among the first 4
    assert found.copies == 1 and len(found.scores) == 30 and (np.diff(found.scores) <= 0).all()
    assert "30 good images" in found.statement() and "Copies left out: 1." in found.statement()
    again = find_suspects(images, RECIPE)
    assert all(map(np.array_equal, again.images, found.images))


def test_lots_need_not_be_known_where_nothing_is_promised() -> None:
    origins = [Origin(lot=f"L{number // 4}" if number < 12 else None) for number in range(16)]
    for recipe in (RECIPE, replace(RECIPE, future="these-lots")):
        found = find_suspects(toy_texture(16, seed=0).images, recipe, origins=origins)
        assert found.folds == 5 and len(found.scores) == 16
    with pytest.raises(DataError, match="at least 2 parts, to learn from one and score another, got 4 of one part"):
        find_suspects(toy_texture(4, seed=0).images, RECIPE, origins=[Origin(part="1")] * 4)


@pytest.mark.parametrize(
    ("scores", "far"), [([9.0, 1.2, 1.1, 1.0, 0.9, 0.8], 1), ([1.3, 1.2, 1.1, 1.0], 0), ([0.0] * 4, 0)]
)
def test_far_out_is_three_quartile_ranges_on_logarithms(scores: list[float], far: int) -> None:
    images = Images([np.full((2, 2), index, np.uint8) for index in range(len(scores))])
    found = Suspects("knn", 5, images, np.array(scores, np.float32), 0)
    assert found.far_out == far
    summary = found.summary()
    assert (summary["images"][0]["ratio"] is None) == (scores[0] == 0) and json.dumps(summary, allow_nan=False)


@pytest.mark.slow
def test_the_verb_lists_them_and_writes_a_page(tmp_path: Path, amiss: Callable[..., tuple[int, str, str]]) -> None:
    for index, image in enumerate(toy_texture(14, seed=0).images):
        write_image(tmp_path / "good" / f"{index:02}.png", image)
    strange = tmp_path / "good" / "a<b>.png"
    write_image(strange, toy_texture(1, seed=1, defective=True).images[0])
    code, out, err = amiss("data", tmp_path / "good", "--suspects", "--output", tmp_path / "page")
    assert code == 0 and "Suspects: 15 good images" in out and out.count(" x median)  ") == 10, err
    page = (tmp_path / "page" / "suspects.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 15 and "a&lt;b&gt;.png" in page and "<b>" not in page
    written = json.loads((tmp_path / "page" / "suspects.json").read_text(encoding="utf-8"))
    assert len(written["images"]) == 15 and written["n"] == 15
    assert amiss("data", tmp_path / "good", "--output", tmp_path / "page")[0] != 0
