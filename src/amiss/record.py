"""What `model.json` says of an inspector: facts of its learning, and what is derived from it when it is saved."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from amiss.core.errors import InputError
from amiss.core.lots import NEW_LOTS, THESE_LOTS
from amiss.core.sentence import Sentence
from amiss.core.survey import copy_note
from amiss.core.tiling import Tiling
from amiss.core.words import counted_percent, low_to_high

SCHEMA = 2

MOST_TOLERANCE = 0.02
"""Share of the largest golden score that golden images may score differently; what int8 and float16 need."""

BETWEEN_LOTS = Sentence(
    "Of the variance of their scores (by rank) {correlation} lies between lots (95 % interval {interval}, if normally "
    "distributed), so as far as the mean goes n = {n} parts are worth {effective} independent ones.",
    "tests/rules/test_variance.py::test_the_interval_covers",
)

OF_CLASSES = Sentence(
    "Good parts are those of the {count} classes that it knows ({names}), and an alarm calls a part unknown: these "
    "rates are those of known parts called unknown.{together}",
    "tests/front/test_open_set.py::test_known_parts_are_called_unknown_as_rarely_as_promised",
)

TOGETHER = (
    " They are of all classes together, in the proportions of the good images given; a single class may have more."
)

SHOWN = 12
"""Classes that the statement names."""

FOLDS_NOTE = (
    "Calibrated by folds: every good image was scored by a detector that had not seen it, but the final detector has "
    "learned from all of them. The guarantee is then weaker: expect the stated rate, do not count on it."
)

FEW_FOLDS_NOTE = (
    "Each good image was scored by a detector that had learned from the others only, so by one that knows less than "
    "the final one does."
)

ALTERED_NOTE = (
    "There is nothing to calibrate on but what was learned from: each good image was scored as 8 altered copies, "
    "moved, turned, lit and blurred by noise a little differently. They stand in for good parts that nobody has shown."
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


Side = Annotated[int, Field(ge=1, le=10_000)]
"""Height or width of a detector's input."""


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


class Variance(_Part):
    """How the variance of calibration scores divides; of the normal scores of their ranks.

    Args:
        lots: Share of the variance of an image's score that lies between lots.
        parts: Share between parts of a lot.
        images: Share between images of a part.
        correlation: Intraclass correlation: the share between lots of the variance of a part's largest score.
        low: Lower end of its 95 % interval, if scores and lots are normally distributed.
        high: Upper end.
        effective: Number of independent parts that tell as much about the mean score as these parts.
    """

    lots: float
    parts: float
    images: float
    correlation: float
    low: float
    high: float
    effective: float

    def words(self, n: int) -> str:
        """A sentence for the statement of n parts."""
        interval = low_to_high((self.low, self.high))
        return BETWEEN_LOTS(
            correlation=counted_percent(self.correlation), interval=interval, n=n, effective=f"{self.effective:.0f}"
        )


class Recent(_Part):
    """Recent images that the calibration scores are weighted for.

    Args:
        images: How many.
        moved: By how many standard deviations of the calibration images the mean of each measure has moved.
    """

    images: int
    moved: dict[str, float]

    def words(self) -> str:
        """Sentences for the statement."""
        moved = ", ".join(f"{name} {by:+.1f}" for name, by in self.moved.items())
        return (
            f"The weights are estimated from {self.images} recent images, of which nobody has said whether they are "
            f"good. Their measures moved by, in standard deviations of the calibration images: {moved or 'nothing'}."
        )


class Calibration(_Part):
    """Where the calibration scores come from: so many images, of so many lots where lots are known.

    `future` says whose parts the promise is for, see `amiss.core.lots`; None where lots are not known, and in artefacts
    of earlier builds, which counted parts. `variance` says how alike the scores of one lot are.
    Where images are cut into tiles, `tiles` are those of the calibration image with the fewest and with the most.
    `copies` images were left out: the same bytes as others. `products` are the parts of each product, by name, where
    products are stated. Where scores are weighted, `recent` says for which images. `score_filters` are those that the
    scores went through.
    """

    kind: Literal["held out", "folds", "altered copies"]
    images: int
    lots: int | None = None
    future: str | None = None
    variance: Variance | None = None
    tiles: tuple[int, int] | None = None
    copies: int = 0
    products: dict[str, int] = Field(default_factory=dict)
    recent: Recent | None = None
    score_filters: tuple[Component, ...] = Field(default=(), exclude=True)  # the file has them once, in its record

    def words(self, n: int) -> list[str]:
        """What weakens the promise of a rule that n parts calibrate, a sentence each."""
        notes = [self._lot_words() if self.recent is None else self.recent.words(), *self._product_words()]
        notes += self._counts(n)
        if self.variance is not None:
            notes.append(self.variance.words(n))
        if self.kind == "folds":
            notes.append(FOLDS_NOTE)
        if self.tiles is not None:
            notes.append(_tile_words(*self.tiles))
        return notes

    def few_words(self, n: int) -> list[str]:
        """What to know of the n scores of a rule that promises nothing from them, a sentence each."""
        return [*({"folds": [FEW_FOLDS_NOTE], "altered copies": [ALTERED_NOTE]}.get(self.kind, [])), *self._counts(n)]

    def _counts(self, n: int) -> list[str]:
        """What n does not count."""
        notes = []
        if self.images > n:
            notes.append(
                f"The {self.images} calibration images show {n} parts: n counts parts, and of each part the "
                "image with the largest score."
            )
        if self.copies:
            notes.append(copy_note(self.copies, "good images given"))
        return notes

    def _product_words(self) -> list[str]:
        """Which products the threshold is for."""
        counts = [f"{count} of {name}" for name, count in self.products.items()]
        if len(counts) < 2:
            return [f"This is for the product {name} only." for name in self.products]
        shares = f"{', '.join(counts[:-1])} and {counts[-1]}"
        return [
            f"One threshold serves all {len(counts)} products, calibrated on {shares}: the promise is for parts in "
            "these shares, and parts of one product alone may raise more alarms. `amiss calibrate --product NAME` "
            "gives a product a threshold of its own."
        ]

    def _lot_words(self) -> str:
        """Whose parts the promise is for."""
        if self.lots is None:
            return "No lots are stated: good parts to come are taken to be like these."
        lots = "1 lot" if self.lots == 1 else f"{self.lots} lots"
        if self.future == NEW_LOTS:
            return (
                f"This is for parts of new lots, taken over many lots, and counts each of the {lots} once; a single "
                "lot may raise more alarms."
            )
        if self.future == THESE_LOTS:
            which = "this 1 lot" if self.lots == 1 else f"these {lots}"
            return f"This is for further parts of {which} and says nothing about new lots."
        return (
            f"They come from {lots}; parts of one lot resemble each other, so a lot unlike these may raise more alarms "
            "than n suggests."
        )


