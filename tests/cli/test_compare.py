"""`amiss compare` and the figures of `amiss evaluate` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amiss.core.images import Images
from amiss.front import fit
from amiss.rules import Triage
from amiss.testing import toy_part, write_images, write_mvtec


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with two defect types, and two models of other good images."""
    folder = tmp_path_factory.mktemp("compare")
    defects = {kind: toy_part(4, seed=seed, defective=True) for kind, seed in (("blot", 3), ("stain", 4))}
    write_mvtec(folder / "data", toy_part(3, seed=9).images, toy_part(10, seed=2).images, **defects)
    for method in ("patchcore", "padim"):
        fitted = fit(toy_part(40, seed=1).images, method=method, preset="tiny", size=64, calibration=0.5)
        fitted.with_rule(Triage(accept=0.5, reject=0.05)).save(folder / f"{method}.amiss")
    return folder


def test_compare_in_words_and_in_json(amiss, root, tmp_path):
    models = root / "patchcore.amiss", root / "padim.amiss"
    code, out, _ = amiss("compare", *models, root / "data", "--output", tmp_path)
    assert code == 0 and "10 good and 8 defective images that both used" in out
    assert "patchcore" in out and "padim" in out and "A - B =" in out and "McNemar p =" in out
    assert "AUPRO to FPR 0.05" in out and "95 % interval" in out
    kept = json.loads((tmp_path / "comparison.json").read_text())
    code, out, _ = amiss("compare", *models, root / "data", "--json")
    assert code == 0 and json.loads(out) == kept
    assert kept["image_auroc"]["interval"][0] <= kept["image_auroc"]["difference"]
    assert kept["good"]["n"] == 10 and kept["defective"]["n"] == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("MODEL", "nowhere.amiss", "DATA"), ["nowhere.amiss"]),
        (("MODEL", "MODEL", "nowhere"), ["nowhere", "no such folder"]),
        (("MODEL", "MODEL", "TRAIN"), ["no test images"]),
    ],
)
def test_compare_refuses_in_one_line(amiss, root, arguments, words):
    places = {"MODEL": root / "patchcore.amiss", "DATA": root / "data", "TRAIN": root / "data" / "train" / "good"}
    code, out, err = amiss("compare", *(places.get(word, word) for word in arguments))
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert all(word in err for word in words)


def test_compare_refuses_images_that_a_model_has_seen(amiss, root, tmp_path):
    seen = write_images(tmp_path / "seen", toy_part(40, seed=1).images)
    code, _, _ = amiss("fit", seen, "--preset", "tiny", "--size", "64", "--output", tmp_path / "own.amiss")
    assert code == 0
    again = Images([seen / "000.png"])
    write_mvtec(tmp_path / "data", again, again)
    code, _, err = amiss("compare", root / "padim.amiss", tmp_path / "own.amiss", tmp_path / "data")
    assert code == 2 and "all 1 test images were seen in learning or calibration" in err


def test_evaluate_shows_review_types_and_intervals(amiss, root):
    code, out, _ = amiss("evaluate", root / "patchcore.amiss", root / "data")
    assert code == 0
    shown = ("escapes:", "review:       of good", "of defective", "precision:", "accuracy:", "pixel F1", "  blot: ")
    for words in (*shown, "  stain: "):
        assert words in out, words
    lines = [line for line in out.splitlines() if line.startswith(("image AUROC", "pixel A", "AUPRO", "F1 at"))]
    assert len(lines) == 6 and all(" % interval" in line for line in lines)
