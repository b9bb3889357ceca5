"""What lies in the graph is not written twice, and comes back byte for byte."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load, save

import amiss
from amiss.core.errors import TamperedArtefactError
from amiss.fitting import fit_inspector
from amiss.registry import create
from amiss.tensors import pack_state, unpack_state
from amiss.testing import toy_part


def graph_with(**arrays: np.ndarray) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    made = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value], tensors)
    return onnx.helper.make_model(made).SerializeToString()


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "bank": rng.normal(size=(40, 30)).astype(np.float32),
        "field": rng.normal(size=(2, 20, 40)).astype(np.float32),
        "own": rng.normal(size=(40, 30)).astype(np.float32),
        "small": np.float32([1, 2]),
        "count": np.int64(7) * np.ones((), np.int64),
        "whole": np.arange(2000, dtype=np.int64),
    }


def test_only_what_the_graph_lacks_is_written(state: dict[str, np.ndarray]) -> None:
    graph = graph_with(a=state["bank"], b=state["field"].reshape(40, 40), c=state["small"], d=state["whole"])
    data = pack_state(state, graph)
    assert set(load(data)) == {"own", "small", "count", "whole"}
    found = unpack_state("weights", data, graph)
    assert set(found) == set(state)
    for name, array in state.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        found[name][...] = 0  # it may be written to


def test_without_a_graph_all_of_it_is_written(state: dict[str, np.ndarray]) -> None:
    data = pack_state(state, None)
    assert set(load(data)) == set(state)
    assert all((array == state[name]).all() for name, array in unpack_state("weights", data, None).items())


@pytest.mark.parametrize(
    "entry",
    [
        {"tensor": "no such", "shape": [40, 30]},
        {"tensor": "a", "shape": [40, 31]},
        {"tensor": "a", "shape": [-40, -30]},
        {"tensor": "a", "shape": "many"},
        {"tensor": "a"},
        {"tensor": ["a"], "shape": [40, 30]},
        7,
    ],
)
def test_weights_beside_another_graph_are_refused(state: dict[str, np.ndarray], entry: object) -> None:
    data = save({"small": state["small"]}, {"in the graph": json.dumps({"bank": entry})})
    with pytest.raises(TamperedArtefactError, match="does not go with the graph"):
        unpack_state("weights", data, graph_with(a=state["bank"]))
    with pytest.raises(TamperedArtefactError, match="does not go with the graph"):
        unpack_state("weights", data, None)


@pytest.mark.parametrize("words", ["[", "[1]", "7", "[" * 100_000])
def test_damaged_words_are_refused(words: str) -> None:
    with pytest.raises(TamperedArtefactError):
        unpack_state("weights", save({"x": np.ones(1)}, {"in the graph": words}), graph_with(a=np.ones(2000)))


def fitted(method: str, **settings: object) -> amiss.Inspector:
    recipe = amiss.Recipe(method=method, preset="tiny", size=64, settings=settings)
    return fit_inspector(toy_part(30, seed=0).images, recipe)


def test_a_model_has_its_field_once() -> None:
    inspector = fitted("padim")
    field = 4 * sum(strip.numel() for strip in inspector.detector().gaussians.strips)
    assert len(inspector.parts.weights) < field < len(inspector.parts.graph or b"")


def test_what_an_ensemble_leaves_out_is_not_carried() -> None:
    members = [{"method": "padim", "preset": "tiny"}, {"method": "patchcore", "preset": "tiny"}]
    images = toy_part(12, seed=0).images.resized((64, 64))
    one, both = (create("ensemble", members=members, stretch=stretch).fit(images) for stretch in (1.0001, 1e9))
    assert both.kept == (0, 1) and len(one.kept) == 1
    left = one.detectors[1 - one.kept[0]]
    assert sum(tensor.numel() for name, tensor in left.named_buffers() if "features" not in name) < 200
    again = create("ensemble", **one.hyperparameters()).load_state(one.state_dict())
    assert (again.score(images).map == one.score(images).map).all()