def _tile_words(fewest: int, most: int) -> str:
    judged = "Every image is judged by the highest score among its tiles. So were the calibration images, of"
    if fewest == most:
        tiles = "1 tile" if most == 1 else f"{most} tiles"
        return f"{judged} {tiles} each: tiles raise no more alarms than promised, for images of this size."
    return (
        f"{judged} {fewest} to {most} tiles each: the promise is for images whose sizes vary as theirs do; larger "
        "ones alone raise more alarms."
    )


Precision = Literal["int8", "float16"]
"""What a graph may be quantised to."""


class Quantised(_Part):
    """What an int8 or float16 graph was made from.

    Args:
        precision: "int8" for the convolutions, or "float16" for the whole network.
        fingerprint: Fingerprint of the float32 inspector.
        ranges_from: Number of images, of those learned from, that the ranges of the activations come from; 0 in
            float16, which needs none.
        runtime: Where it was calibrated.
    """

    precision: Precision = "int8"
    fingerprint: str
    ranges_from: int
    runtime: str

    def words(self) -> str:
        """A sentence for the statement."""
        how = (
            "The network runs in float16"
            if self.precision == "float16"
            else f"The convolutions run in int8, with ranges from {self.ranges_from} images learned from"
        )
        return f"{how}; made from the float32 model {self.fingerprint[:12]} and recalibrated on {self.runtime}."


class Updated(_Part):
    """That a detector has taken in more images.

    Args:
        fingerprint: Of the inspector that took them in.
        learned_from: Number of images that it learned from in addition.
        created: When.
        amiss_version: By which Amiss.
    """

    fingerprint: str
    learned_from: int = Field(ge=1)
    created: str
    amiss_version: str

    def words(self) -> str:
        """A sentence for the statement."""
        return (
            f"On {self.created[:10]} the model {self.fingerprint[:12]} took in {self.learned_from} more good images, "
            "and was calibrated on new ones."
        )


class Learned(_Part):
    """How a detector was made: facts that no change of rule, filters or calibration touches.

    `classes` are those that its method tells apart, none for most methods. `size` is the detector's input. Every image
    is resized to it, or with `tiling` cut into tiles of it. `updates` are the times that it took in more images, the
    oldest first; `learned_from` counts all. `recipe` is what the fit was asked for, see `amiss.recipe`;
    artefacts of earlier builds have none.
    """

    amiss_version: str
    created: str
    method: str
    hyperparameters: dict[str, Any]
    seed: int
    size: tuple[Side, Side]
    tiling: Tiling | None = None
    learned_from: int = Field(ge=0)
    weights_name: str
    weights_licence: str
    versions: dict[str, str]
    tolerance: float = Field(gt=0, le=MOST_TOLERANCE)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    quantised: Quantised | None = None
    updates: tuple[Updated, ...] = ()
    recipe: dict[str, Any] | None = None

    @property
    def bits(self) -> int | None:
        """Bits that the values of 16-bit images really have; None for 16."""
        return None if self.recipe is None else self.recipe.get("bits")

    def class_words(self, rule: str) -> list[str]:
        """Sentences for the statement on what the classes mean for it; none where there are no classes.

        Args:
            rule: Name of the rule, which says whether the rates are those of each class or of all together.
        """
        more = f" and {len(self.classes) - SHOWN} more" if len(self.classes) > SHOWN else ""
        names = f"{', '.join(self.classes[:SHOWN])}{more}"
        together = "" if rule == "each_class" else TOGETHER
        return [OF_CLASSES(count=len(self.classes), names=names, together=together)] if self.classes else []


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

    def rule_config(self) -> dict[str, Any]:
        """The rule's arguments. Earlier builds kept "auto", which meant another alpha then: the recorded one counts."""
        config = self.rule.config
        return {**config, "alpha": self.alpha} if config.get("alpha") == "auto" else config

    def learned(self) -> Learned:
        """The part of it that is a fact of learning."""
        return Learned(**{name: getattr(self, name) for name in Learned.model_fields})

    def calibrated(self) -> Calibration:
        """Where the calibration scores come from."""
        facts = {name: getattr(self.calibration, name) for name in Calibration.model_fields}
        return Calibration(**{**facts, "score_filters": self.score_filters})
