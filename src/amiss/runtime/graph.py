"""`Graph`: run an exported detector on one of the runtimes, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import AmissError, ArtefactError, InputError
from amiss.core.images import Images, Size
from amiss.core.progress import Progress, silent
from amiss.core.scores import Scores
from amiss.core.session import open_session, run_within
from amiss.core.threads import in_order, threads
from amiss.runtime.graph_check import check_graph


@dataclass(frozen=True)
class Program:
    """A graph as a runtime has loaded it.

    Args:
        runtime: Name of the runtime, as `--backend` takes it.
        threads: Threads that it really uses, as it says itself.
        shape: Shape of the input, a whole number for every fixed side.
        kind: Type of the input: "uint8".
        results: Names of the outputs.
        run: Images in, outputs out, one array each. May be called from several threads.
        batch: Images that a run takes together where there are many.
    """

    runtime: str
    threads: int
    shape: tuple[object, ...]
    kind: str
    results: tuple[str, ...]
    run: Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]
    batch: int = 1


Engine = Callable[[bytes, int], Program]
"""A runtime: loads an ONNX graph for so many threads."""


PATIENCE = 60.0
"""Seconds that a run may take per image. A detector takes milliseconds; what takes longer is stopped, for a graph may
ask for any amount of work."""


@contextmanager
def running(runtime: str) -> Iterator[None]:
    """Around a run of a graph, for the same reason."""
    try:
        yield
    except Exception as error:
        raise ArtefactError(f"{runtime} cannot run the graph: {_short(error)}") from error


@contextmanager
def loading(runtime: str) -> Iterator[None]:
    """Around the loading of a graph: the runtimes raise many kinds of errors of their own, none known to the user."""
    try:
        yield
    except AmissError:
        raise
    except Exception as error:
        raise ArtefactError(f"{runtime} cannot load the graph: {_short(error)}") from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def onnxruntime_engine(model: bytes, cores: int) -> Program:
    """ONNX Runtime on the processor, which every installation has.

    Raises:
        ArtefactError: It refuses the graph.
    """
    with loading("ONNX Runtime"):
        return session_program("onnxruntime", open_session(model, cores))


def session_program(runtime: str, session: Any, *, batch: int = 1) -> Program:
    """A session of ONNX Runtime as a `Program` of this name."""
    (entry,), results = session.get_inputs(), tuple(result.name for result in session.get_outputs())

    def run(pixels: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
        with running("ONNX Runtime"):
            outputs: list[NDArray[Any]] = run_within(
                PATIENCE * len(pixels), session, list(results), {entry.name: pixels}
            )
        return outputs

    return Program(
        runtime=runtime,
        threads=session.get_session_options().intra_op_num_threads,
        shape=tuple(entry.shape),
        kind=entry.type.removeprefix("tensor(").removesuffix(")"),
        results=results,
        run=run,
        batch=batch,
    )


RESULTS = (("map",), ("image",), ("map", "class"), ("image", "class"))
"""Outputs that a graph of Amiss may have."""


class Graph:
    """An exported detector: uint8 images (N, H, W, 3) of one size in, scores out.

    Args:
        model: The ONNX graph.
        engine: The runtime, see `amiss.runtime.choice`.
        cores: Threads a run uses; those of `amiss.core.threads` when None.

    Attributes:
        program: The graph as the runtime has loaded it.
        size: Height and width of its images.

    Raises:
        ArtefactError: More is in the graph than may be (see `amiss.runtime.graph_check`), the runtime refuses it, or
            its inputs and outputs are not those of Amiss.
        MissingExtraError: The runtime is not installed.
    """

    def __init__(self, model: bytes, engine: Engine = onnxruntime_engine, *, cores: int | None = None) -> None:
        check_graph(model)
        self._model, self._engine = model, engine
        self.program = engine(model, threads() if cores is None else cores)
        shape, kind, results = self.program.shape, self.program.kind, self.program.results
        sides = [side for side in shape[1:3] if isinstance(side, int)]
        if kind != "uint8" or len(shape) != 4 or len(sides) != 2 or shape[3] != 3 or results not in RESULTS:
            raise ArtefactError(f"not a graph of Amiss: {kind} {list(shape)} in, {', '.join(results)} out")
        self.size: Size = (sides[0], sides[1])

    def run(self, pixels: NDArray[np.uint8]) -> Scores:
        """Scores of a batch, uint8 (N, H, W, 3) with the graph's H and W.

        Raises:
            InputError: Another shape or type.
            ArtefactError: The runtime fails, or gives what is not scores of these images.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (*self.size, 3) or len(pixels) == 0:
            raise InputError(
                f"pixels must be uint8 (N, {self.size[0]}, {self.size[1]}, 3), got {pixels.dtype} {pixels.shape}"
            )
        output, *classes = self.program.run(pixels)
        try:
            if self.program.results[0] == "map":
                scores = Scores.of_map(output, *classes)
            else:
                scores = Scores(output, None, *classes)
        except InputError as error:
            raise ArtefactError(f"{self.program.runtime} gives other things than scores: {error}") from error
        if len(scores) != len(pixels):
            raise ArtefactError(f"{self.program.runtime} must give {len(pixels)} scores, got {len(scores)}")
        return scores

    @cached_property
    def on_one_core(self) -> Graph:
        """The same graph with one thread per run, to be run from several threads at once; on a card, this one."""
        return (
            self if self.program.threads == 1 or self.program.batch > 1 else Graph(self._model, self._engine, cores=1)
        )

    def score(self, images: Images, *, progress: Progress = silent) -> Scores:
        """Scores of every image, resized to the graph's size.

        Raises:
            ImageError: An image cannot be used.
        """
        resized, graph = images.resized(self.size), self.on_one_core
        parts = []
        for scores in in_order(lambda index: graph.run(resized[index][None]), len(images), threads()):
            parts.append(scores)
            progress("scoring", len(parts), len(images))
        return Scores.join(parts)
