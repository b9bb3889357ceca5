"""An exported graph with its convolutions in int8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import InputError
from amiss.core.extras import needs_fit

STATISTIC = (
    *("MatMul", "Gemm", "Einsum", "Pow", "Sqrt", "Exp", "Log", "Softmax", "LogSoftmax", "ArgMax", "ArgMin", "TopK"),
    *("ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"),
)
"""Where distances and densities begin. What comes after one of these stays in float32."""

FUSED = frozenset({"Clip", "Relu"})
"""What vanishes in the range of the convolution before it."""


def quantise_convolutions(model: bytes, images: Iterable[NDArray[np.uint8]]) -> bytes:
    """The graph with its convolutions in int8: one scale per channel for weights, one per tensor for uint8 activations.

    That is what ONNX Runtime multiplies quickest where the processor has instructions for it (VNNI). Three things stay
    in float32: convolutions that see the image itself, which cost little and would need every image laid out anew;
    the statistic; and whatever follows it.

    Args:
        model: An ONNX graph that `amiss.export` wrote.
        images: uint8 (H, W, 3) of the graph's size. The smallest and largest value that they bring to each
            activation become its range.

    Raises:
        InputError: No convolution is left to quantise.
        MissingExtraError: onnx is not installed.
    """
    with needs_fit("quantising"):
        import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    graph = onnx.load_model_from_string(model)
    for number, node in enumerate(graph.graph.node):
        node.name = f"{node.op_type}_{number}"
    chosen = _choose(list(graph.graph.node))
    if not chosen:
        raise InputError("this graph has no convolution after its first; int8 would bring nothing")
    add_pre_process_metadata(graph)  # the exporter has simplified it
    with TemporaryDirectory(prefix="amiss-int8-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            graph,
            path,
            _Reader(graph.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MaxPool", *sorted(FUSED)],
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


class _Reader:
    """Images one by one, as the quantiser asks for them."""

    def __init__(self, entry: str, images: Iterable[NDArray[np.uint8]]) -> None:
        self._entry, self._images = entry, iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next input, or None."""
        image = next(self._images, None)
        return None if image is None else {self._entry: image[None]}

    def __iter__(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
        return iter(self.get_next, None)


def _choose(nodes: list[Any]) -> list[str]:
    """Names of the nodes to quantise; nodes come in the order in which they are computed."""
    convolved: set[str] = set()  # tensors behind at least one convolution
    beyond: set[str] = set()  # tensors behind the statistic
    whole: set[str] = set()  # outputs of chosen convolutions
    chosen = []
    for node in nodes:
        entries = set(node.input)
        if node.op_type in STATISTIC or entries & beyond:
            beyond.update(node.output)
            continue
        if node.op_type == "Conv" and entries & convolved:
            whole.update(node.output)
            chosen.append(node.name)
        elif (node.op_type in FUSED and entries & whole) or (node.op_type == "MaxPool" and entries & convolved):
            chosen.append(node.name)
        if node.op_type == "Conv" or entries & convolved:
            convolved.update(node.output)
    return chosen if whole else []
