"""Fills a template, a graph that takes its state as inputs: the state becomes part of it, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from amiss.core.session import open_session

SMALL = 8192
"""Numbers in a tensor up to which what follows from it is computed; of larger ones a file would keep both."""


def fill(template: bytes, state: Mapping[str, NDArray[Any]]) -> bytes:
    """The graph with this state: what follows from small tensors alone is computed once, here.

    Args:
        template: ONNX; its inputs are those of the graph, and then the state.
        state: A value for each of these by its name; what the graph does not use is left out.
    """
    from onnx import load_model_from_string, numpy_helper

    model = load_model_from_string(template)
    graph = model.graph
    entries = [entry for entry in graph.input if entry.name not in state]
    graph.ClearField("input")
    graph.input.extend(entries)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in state.items())
    _compute_constants(model)
    used = {name for node in graph.node for name in node.input} | {result.name for result in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    return bytes(model.SerializeToString())


def _compute_constants(model: Any) -> None:
    """Replace nodes that depend on small constants only by what they give."""
    from onnx import ValueInfoProto, helper, numpy_helper

    graph = model.graph
    known = {tensor.name for tensor in graph.initializer if math.prod(tensor.dims) <= SMALL}
    constant: list[Any] = []
    others: list[Any] = []
    for node in graph.node:  # in the order in which they run
        plain = node.domain == "" and not any(attribute.HasField("g") for attribute in node.attribute)
        follows = plain and any(node.input) and all(name in known or not name for name in node.input)
        if follows or node.op_type == "Constant":
            known.update(node.output)
        (constant if follows else others).append(node)
    wanted = {name for node in others for name in node.input} | {result.name for result in graph.output}
    results = [name for node in constant for name in node.output if name in wanted]
    if not results:
        return
    needed = {name for node in constant for name in node.input}
    alone = helper.make_graph(
        [node for node in others if node.op_type == "Constant"] + constant,
        "constants",
        [],
        [ValueInfoProto(name=name) for name in results],
        [tensor for tensor in graph.initializer if tensor.name in needed],
    )
    whole = helper.make_model(alone, opset_imports=model.opset_import, ir_version=model.ir_version)
    values = open_session(whole.SerializeToString(), 1).run(results, {})
    graph.ClearField("node")
    graph.node.extend(others)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in zip(results, values, strict=True))
