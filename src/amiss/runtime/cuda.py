"""ONNX Runtime on an NVIDIA card: the extra ``cuda``."""

from __future__ import annotations

from amiss.core.errors import ArtefactError, MissingExtraError
from amiss.core.session import open_session
from amiss.runtime.graph import Program, loading, session_program

PROVIDER = "CUDAExecutionProvider"

BATCH = 16
"""Images that a run takes together where there are many."""

OPTIONS = {
    "use_tf32": "0",  # 10 bits of a float32's 23, or scores would not be those of the processor
    "cudnn_conv_algo_search": "HEURISTIC",  # timing them would choose others each time
}


def cuda_engine(model: bytes, cores: int) -> Program:
    """ONNX Runtime on the first card, in float32. What the card cannot do, the processor does.

    Raises:
        ArtefactError: There is no card, its libraries cannot be loaded, or the graph is refused.
        MissingExtraError: ONNX Runtime is installed without CUDA.
    """
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise MissingExtraError(
            "backend 'cuda' is not installed; pip install 'amiss[cuda]', then pip install --force-reinstall --no-deps "
            "onnxruntime-gpu, which takes the place of onnxruntime"
        )
    with loading("ONNX Runtime on CUDA"):
        session = open_session(model, cores, [(PROVIDER, OPTIONS), "CPUExecutionProvider"])
    if PROVIDER not in session.get_providers():  # it says nothing, and takes the processor
        raise ArtefactError(
            "backend 'cuda' needs an NVIDIA card, its driver, and the CUDA and cuDNN that this onnxruntime-gpu was "
            "built for; ONNX Runtime could not use them. --backend onnxruntime runs on the processor"
        )
    return session_program("cuda", session, batch=BATCH)
