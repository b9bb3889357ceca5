"""Which nodes become float16, that the graph still says the same, and that it becomes an inspector of its own."""

import numpy as np
import pytest

import amiss
from amiss.core.errors import InputError
from amiss.export import export_onnx
from amiss.inspector import Inspector
from amiss.quantise import halve_network, quantise
from amiss.quantise.run import TOLERANCES
from amiss.registry import create
from amiss.runtime import Graph
from amiss.runtime.graph_check import check_graph
from amiss.testing import toy_part

onnx = pytest.importorskip("onnx", reason="brought by amiss[fit]")
SIZE = (64, 64)


@pytest.fixture(scope="module")
def parts():
    return toy_part(30, seed=0).images


@pytest.fixture(scope="module", params=["patchcore", "ensemble", "efficient_ad", "autoencoder"])
def model(request, parts):
    return export_onnx(create(request.param, "tiny").fit(parts), SIZE)


def test_every_convolution_is_in_float16_and_the_statistic_is_not(model):
    graph = onnx.load_model_from_string(halve_network(model))
    onnx.checker.check_model(graph, full_check=True)
    check_graph(graph.SerializeToString())
    inferred = onnx.shape_inference.infer_shapes(graph).graph
    kinds = {one.name: one.type.tensor_type.elem_type for one in [*inferred.value_info, *inferred.output]}
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    made = {node.op_type: kinds[node.output[0]] for node in inferred.node if kinds[node.output[0]] in (half, single)}
    convolved = {kinds[node.output[0]] for node in inferred.node if node.op_type == "Conv"}
    assert convolved == {half}
    for kind in {"MatMul", "Sqrt", "Pow", "ReduceSum"} & set(made):
        assert all(kinds[node.output[0]] == single for node in inferred.node if node.op_type == kind)
    assert {one.type.tensor_type.elem_type for one in graph.graph.output} == {single}


def test_scores_are_nearly_those_in_float32_and_the_graph_is_smaller(model):
    images = np.stack([*toy_part(5, seed=1).images, *toy_part(5, seed=2, defective=True).images])
    halved = halve_network(model)
    wanted, found = Graph(model).run(images), Graph(halved).run(images)
    assert 0 < np.abs(found.map - wanted.map).max() < TOLERANCES["float16"] * wanted.image.max()
    assert len(halved) < len(model)


def test_a_weight_beyond_its_range_and_a_graph_without_a_network_are_refused(parts):
    graph = onnx.load_model_from_string(export_onnx(create("patchcore", "tiny").fit(parts), SIZE))
    entry = next(node.input[1] for node in graph.graph.node if node.op_type == "Conv")
    for one in graph.graph.initializer:
        if one.name == entry:
            weight = onnx.numpy_helper.to_array(one).copy()
            weight.flat[0] = 1e5
            one.CopyFrom(onnx.numpy_helper.from_array(weight, entry))
    with pytest.raises(InputError, match="65504"):
        halve_network(graph.SerializeToString())
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    for node in convolutions:
        graph.graph.node.remove(node)
    with pytest.raises(InputError, match="no convolution"):
        halve_network(graph.SerializeToString())


def test_an_inspector_in_float16(parts, tmp_path):
    """Calibrated on its own scores, needing only the images that calibrated it, saved, loaded and checked."""
    before = amiss.fit(parts, method="patchcore", preset="tiny", size=64, calibration=0.7)
    after, price = quantise(before, parts, precision="float16")
    note = after.record.quantised
    assert (note.precision, note.ranges_from, note.fingerprint) == ("float16", 0, before.fingerprint)
    assert after.rule.threshold != before.rule.threshold and after.rule.n == before.rule.n
    assert after.rule.threshold == pytest.approx(before.rule.threshold, rel=TOLERANCES["float16"])
    assert price.precision == "float16" and abs(price.auroc.difference) < 0.005
    assert price.summary()["good"].keys() == {"n", "changed", "float32", "float16"}
    assert "The network runs in float16; made from the float32 model" in after.statement()
    after.save(tmp_path / "half.amiss")
    again = Inspector.load(tmp_path / "half.amiss")
    assert again.record.tolerance == TOLERANCES["float16"] and again.fingerprint == after.fingerprint
    with pytest.raises(InputError, match="in float16 already"):
        quantise(again, parts)


def test_another_precision_is_refused(parts):
    before = amiss.fit(parts, method="patchcore", preset="tiny", size=64, calibration=0.7)
    with pytest.raises(InputError, match="precision must be one of float16, int8, got 'int4'"):
        quantise(before, parts, precision="int4")
