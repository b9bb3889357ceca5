"""What `model.json` says of an inspector: facts of its learning, and what is derived from it when it is saved."""

from __future__ import annotations

import json
from typing import Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from amiss.core.errors import InputError
from amiss.core.tiling import Tiling

SCHEMA = 1

FOLDS_NOTE = (
    "Calibrated by folds: every good image was scored by a detector that had not seen it, but the final detector has "
    "learned from all of them. The guarantee is then weaker: expect the stated rate, do not count on it."
)


def plain(name: str, value: Any) -> Any:
    """The value as JSON holds it: tuples become lists.

    Raises:
        InputError: JSON cannot hold it.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be plain values (numbers, texts, lists, mappings), got {value!r}") from error


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Configured(Protocol):
    """A rule or filter."""

    @property
    def name(self) -> str:
        """Its name in the table of its kind."""
        ...

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        ...


class Component(_Part):
    """A rule or filter by name, with its constructor's arguments."""

    name: str
    config: dict[str, Any]

    @classmethod
    def of(cls, thing: Configured) -> Self:
        """That of a rule or filter."""
        return cls(name=thing.name, config=plain(f"config of {thing.name!r}", thing.config()))


class Calibration(_Part):
    """Where the calibration scores come from: so many images, of so many lots where lots are known.

    Where images are cut into tiles, `tiles` are those of the calibration image with the fewest and with the most.
    `score_filters` are those that the scores went through.
    """

    kind: Literal["held out", "folds"]
    images: int
    lots: int | None = None
    tiles: tuple[int, int] | None = None
    score_filters: tuple[Component, ...] = Field(default=(), exclude=True)  # the file has them once, in its record

    def words(self, n: int) -> list[str]:
        """What weakens the promise of a rule that n parts calibrate, a sentence each."""
        notes = [FOLDS_NOTE] if self.kind == "folds" else []
        if self.images > n:
            notes.append(
                f"The {self.images} calibration images show {n} parts: n counts parts, and of each part the "
                "image with the largest score."
            )
        if self.lots is not None:
            notes.append(
                f"They come from {self.lots} {'lot' if self.lots == 1 else 'lots'}; parts of one lot resemble each "
                "other, so a lot unlike these may raise more alarms than n suggests."
            )
        if self.tiles is not None:
            notes.append(_tile_words(*self.tiles))
        return notes


def _tile_words(fewest: int, most: int) -> str:
    judged = "Every image is judged by the highest score among its tiles. So were the calibration images, of"
    if fewest == most:
        tiles = "1 tile" if most == 1 else f"{most} tiles"
        return f"{judged} {tiles} each: tiles raise no more alarms than promised, for images of this size."
    return (
        f"{judged} {fewest} to {most} tiles each: the promise is for images whose sizes vary as theirs do; larger "
        "ones alone raise more alarms."
    )


class Quantised(_Part):
    """What an int8 graph was made from.

    Args:
        fingerprint: Fingerprint of the float32 inspector.
        ranges_from: Number of images, of those learned from, that the ranges of the activations come from.
        runtime: Where it was calibrated.
    """

    precision: Literal["int8"] = "int8"
    fingerprint: str
    ranges_from: int
    runtime: str

    def words(self) -> str:
        """A sentence for the statement."""
        return (
            f"The convolutions run in int8, with ranges from {self.ranges_from} images learned from; made from the "
            f"float32 model {self.fingerprint[:12]} and recalibrated on {self.runtime}."
        )


class Learned(_Part):
    """How a detector was made: facts that no change of rule, filters or calibration touches.

    `size` is the detector's input. Every image is resized to it, or with `tiling` cut into tiles of it. `recipe` is
    what the fit was asked for, see `amiss.recipe`; artefacts of earlier builds have none.
    """

    amiss_version: str
    created: str
    method: str
    hyperparameters: dict[str, Any]
    seed: int
    size: tuple[int, int]
    tiling: Tiling | None = None
    learned_from: int
    weights_name: str
    weights_licence: str
    versions: dict[str, str]
    tolerance: float
    notes: tuple[str, ...] = ()
    quantised: Quantised | None = None
    recipe: dict[str, Any] | None = None


class CountedCalibration(Calibration):
    """The same with n, the number of parts that calibrate the rule."""

    n: int


class Record(Learned):
    """Everything about an inspector that is not an array; `model.json`. Derived from the inspector, never changed."""

    schema_version: int = SCHEMA
    calibration: CountedCalibration
    rule: Component
    alpha: float | None
    threshold: float
    score_filters: tuple[Component, ...] = ()
    mask_filters: tuple[Component, ...] = ()

    def learned(self) -> Learned:
        """The part of it that is a fact of learning."""
        return Learned(**{name: getattr(self, name) for name in Learned.model_fields})

    def calibrated(self) -> Calibration:
        """Where the calibration scores come from."""
        facts = {name: getattr(self.calibration, name) for name in Calibration.model_fields}
        return Calibration(**{**facts, "score_filters": self.score_filters})
