"""A method of your own, without an entry point: fitted, calibrated, saved, loaded, evaluated and benchmarked."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import amiss
from amiss.core.card import Card, Learning
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.data import Dataset
from amiss.detectors.detector import Detector
from amiss.detectors.distribution.padim import PaDiM
from amiss.evaluation import evaluate
from amiss.front import fit_recipe
from amiss.registry import create, find_method, list_methods
from amiss.testing import toy_part

CARD = Card(
    name="mean_image",
    family="reconstruction",
    title="Mean image",
    paper="None",
    url="https://example.org",
    year=2026,
    learning=Learning.ONE_PASS,
    weights_licence="none",
    presets={"tiny": {"power": 2}},
)


class MeanImage(Detector):
    """Distance to the mean normal image."""

    card = CARD
    power: float = 1.0

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("mean", torch.zeros(0, 0, 0))

    def learn(self, images, rng, progress) -> None:
        self.mean = torch.cat(list(self.batches(images, "mean", progress))).mean(dim=0)

    def statistic(self, batch):
        return ((batch - self.mean).abs() + 1e-3).pow(self.power).mean(dim=1)


class InTorch(MeanImage):
    """The same, without a graph."""

    card = replace(CARD, name="in_torch", exportable=False)


class Impostor(PaDiM):
    """Has the name of another method."""


ADDRESS = f"{__name__}:MeanImage"


@pytest.fixture(scope="module")
def good():
    return toy_part(40, seed=0).images


@pytest.fixture(scope="module")
def bad():
    return toy_part(6, seed=1, defective=True).images


@pytest.mark.parametrize(
    ("options", "power"),
    [
        ({"method": MeanImage}, 1.0),
        ({"method": MeanImage, "preset": "tiny"}, 2),
        ({"method": MeanImage, "settings": {"power": 3}}, 3),
        ({"method": MeanImage(power=4)}, 4),
        ({"method": ADDRESS, "settings": {"power": 5}}, 5),
    ],
)
def test_a_class_an_instance_and_an_address(options, power, good, bad, tmp_path):
    inspector = amiss.fit(good, size=64, calibration=0.5, **options)
    assert inspector.learned.method == "mean_image" and inspector.recipe.method == ADDRESS
    assert inspector.learned.hyperparameters == {"power": power}
    assert "mean_image" not in list_methods()
    inspector.save(tmp_path / "own.amiss")
    loaded = amiss.load(tmp_path / "own.amiss")
    assert [one.summary() for one in loaded.inspect(bad)] == [one.summary() for one in inspector.inspect(bad)]
    again = fit_recipe(good, loaded.recipe)
    np.testing.assert_array_equal(again.rule.normal, inspector.rule.normal)
    for detector in (loaded.detector(MeanImage), again.detector(MeanImage)):
        assert type(detector) is MeanImage and detector.power == power
        np.testing.assert_allclose(detector.score(bad).image, inspector.score(bad).image, rtol=1e-4)


def test_the_instance_itself_is_left_as_it_was(good):
    mine = MeanImage(power=2)
    amiss.fit(good, method=mine, size=64, calibration="folds:3")
    assert list(mine.buffers()) == []


def test_it_is_evaluated(good, bad):
    inspector = amiss.fit(good, method=MeanImage, size=64, calibration=0.5)
    fine = toy_part(6, seed=2).images
    dataset = Dataset("toy", Images([]), Images([*fine, *bad]), ("good",) * 6 + ("blot",) * 6)
    summary = evaluate(inspector, dataset).summary()
    assert summary["method"] == "mean_image" and summary["image_auroc"] > 0.8


LINE = """
import sys
sys.modules["torch"] = None
import amiss
inspector = amiss.load(sys.argv[1])
print([str(one.label) for one in inspector.inspect(amiss.Images(sys.argv[2]))])
try:
    inspector.detector()
except amiss.AmissError as error:
    print(error)
"""


def test_where_the_class_is_not_the_graph_inspects_and_what_is_missing_is_said(good, bad, tmp_path):
    import cv2

    inspector = amiss.fit(good, method=MeanImage, size=64, calibration=0.5)
    inspector.save(tmp_path / "own.amiss")
    cv2.imwrite(str(tmp_path / "a.png"), bad[0][:, :, ::-1])
    command = [sys.executable, "-c", LINE, str(tmp_path / "own.amiss"), str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    labels, words = done.stdout.splitlines()
    assert labels == str([str(one.label) for one in inspector.inspect(bad.subset([0]))])
    assert "'mean_image'" in words and "give its class" in words
    with pytest.raises(InputError, match=r"must be that of 'mean_image', got InTorch \('in_torch'\)"):
        inspector.detector(InTorch)


def test_one_that_has_no_graph_is_loaded_with_its_class(good, bad, tmp_path):
    inspector = amiss.fit(good, method=InTorch, size=64, calibration=0.5)
    inspector.save(tmp_path / "own.amiss")
    assert inspector.parts.graph is None
    with pytest.raises(InputError, match=r"a model of 'in_torch'.* give its class"):
        amiss.load(tmp_path / "own.amiss")
    loaded = amiss.load(tmp_path / "own.amiss", method=InTorch)
    np.testing.assert_allclose(loaded.score(bad).image, inspector.score(bad).image, rtol=1e-6)


def test_a_name_must_be_its_own(good):
    with pytest.raises(InputError, match="the card of Impostor must have a name of its own, got that of 'padim'"):
        amiss.fit(good, method=Impostor, size=64)
    assert find_method(PaDiM) is PaDiM and type(create(PaDiM, "tiny")) is PaDiM
    with pytest.raises(InputError, match=r"option of mean_image must be one of power, got 'powr'"):
        create(MeanImage, powr=3)


def test_hyper_parameters_that_are_not_declared_are_refused_and_not_lost(good):
    class Written(MeanImage):
        card = replace(CARD, name="written")

        def __init__(self, *, window: int = 5) -> None:
            super().__init__()
            self.window = window

    with pytest.raises(InputError, match=r"of Written must be declared in its body, got window in its constructor"):
        amiss.fit(good, method=Written(window=9), size=64)


@pytest.mark.slow
def test_it_is_benchmarked_by_its_address(tmp_path):
    """In processes of their own, which find it as Python finds any module."""
    import cv2

    for name, seed, defective in (("train/good", 0, False), ("test/good", 1, False), ("test/blot", 2, True)):
        folder = tmp_path / "cloth" / name
        folder.mkdir(parents=True)
        for number, image in enumerate(toy_part(10, seed=seed, defective=defective).images):
            cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
    module = tmp_path / "modules" / "own_methods.py"
    module.parent.mkdir()
    module.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    path = os.pathsep.join([str(module.parent), str(Path(amiss.__file__).parents[1])])
    command = [sys.executable, "-m", "amiss.cli", "bench", str(tmp_path / "cloth"), "--size", "64", "--json"]
    command += ["--methods", "own_methods:MeanImage", "--presets", "tiny", "--seeds", "0", "--set", "power=3"]
    command += ["--output", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = json.loads(done.stdout)["lines"]
    assert line["method"] == "mean_image" and line["config"]["power"] == 3 and line["image_auroc"] > 0.8
    assert (tmp_path / "out" / "mean_image.jsonl").is_file()
    twice = [*command, "--again"]
    twice[twice.index("own_methods:MeanImage")] = "own_methods:MeanImage,own_methods:Twin"
    module.write_text(module.read_text() + "\n\nclass Twin(MeanImage):\n    pass\n")
    refused = subprocess.run(twice, capture_output=True, text=True, env=environment)
    assert refused.returncode == 2 and "methods must have different names" in refused.stderr
