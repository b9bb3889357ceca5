"""Templates: traced once for a kind of detector, filled with what each has learned, and never used for another kind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from amiss import list_methods
from amiss.core.card import Learning, LearnsFrom
from amiss.core.images import Images
from amiss.detectors.detector import Detector, TorchScorer
from amiss.export import export_joined, export_onnx
from amiss.features import template
from amiss.features.fill import SMALL
from amiss.features.template import to_onnx_by_template
from amiss.registry import create
from amiss.runtime import Graph
from amiss.testing import toy_texture

SIZE = (48, 64)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where templates are kept."""
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    return tmp_path


def images(count: int, seed: int = 0) -> Images:
    return toy_texture(count, seed=seed).images.resized(SIZE)


def scores_of(graph: bytes) -> np.ndarray:
    return Graph(graph).run(np.stack(list(images(3, seed=9)))).image


def torch_scores(detector: Detector) -> np.ndarray:
    return TorchScorer(detector, SIZE).run(np.stack(list(images(3, seed=9)))).image


def no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "to_onnx", lambda *_, **__: pytest.fail("torch traces"))


@pytest.mark.parametrize("method", ["patchcore", "padim", "mahalanobis", "ensemble"])
def test_another_detector_of_the_kind_is_exported_without_tracing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (create(method, "tiny").fit(images(12, kind), seed=0) for kind in (0, 1))
    first = export_joined(one, SIZE)
    no_tracing(monkeypatch)
    second = export_joined(other, SIZE)
    assert first is not None and second is not None
    assert export_joined(one, SIZE) == first
    np.testing.assert_allclose(scores_of(first), torch_scores(one), rtol=1e-4)
    np.testing.assert_allclose(scores_of(second), torch_scores(other), rtol=1e-4)
    assert not np.allclose(scores_of(first), scores_of(second), rtol=1e-3)


@pytest.mark.parametrize("method", list(list_methods()))
def test_every_method_that_learns_in_one_pass_has_a_template(method: str, tmp_path: Path) -> None:
    """Whether or not it was told where to leave checkpoints; nothing about it is left that only learning needs."""
    detector = create(method, "tiny")
    card = detector.card
    if card.learning is not Learning.ONE_PASS or card.learns_from is not LearnsFrom.NORMAL or not card.exportable:
        pytest.skip("is not exported, needs labels, or takes gradient steps")
    detector.fit(images(8), seed=0, checkpoint=tmp_path / "training")
    assert template._name(detector, [], []) is not None


def test_one_template_for_each_hyper_parameter_size_and_shape(folder: Path) -> None:
    found = set()
    for settings in ({}, {"smoothing": 4.0}, {"bank_size": 90}):
        detector = create("patchcore", "tiny", **settings).fit(images(6), seed=0)
        graph = export_joined(detector, SIZE)
        assert graph is not None
        np.testing.assert_allclose(scores_of(graph), torch_scores(detector), rtol=1e-5)
        templates = set(folder.glob("template-*.onnx"))
        assert len(templates - found) == 1, settings
        found = templates
    assert export_joined(detector, (64, 48)) is not None
    assert len(set(folder.glob("template-*.onnx")) - found) == 1


def test_other_code_makes_another_template(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = create("mvg", "tiny").fit(images(6), seed=0)
    export_joined(detector, SIZE)
    monkeypatch.setattr(template, "_code", lambda: "edited")
    export_joined(detector, SIZE)
    assert len(list(folder.glob("template-*.onnx"))) == 2


def test_a_damaged_template_is_made_again(folder: Path) -> None:
    detector = create("mvg", "tiny").fit(images(6), seed=0)
    first = export_joined(detector, SIZE)
    (file,) = folder.glob("template-*.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"x" + whole[101:])
    assert export_joined(detector, SIZE) == first
    assert file.read_bytes() == whole


def test_the_oldest_go_when_there_are_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "KEPT", 2)
    seen: list[set[str]] = [set()]
    for number in range(4):
        graph_of(Twice(torch.ones(3 + number, 2)))
        seen.append({file.name for file in folder.glob("template-*")})
        assert len(seen[-1]) == min(number + 1, 2) and len(seen[-1] - seen[-2]) == 1
    assert not seen[-1] & seen[1]


def test_a_method_of_ones_own_is_traced_each_time(folder: Path) -> None:
    """Its code may change, and what it imports, without a change here."""
    kind = type("Own", (type(create("mvg")),), {"__module__": "my.code"})
    detector = kind(**create("mvg", "tiny").hyperparameters()).fit(images(6), seed=0)
    np.testing.assert_allclose(scores_of(export_onnx(detector, SIZE)), torch_scores(detector), rtol=1e-5)
    assert not list(folder.glob("template-*"))


class Twice(nn.Module):
    """A part of Amiss, as far as a template can tell."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("unused", torch.zeros(5))

    def forward(self, given: list[Tensor]) -> Tensor:
        return given[0] @ (2 * self.weight + 1).T


class ByItsSign(Twice):
    def forward(self, given: list[Tensor]) -> Tensor:
        return given[0] if bool(self.weight.sum() > 0) else -given[0]


class Normalising(Twice):
    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.layer = nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2))

    def forward(self, given: list[Tensor]) -> Tensor:
        return self.layer(given[0][:, :, None])


for each in (Twice, ByItsSign, Normalising):
    each.__module__ = "amiss.test_template"


def graph_of(module: nn.Module) -> onnx.ModelProto:
    made = to_onnx_by_template(module.eval(), [torch.ones(2, module.weight.shape[-1])], ["x"], ["y"], of=module)
    model = onnx.load_model_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, x: Sequence[Sequence[float]]) -> np.ndarray:
    (found,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": np.array(x, np.float32)})
    return found


def test_what_follows_from_a_small_state_is_computed_once() -> None:
    for number in (1.0, 2.0):
        model = graph_of(Twice(torch.full((3, 2), number)))
        assert [node.op_type for node in model.graph.node] in (["MatMul"], ["Gemm"])
        assert [entry.name for entry in model.graph.input] == ["x"]
        np.testing.assert_array_equal(run(model, [[1, 2]]), np.full((1, 3), 3 * (2 * number + 1)))
        (kept,) = model.graph.initializer
        assert set(numpy_helper.to_array(kept).ravel()) == {2 * number + 1}


def test_of_a_large_state_only_itself_is_kept() -> None:
    model = graph_of(Twice(torch.ones(SMALL // 2 + 1, 2)))
    sizes = [int(np.prod(tensor.dims)) for tensor in model.graph.initializer]
    assert sorted(sizes)[-1] == SMALL + 2 and sum(sizes) < SMALL + 10
    np.testing.assert_array_equal(run(model, [[1, 2]]), np.full((1, SMALL // 2 + 1), 9))


def test_what_branches_on_its_state_is_refused_as_torch_refuses_it() -> None:
    """Taken as a template, it would have the branch of whoever came first."""
    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="data-dependent"):
        graph_of(ByItsSign(torch.ones(1, 2)))


def test_what_normalises_batches_is_traced_with_its_state() -> None:
    """The exporter makes one layer of a convolution and what follows it; the int8 and float16 graphs count on that."""
    model = graph_of(Normalising(torch.ones(1, 2)))
    assert "BatchNormalization" not in [node.op_type for node in model.graph.node]


def test_nowhere_to_keep_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(template, "cache_folder", homeless)
    np.testing.assert_array_equal(run(graph_of(Twice(torch.ones(3, 2))), [[1, 1]]), [[6, 6, 6]])
