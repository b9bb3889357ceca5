"""Many images a run: the verdicts of one at a time, in order, whatever cannot be read between them."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

import amiss
from amiss.core.errors import ArtefactError, MissingExtraError
from amiss.core.images import Images
from amiss.core.verdict import Label
from amiss.inspector import Inspector
from amiss.runtime import Graph, cuda
from amiss.runtime.choice import ENGINES
from amiss.runtime.graph import Program, onnxruntime_engine
from amiss.testing import toy_part, write_images


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    images = toy_part(24, seed=0).images
    return amiss.fit(images, method="mvg", preset="tiny", size=64, calibration=0.5, rule="conformal:20%")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """11 images, of which the first, the sixth and the last cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder, toy_part(11, seed=1).images)
    paths = sorted(folder.iterdir())
    for place in (0, 5, 10):
        paths[place].write_bytes(b"words")
    return Images(paths)


def in_batches(inspector: Inspector, batch: int) -> tuple[Inspector, list[tuple[int, ...]]]:
    """The same on a runtime that takes so many, and the shapes that it was given."""
    shapes: list[tuple[int, ...]] = []

    def engine(model: bytes, cores: int) -> Program:
        real = onnxruntime_engine(model, cores)

        def run(pixels: np.ndarray) -> list[np.ndarray]:
            shapes.append(pixels.shape)
            return list(real.run(pixels))

        return Program("card", real.threads, real.shape, real.kind, real.results, run, batch)

    return replace(inspector, scorer=Graph(inspector.parts.graph, engine)), shapes


@pytest.mark.parametrize("batch", [2, 4, 16])
def test_the_same_verdicts_in_order(inspector: Inspector, images: Images, batch: int):
    wanted = [*inspector.inspect(images)]
    card, shapes = in_batches(inspector, batch)
    seen: list[int] = []
    found = [*card.inspect(images, also=lambda index, verdict, image: seen.append(index))]
    assert {shape[0] for shape in shapes} == {batch} and len(shapes) == -(-11 // batch)
    assert seen == [*range(11)]
    assert [one.label is Label.ERROR for one in found] == [index in (0, 5, 10) for index in range(11)]
    for one, other in zip(found, wanted, strict=True):
        assert (one.name, one.label, one.sha256, one.reason) == (other.name, other.label, other.sha256, other.reason)
        assert one.score == pytest.approx(other.score, rel=1e-5) if other.score is not None else one.score is None


def test_a_few_images_go_one_by_one(inspector: Inspector, images: Images):
    card, shapes = in_batches(inspector, 4)
    assert len([*card.inspect(images.subset(range(3)))]) == 3 and {shape[0] for shape in shapes} == {1}
    assert card.scorer.on_one_core is card.scorer


@pytest.mark.parametrize("backend", ["cuda", "tensorrt"])
def test_without_a_card(inspector: Inspector, monkeypatch: pytest.MonkeyPatch, backend: str):
    """What is missing is said: the package; or the card, where ONNX Runtime would silently take the processor."""
    graph = inspector.parts.graph
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingExtraError, match=r"amiss\[cuda\]"):
        Graph(graph, ENGINES[backend])
    there = [*(name for name, _ in cuda.PROVIDERS.values()), "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    asked: list[object] = []
    real = cuda.open_session
    monkeypatch.setattr(
        cuda, "open_session", lambda model, cores, providers: (asked.append(providers), real(model, cores))[1]
    )
    with pytest.raises(ArtefactError, match="needs an NVIDIA card"):
        Graph(graph, ENGINES[backend])
    chain = {"cuda": [cuda.PROVIDERS["cuda"]], "tensorrt": [*cuda.PROVIDERS.values()]}[backend]
    assert asked == [[*chain, "CPUExecutionProvider"]]


def test_a_card_that_is_there(inspector: Inspector, monkeypatch: pytest.MonkeyPatch):
    """As far as that can be told without one: a session that says it runs there takes batches under that name."""

    class Session:
        def __init__(self, real: onnxruntime.InferenceSession) -> None:
            self.real = real

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    real = cuda.open_session
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(cuda, "open_session", lambda model, cores, providers: Session(real(model, cores)))
    found = Graph(inspector.parts.graph, ENGINES["cuda"])
    assert (found.program.runtime, found.program.batch) == ("cuda", 16)
    pixels = inspector.parts.golden.pixels
    assert np.array_equal(found.run(pixels).image, inspector.scorer.run(pixels).image)
