"""Every runtime gives the same scores, with the threads it may use, again and again without growing."""

import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import amiss
from amiss.artefact import Golden
from amiss.core.errors import ArtefactError, InputError, MissingExtraError, ParityError
from amiss.inspector import Inspector
from amiss.runtime import Graph, installed, openvino
from amiss.runtime.choice import ENGINES
from amiss.testing import toy_texture

needs_openvino = pytest.mark.skipif("openvino" not in installed(), reason="OpenVINO comes with amiss[openvino]")
every_runtime = pytest.mark.parametrize(
    "engine", [pytest.param(ENGINES["onnxruntime"]), pytest.param(ENGINES["openvino"], marks=needs_openvino)]
)


@pytest.fixture(scope="module")
def images():
    defects = toy_texture(3, seed=2, defective=True).images
    return np.stack([*toy_texture(3, seed=1).images.resized((64, 64)), *defects.resized((64, 64))])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "line.amiss"
    amiss.fit(toy_texture(20, seed=0).images, preset="tiny", size=64).save(path)
    return path


@needs_openvino
def test_openvino_scores_as_onnx_runtime_does(model, images):
    wanted, found = Graph(model).run(images), Graph(model, ENGINES["openvino"]).run(images)
    np.testing.assert_allclose(found.map, wanted.map, rtol=1e-5, atol=1e-5 * wanted.image.max())
    assert found.map.dtype == np.float32


@every_runtime
def test_an_image_scores_the_same_alone_in_a_batch_and_however_it_lies_in_memory(model, images, engine):
    graph = Graph(model, engine)
    together = graph.run(images)
    frozen = np.asfortranarray(images)
    frozen.flags.writeable = False
    np.testing.assert_allclose(graph.run(frozen).map, together.map, rtol=1e-5, atol=1e-5)
    for index, image in enumerate(images):
        np.testing.assert_allclose(graph.run(image[None]).map[0], together.map[index], rtol=1e-5, atol=1e-5)


@every_runtime
def test_an_answer_is_not_overwritten_by_the_next(model, images, engine):
    graph = Graph(model, engine)
    first = graph.run(images[:1])
    kept = first.map.copy()
    graph.run(images[5:])
    np.testing.assert_array_equal(first.map, kept)


@every_runtime
@pytest.mark.parametrize("count", [1, 2])
def test_threads_are_capped(monkeypatch, model, engine, count):
    monkeypatch.setenv("AMISS_THREADS", str(count))
    assert Graph(model, engine).program.threads == count


@every_runtime
def test_several_threads_may_share_a_graph(model, images, engine):
    graph = Graph(model, engine)
    wanted = [graph.run(image[None]).map for image in images]
    wrong = []

    def work(index):
        for _ in range(10):
            if not np.allclose(graph.run(images[index][None]).map, wanted[index], rtol=1e-5, atol=1e-5):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(images))]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert wrong == []


def resident_megabytes():
    words = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1024


@every_runtime
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_sixteen_loads_and_runs_in_a_row_leak_nothing(model, images, engine):
    def once():
        Graph(model, engine).run(images)

    for _ in range(4):
        once()
    before = resident_megabytes()
    for _ in range(16):
        once()
    assert resident_megabytes() - before < 10  # sixteen graphs that stay are 25


@every_runtime
def test_bytes_that_are_no_graph_are_refused(model, engine):
    for data in (b"", b"garbage", bytes(1000), model[: len(model) // 2]):
        with pytest.raises(ArtefactError, match="the graph"):
            Graph(data, engine)


@every_runtime
@pytest.mark.parametrize("fault", ["float", "four channels", "three sides", "any size", "other name"])
def test_a_graph_of_somebody_else_is_refused(engine, fault):
    onnx = pytest.importorskip("onnx", reason="brought by amiss[fit]")
    helper, types = onnx.helper, onnx.TensorProto
    shapes = {"four channels": ["n", 8, 8, 4], "three sides": ["n", 8, 8], "any size": ["n", "h", "w", 3]}
    shape, name = shapes.get(fault, ["n", 8, 8, 3]), "score" if fault == "other name" else "map"
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pixels"], [name], to=types.FLOAT)],
        "other",
        [helper.make_tensor_value_info("pixels", types.FLOAT if fault == "float" else types.UINT8, shape)],
        [helper.make_tensor_value_info(name, types.FLOAT, shape)],
    )
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(ArtefactError, match=r"not a graph of Amiss"):
        Graph(other.SerializeToString(), engine)


@every_runtime
def test_weights_outside_the_graph_are_refused(tmp_path, monkeypatch, engine):
    onnx = pytest.importorskip("onnx", reason="brought by amiss[fit]")
    helper, types = onnx.helper, onnx.TensorProto
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    weight = types(name="w", data_type=types.FLOAT, dims=[1], data_location=types.EXTERNAL)
    weight.external_data.add(key="location", value="secret.bin")
    shape = ["n", 8, 8, 3]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=types.FLOAT),
        helper.make_node("Add", ["x", "w"], ["image"]),
    ]
    entry = helper.make_tensor_value_info("pixels", types.UINT8, shape)
    result = helper.make_tensor_value_info("image", types.FLOAT, shape)
    graph = helper.make_graph(nodes, "outside", [entry], [result], [weight])
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtefactError, match="no graph of Amiss has: tensor 1"):
        Graph(other.SerializeToString(), engine)


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(monkeypatch, saved):
    openvino._core.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amiss\[openvino\]'"):
        Inspector.load(saved, backend="openvino")
    openvino._core.cache_clear()


def test_an_unknown_backend_is_refused_with_a_hint(saved):
    with pytest.raises(InputError, match=r"backend must be one of .*, got 'openvno'\. Did you mean 'openvino'"):
        Inspector.load(saved, backend="openvno")


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("openvino", marks=needs_openvino), "auto"])
def test_the_golden_images_are_checked_on_the_backend_that_was_asked_for(saved, backend, monkeypatch, tmp_path, images):
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    inspector = Inspector.load(saved, backend=backend)
    assert backend in (inspector.scorer.program.runtime, "auto")
    wanted = [verdict.label for verdict in Inspector.load(saved).inspect(list(images))]
    assert [verdict.label for verdict in inspector.inspect(list(images))] == wanted
    assert set(map(str, wanted)) == {"good", "anomalous"}
    wrong = Inspector.load(saved)
    golden = Golden(moved(wrong.parts.golden.data))
    replace(wrong, parts=replace(wrong.parts, golden=golden)).save(tmp_path / "wrong.amiss")
    with pytest.raises(ParityError, match="golden images score up to"):
        Inspector.load(tmp_path / "wrong.amiss", backend=backend)


def moved(golden):
    from safetensors.numpy import load, save

    arrays = load(golden)
    arrays["map"] = arrays["map"] + np.float32(0.01) * arrays["map"].max()
    return save(arrays)
