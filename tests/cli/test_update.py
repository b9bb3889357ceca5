"""`amiss update`: good images that came later."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from amiss import updating
from amiss.core.errors import DataError, InputError
from amiss.fitting import fit_inspector
from amiss.inspector import Inspector
from amiss.metrics import clopper_pearson
from amiss.postprocess import MinArea
from amiss.quantise.run import with_graph
from amiss.recipe import Recipe
from amiss.rules import Fixed
from amiss.testing import toy_part

Run = Callable[..., tuple[int, str, str]]
MEMBERS = [{"method": "padim", "preset": "tiny"}, {"method": "patchcore", "preset": "tiny"}]


def write(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(toy_part(count, seed=seed).images):
        cv2.imwrite(str(folder / f"{seed}-{number:02d}.png"), image)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble that has learned from thirty images, some of which calibrate."""
    recipe = Recipe(
        method="ensemble", settings={"members": MEMBERS}, size=64, rule="conformal:10%", calibration="folds:3"
    )
    path = tmp_path_factory.mktemp("update") / "part.amiss"
    fit_inspector(toy_part(30, seed=0).images, recipe).save(path)
    return path


def test_new_images_are_learned_and_calibrate(model: Path, tmp_path: Path, amiss: Run) -> None:
    new = write(write(tmp_path / "new", 24, 1), 5, 0)  # five of the old ones are among them
    code, out, err = amiss("update", model, new, "-o", tmp_path / "later.amiss", "--json")
    assert code == 0, err
    facts, before, after = json.loads(out), Inspector.load(model), Inspector.load(tmp_path / "later.amiss")
    assert facts["known"] == 5 and facts["taken"] == 24 and facts["learned_from"] == 54
    assert after.rule.n == 24 and after.calibration.kind == "folds" and after.rule.alpha == before.rule.alpha
    assert facts["updates"][0]["fingerprint"] == before.fingerprint
    assert "took in 24 more good images" in after.statement()
    stopped = facts["stopped_before"]
    wanted = sum(verdict.label != "good" for verdict in before.inspect(toy_part(24, seed=1).images))
    assert (stopped["count"], stopped["n"]) == (wanted, 24)
    assert stopped["interval_95"] == pytest.approx(clopper_pearson(wanted, 24))
    golden = after.parts.golden
    assert (golden.pixels == before.parts.golden.pixels).all()
    assert [one["after"] for one in facts["golden"]] == pytest.approx(golden.wanted.max(axis=(1, 2)).tolist(), rel=1e-4)
    assert len(after.seen) == 54 and set(before.parts.images.learned) < after.seen


def test_the_scores_that_calibrate_are_those_of_detectors_that_have_not_seen_the_image(model: Path) -> None:
    """With all but one fold known, so that the reference can be had by hand."""
    before, new = Inspector.load(model), toy_part(20, seed=3).images
    after = updating.update(before, new, calibration="folds:2").inspector
    detector, scores = before.detector(), []
    for number in range(20):
        look = new.subset([number]).resized((64, 64))
        scores.append(float(detector.score(look).image[0]))
    unseen = np.sort(after.rule.normal)
    assert unseen.shape == (20,)
    assert np.median(unseen) == pytest.approx(np.median(scores), rel=0.25)
    learned = after.score(new).image
    assert np.median(learned) < np.median(unseen)  # what was learned scores less than what calibrates


def test_it_may_be_done_again_and_in_text(model: Path, tmp_path: Path, amiss: Run) -> None:
    one = write(tmp_path / "one", 22, 4)
    code, out, _ = amiss("update", model, one, "--calibration", "50%", "-o", tmp_path / "one.amiss")
    assert code == 0 and "Learned from 41 good images in all, 11 of them new." in out
    assert "before it had seen them: " in out and "95 % interval" in out and "(n = 11, new parts only)" in out
    code, out, _ = amiss("update", tmp_path / "one.amiss", write(tmp_path / "two", 12, 5), "-o", tmp_path / "two.amiss")
    assert code == 0 and out.count("took in") == 2
    assert Inspector.load(tmp_path / "two.amiss").learned.learned_from == 53


def test_what_cannot_be_is_said(model: Path, tmp_path: Path, amiss: Run) -> None:
    few = write(tmp_path / "few", 4, 6)
    code, _, err = amiss("update", model, few, "-o", tmp_path / "x.amiss")
    assert code == 4 and "needs 9 good calibration images, got 4" in err and not (tmp_path / "x.amiss").exists()
    code, _, err = amiss("update", model, write(tmp_path / "old", 30, 0), "-o", tmp_path / "x.amiss")
    assert code == 2 and "has seen all of them before" in err
    code, _, err = amiss("update", model, tmp_path / "none", "-o", tmp_path / "x.amiss")
    assert code != 0 and "none" in err
    code, _, err = amiss("update", model, few, "-o", tmp_path / "x.onnx")
    assert code != 0 and "x.onnx" in err


def test_models_that_cannot_go_on(model: Path) -> None:
    new = toy_part(12, seed=7).images
    other = fit_inspector(
        toy_part(12, seed=0).images, Recipe(method="mvg", preset="tiny", size=64, rule="conformal:10%")
    )
    with pytest.raises(InputError, match="mvg cannot take in more images"):
        updating.update(other, new)
    before = Inspector.load(model)
    with pytest.raises(InputError, match="int8"):
        updating.update(with_graph(before, before.parts.graph or b"", ranges=3), new)
    with pytest.raises(DataError, match="none of the 30 images is new"):
        updating.update(before, toy_part(30, seed=0).images)


def test_parts_that_mask_filters_let_pass_were_not_stopped(model: Path) -> None:
    new, low = toy_part(12, seed=8).images, Fixed(-100.0)
    before = Inspector.load(model).with_rule(low)
    assert updating.update(before, new).stopped.count == 12
    lenient = replace(before, mask_filters=(MinArea(64 * 64 + 1),))
    assert {verdict.label for verdict in lenient.inspect(new)} == {"good"}
    assert updating.update(lenient, new).stopped.count == 0
