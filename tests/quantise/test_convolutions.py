"""Which nodes become int8, and that the graph still says the same."""

import collections
import sys

import numpy as np
import pytest

from amiss.core.errors import InputError, MissingExtraError
from amiss.export import export_onnx
from amiss.quantise import quantise_convolutions
from amiss.quantise.convolutions import _choose
from amiss.registry import create
from amiss.runtime import Graph
from amiss.testing import toy_part

onnx = pytest.importorskip("onnx", reason="brought by amiss[fit]")
SIZE = (64, 64)


@pytest.fixture(scope="module")
def parts():
    return toy_part(24, seed=0).images


@pytest.fixture(scope="module")
def model(parts):
    return export_onnx(create("patchcore", "tiny").fit(parts), SIZE)


def kinds(model):
    """Element types of the weights of all convolutions, and all node types."""
    graph = onnx.load_model_from_string(model).graph
    made = {result: node for node in graph.node for result in node.output}
    weights = [made.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    return [None if one is None else one.op_type for one in weights], collections.Counter(n.op_type for n in graph.node)


def test_all_convolutions_but_the_first_are_int8_and_nothing_else(model, parts):
    before, after = kinds(model), kinds(quantise_convolutions(model, parts))
    assert after[0] == [None] + ["DequantizeLinear"] * (len(before[0]) - 1) and len(before[0]) > 1
    for kind in ("MatMul", "ArgMax", "Sqrt", "Sub"):
        assert after[1][kind] == before[1][kind]


def test_the_int8_graph_says_nearly_the_same(model, parts):
    images = np.stack([*toy_part(5, seed=1).images, *toy_part(5, seed=2, defective=True).images])
    ranges = [*parts, *toy_part(10, seed=3, defective=True).images]
    wanted, found = Graph(model).run(images), Graph(quantise_convolutions(model, ranges)).run(images)
    assert 0 < np.abs(found.map - wanted.map).max() < 0.05 * wanted.image.max()
    assert np.corrcoef(found.map.ravel(), wanted.map.ravel())[0, 1] > 0.99


def test_ranges_cut_off_what_no_image_of_theirs_has_shown(model, parts):
    """Why `amiss.quantise.quantise` draws defects into images before it takes ranges from them."""
    images = np.stack(list(toy_part(5, seed=2, defective=True).images))
    wanted, found = Graph(model).run(images), Graph(quantise_convolutions(model, parts)).run(images)
    assert (found.image < 0.9 * wanted.image).all()
    grey = Graph(quantise_convolutions(model, [np.full((64, 64, 3), 128, np.uint8)])).run(images)
    assert np.ptp(grey.image) < 0.1 * np.ptp(wanted.image)


def test_the_same_images_give_the_same_graph(model, parts):
    assert quantise_convolutions(model, parts) == quantise_convolutions(model, parts)


def node(kind, entry, result, more=()):
    return onnx.helper.make_node(kind, [entry, *more], [result], name=result)


def test_what_follows_the_statistic_and_what_sees_the_image_stays():
    nodes = [
        node("Cast", "pixels", "x"),
        node("Conv", "x", "first", ["w"]),
        node("Relu", "first", "relu 1"),
        node("MaxPool", "relu 1", "pool"),
        node("Conv", "pool", "second", ["w"]),
        node("Clip", "second", "clip 2"),
        node("Conv", "clip 2", "third", ["w"]),
        node("Sigmoid", "third", "sigmoid"),
        node("MatMul", "sigmoid", "distance", ["bank"]),
        node("Conv", "distance", "blur", ["w"]),
        node("Relu", "blur", "relu 3"),
        node("Conv", "x", "other network", ["w"]),
        node("Conv", "other network", "its second", ["w"]),
    ]
    assert _choose(nodes) == ["pool", "second", "clip 2", "third", "its second"]
    assert _choose(nodes[:4]) == []


def test_a_graph_with_one_convolution_is_refused():
    helper, types = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pixels"], ["map"], to=types.FLOAT)],
        "none",
        [helper.make_tensor_value_info("pixels", types.UINT8, ["n", 8, 8, 3])],
        [helper.make_tensor_value_info("map", types.FLOAT, ["n", 8, 8, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(InputError, match="no convolution after its first"):
        quantise_convolutions(model.SerializeToString(), [])


def test_without_onnx_the_extra_is_named(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"quantising needs onnx; pip install 'amiss\[fit\]'"):
        quantise_convolutions(model, [])
