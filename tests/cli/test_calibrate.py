"""``amiss calibrate``, and rules in words, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from amiss.core.origin import Origin
from amiss.front import fit
from amiss.inspector import Inspector
from amiss.testing import toy_part, write_images


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good parts to learn from, others to calibrate on, and a model of the first."""
    root = tmp_path_factory.mktemp("world")
    write_images(root / "parts", toy_part(50, seed=1).images)
    write_images(root / "more", toy_part(70, seed=2).images)
    inspector = fit(root / "parts", preset="tiny", size=64, calibration=0.5)
    inspector.save(root / "model.amiss")
    return root


def test_another_rule_on_the_stored_scores_needs_no_images(amiss, world, tmp_path):
    code, out, err = amiss(
        "calibrate", world / "model.amiss", "--rule", "triage:20%,5%", "--output", tmp_path / "n.amiss"
    )
    assert code == 0 and err == ""
    assert "is now" in out and "(rule conformal, n = 25)" in out and "triage: at most 20 %" in out
    after, before = Inspector.load(tmp_path / "n.amiss"), Inspector.load(world / "model.amiss")
    assert after.rule.name == "triage" and after.rule.normal.tolist() == before.rule.normal.tolist()
    assert after.statement() in out


def test_new_images_calibrate_without_learning(amiss, world, tmp_path):
    code, out, _ = amiss(
        "calibrate", world / "model.amiss", world / "more", "--rule", "certified:5%", "--output", tmp_path / "n.amiss"
    )
    assert code == 0 and "(rule certified, n = 70)" in out
    after, before = Inspector.load(tmp_path / "n.amiss"), Inspector.load(world / "model.amiss")
    assert after.parts.weights == before.parts.weights
    assert after.rule.config() == {"alpha": 0.05, "confidence": 0.95} and after.record.calibration.n == 70


def test_new_images_alone_keep_the_rule(amiss, world, tmp_path):
    _, out, _ = amiss("calibrate", world / "model.amiss", world / "more", "--json", "--output", tmp_path / "n.amiss")
    record = json.loads(out)
    assert record["rule"] == {"name": "conformal", "config": {"alpha": 0.05}} and record["alpha"] == 0.05
    assert record["calibration"]["n"] == 70 and "n = 70 " in record["statement"]


def test_options_alone_change_the_rule_that_is_there(amiss, world, tmp_path):
    code, out, _ = amiss(
        "calibrate", world / "model.amiss", "--alpha", "10%", "--json", "--output", tmp_path / "n.amiss"
    )
    assert code == 0 and json.loads(out)["rule"] == {"name": "conformal", "config": {"alpha": 0.1}}


