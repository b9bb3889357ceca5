"""Reconstruction fits that are killed in any stage, that diverge, or that get images to learn little from."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from amiss import training
from amiss.core.card import Learning
from amiss.core.errors import DivergedError, InputError
from amiss.core.images import Images
from amiss.detectors import detector as base
from amiss.detectors.detector import Detector
from amiss.registry import create, find_method, list_methods
from amiss.storage import entry_data
from amiss.testing import toy_part
from amiss.training import Checkpoint

METHODS = [
    name
    for name in list_methods()
    if (card := find_method(name).card).family == "reconstruction" and card.learning is Learning.GRADIENT
]
STEPS, KILLED, EVERY = 4, 3, 2
SIZE = (32, 32)
OPTIMISERS = {"anogan": {"learning": 2}, "ganomaly": {"learning": 2}, "f_anogan": {"generator": 2, "encoder": 1}}
"""How many optimisers each stage has; one of one, where nothing is said."""


def brief(method: str, steps: int = STEPS, **settings: Any) -> Detector:
    few = {name: steps for name in ("steps", "encoder_steps") if name in find_method(method).declared}
    return create(method, "tiny", **few, **settings)


def parts(count: int) -> Images:
    return toy_part(count, seed=0).images.resized(SIZE)


class Killer:
    """Kills a fit in the third step of a stage, unless it was killed there before; keeps what it was told."""

    def __init__(self) -> None:
        self.killed, self.steps = set[str](), list[tuple[str, int]]()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if not note.startswith("loss"):
            return
        self.steps.append((stage, done))
        if done == KILLED and stage not in self.killed:
            self.killed.add(stage)
            raise KeyboardInterrupt


def interrupted(method: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Detector, Killer]:
    """A detector whose fit was killed once in each stage."""
    monkeypatch.setattr(base, "Checkpoint", partial(Checkpoint, every=EVERY))
    images, killer = parts(4), Killer()
    for _ in range(4):
        try:
            return brief(method).fit(images, progress=killer, checkpoint=folder), killer
        except KeyboardInterrupt:
            continue
    raise AssertionError(f"{method} has more stages than {killer.killed}")


def moved(one: Detector, other: Detector) -> list[str]:
    """Names of the tensors in which two detectors are not the same to the last bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_that_was_killed_in_every_stage_goes_on_bit_for_bit(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = brief(method).fit(parts(4))
    found, killer = interrupted(method, tmp_path, monkeypatch)
    stages = OPTIMISERS.get(method, {"learning": 1})
    assert killer.killed == stages.keys()
    once = [1, 2, KILLED, *range(EVERY + 1, STEPS + 1)]  # from the checkpoint, not from the start
    assert killer.steps == [(stage, step) for stage in stages for step in once]
    assert moved(found, wanted) == []
    for stage, count in stages.items():
        data = entry_data((tmp_path / f"{stage}.safetensors").read_bytes(), "checkpoint")
        held = {name.split("/")[0] for name in load(data) if name.startswith("optimiser")}
        assert held == {f"optimiser {number}" for number in range(count)}


@pytest.mark.parametrize("lost", [0, 1])
def test_an_optimiser_that_is_not_taken_up_again_would_be_seen(
    lost: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, calls = training._load_optimiser, []

    def forget(optimiser: torch.optim.Optimizer, *state: Any) -> None:
        calls.append(optimiser)
        if (len(calls) - 1) % 2 != lost:
            load(optimiser, *state)

    monkeypatch.setattr(training, "_load_optimiser", forget)
    found, _ = interrupted("anogan", tmp_path, monkeypatch)
    assert moved(found, brief("anogan").fit(parts(4)))


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_stops_with_the_step(method: str) -> None:
    rates = {name: 1e30 for name in ("rate", "encoder_rate") if name in find_method(method).declared}
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at step [1-4]; try a smaller rate"):
        brief(method, **rates).fit(parts(4))


@pytest.mark.parametrize("method", METHODS)
def test_images_that_are_too_small_are_refused_with_the_least_size(method: str) -> None:
    images = toy_part(3, seed=0).images.resized((3, 5))
    try:
        scores = brief(method, steps=1).fit(images).score(images)
    except InputError as error:
        assert "at least" in str(error) and ("got 3 x 5" in str(error) or "cells" in str(error))
    else:
        assert method in (
            "anogan",
            "f_anogan",
            "dagmm",
            "dinomaly",
        )  # which bring images to a size of their own, or ask a network
        assert scores.map is not None and scores.map.shape == (3, 3, 5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["one", "the same", "flat"])
def test_images_that_do_not_differ_are_learned_from_or_refused_in_words(method: str, kind: str) -> None:
    part = parts(2)
    images = {
        "one": part.subset(np.array([0])),
        "the same": Images([part[0]] * 3, size=SIZE),
        "flat": Images([np.full((*SIZE, 3), 90, np.uint8)] * 3, size=SIZE),
    }[kind]
    try:
        scores = brief(method, steps=1).fit(images).score(part)
    except InputError as error:
        assert "normal" in str(error) and ("differ" in str(error) or "at least" in str(error))
    else:
        assert np.isfinite(scores.image).all()
