"""`Patchwise`: windows scored one by one, saved, loaded and exported with whatever method is inside."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import amiss
from amiss.core.card import Card, LearnsFrom
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.parameters import buffer
from amiss.core.progress import Progress
from amiss.detectors.composed.patchwise import Patchwise
from amiss.detectors.detector import Detector, to_batch
from amiss.detectors.distribution.mvg import MVG
from amiss.inspector import Inspector
from amiss.registry import METHODS, create, list_methods
from amiss.testing import toy_texture

TINY = Patchwise.card.presets["tiny"]
INNER = {"backbone": "tiny-random", "stages": [4, 8]}


class Brightest(Detector):
    """The brightest pixel of a window: a method without a backbone, which cannot be exported."""

    card: ClassVar[Card] = Card(
        name="brightest",
        family="test",
        title="Brightest",
        paper="None",
        url="https://example.org",
        year=2026,
        learning=MVG.card.learning,
        localises=False,
        exportable=False,
        weights_licence="none",
        presets={"default": {}},
    )
    seen: Tensor = buffer()

    def build(self, *, pretrained: bool) -> None:
        self.register_buffer("seen", torch.zeros(0))

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        self.seen = torch.cat(list(self.batches(images, "features", progress)))

    def statistic(self, batch: Tensor) -> Tensor:
        return batch.amax(dim=(1, 2, 3))


@pytest.fixture
def brightest(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(METHODS, "brightest", f"{__name__}:Brightest")
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Brightest=Brightest))  # pytest keeps it elsewhere
    return "brightest"


def test_the_map_is_made_of_window_scores() -> None:
    """A plain loop: the inner method, fitted to the windows as images, scores each window by itself."""
    normal, test = toy_texture(6, seed=0).images, toy_texture(2, seed=1, defective=True).images
    detector = Patchwise(method="mvg", settings=INNER, window=32, stride=16, windows=10_000).fit(normal)
    places = [(top, left) for top in (0, 16, 32) for left in (0, 16, 32)]
    pieces = [one[top : top + 32, left : left + 32] for one in normal for top, left in places]
    inner = MVG(**INNER).fit(Images(pieces, size=(32, 32)))
    found = detector.score(test).map
    for image, score_map in zip(test, found, strict=True):
        windows = np.stack([image[top : top + 32, left : left + 32] for top, left in places])
        grid = inner.score(Images(windows)).image.reshape(3, 3)
        centres, pixels = np.array([16, 32, 48]), np.arange(64) + 0.5
        rows = np.stack([np.interp(pixels, centres, column) for column in grid.T], axis=1)
        wanted = np.stack([np.interp(pixels, centres, row) for row in rows])
        np.testing.assert_allclose(score_map, wanted, rtol=1e-4)


@pytest.mark.parametrize("method", sorted(set(list_methods()) - {"patchwise"}))
def test_every_method_for_whole_images_localises(method: str) -> None:
    """Or is refused, when it gives a map by itself, or learns from other images than normal ones."""
    inner = create(method, "tiny")
    detector = Patchwise(method=method, settings=inner.hyperparameters(), window=24, stride=8, windows=200)
    learns = inner.card.learns_from
    if inner.card.localises or learns is not LearnsFrom.NORMAL:
        message = "does not localise by itself" if learns is LearnsFrom.NORMAL else "learns from normal images"
        with pytest.raises(InputError, match=f"method must be one that {message}"):
            detector.build(pretrained=False)
        return
    assert detector.fit(toy_texture(8, seed=0).images).score(toy_texture(2, seed=1).images).map.shape == (2, 64, 64)
    assert detector.card.exportable == inner.card.exportable


def test_windows_are_drawn_within_bounds_and_cut_when_asked_for() -> None:
    images = toy_texture(5, seed=0).images
    detector = Patchwise(**{**TINY, "windows": 40})
    drawn = detector.draw(images, np.random.default_rng(0))
    assert len(drawn) == 40
    assert len(set(drawn.names)) == 40
    for window, item in zip(drawn, drawn._items, strict=True):
        wanted = images[item.number][item.top : item.top + 16, item.left : item.left + 16]
        np.testing.assert_array_equal(window, wanted)
    assert "image 0[row" in drawn.names[0]
    everything = Patchwise(**{**TINY, "windows": 10**6}).draw(images, np.random.default_rng(0))
    assert len(everything) == 5 * 13 * 13


def test_each_image_is_read_once_in_a_pass(tmp_path: Path) -> None:
    reads = []

    class Counted:
        name = "counted"

        def __init__(self, pixels: np.ndarray) -> None:
            self.pixels = pixels

        def read(self) -> np.ndarray:
            reads.append(self)
            return self.pixels

    images = Images([Counted(pixels) for pixels in toy_texture(4, seed=0).images], size=(64, 64))
    drawn = Patchwise(**{**TINY, "windows": 10**6}).draw(images, np.random.default_rng(0))
    assert sum(1 for _ in drawn) == 4 * 13 * 13
    assert len(reads) == 4


def test_an_inspector_saves_and_loads_it(tmp_path: Path) -> None:
    images = toy_texture(24, seed=0).images
    inspector = amiss.fit(images, method="patchwise", settings=dict(TINY), size=64, calibration=0.5)
    inspector.save(tmp_path / "cloth.amiss")
    loaded = Inspector.load(tmp_path / "cloth.amiss")
    test = toy_texture(3, seed=1, defective=True).images
    np.testing.assert_array_equal(loaded.score(test).map, inspector.score(test).map)
    assert [str(verdict.label) for verdict in loaded.inspect(test)] == ["anomalous"] * 3
    assert (loaded.record.weights_name, loaded.record.weights_licence) == ("tiny-random", "none")
    assert loaded.record.hyperparameters["settings"] == {**INNER, "backbone": "tiny-random"}
    np.testing.assert_allclose(loaded.detector().score(test).image, inspector.score(test).image, rtol=1e-3)


def test_a_method_that_cannot_be_exported_runs_in_torch(brightest: str, tmp_path: Path) -> None:
    images = toy_texture(24, seed=0).images
    settings = {"method": brightest, "window": 16, "stride": 16}
    inspector = amiss.fit(images, method="patchwise", settings=settings, size=64, calibration=0.5)
    inspector.save(tmp_path / "cloth.amiss")
    loaded = Inspector.load(tmp_path / "cloth.amiss")
    test = toy_texture(2, seed=1).images
    batch = to_batch(torch.from_numpy(np.stack(list(test))))
    wanted = torch.nn.functional.max_pool2d(batch, 16).amax(dim=1).repeat_interleave(16, 1).repeat_interleave(16, 2)
    np.testing.assert_allclose(loaded.score(test).map, wanted.numpy(), rtol=1e-5)
    assert loaded.record.weights_name == "none"
    assert not loaded.detector().card.exportable
    assert Patchwise.card.exportable


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "mgv"}, r"method must be one of .*, got 'mgv'\. Did you mean 'mvg'"),
        ({"method": "padim"}, "does not localise by itself, got 'padim'"),
        ({"method": "patchwise", "settings": {}}, "does not localise by itself, got 'patchwise'"),
        ({"settings": {"stage": 8}}, r"option of mvg must be one of .*, got 'stage'\. Did you mean 'stages'"),
        ({"stride": 17}, "at most window = 16"),
        ({"window": 65, "stride": 8}, "at least 65 pixels wide and high"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Patchwise(**{**TINY, **wrong}).fit(toy_texture(2, seed=0).images)
