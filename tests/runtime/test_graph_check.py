"""A graph is refused before a runtime sees it when it has more than plain tensor operators and what they need."""

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from amiss.core.errors import ArtefactError
from amiss.runtime import Graph
from amiss.runtime.choice import ENGINES
from amiss.runtime.graph_check import OPERATORS, check_graph

SIZE = 8


def number(name, value, kind=np.int64):
    return numpy_helper.from_array(np.asarray(value, kind), name)


def model(nodes, tensors=(), *, domains=("",), **more):
    """A graph from pixels (N, 8, 8, 3) to a map, whose nodes begin at "bright", float32 (N, 8, 8), and end at "map"."""
    begin = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["float", "last"], ["bright"], keepdims=0),
    ]
    graph = helper.make_graph(
        [*begin, *nodes],
        "test",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", SIZE, SIZE])],
        [number("last", [3]), *tensors],
    )
    opsets = [helper.make_opsetid(domain, 18) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **more)


def plain():
    return model([helper.make_node("Mul", ["bright", "two"], ["map"])], [number("two", [2.0], np.float32)])


def branch(name):
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", ["bright"], [name])], name, [], [output])


def endless():
    keep = helper.make_tensor_value_info("keep", TensorProto.BOOL, [])
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    output = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["keep"], ["again"])], "body", [step, keep], [output])
    nodes = [helper.make_node("Loop", ["often", "true"], [], body=body), helper.make_node("Abs", ["bright"], ["map"])]
    return model(nodes, [number("often", 2**62), number("true", True, bool)])


def both_ways():
    node = helper.make_node("If", ["true"], ["map"], then_branch=branch("a"), else_branch=branch("b"))
    return model([node], [number("true", True, bool)])


def with_function():
    body = helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("Abs", ["x"], ["y"])], plain().opset_import)
    node = helper.make_node("F", ["bright"], ["map"], domain="own")
    return model([node], domains=("", "own"), functions=[body])


def from_a_file():
    found = plain()
    weight = found.graph.initializer[1]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret.bin")
    return found


def from_nowhere():
    found = from_a_file()
    found.graph.initializer[1].ClearField("external_data")
    return found


def sparse():
    found = plain()
    values, places = number("w", [1.0], np.float32), number("w_places", [0])
    found.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [10]))
    return found


def texts():
    found = plain()
    found.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], ["a"]))
    return found


def of_size(dims, *, data=None, count=1):
    found = plain()
    weight = found.graph.initializer[1]
    weight.ClearField("dims")
    weight.dims.extend(dims)
    if data is not None:
        weight.ClearField("raw_data")
        getattr(weight, data).extend([1] * count)
    return found


def convolution(**attributes):
    nodes = [
        helper.make_node("Unsqueeze", ["bright", "one"], ["image"]),
        helper.make_node("Conv", ["image", "kernel"], ["wide"], **attributes),
        helper.make_node("Squeeze", ["wide", "one"], ["map"]),
    ]
    return model(nodes, [number("one", [1]), number("kernel", np.ones((1, 1, 3, 3)), np.float32)])


def wide(**attributes):
    return convolution(**{"pads": [1, 1, 1, 1], **attributes})


def declared(*sides):
    found = plain()
    found.graph.value_info.append(helper.make_tensor_value_info("bright", TensorProto.FLOAT, sides))
    return found


def twice():
    found = plain()
    found.graph.initializer.append(found.graph.initializer[1])
    return found


def operator(kind, domain=""):
    return model([helper.make_node(kind, ["bright"], ["map"], domain=domain)], domains=tuple({"", domain}))


REFUSED = {
    "loop": endless,
    "if": both_ways,
    "function": with_function,
    "tensor in another file": from_a_file,
    "tensor in no file": from_nowhere,
    "sparse tensor": sparse,
    "text": texts,
    "random numbers": lambda: operator("RandomNormalLike"),
    "unknown operator": lambda: operator("Frobnicate"),
    "operator of another domain": lambda: operator("Gelu", "com.microsoft"),
    "8 GiB in 4 bytes": lambda: of_size([2**31]),
    "two numbers in the space of one": lambda: of_size([2]),
    "sides that overflow to the right number": lambda: of_size([2**32, 2**32, 1]),
    "a side below 0": lambda: of_size([-1]),
    "many sides": lambda: of_size([1] * 17),
    "more packed numbers than declared": lambda: of_size([2], data="float_data", count=3),
    "packed numbers of another type": lambda: of_size([2], data="int64_data", count=2),
    "stride 0": lambda: wide(strides=[0, 1]),
    "dilation below 0": lambda: wide(dilations=[-1, 1]),
    "group 0": lambda: wide(group=0),
    "padding without end": lambda: wide(pads=[2**40, 1, 1, 1]),
    "padding below 0": lambda: wide(pads=[-3, 1, 1, 1]),
    "kernel of 2^62": lambda: wide(kernel_shape=[2**62, 3]),
    "declared shape": lambda: declared(2**20, 2**20),
    "the same name twice": twice,
}


def data(kind):
    return REFUSED[kind]().SerializeToString()


@pytest.mark.parametrize("build", [plain, wide, lambda: of_size([8], data="float_data", count=8)])
def test_a_plain_graph_is_accepted_and_runs(build):
    found = Graph(build().SerializeToString())
    assert found.run(np.ones((2, SIZE, SIZE, 3), np.uint8)).map.shape == (2, SIZE, SIZE)


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.float32(3).tobytes())
    with pytest.raises(ArtefactError, match="the graph"):
        check_graph(data(kind))
    with pytest.raises(ArtefactError):
        Graph(data(kind))


