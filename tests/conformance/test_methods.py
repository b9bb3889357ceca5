"""Every registered method, in its tiny preset, passes every check of `amiss.testing`.

One method: ``make test METHOD=padim`` or ``pytest -k padim``.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
import pytest

from amiss.detectors.detector import TorchScorer
from amiss.features.join import PREFIX
from amiss.registry import create, find_method, list_methods
from amiss.testing import toy_texture
from amiss.testing.detector_checks import CHECKS, check_finds_defects
from amiss.testing.shared_fits import deployed
from amiss.testing.toy import SIDE

TRACED_WHOLE = {
    *(
        "anogan",
        "autoencoder",
        "autoencoder_gmm",
        "draem",
        "efficient_ad",
        "f_anogan",
        "geom",
        "geom_features",
        "ganomaly",
        "patchwise",
        "riad",
        "uninformed_students",
        "vae",
        "winclip",
        "winclip_plus",
    ),
}
"""Methods with no frozen network that sees the whole image, or that ask it about windows too."""


def check_joined(make: Callable) -> None:
    """*Export*: the network's graph joined with that of the rest gives torch's scores, but for the last digits."""
    inspector, detector = deployed(make)
    graph = onnx.load_model_from_string(inspector.parts.graph).graph
    joined = any(tensor.name.startswith(PREFIX) for tensor in graph.initializer)
    assert joined == (detector.card.name not in TRACED_WHOLE)
    pixels = np.stack(list(toy_texture(5, seed=1, defective=True).images))
    found, wanted = inspector.scorer.run(pixels), TorchScorer(detector, (SIDE, SIDE)).run(pixels)
    np.testing.assert_allclose(found.image, wanted.image, rtol=0, atol=1e-5 * np.abs(wanted.image).max())
    if wanted.map is not None:
        np.testing.assert_allclose(found.map, wanted.map, rtol=0, atol=1e-5 * np.abs(wanted.map).max())


SAME_BUT_FOR_A_FORMULA = {"class_knn", "class_mahalanobis", "energy", "msp", "openmax"}
"""Methods that differ from `max_logit` in a formula, which is tested apart."""
LEARN_FOR_LONG = {
    *("anogan", "autoencoder_gmm", "cflow", "dagmm", "dinomaly", "draem", "f_anogan", "ganomaly", "geom", "riad"),
    *("cutpaste_map", "fastflow", "geom_features", "mkd", "pyramidflow"),
    *("efficient_ad", "reverse_distillation_pp", "uniad", "uninformed_students", "vae"),
    *("winclip", "winclip_plus"),
}
"""Methods on which the checks take 5 to 25 CPU seconds, and so minutes together."""
SAME_OVER_THE_IMAGE = {"cutpaste"}
"""What `cutpaste_map` does at every position."""
SLOW = SAME_BUT_FOR_A_FORMULA | LEARN_FOR_LONG | SAME_OVER_THE_IMAGE
"""For `make test-slow`, which CI runs too, and for `make test METHOD=name`. Golden files hold all of them meanwhile."""


ONLY_WORDS = {"winclip"}
"""Methods that know defects by words alone, which mean nothing to random towers; no CLIP comes with Amiss."""


def methods() -> list:
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in list_methods()]


@pytest.mark.parametrize("check", [*CHECKS, check_joined], ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("method", methods())
def test_method(method: str, check: Callable) -> None:
    if method in ONLY_WORDS and check is check_finds_defects:
        pytest.skip("its tiny preset has towers with random weights, to which words for damage mean nothing")
    check(partial(create, method, "tiny"))


@pytest.mark.parametrize("method", list_methods())
def test_every_preset_can_be_created(method: str) -> None:
    for preset in find_method(method).card.presets:
        assert create(method, preset).card.name == method
