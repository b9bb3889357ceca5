"""A session of ONNX Runtime: the only place where Amiss opens one, and runs one within a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from amiss.core.patience import patience

if TYPE_CHECKING:
    import onnxruntime


SHARE = 0.8
"""Share of the machine's memory that all graphs together may take."""

Providers = Sequence[str | tuple[str, dict[str, str]]]

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


ON_PROCESSOR: Providers = ("CPUExecutionProvider",)


def open_session(model: bytes, cores: int, providers: Providers = ON_PROCESSOR) -> onnxruntime.InferenceSession:
    """A session that keeps its warnings to itself, and takes no more memory than there is.

    A graph may ask for any amount of memory when it runs. Without a bound the system would end the process; with it
    the graph fails. All sessions of a process share the bound and the memory.

    Args:
        model: An ONNX graph.
        cores: Threads to use, see `amiss.core.threads`.
        providers: Where it runs, in the order of preference; each a name, or a name with options.

    Raises:
        Exception: The runtime refuses the graph; it raises many kinds of its own.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.log_severity_level = 4  # what goes wrong is raised; nothing is printed
    if _bound_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


def run_within(
    seconds: float, session: onnxruntime.InferenceSession, outputs: list[str], inputs: dict[str, NDArray[Any]]
) -> list[Any]:
    """Run a graph, and stop it between two of its nodes once it has taken so long.

    Raises:
        TimeoutError: It was stopped.
        Exception: It fails in another way; the runtime raises many kinds of its own.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    try:
        with patience(seconds, partial(setattr, options, "terminate", True)):
            return list(session.run(outputs, inputs, options))
    except Exception as error:
        if options.terminate:
            raise TimeoutError(f"it takes more than {seconds:g} s") from error
        raise


@cache
def _bound_memory() -> bool:
    """Tell ONNX Runtime once how much memory it may take; False where nobody knows."""
    import onnxruntime

    most = machine_memory()
    if most is None:
        return False
    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    own = -1  # as without a bound
    bounds = {"max_mem": int(SHARE * most), "arena_extend_strategy": own, "initial_chunk_size_bytes": own}
    onnxruntime.create_and_register_allocator(
        kind, onnxruntime.OrtArenaCfg({**bounds, "max_dead_bytes_per_chunk": own})
    )
    return True


def machine_memory() -> int | None:
    """Bytes of memory of this machine, or of the container; None where nobody knows."""
    known = []
    with suppress(AttributeError, OSError, ValueError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):
        known.append(int(_CONTAINER.read_text()))
    return min((size for size in known if size > 0), default=None)
