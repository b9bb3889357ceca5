"""What the checks of one detector share, since they only look at it: each fit and each export is made once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from amiss.core.card import Learning, LearnsFrom
from amiss.detectors.detector import Detector
from amiss.front import fit
from amiss.inspector import Inspector
from amiss.rules import Conformal
from amiss.testing.detector_words import Make
from amiss.testing.toy import SIDE, ToyWorld, toy_classes, toy_other_classes, toy_part, toy_texture
from amiss.testing.yardstick import yardstick

BRIEF = 12
"""Training steps, set as the hyper-parameter `steps`, where a check asks how a method learns and not how well."""

World = Callable[..., ToyWorld]
"""`toy_texture` or `toy_part`; for methods that learn classes `toy_classes` or `toy_other_classes`."""


def worlds(detector: Detector) -> tuple[World, World]:
    """Two toy worlds from which this detector can learn."""
    if detector.card.learns_from is LearnsFrom.CLASSES:
        return toy_classes, toy_other_classes
    return toy_texture, toy_part


def first_world(make: Make) -> World:
    """The toy world that most checks take."""
    return worlds(make())[0]


@dataclass
class _Known:
    """Of one method with one set of hyper-parameters: fits by toy world and number of steps, and the whole chain."""

    key: object = None
    fitted: dict[tuple[World, object], Detector] = field(default_factory=dict)
    yardsticks: dict[tuple[World, object], float] = field(default_factory=dict)
    deployed: tuple[Inspector, Detector] | None = None


_last = _Known()


def brief(make: Make) -> Detector:
    """A new detector that takes few training steps, where their number is a hyper-parameter called `steps`."""
    detector = make()
    settings = detector.hyperparameters()
    if detector.card.learning is not Learning.GRADIENT or settings.get("steps", 0) <= BRIEF:
        return detector
    return type(detector)(**{**settings, "steps": BRIEF})


def fitted(make: Make, world: World | None = None, *, few_steps: bool = False) -> Detector:
    """A detector that has learned from 16 images of a toy world; do not change it.

    Args:
        make: See `Make`.
        world: Where the images come from; `first_world` when None.
        few_steps: That of `brief`.
    """
    known, detector = _known(make), brief(make) if few_steps else make()
    world = world or first_world(make)
    key = _key(detector, world)
    if key not in known.fitted:
        before, images, start = yardstick(), world(16, seed=0).images, time.process_time()
        known.fitted[key] = detector.fit(images)
        taken = time.process_time() - start
        known.yardsticks[key] = taken / ((before + yardstick()) / 2)
    return known.fitted[key]


def fit_yardsticks(make: Make) -> float:
    """CPU time that it took to learn from the 16 images of `first_world`, in those of `amiss.testing.yardstick`."""
    fitted(make)
    return _known(make).yardsticks[_key(make(), first_world(make))]


def deployed(make: Make) -> tuple[Inspector, Detector]:
    """An inspector that was fitted, exported and calibrated, and its detector as the artefact keeps it.

    In few steps: the graph must equal torch, and the false-alarm rate must hold, however well the method has learned.
    """
    known = _known(make)
    if known.deployed is None:
        images, method = first_world(make)(124, seed=0).images, brief(make)
        learn, good = images, None
        if method.card.learns_from is LearnsFrom.UNLABELLED:
            learn, good = images.subset(range(25)), images.subset(range(25, 124))
        inspector = fit(learn, method=method, size=SIDE, rule=Conformal(0.1), calibration=0.8, calibrate_on=good)
        known.deployed = inspector, inspector.detector(type(method))
    return known.deployed


@lru_cache(maxsize=2)
def fresh_normals(world: World, count: int) -> NDArray[np.uint8]:
    """Normal images (N, 64, 64, 3) that every method is judged on: to draw them takes as long as to score them."""
    return np.stack(list(world(count, seed=1).images))


def _known(make: Make) -> _Known:
    """Of this method with these hyper-parameters; of any other, all is forgotten."""
    global _last
    detector = make()
    key = (type(detector), repr(detector.hyperparameters()))
    if _last.key != key:
        _last = _Known(key)
    return _last


def _key(detector: Detector, world: World) -> tuple[World, object]:
    return world, detector.hyperparameters().get("steps")
