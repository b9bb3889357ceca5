"""What a worker does: score one block, and write its part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from amiss.core.errors import AmissError, ArtefactError, ImageError, OutputError
from amiss.core.images import Images
from amiss.core.processor import processor_kind
from amiss.core.verdict import Label, Verdict
from amiss.front import load
from amiss.inspector import Inspector
from amiss.runtime import Graph, installed
from amiss.shards.alike import environment
from amiss.shards.blocks import Block
from amiss.shards.manifest import locate
from amiss.shards.parts import Head, Part, row_of, write_part
from amiss.shards.tasks import Answer


@dataclass(frozen=True)
class ScoreTask:
    """Scores of a block as the file of a part; see `Task`.

    Args:
        model: Path of the artefact.
        backend: The runtime, as `--backend` takes it.
        trusted_key: See `amiss.load`; "" for none.
        accepted: See `amiss.load`; "" for none.
        root: The folder that names are relative to.
        output: The folder of the run.
        run: Which run it is.
    """

    kind: ClassVar[str] = "score"

    model: str
    backend: str
    trusted_key: str
    accepted: str
    root: str
    output: str
    run: Head

    def answer(self, block: Block) -> Answer:
        """Score a block and write its part."""
        try:
            inspector = self.inspector
            with environment(AMISS_THREADS="1"):
                rows = score_block(inspector, Path(self.root), block)
            part = Part(self.run, machine_kind(inspector), golden_scores(inspector), block.number, rows)
            write_part(Path(self.output), part)
        except OutputError as error:
            return Answer(str(error), full=True)
        except (AmissError, OSError, MemoryError) as error:
            return Answer(f"{type(error).__name__}: {error}")
        return Answer(errors=sum(row["label"] == Label.ERROR for row in rows))

    @property
    def inspector(self) -> Inspector:
        """The model, loaded once per process, on one core.

        Raises:
            ArtefactError: See `amiss.load`; or it is no longer the model that the run began with.
        """
        return load_model(self.model, self.backend, self.trusted_key, self.accepted, self.run["fingerprint"])


def load_model(model: str, backend: str, trusted_key: str, accepted: str, fingerprint: str) -> Inspector:
    """A model on one core, loaded once per process.

    Raises:
        ArtefactError: See `amiss.load`; or it is no longer the model of that fingerprint, with which the run began.
    """
    found, here = _load(model, backend, trusted_key, accepted)
    if here != fingerprint:
        raise ArtefactError(f"{model} is not the model any more that this run began with")
    return found


@lru_cache(maxsize=1)
def _load(model: str, backend: str, trusted_key: str, accepted: str) -> tuple[Inspector, str]:
    """The model and its fingerprint."""
    found = load(model, backend=backend, trusted_key=trusted_key or None, accepted=accepted or None)
    return on_one_core(found), found.fingerprint


def on_one_core(inspector: Inspector) -> Inspector:
    """The same inspector on one core."""
    scorer = inspector.scorer
    return replace(inspector, scorer=scorer.on_one_core) if isinstance(scorer, Graph) else inspector


def chosen_backend(inspector: Inspector, asked: str) -> str:
    """The runtime that all workers take: what "auto" has chosen here, so that no two choose differently."""
    return inspector.scorer.program.runtime if asked == "auto" and isinstance(inspector.scorer, Graph) else asked


def score_block(inspector: Inspector, root: Path, block: Block) -> list[Head]:
    """One row per image, in order; one that cannot be used is a row with the reason."""
    found: dict[int, Verdict] = {}
    places: list[Path] = []
    for index, name in enumerate(block.names):
        try:
            places.append(locate(root, name))
        except ImageError as error:
            found[index] = Verdict(name=name, label=Label.ERROR, reason=error.reason)
    images = Images(places)
    usable = [index for index in range(len(block)) if index not in found]
    found |= dict(zip(usable, inspector.inspect(images), strict=True))
    return [row_of(block.start + index, name, found[index]) for index, name in enumerate(block.names)]


def machine_kind(inspector: Inspector) -> Head:
    """What the bits of scores depend on: the runtime, its version, and the kind of processor."""
    if isinstance(inspector.scorer, Graph):
        name = inspector.scorer.program.runtime
        return {"runtime": name, "version": installed()[name], **processor_kind()}
    from importlib.metadata import version

    return {"runtime": "torch", "version": version("torch"), **processor_kind()}


def golden_scores(inspector: Inspector) -> list[float]:
    """Image scores of the golden images on this machine."""
    return [float(score) for score in inspector.scorer.run(inspector.parts.golden.pixels).image]
