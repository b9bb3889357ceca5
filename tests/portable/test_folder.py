"""What `amiss export` writes is enough to say the same as Amiss: a program of NumPy and ONNX Runtime alone does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

import amiss
from amiss.core.errors import InputError, OutputError
from amiss.core.tiling import Tiling
from amiss.inspector import Inspector
from amiss.portable import FILES, write_portable
from amiss.postprocess import IgnoreBorder, MinArea, RegionOfInterest
from amiss.testing import toy_part


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    inside = np.ones((64, 64), bool)
    inside[:20, :30] = False
    return amiss.fit(
        toy_part(30, seed=0).images,
        method="padim",
        preset="tiny",
        size=64,
        rule="triage:20%,10%",
        calibration=0.5,
        score_filters=[IgnoreBorder(3), RegionOfInterest.of_mask(inside)],
        mask_filters=[MinArea(4)],
    )


class Reader:
    """The steps of inspector.json, from inspector.txt and the images of the folder; nothing of Amiss."""

    def __init__(self, folder: Path) -> None:
        rows = [line.split() for line in (folder / "inspector.txt").read_text().splitlines()]
        self.numbers = {name: np.array(values, np.float32) for name, *values in rows}
        self.session = onnxruntime.InferenceSession(folder / "model.onnx")
        mask = cv2.imread(str(folder / "inside.png"), cv2.IMREAD_GRAYSCALE)
        self.inside = np.ones((64, 64), bool) if mask is None else mask > 0

    def judge(self, pixels: np.ndarray) -> tuple[str, float, float]:
        (score_map,) = self.session.run(["map"], {"pixels": pixels[None]})[0]
        threshold, lowest = self.numbers["threshold"][0], self.numbers["review_threshold"][0]
        score = score_map[self.inside].max()
        high = ((score_map > lowest) & self.inside).astype(np.uint8)
        count, regions, sizes, _ = cv2.connectedComponentsWithStats(high, connectivity=8)
        kept = [r for r in range(1, count) if sizes[r, cv2.CC_STAT_AREA] >= self.numbers["min_area"][0]]
        peak = max((score_map[regions == region].max() for region in kept), default=-np.inf)
        label = "anomalous" if peak > threshold else "review" if peak > lowest else "good"
        return label, score, self.numbers["p_values"][np.searchsorted(self.numbers["normal"], score)]


def test_the_folder_says_the_same_as_the_inspector(inspector: Inspector, tmp_path: Path):
    write_portable(inspector, tmp_path / "out")
    reader, seen = Reader(tmp_path / "out"), set()
    images = [*toy_part(20, seed=5).images, *toy_part(6, seed=6, defective=True).images]
    for image in images:
        pixels = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image
        pixels = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
        wanted = inspector.inspect_one(pixels)
        label, score, p_value = reader.judge(pixels)
        assert (label, score) == (wanted.label, wanted.score)
        assert p_value == pytest.approx(wanted.p_value)
        seen.add(label)
    assert len(seen) > 1


def test_golden_images_have_the_scores_that_are_named(inspector: Inspector, tmp_path: Path):
    write_portable(inspector, tmp_path / "out")
    reader, facts = Reader(tmp_path / "out"), json.loads((tmp_path / "out" / "inspector.json").read_text())
    assert len(facts["golden"]) == 3
    for name, score in facts["golden"].items():
        pixels = cv2.cvtColor(cv2.imread(str(tmp_path / "out" / name)), cv2.COLOR_BGR2RGB)
        assert reader.judge(pixels)[1] == pytest.approx(score, rel=facts["tolerance"])


def test_an_earlier_folder_is_replaced_and_another_one_is_not(inspector: Inspector, tmp_path: Path):
    write_portable(inspector, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    bare = replace(inspector, score_filters=())
    bare = bare.calibrate(amiss.Images(toy_part(20, seed=9).images))
    write_portable(bare, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"inside.png"}
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other files, such as thesis\.doc"):
        write_portable(inspector, tmp_path)


def test_what_needs_more_than_a_graph_is_refused(inspector: Inspector, tmp_path: Path):
    tiled = replace(inspector, learned=inspector.learned.model_copy(update={"tiling": Tiling(64, 8)}))
    with pytest.raises(InputError, match="must resize whole images, got one that cuts them into tiles"):
        write_portable(tiled, tmp_path / "out")
    bare = replace(inspector, parts=replace(inspector.parts, graph=None))
    with pytest.raises(InputError, match="must have an ONNX graph, got padim"):
        write_portable(bare, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(amiss, inspector: Inspector, tmp_path: Path):
    inspector.save(tmp_path / "m.amiss")
    code, out, _ = amiss("export", tmp_path / "m.amiss", "--onnx", tmp_path / "out")
    assert code == 0 and "inspect.cpp" in out and "Next: read" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    code, out, _ = amiss("export", tmp_path / "m.amiss", "--onnx", tmp_path / "out", "--json")
    assert code == 0 and set(json.loads(out)["files"]) == FILES
