"""Every registered method, in its tiny preset, passes every check of `amiss.testing`.

One method: ``make test METHOD=padim`` or ``pytest -k padim``.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
import pytest

from amiss.export import export_whole
from amiss.features.join import PREFIX
from amiss.registry import create, find_method, list_methods
from amiss.runtime import Graph
from amiss.testing import toy_texture
from amiss.testing.detector_checks import CHECKS, SIDE, _deployed

TRACED_WHOLE = {"efficient_ad", "patchwise", "uninformed_students"}
"""Methods with no frozen network that sees the whole image."""


def check_joined(make: Callable) -> None:
    """*Export*: the network's graph joined with that of the rest is the graph that torch traces as a whole."""
    inspector, detector = _deployed(make)
    joined = onnx.load_model_from_string(inspector.parts.graph).graph
    assert any(tensor.name.startswith(PREFIX) for tensor in joined.initializer) == (
        detector.card.name not in TRACED_WHOLE
    )
    if detector.card.name in TRACED_WHOLE:
        return
    whole = Graph(export_whole(detector, (SIDE, SIDE)))
    for count in (1, 5):
        pixels = np.stack(list(toy_texture(count, seed=1, defective=True).images))
        found, wanted = inspector.scorer.run(pixels), whole.run(pixels)
        np.testing.assert_allclose(found.image, wanted.image, rtol=1e-6)
        if wanted.map is not None:
            np.testing.assert_allclose(found.map, wanted.map, rtol=1e-6, atol=1e-6 * np.abs(wanted.map).max())


@pytest.mark.parametrize("check", [*CHECKS, check_joined], ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("method", list_methods())
def test_method(method: str, check: Callable) -> None:
    check(partial(create, method, "tiny"))


@pytest.mark.parametrize("method", list_methods())
def test_every_preset_can_be_created(method: str) -> None:
    for preset in find_method(method).card.presets:
        assert create(method, preset).card.name == method
