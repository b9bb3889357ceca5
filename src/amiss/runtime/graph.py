"""`Graph`: run an exported detector with ONNX Runtime, without torch."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from amiss.core.errors import ArtefactError, InputError
from amiss.core.images import Images, Size
from amiss.core.progress import Progress, silent
from amiss.core.scores import Scores
from amiss.core.session import open_session
from amiss.core.threads import in_order, threads


class Graph:
    """An exported detector: uint8 pictures (N, H, W, 3) of one size in, scores out.

    Args:
        model: The ONNX graph.
        cores: Threads a run uses; those of `amiss.core.threads` when None.

    Raises:
        ArtefactError: ONNX Runtime refuses the graph, or its inputs and outputs are not those of Amiss.
    """

    def __init__(self, model: bytes, cores: int | None = None) -> None:
        self._model = model
        cores = threads() if cores is None else cores
        try:
            self._session = open_session(model, cores)
            (entry,), (result,) = self._session.get_inputs(), self._session.get_outputs()
            _, height, width, channels = entry.shape
            self.size: Size = (int(height), int(width))
        except Exception as error:  # the runtime raises many kinds of its own; none is known to the user
            raise ArtefactError(f"ONNX Runtime cannot load the graph: {error}") from error
        if entry.type != "tensor(uint8)" or channels != 3 or result.name not in ("map", "image"):
            raise ArtefactError(f"not a graph of Amiss: {entry.name} {entry.shape} {entry.type} in, {result.name} out")
        self._names = (entry.name, result.name)

    def run(self, pixels: NDArray[np.uint8]) -> Scores:
        """Scores of a batch, uint8 (N, H, W, 3) with the graph's H and W.

        Raises:
            InputError: Another shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (*self.size, 3) or len(pixels) == 0:
            raise InputError(
                f"{pixels.dtype} {pixels.shape} arrived; uint8 (N, {self.size[0]}, {self.size[1]}, 3) is expected"
            )
        entry, result = self._names
        (output,) = self._session.run([result], {entry: pixels})
        return Scores.of_map(output) if result == "map" else Scores(output)

    @cached_property
    def on_one_core(self) -> Graph:
        """The same graph with one thread a run, to be run from several threads at once."""
        return Graph(self._model, cores=1)

    def score(self, images: Images, *, progress: Progress = silent) -> Scores:
        """Scores of every picture, resized to the graph's size.

        Raises:
            ImageError: A picture cannot be used.
        """
        resized, graph = images.resized(self.size), self.on_one_core
        parts = []
        for scores in in_order(lambda index: graph.run(resized[index][None]), len(images), threads()):
            parts.append(scores)
            progress("scoring", len(parts), len(images))
        return Scores.join(parts)
