"""An exported graph with its network in float16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from amiss.core.errors import InputError
from amiss.core.extras import needs_fit
from amiss.quantise.convolutions import STATISTIC

MULTIPLIED = frozenset({"Conv", "ConvTranspose"})
"""What a card with half-precision units multiplies twice as fast or faster."""

BETWEEN = frozenset(
    {
        *("Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Elu", "Erf", "Tanh", "Gelu"),
        *("Add", "Mul", "Sub", "BatchNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat"),
    }
)
"""What is computed in float16 where all that it gets is, so that nothing is converted between two convolutions."""


def halve_network(model: bytes) -> bytes:
    """The graph with its convolutions, and what lies between them, in float16; the statistic stays in float32.

    Args:
        model: An ONNX graph that `amiss.export` wrote.

    Raises:
        InputError: The graph has no convolution, or a weight is beyond what float16 can hold (65,504).
        MissingExtraError: onnx is not installed.
    """
    with needs_fit("quantising"):
        import onnx

    graph = onnx.load_model_from_string(model)
    halved = _choose(list(graph.graph.node), {one.name for one in graph.graph.initializer})
    if not halved:
        raise InputError("this graph has no convolution; float16 would bring nothing")
    _Halving(graph.graph, halved).apply()
    return bytes(graph.SerializeToString())


class _Halving:
    """Tensors in float16 are named as those they come from, with ``/half`` behind.

    Args:
        body: The graph, which is changed.
        halved: What the chosen nodes make.
    """

    def __init__(self, body: Any, halved: set[str]) -> None:
        self._body, self._halved = body, halved
        self._weights = {one.name: one for one in body.initializer}
        self._nodes: list[Any] = []
        self._made: set[str] = set()

    def apply(self) -> None:
        """Chosen nodes take in and make float16; what others take of them is cast back."""
        nodes = list(self._body.node)
        asked = {name for node in nodes if not self._halved & set(node.output) for name in node.input}
        asked |= {one.name for one in self._body.output}
        for node in nodes:
            results = list(node.output)
            if not self._halved & set(results):
                self._nodes.append(node)
                continue
            _rename(node.input, self._half)
            _rename(node.output, "{}/half".format)
            self._nodes.append(node)
            for name in (one for one in results if one in asked):
                self._cast(f"{name}/half", name, "FLOAT")
        del self._body.node[:]
        self._body.node.extend(self._nodes)
        self._sweep()

    def _half(self, name: str) -> str:
        """The float16 form of what a chosen node takes in: a weight, what another has made, or what is cast."""
        half = f"{name}/half"
        if name and name not in self._halved | self._made:
            self._made.add(name)
            if name in self._weights:
                self._body.initializer.append(_half_weight(self._weights[name], half))
            else:
                self._cast(name, half, "FLOAT16")
        return half if name else ""  # an optional input that is left out

    def _cast(self, name: str, result: str, kind: str) -> None:
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Cast", [name], [result], to=TensorProto.DataType.Value(kind)))

    def _sweep(self) -> None:
        """Without the weights that nothing takes any more, and without the types that were noted before."""
        asked = {name for node in self._nodes for name in node.input}
        kept = [one for one in self._body.initializer if one.name in asked]
        del self._body.initializer[:]
        self._body.initializer.extend(kept)
        del self._body.value_info[:]


def _choose(nodes: list[Any], weights: set[str]) -> set[str]:
    """Outputs of the nodes that become float16; nodes come in the order in which they are computed."""
    beyond: set[str] = set()  # tensors behind the statistic
    halved: set[str] = set()
    for node in nodes:
        entries = {name for name in node.input if name}
        if node.op_type in STATISTIC or entries & beyond:
            beyond.update(node.output)
        elif node.op_type in MULTIPLIED or (node.op_type in BETWEEN and entries and entries <= halved | weights):
            halved.update(node.output)
    return halved


def _half_weight(weight: Any, name: str) -> Any:
    from onnx import numpy_helper

    with np.errstate(over="ignore"):
        found = numpy_helper.to_array(weight).astype(np.float16)
    if not np.isfinite(found).all():
        raise InputError(
            "a weight of this graph is beyond 65504, the largest that float16 holds; keep the float32 model"
        )
    return numpy_helper.from_array(found, name)


def _rename(names: Any, rename: Callable[[str], str]) -> None:
    for number, name in enumerate(names):
        names[number] = rename(name)
