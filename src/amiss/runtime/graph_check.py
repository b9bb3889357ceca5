"""What a graph may contain before any runtime sees it."""

from __future__ import annotations

import math
from typing import Any

from amiss.core.errors import ArtefactError
from amiss.runtime.onnx_fields import Message, read_model

_NAMES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift Cast "
    "Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace "
    "DequantizeLinear Det Div Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements "
    "GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization "
    "HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu "
    "Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization "
    "Min Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu "
    "Reshape Resize Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax "
    "Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose "
    "Trilu Unsqueeze Where Xor"
)
OPERATORS = frozenset(_NAMES.split())
"""ONNX's own operators from tensors to tensors, each run once and giving the same every time. No loops or branches, no
random numbers, no text, no sequences, no operators of other domains."""

BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
"""Bytes per number of each ONNX type that a tensor may have: floats, whole numbers and booleans."""

LARGEST_TENSOR = 2**31
"""Numbers in one tensor, as far as the file declares them."""

LARGEST_ATTRIBUTE = 2**20
"""Whole numbers among the attributes: sides of windows, strides, axes."""

_POSITIVE = frozenset({b"strides", b"dilations", b"kernel_shape", b"group", b"num_outputs", b"blocksize"})
_LENGTHS = frozenset({b"pads", b"output_padding", b"output_shape"})
_FIXED_SIZE = {"float_data": 4, "double_data": 8}
_WIDTHS = {"int32_data": (2, 3, 4, 5, 6, 9, 10), "int64_data": (7,), "uint64_data": (12, 13)}


def check_graph(model: bytes) -> None:
    """Refuse a file that is more than a graph of plain tensor operators with all that it needs inside.

    Runtimes follow whatever a file says: read tensors from other files, loop 2^62 times, allocate. What they run is
    bounded here, and the memory that it takes is bounded in `amiss.core.session`.

    Raises:
        ArtefactError: What is in it that must not be.
    """
    content = read_model(model)
    if not (content["opset_import"] and "graph" in content and "ir_version" in content):
        raise ArtefactError("the graph is cut off or not an ONNX file")
    for opset in content["opset_import"]:
        if opset.get("domain", b"") not in (b"", b"ai.onnx"):
            raise ArtefactError(f"the graph must have operators of ONNX alone, got those of {_text(opset['domain'])}")
    graph = content["graph"]
    for node in graph["node"]:
        _check_node(node)
    names = [tensor.get("name", b"") for tensor in graph["initializer"]]
    if len(set(names)) < len(names):
        raise ArtefactError("the graph must have a name of its own for each tensor, got one twice")
    for tensor in graph["initializer"]:
        _check_tensor(tensor)
    for value in (*graph["input"], *graph["output"], *graph["value_info"]):
        _check_value(value)


def _check_node(node: Message) -> None:
    kind = _text(node.get("op_type", b""))
    if node.get("domain", b"") not in (b"", b"ai.onnx") or kind not in OPERATORS:
        raise ArtefactError(f"the graph must not have the operator {_text(node.get('domain', b''))} {kind}")
    for attribute in node["attribute"]:
        name = attribute.get("name", b"")
        numbers = [*attribute["ints"], *([attribute["i"]] if "i" in attribute else [])]
        least = 1 if name in _POSITIVE else 0 if name in _LENGTHS and kind != "Pad" else -LARGEST_ATTRIBUTE
        if numbers and kind != "Constant" and not least <= min(numbers) <= max(numbers) <= LARGEST_ATTRIBUTE:
            found = f"{min(numbers)} to {max(numbers)}"
            raise ArtefactError(
                f"{_text(name)} of {kind} in the graph must be {least} to {LARGEST_ATTRIBUTE}, got {found}"
            )
        if "t" in attribute:
            _check_tensor(attribute["t"])


def _check_tensor(tensor: Message) -> None:
    name, kind = _text(tensor.get("name", b"")), tensor.get("data_type", 0)
    if kind not in BYTES:
        raise ArtefactError(f"the tensor {name} of the graph is of a type that Amiss does not run: {kind}")
    if tensor.get("data_location", 0) != 0:
        raise ArtefactError(f"the tensor {name} of the graph lies in another file; all that it needs must be inside")
    wanted = _numbers(name, tensor["dims"])
    present = len(tensor.get("raw_data", b"")) / BYTES[kind]
    for field, size in _FIXED_SIZE.items():
        present += sum(tensor[field]) / size
    for field, kinds in _WIDTHS.items():
        if tensor[field] and kind not in kinds:
            raise ArtefactError(f"the tensor {name} of the graph is damaged: numbers of another type")
        present += sum(tensor[field])
    if present != wanted:
        raise ArtefactError(f"the tensor {name} of the graph must hold {wanted} numbers, got {present:g}")


def _check_value(value: Message) -> None:
    shape: Any = value.get("type", {}).get("tensor_type", {}).get("shape")
    if shape is not None:
        _numbers(_text(value.get("name", b"")), [side.get("dim_value", 1) for side in shape["dim"]])


def _numbers(name: str, sides: list[int]) -> int:
    """How many numbers a tensor of these sides has; sides that are not known count as 1."""
    count = math.prod(sides) if len(sides) <= 16 and all(0 <= side <= LARGEST_TENSOR for side in sides) else -1
    if not 0 <= count <= LARGEST_TENSOR:
        raise ArtefactError(f"the tensor {name} of the graph must have at most {LARGEST_TENSOR} numbers")
    return count


def _text(data: bytes | memoryview) -> str:
    return bytes(data[:60]).decode(errors="replace").strip() or "''"
