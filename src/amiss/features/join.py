"""One graph out of several: frozen networks', which are kept, and that of what a method makes of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amiss.core.images import Size
from amiss.features.on_runtime import ENTRY

PREFIX = "network"
"""Begins every name of a network's graph, see `named`, so that none is the same as one of the head."""


def named(number: int, name: str) -> str:
    """A name of the graph of the network with this number, in the joined graph.

    Example:
        >>> named(0, "stage_8")
        'network0/stage_8'
    """
    return f"{PREFIX}{number}/{name}"


def join(networks: Sequence[bytes], head: bytes, entry: str, size: Size) -> bytes:
    """From the pixels of a file through the networks and the head: one graph, for any number of images at a time.

    Args:
        networks: As `amiss.features.on_runtime.network_graph` makes them.
        head: Its inputs are the first network's input and the outputs of each, their names as `named` has them.
        entry: Name of the new graph's input, uint8 (N, H, W, 3).
        size: H and W.
    """
    from onnx import TensorProto, compose, helper, load_model_from_string

    joined = load_model_from_string(head)
    graph, rest = joined.graph, list(joined.graph.node)
    pixels = helper.make_tensor_value_info(entry, TensorProto.UINT8, ["images", *size, 3])
    for field in ("node", "input"):
        graph.ClearField(field)
    graph.input.append(pixels)
    graph.node.extend(_to_batch(entry, named(0, ENTRY)))
    for number, network in enumerate(networks):
        own = load_model_from_string(network)
        compose.add_prefix_graph(own.graph, named(number, ""), inplace=True)
        if number > 0:
            graph.node.append(helper.make_node("Identity", [named(0, ENTRY)], [named(number, ENTRY)]))
        graph.node.extend(own.graph.node)
        graph.initializer.extend(own.graph.initializer)
        graph.value_info.extend(own.graph.value_info)
        joined.functions.extend(own.functions)
        known = {each.domain for each in joined.opset_import}
        joined.opset_import.extend(each for each in own.opset_import if each.domain not in known)
    graph.node.extend(rest)
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
