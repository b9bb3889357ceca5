"""Every registered method, in its tiny preset, passes every check of `amiss.testing`.

One method: ``make test METHOD=padim`` or ``pytest -k padim``.
"""

from collections.abc import Callable
from functools import partial

import pytest

from amiss.registry import create, find_method, list_methods
from amiss.testing.detector_checks import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("method", list_methods())
def test_method(method: str, check: Callable) -> None:
    check(partial(create, method, "tiny"))


@pytest.mark.parametrize("method", list_methods())
def test_every_preset_can_be_created(method: str) -> None:
    for preset in find_method(method).card.presets:
        assert create(method, preset).card.name == method
