"""The exported graph does what the module does, in cheaper words where there are some."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from amiss.core.errors import InputError
from amiss.features.to_onnx import to_onnx


class Powers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(dim=1) + (x - 1) ** 2 @ torch.ones(3) + (x**3).sum(dim=1) + (2**x).sum(dim=1)


@pytest.fixture(scope="module")
def model() -> bytes:
    return to_onnx(Powers().eval(), torch.ones(2, 3), ["x"], ["y"])


def test_squares_become_products_and_other_powers_stay(model: bytes) -> None:
    graph = onnx.load_from_string(model).graph
    onnx.checker.check_model(onnx.load_from_string(model))
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Pow") == 2
    assert sum(node.op_type == "Mul" and node.input[0] == node.input[1] for node in graph.node) == 2


def test_the_graph_computes_the_same_for_any_number(model: bytes) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for count in (1, 2, 5):
        x = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
        (found,) = session.run(None, {"x": x})
        np.testing.assert_allclose(found, Powers()(torch.from_numpy(x)).numpy(), rtol=1e-5)


def test_a_module_too_large_for_one_file_is_refused_before_the_work() -> None:
    module = nn.Module()
    module.register_buffer("state", torch.empty(2**29))  # pages that nothing is written to cost nothing
    with pytest.raises(InputError, match=r"must be under 2 GiB, got 2\.0 GiB"):
        to_onnx(module, torch.ones(2, 3), "x", ["y"])
