"""What the checks of `amiss.testing` are written with: a demand, and the words for when it is not met."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from amiss.core.errors import InputError
from amiss.core.scores import Scores


def require(condition: bool, message: str) -> None:
    """A demand that also holds under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def require_equal(one: Scores, other: Scores, what: str) -> None:
    """Equal image scores to the last bit."""
    same = np.array_equal(one.image, other.image)
    require(same, f"{what} scores {other.image.tolist()}, not {one.image.tolist()}: draw only from rng and torch")


def require_input_error(action: Callable[[], Any], what: str, says: str = "") -> None:
    """The action raises an `InputError` whose message holds the words `says`."""
    try:
        action()
    except InputError as error:
        require(says in str(error), f"{what}: the message {str(error)!r} does not say {says!r}")
    except Exception as error:
        raise AssertionError(f"{what} gives {error!r}; it must raise an InputError that says what must hold") from error
    else:
        raise AssertionError(f"{what} is accepted; it must raise an InputError that says what must hold")


def random_state() -> tuple[Any, ...]:
    """The global random states of Python, NumPy and torch."""
    import torch

    numpy_state: Any = np.random.get_state(legacy=False)
    inner = {name: np.asarray(value).tolist() for name, value in numpy_state.pop("state").items()}
    return random.getstate(), numpy_state, inner, torch.get_rng_state().tolist()
