"""A kept graph of the network joined with that of the rest; the conformance suite compares it with a traced one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from amiss.core.card import Card, Learning
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.detectors.detector import Detector, TorchScorer
from amiss.export import export_joined, export_onnx
from amiss.features import FeatureExtractor, on_runtime
from amiss.features.join import PREFIX
from amiss.registry import create
from amiss.runtime import Graph
from amiss.testing import toy_texture

SIZE = (48, 64)


class Brightest(Detector):
    """As strange as the largest feature: nothing is learned."""

    card = Card(
        name="brightest",
        family="test",
        title="Brightest",
        paper="None",
        url="https://example.org",
        year=2026,
        learning=Learning.ONE_PASS,
        localises=False,
        weights_licence="none",
        presets={"default": {}, "paper": {}, "tiny": {}},
    )

    def build(self, *, pretrained: bool) -> None:
        self.features = FeatureExtractor("tiny-random", (4, 8), pretrained=pretrained)

    def learn(self, images: Images, rng: np.random.Generator, progress: Progress) -> None:
        pass

    def statistic(self, batch: Tensor) -> Tensor:
        return self.brightest(self.features(batch))

    def brightest(self, stages: list[Tensor]) -> Tensor:
        return torch.stack([stage.amax(dim=(1, 2, 3)) for stage in stages]).amax(dim=0)


class AsksTwice(Brightest):
    def statistic(self, batch: Tensor) -> Tensor:
        return self.brightest([*self.features(batch), *self.features(batch)])


class TurnsImages(Brightest):
    def statistic(self, batch: Tensor) -> Tensor:
        return self.brightest(self.features(batch.flip(3)))


class HasTwoNetworks(Brightest):
    def build(self, *, pretrained: bool) -> None:
        super().build(pretrained=pretrained)
        self.other = FeatureExtractor("tiny-random", (4,), pretrained=pretrained)


class AsksBoth(HasTwoNetworks):
    def statistic(self, batch: Tensor) -> Tensor:
        return self.brightest(self.features(batch)) - 2 * self.brightest(self.other(batch))


class NeedsNoNetwork(Brightest):
    def statistic(self, batch: Tensor) -> Tensor:
        return batch.amax(dim=(1, 2, 3))


class LooksInside(Brightest):
    def statistic(self, batch: Tensor) -> Tensor:
        return self.brightest(self.features(batch)) + self.features.stages[0](batch).amax(dim=(1, 2, 3))


def images(count: int = 4) -> Images:
    return toy_texture(count, seed=0).images.resized(SIZE)


def check_scores(graph: bytes, detector: Detector) -> None:
    for count in (1, 3):
        pixels = np.stack(list(images(count)))
        wanted = TorchScorer(detector, SIZE).run(pixels).image
        np.testing.assert_allclose(Graph(graph).run(pixels).image, wanted, rtol=1e-5)


def test_one_graph_that_needs_nothing_else() -> None:
    detector = Brightest().fit(images())
    model = export_joined(detector, SIZE)
    assert model is not None
    loaded = onnx.load_model_from_string(model)
    onnx.checker.check_model(loaded, full_check=True)
    (entry,), (result,) = loaded.graph.input, loaded.graph.output
    assert (entry.name, result.name) == ("pixels", "image")
    assert [side.dim_value for side in entry.type.tensor_type.shape.dim] == [0, *SIZE, 3]
    assert any(tensor.name.startswith(PREFIX) for tensor in loaded.graph.initializer)
    check_scores(model, detector)


@pytest.mark.parametrize(("kind", "count"), [(AsksBoth, 2), (HasTwoNetworks, 1)])
def test_each_network_that_is_asked_is_joined(kind: type[Detector], count: int) -> None:
    detector = kind().fit(images())
    model = export_joined(detector, SIZE)
    assert model is not None
    loaded = onnx.load_model_from_string(model)
    onnx.checker.check_model(loaded, full_check=True)
    assert len({tensor.name.split("/")[0] for tensor in loaded.graph.initializer if PREFIX in tensor.name}) == count
    check_scores(model, detector)


@pytest.mark.parametrize("kind", [AsksTwice, TurnsImages, NeedsNoNetwork, LooksInside])
def test_what_cannot_be_joined_is_traced_whole(kind: type[Detector]) -> None:
    detector = kind().fit(images())
    assert export_joined(detector, SIZE) is None
    check_scores(export_onnx(detector, SIZE), detector)


def test_exporting_leaves_the_detector_as_it_was() -> None:
    detector = Brightest().fit(images())
    batch, names = torch.rand(1, 3, *SIZE), list(detector.state_dict())
    wanted = detector(batch)
    export_onnx(detector, SIZE)
    assert list(detector.state_dict()) == names and detector.features.run is None
    assert torch.equal(detector(batch), wanted)


def test_the_network_is_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    on_runtime._prepare.cache_clear()  # as in a new process
    detector = create("mvg", "tiny").fit(images(on_runtime.WORTH // 4))
    assert not list(tmp_path.iterdir())  # so few are learned from in torch
    first = export_onnx(detector, SIZE)
    (file,) = tmp_path.glob("features-*.onnx")
    written = file.stat().st_mtime_ns
    on_runtime._prepare.cache_clear()
    assert export_onnx(detector, SIZE) == first
    assert file.stat().st_mtime_ns == written