def test_a_rule_in_words_while_learning(amiss, world, tmp_path):
    tiny = ("--preset", "tiny", "--size", 64, "--calibration", "0.5", "--output", tmp_path / "m.amiss")
    code, out, _ = amiss("fit", world / "parts", "--rule", "quantile:0.9", *tiny)
    assert code == 0 and "quantile: nominally 10 %" in out
    code, out, _ = amiss("fit", world / "parts", "--rule", "sigma", "--json", *tiny)
    assert code == 0 and json.loads(out)["rule"] == {"name": "sigma", "config": {"k": 3.0}}
    code, out, _ = amiss("fit", world / "parts", "--alpha", "8%", "--rule", "certified", "--confidence", "80%", *tiny)
    assert code == 0 and "80 % confidence at most 8 %" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("calibrate", "MODEL"), ["nothing to change", "--rule"]),
        (("calibrate", "nowhere.amiss", "--rule", "sigma"), ["nowhere.amiss"]),
        (("calibrate", "MODEL", "nowhere"), ["nowhere", "no such folder"]),
        (("calibrate", "MODEL", "PARTS"), ["25 of 50 images were learned from"]),
        (("calibrate", "MODEL", "MORE", "--rule", "certified:1%"), ["299", "got 70", "229 more"]),
        (("calibrate", "MODEL", "--rule", "tail:0.1%"), ["300", "got 25", "275 more"]),
        (("calibrate", "MODEL", "--rule", "triage:5%,0.5%"), ["to reject at most 0.5 %", "174 more"]),
        (("calibrate", "MODEL", "--rule", "fixed"), ["needs threshold", "--threshold"]),
        (("calibrate", "MODEL", "--threshold", "3"), ["conformal", "threshold"]),
        (("calibrate", "MODEL", "--alpha", "lots"), ["alpha must be a number", "got 'lots'"]),
        (("fit", "PARTS", "--rule", "sigma:3", "--alpha", "1%"), ["alpha does not belong", "takes k"]),
        (("fit", "PARTS", "--rule", "conformal:1%", "--alpha", "1%"), ["alpha", "twice"]),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(amiss, world, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    places = {"MODEL": world / "model.amiss", "PARTS": world / "parts", "MORE": world / "more"}
    named = [places.get(argument, argument) for argument in arguments]
    code, out, err = amiss(*named, "--output", tmp_path / "n.amiss")
    too_few = any("more" in word for word in words)
    said = [line for line in err.splitlines() if not line.startswith("reading: ")]
    assert code == (4 if too_few else 2) and out == "" and len(said) == 1 and said[0].startswith("amiss: ")
    for word in words:
        assert word in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_recent_images_weigh_the_scores(amiss, world, tmp_path):
    recent = [(image * 1.02).clip(0, 255).astype(np.uint8) for image in toy_part(200, seed=3).images]
    write_images(tmp_path / "recent", recent)
    asked = ("calibrate", world / "model.amiss", world / "more", "--recent", tmp_path / "recent")
    code, out, err = amiss(*asked, "--alpha", "20%", "--output", tmp_path / "n.amiss")
    assert code == 0 and "measuring: 200 done" in err
    assert "conformal, weighted: at most 20 %" in out and "200 recent images" in out
    after = Inspector.load(tmp_path / "n.amiss")
    assert after.rule.weights is not None and after.statement() in out
    code, _, err = amiss("calibrate", world / "model.amiss", "--recent", tmp_path, "--output", tmp_path / "o.amiss")
    assert code == 2 and "--recent needs the good images to weigh too" in err
    write_images(tmp_path / "dark", [image // 4 for image in recent])
    code, _, err = amiss(*asked[:-1], tmp_path / "dark", "--output", tmp_path / "o.amiss")
    assert code == 4 and "too few of them look like the recent ones" in err and not (tmp_path / "o.amiss").exists()
    assert amiss("inspect", tmp_path / "n.amiss", tmp_path / "recent", "--output", tmp_path / "r")[0] in (0, 4)
    code, out, _ = amiss("monitor", tmp_path / "n.amiss", tmp_path / "r")
    assert code in (0, 4) and "The model is weighted for recent images" in out


def test_a_promise_is_kept_only_where_nothing_of_it_changes(amiss, tmp_path):
    origins = [Origin(lot=f"L{number // 2}") for number in range(40)]
    options = {"method": "padim", "preset": "tiny", "size": 64, "calibration": "folds:2", "origins": origins}
    model, images = tmp_path / "m.amiss", toy_part(40, seed=1).images
    fit(images, **options, rule="conformal:20%").save(model)

    def say(*words) -> str:
        code, out, err = amiss("calibrate", model, *words, "--output", tmp_path / "n.amiss")
        assert code == 0, err
        return next(line for line in out.splitlines() if line.startswith("The promise"))

    assert say("--rule", "conformal:20%") == "The promise is kept: conformal, alpha = 20 %, for new lots."
    assert say("--rule", "conformal:20%", "--future", "these-lots") == (
        "The promise was conformal, alpha = 20 %, for new lots; it is now conformal, alpha = 20 %, for these lots."
    )
    assert "it is now certified, alpha = 20 %, confidence = 90 %, for" in say("--rule", "certified:20%,0.9")
    assert "it is now triage, accept = 30 %, reject = 20 %" in say("--rule", "triage:30%,20%")
    assert "it is now fixed, threshold = 2.0, for new lots, no rate." in say("--rule", "fixed:2")
