"""ONNX Runtime on an NVIDIA card, by CUDA or by TensorRT: the extra ``cuda``."""

from __future__ import annotations

from typing import Any

from amiss.core.errors import ArtefactError, MissingExtraError
from amiss.core.session import open_session
from amiss.runtime.graph import Program, loading, session_program

PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "tensorrt": ("TensorrtExecutionProvider", {}),  # precision is that of the graph: float32, or float16 once quantised
    "cuda": (
        "CUDAExecutionProvider",
        {
            "use_tf32": "0",  # 10 bits of a float32's 23, or scores would not be those of the processor
            "cudnn_conv_algo_search": "HEURISTIC",  # timing them would choose others each time
        },
    ),
}
"""Provider of ONNX Runtime and its options by backend; what one cannot do, the next does, and at last the processor."""

NEEDS = {
    "tensorrt": "an NVIDIA card, its driver, and the TensorRT, CUDA and cuDNN",
    "cuda": "an NVIDIA card, its driver, and the CUDA and cuDNN",
}

BATCH = 16
"""Images that a run takes together where there are many."""


def cuda_engine(model: bytes, cores: int) -> Program:
    """ONNX Runtime on the first card, by CUDA.

    Raises:
        ArtefactError: There is no card, its libraries cannot be loaded, or the graph is refused.
        MissingExtraError: ONNX Runtime is installed without CUDA.
    """
    return _on_card("cuda", model, cores)


def tensorrt_engine(model: bytes, cores: int) -> Program:
    """ONNX Runtime on the first card, by TensorRT, which compiles the graph for that card; some minutes at each load.

    Raises:
        ArtefactError: There is no card, its libraries cannot be loaded, or the graph is refused.
        MissingExtraError: ONNX Runtime is installed without TensorRT.
    """
    return _on_card("tensorrt", model, cores)


def _on_card(backend: str, model: bytes, cores: int) -> Program:
    import onnxruntime

    wanted, _ = PROVIDERS[backend]
    if wanted not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            f"backend '{backend}' is not installed; pip install 'amiss[cuda]', then pip install --force-reinstall "
            "--no-deps onnxruntime-gpu, which takes the place of onnxruntime"
        )
    with loading(f"ONNX Runtime on {wanted.removesuffix('ExecutionProvider')}"):
        session = open_session(model, cores, _chain(backend))
    if wanted not in session.get_providers():  # it says nothing, and takes the processor
        raise ArtefactError(
            f"backend '{backend}' needs {NEEDS[backend]} that this onnxruntime-gpu was built for; ONNX Runtime could "
            "not use them. --backend onnxruntime runs on the processor"
        )
    return session_program(backend, session, batch=BATCH)


def _chain(backend: str) -> list[Any]:
    names = list(PROVIDERS)
    return [*(PROVIDERS[name] for name in names[names.index(backend) :]), "CPUExecutionProvider"]
