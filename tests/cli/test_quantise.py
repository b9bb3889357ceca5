"""``amiss quantise`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from amiss.front import fit
from amiss.inspector import Inspector
from amiss.runtime import installed
from amiss.testing import write_images


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain grey plates, on which every defect is seen, and a model of them."""
    root = tmp_path_factory.mktemp("world")
    noise = np.random.default_rng(0).normal(128, 12, (60, 64, 64, 3))
    write_images(root / "plates", [cv2.GaussianBlur(each, (0, 0), 2).round().astype(np.uint8) for each in noise])
    inspector = fit(root / "plates", preset="tiny", size=64, calibration=0.4)
    inspector.save(root / "model.amiss")
    return root


def test_from_folder_to_int8_model(amiss, world, tmp_path):
    code, out, err = amiss("quantise", world / "model.amiss", world / "plates", "--output", tmp_path / "int8.amiss")
    assert code == 0, err
    assert "Image AUROC on 24 good images and 216 with synthetic defects" in out and " % interval" in out
    assert "Verdicts that change: " in out and "of 24 good images" in out and "One image: " in out
    assert "The convolutions run in int8" in out and "WARNING" not in out + err
    int8 = Inspector.load(tmp_path / "int8.amiss")
    assert int8.statement() in out and int8.rule.n == 24
    code, out, _ = amiss("inspect", tmp_path / "int8.amiss", world / "plates", "--json")
    assert code == 0 and len(out.splitlines()) == 61


@pytest.mark.parametrize("backend", list(installed()))
def test_json_and_the_backend_that_it_is_made_for(amiss, world, tmp_path, backend):
    code, out, _ = amiss(
        *("quantise", world / "model.amiss", world / "plates", "--output", tmp_path / "int8.amiss"),
        *("--backend", backend, "--json"),
    )
    record = json.loads(out)
    assert code == 0 and record["quantised"]["precision"] == "int8" and record["quantised"]["runtime"] == backend
    assert record["quantised"]["fingerprint"] == Inspector.load(world / "model.amiss").fingerprint
    price = record["price"]
    assert price["good"]["n"] == 24 and price["defective"]["n"] == 216 and len(price["milliseconds"]) == 2
    assert price["image_auroc"]["difference"] <= 0.005
    Inspector.load(tmp_path / "int8.amiss", backend=backend)


def test_wrong_data_is_one_line_and_nothing_is_written(amiss, world, tmp_path):
    write_images(tmp_path / "other", [np.full((64, 64, 3), level, np.uint8) for level in range(40)])
    code, out, err = amiss("quantise", world / "model.amiss", tmp_path / "other", "--output", tmp_path / "int8.amiss")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "0 of the 24 images that calibrated this model are among the 40 given" in err
    assert not (tmp_path / "int8.amiss").exists()


def test_a_folder_of_other_things_is_not_overwritten(amiss, world, tmp_path):
    code, _, err = amiss("quantise", world / "model.amiss", world / "plates", "--output", tmp_path)
    assert code == 2 and "is a folder that is not an artefact" in err