@pytest.mark.parametrize("kind", ["loop", "tensor in another file", "8 GiB in 4 bytes"])
def test_no_runtime_sees_what_is_refused(kind):
    def spy(model, cores):
        raise AssertionError("a runtime was given the graph")

    with pytest.raises(ArtefactError):
        Graph(data(kind), spy)
    with pytest.raises(AssertionError):  # the spy would tell
        Graph(plain().SerializeToString(), spy)


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_graph_that_takes_too_long_is_stopped(runtime, monkeypatch):
    """Not one product of 150, each of 2 x 10^9 multiplications, is known before the image is."""
    pytest.importorskip(runtime)
    for module in ("graph", "openvino"):
        monkeypatch.setattr(f"amiss.runtime.{module}.PATIENCE", 0.2)
    names = [f"product {number}" for number in range(150)]
    nodes = [
        helper.make_node("ReduceMax", ["bright"], ["peak"], keepdims=0),
        helper.make_node("Expand", ["peak", "sides"], ["start"]),
        *(
            helper.make_node("MatMul", [before, "start"], [name])
            for before, name in zip(["start", *names[:-1]], names, strict=True)
        ),
        helper.make_node("ReduceMax", [names[-1]], ["last peak"], keepdims=0),
        helper.make_node("Add", ["bright", "last peak"], ["map"]),
    ]
    slow = model(nodes, [number("sides", [1280, 1280])])
    begin = time.monotonic()
    with pytest.raises(ArtefactError, match=r"cannot run the graph: it takes more than 0\.2 s"):
        Graph(slow.SerializeToString(), ENGINES[runtime]).run(np.ones((1, SIZE, SIZE, 3), np.uint8))
    assert time.monotonic() - begin < 5


def test_messages_say_what_is_wrong():
    for kind, words in {
        "loop": "node 5|attribute|Loop",
        "unknown operator": "must not have the operator '' Frobnicate",
        "tensor in another file": "a field that no graph of Amiss has: tensor 13",
        "8 GiB in 4 bytes": "must hold 2147483648 numbers, got 1",
        "stride 0": "strides of Conv in the graph must be 1 to 1048576, got 0 to 1",
    }.items():
        with pytest.raises(ArtefactError, match=words):
            check_graph(data(kind))


def test_every_cut_and_every_flipped_bit_is_a_typed_error_or_a_graph():
    whole = wide().SerializeToString()
    for length in range(len(whole)):
        with pytest.raises(ArtefactError):
            check_graph(whole[:length])
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            try:
                check_graph(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            except ArtefactError:
                refused += 1
    assert refused > len(whole)


def test_what_is_merged_by_runtimes_is_refused():
    """Of a message that is there twice a runtime takes some fields from each; a check of either would be of neither."""
    found = plain()
    for tail in (found.SerializeToString(), b"\x08\x09"):
        with pytest.raises(ArtefactError, match=r"model\.\w+ twice"):
            check_graph(found.SerializeToString() + tail)


def test_a_file_of_many_empty_things_is_refused_early():
    found = plain().SerializeToString()
    nodes = b"\x0a\x00" * 1_000_000
    graph = b"\x3a" + bytes([len(nodes) & 127 | 128, len(nodes) >> 7 & 127 | 128, len(nodes) >> 14]) + nodes
    with pytest.raises(ArtefactError, match="fields"):
        check_graph(b"\x08\x09" + graph)
    assert onnx.load_model_from_string(found)


def test_more_memory_than_the_machine_has_is_a_typed_error():
    nodes = [
        helper.make_node("ReduceMax", ["bright"], ["peak"], keepdims=0),
        helper.make_node("Expand", ["peak", "sides"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["again"], keepdims=0),
        helper.make_node("Add", ["bright", "again"], ["map"]),
    ]
    found = Graph(model(nodes, [number("sides", [2**20, 2**20])]).SerializeToString())
    with pytest.raises(ArtefactError, match="ONNX Runtime cannot run the graph"):
        found.run(np.ones((1, SIZE, SIZE, 3), np.uint8))


def test_scores_that_are_none_are_a_typed_error():
    zero = model([helper.make_node("Div", ["bright", "zero"], ["map"])], [number("zero", [0.0], np.float32)])
    with pytest.raises(ArtefactError, match="other things than scores"):
        Graph(zero.SerializeToString()).run(np.zeros((1, SIZE, SIZE, 3), np.uint8))
    one = model([helper.make_node("ReduceMax", ["bright", "first"], ["map"])], [number("first", [0])])
    with pytest.raises(ArtefactError, match="must give 2 scores, got 1"):
        Graph(one.SerializeToString()).run(np.zeros((2, SIZE, SIZE, 3), np.uint8))


def test_every_operator_is_one_of_onnx_without_subgraphs_and_random_numbers():
    """Against the schemas of the package `onnx`, which knows them all."""
    kinds = onnx.defs.OpSchema.AttrType
    for name in OPERATORS:
        schema = onnx.defs.get_schema(name)
        assert not schema.deprecated and schema.domain == ""
        assert all(each.type not in (kinds.GRAPH, kinds.GRAPHS) for each in schema.attributes.values()), name
        assert "seed" not in schema.attributes and not {"Sequence", "String", "Optional"} & set(name.split()), name


def test_a_graph_that_is_accepted_here_and_refused_by_the_runtime_is_a_typed_error():
    lost = model([helper.make_node("Add", ["bright", "nowhere"], ["map"])])
    with pytest.raises(ArtefactError, match="ONNX Runtime cannot load the graph"):
        Graph(lost.SerializeToString())
