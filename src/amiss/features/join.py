"""One graph out of two: a frozen network's, which is kept, and that of what a method makes of its features."""

from __future__ import annotations

from typing import Any

from amiss.core.images import Size
from amiss.features.on_runtime import ENTRY

PREFIX = "network/"
"""Before every name of the network's graph, so that none is the same as one of the head."""


def join(network: bytes, head: bytes, entry: str, size: Size) -> bytes:
    """From the pixels of a file through the network and the head: one graph, for any number of images at a time.

    Args:
        network: As `amiss.features.on_runtime.network_graph` makes it.
        head: Its inputs are the network's input and outputs, their names with `PREFIX`.
        entry: Name of the new graph's input, uint8 (N, H, W, 3).
        size: H and W.
    """
    from onnx import TensorProto, compose, helper, load_model_from_string

    first, joined = load_model_from_string(network), load_model_from_string(head)
    compose.add_prefix_graph(first.graph, PREFIX, inplace=True)
    graph, rest = joined.graph, list(joined.graph.node)
    pixels = helper.make_tensor_value_info(entry, TensorProto.UINT8, ["images", *size, 3])
    for field in ("node", "input"):
        graph.ClearField(field)
    graph.input.append(pixels)
    graph.node.extend([*_to_batch(entry, PREFIX + ENTRY), *first.graph.node, *rest])
    graph.initializer.extend(first.graph.initializer)
    graph.value_info.extend(first.graph.value_info)
    joined.functions.extend(first.functions)
    known = {each.domain for each in joined.opset_import}
    joined.opset_import.extend(each for each in first.opset_import if each.domain not in known)
    return bytes(joined.SerializeToString())


def _to_batch(entry: str, result: str) -> list[Any]:
    """Nodes that do what `amiss.features.batch.to_batch` does."""
    from onnx import TensorProto, helper

    full = helper.make_tensor("full", TensorProto.FLOAT, [], [255.0])
    return [
        helper.make_node("Transpose", [entry], ["pixels/turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels/turned"], ["pixels/float"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["pixels/full"], value=full),
        helper.make_node("Div", ["pixels/float", "pixels/full"], [result]),
    ]
