"""Which runtime runs a graph: the one that was asked for, or the one that is quickest here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.checks import check_choice
from amiss.core.errors import ArtefactError, MissingExtraError
from amiss.core.processor import processor
from amiss.core.threads import threads
from amiss.runtime.cuda import PROVIDERS, cuda_engine, tensorrt_engine
from amiss.runtime.graph import Engine, Graph, onnxruntime_engine
from amiss.runtime.openvino import openvino_engine
from amiss.storage import cache_folder, write_file

ENGINES: dict[str, Engine] = {
    "onnxruntime": onnxruntime_engine,
    "openvino": openvino_engine,
    "cuda": cuda_engine,
    "tensorrt": tensorrt_engine,
}
"""Runtimes by name."""

PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
}
"""What each is installed by."""

BACKENDS = (*ENGINES, "auto")
"""What `--backend` takes."""

RUNS = 5
"""How often each runtime is timed."""


def installed() -> dict[str, str]:
    """Version of each runtime that is installed, by name."""
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def open_graph(
    model: bytes, backend: str, image: NDArray[np.uint8], check: Callable[[Graph], None] = lambda graph: None
) -> Graph:
    """A graph on the runtime of that name; "auto" takes the quickest here.

    Args:
        model: The ONNX graph.
        backend: One of `BACKENDS`. For "auto" every installed runtime is timed once on the image. The choice is kept
            in the user's cache folder, for this graph, this machine and these versions; where it cannot be kept or is
            damaged, they are timed again.
        image: uint8 (1, H, W, 3) to time with.
        check: Raises `ArtefactError` where a runtime does not score as it must: "auto" then takes another.

    Raises:
        InputError: Unknown name.
        ArtefactError: The runtime, or for "auto" each of them, refuses the graph.
        MissingExtraError: The runtime is not installed.
    """
    if check_choice("backend", backend, BACKENDS) != "auto":
        return Graph(model, ENGINES[backend])
    names = tuple(name for name in installed() if name not in PROVIDERS)  # a card is asked for: it rounds otherwise
    if len(names) < 2:
        return Graph(model)
    identity = _identity(model)
    kept = _kept(identity)
    if kept is not None:
        with suppress(ArtefactError, MissingExtraError):  # then what was kept holds no longer
            graph = Graph(model, ENGINES[kept])
            check(graph)
            return graph
    graphs = _usable(model, names, check)
    times = {name: seconds for name, seconds in zip(graphs, fastest_runs(list(graphs.values()), image), strict=True)}
    quickest = min(times, key=lambda name: times[name])
    milliseconds = {name: round(1000 * seconds, 3) for name, seconds in times.items()}
    _keep(identity, {**identity, "milliseconds": milliseconds, "backend": quickest})
    return graphs[quickest]


def fastest_runs(graphs: list[Graph], image: NDArray[np.uint8], runs: int = RUNS) -> list[float]:
    """Seconds of the fastest run of each graph, in turns, so that what slows the machine slows all of them.

    Every measured run follows one of the same graph that is not: the threads of the graph before may still be awake.
    """
    best = [float("inf")] * len(graphs)
    for _ in range(runs):
        for number, graph in enumerate(graphs):
            graph.run(image)
            start = time.perf_counter()
            graph.run(image)
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def _usable(model: bytes, names: tuple[str, ...], check: Callable[[Graph], None]) -> dict[str, Graph]:
    graphs: dict[str, Graph] = {}
    refusals: list[ArtefactError | MissingExtraError] = []
    for name in names:
        try:
            graph = Graph(model, ENGINES[name])
            check(graph)
        except (ArtefactError, MissingExtraError) as error:
            refusals.append(error)
        else:
            graphs[name] = graph
    if not graphs:
        raise refusals[0]
    return graphs


def _identity(model: bytes) -> dict[str, Any]:
    """What a choice holds for."""
    return {
        "graph": hashlib.sha256(model).hexdigest(),
        "processor": processor(),
        "threads": threads(),
        "versions": installed(),
    }


def _file(identity: dict[str, Any]) -> Path:
    """Raises RuntimeError where the user has no home."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return cache_folder() / f"runtime-{key[:16]}.json"


def _kept(identity: dict[str, Any]) -> str | None:
    """The choice that was made before; None when there is none that can be read and is of this very case."""
    try:
        content = json.loads(_file(identity).read_bytes())
        same = all(content[name] == value for name, value in identity.items())
        return content["backend"] if same and content["backend"] in identity["versions"] else None
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _keep(identity: dict[str, Any], content: dict[str, Any]) -> None:
    """Where it cannot be written, the runtimes are timed again next time."""
    with suppress(OSError, RuntimeError):
        write_file(_file(identity), (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
