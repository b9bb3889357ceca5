"""Features on ONNX Runtime: the same as torch's, used where they can be, and left behind by nobody."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.features import FeatureExtractor, on_runtime
from amiss.features.to_onnx import to_onnx
from amiss.registry import create
from amiss.storage import write_entry
from amiss.testing import toy_texture


def random_images(count: int, size: tuple[int, int] = (64, 64)) -> Images:
    return toy_texture(count, seed=0).images.resized(size)


@pytest.mark.parametrize(("name", "strides"), [("tiny-random", (4, 8)), ("efficientnet-lite0", (8, 16))])
def test_features_equal_those_of_torch(name: str, strides: tuple[int, ...]) -> None:
    extractor, images = FeatureExtractor(name, strides), random_images(on_runtime.WORTH, (63, 97))
    batch = to_batch(torch.from_numpy(np.stack([images[index] for index in range(3)])))
    wanted = extractor(batch)
    with on_runtime.on_runtime(extractor, images):
        assert extractor.run is not None and extractor.run.takes(batch)
        found, single = extractor(batch), extractor(batch[:1])
        other = extractor(batch[:, :, :32, :32])  # another size goes through torch
        differentiable = extractor(batch.clone().requires_grad_())
    assert extractor.run is None
    for stage, alone, truth in zip(found, single, wanted, strict=True):
        np.testing.assert_allclose(stage, truth, atol=1e-4 * float(truth.abs().max()))
        np.testing.assert_allclose(alone, truth[:1], atol=1e-4 * float(truth.abs().max()))
    assert differentiable[0].requires_grad and other[0].shape[2:] == (32 // strides[0],) * 2


@pytest.mark.slow
def test_an_exported_network_is_kept_and_a_damaged_one_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    exported, images = [], random_images(on_runtime.WORTH, (48, 80))

    def export(*args):
        exported.append(1)
        return to_onnx(*args)

    monkeypatch.setattr(on_runtime, "to_onnx", export)

    def use() -> np.ndarray:
        on_runtime._prepare.cache_clear()  # as in another process
        extractor = FeatureExtractor("tiny-random", (4,))
        with on_runtime.on_runtime(extractor, images):
            batch = to_batch(torch.from_numpy(images[0][None]))
            assert extractor.run is not None and extractor.run.takes(batch)
            return extractor(batch)[0].numpy()

    first = use()
    (file,) = tmp_path.glob("features-*.onnx")
    np.testing.assert_array_equal(use(), first)
    assert len(exported) == 1
    file.write_bytes(file.read_bytes()[:1000])
    np.testing.assert_array_equal(use(), first)
    assert len(exported) == 2
    whole = file.read_bytes()
    for place in (len(whole) // 2, len(whole) - 1):  # in a weight, too little for torch to notice, and in the hash
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        np.testing.assert_array_equal(use(), first)
        assert file.read_bytes() == whole
    assert len(exported) == 4
    brighter = to_onnx(Brighter("tiny-random", (4,)), torch.zeros(2, 3, 48, 80), ["batch"], ["stage_4"])
    extractor = FeatureExtractor("tiny-random", (4,))
    write_entry(file, brighter, on_runtime._name(on_runtime._Key(extractor), (48, 80)))
    np.testing.assert_array_equal(use(), first)
    assert len(exported) == 5
    monkeypatch.setenv("AMISS_CACHE", str(file))  # a file where a folder should be
    np.testing.assert_array_equal(use(), first)


def test_what_is_let_go_runs_in_torch_and_holds_no_graph() -> None:
    extractor, images = FeatureExtractor("tiny-random", (4,)), random_images(on_runtime.WORTH, (48, 80))
    batch = to_batch(torch.from_numpy(np.stack([images[0], images[1]])))
    wanted = extractor(batch)[0]
    with on_runtime.on_runtime(extractor, images):
        session = weakref.ref(extractor.run.graph)
        on_runtime.let_go(extractor)
        assert session() is None
        assert torch.equal(extractor(batch)[0], wanted)


class Brighter(FeatureExtractor):
    """Its graph is of another network than what torch runs."""

    def forward(self, batch: torch.Tensor) -> list[torch.Tensor]:
        return [1.01 * one if torch.compiler.is_exporting() else one for one in super().forward(batch)]

    def key(self) -> str:
        return f"brighter {super().key()}"


def test_few_images_are_not_worth_it_unless_the_graph_is_needed_in_any_case() -> None:
    extractor, few = FeatureExtractor("tiny-random", (4,)), random_images(on_runtime.WORTH - 1)
    with on_runtime.on_runtime(extractor, few):
        assert extractor.run is None
    with on_runtime.on_runtime(extractor, few, worth=1):
        assert extractor.run is not None and extractor.run.takes(torch.zeros(1, 3, 64, 64))


def test_a_graph_that_gives_other_features_is_not_used() -> None:
    extractor, batch = Brighter("tiny-random", (4,)), torch.rand(1, 3, 64, 64)
    with on_runtime.on_runtime(extractor, random_images(on_runtime.WORTH)):
        assert extractor.run is not None and not extractor.run.takes(batch)
        assert torch.equal(extractor(batch)[0], FeatureExtractor("tiny-random", (4,))(batch)[0])


def test_no_graph_is_made_for_images_that_the_network_never_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_runtime, "to_onnx", lambda *_: pytest.fail("a graph is made"))
    extractor = FeatureExtractor("tiny-random", (4,))
    with on_runtime.on_runtime(extractor, random_images(on_runtime.WORTH, (72, 72))):
        assert extractor(torch.zeros(1, 3, 32, 32))[0].shape[2:] == (8, 8)


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "fastflow"])
def test_a_detector_learns_the_same(method: str) -> None:
    images, test = random_images(on_runtime.WORTH), toy_texture(4, seed=1, defective=True).images
    fast = create(method, "tiny").fit(images).score(test)
    in_torch = create(method, "tiny")
    in_torch.worth = len(images) + 1
    slow = in_torch.fit(images).score(test)
    np.testing.assert_allclose(fast.image, slow.image, rtol=2e-3)
