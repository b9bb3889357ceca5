"""Scores of the tiny presets as they were when last looked at; see README.md beside this file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from amiss.registry import create, list_methods
from amiss.testing.shared_fits import worlds

FOLDER = Path(__file__).parent
STEPS = {
    30: ("class_knn", "class_mahalanobis", "energy", "max_logit", "msp", "openmax"),
    10: ("autoencoder", "dagmm", "efficient_ad", "mkd", "vae"),
    3: ("dinomaly", "geom", "geom_features", "reverse_distillation", "reverse_distillation_pp", "riad", "uniad"),
    2: ("anogan",),
    1: ("autoencoder_gmm", "draem", "ganomaly", "pyramidflow", "simplenet"),
}
BRIEF = {name: {"steps": steps} for steps, names in STEPS.items() for name in names} | {
    "f_anogan": {"steps": 1, "encoder_steps": 2}
}
"""Where rounding, which differs with machine and number of threads, grows to percents of the score in a whole fit.

A step of Adam goes by the sign of a small gradient, which rounding decides, and two networks that learn against each
other double what differs. How far other processors are off is shown by ``ATEN_CPU_CAPABILITY=default
ONEDNN_MAX_CPU_ISA=SSE41 pytest tests/golden``, which must pass as well.
"""

TOLERANCE = 1e-3
SENSITIVE = dict.fromkeys(("autoencoder_gmm", "f_anogan", "simplenet"), 1e-2)
"""How far a value may be from that of the file, as a share of the largest beside it; one step moves these more."""


def score(method: str) -> dict[str, dict[str, list[float]]]:
    """Image scores and five map values of two good and two defective toy images in either toy world."""
    result = {}
    for world in sorted(worlds(create(method, "tiny")), key=lambda world: world.__name__):
        detector = create(method, "tiny", **BRIEF.get(method, {})).fit(world(8, seed=0).images, seed=0)
        parts = [detector.score(world(2, seed=1, defective=defective).images) for defective in (False, True)]
        image = np.concatenate([part.image for part in parts])
        name = world.__name__
        result[name] = {"image": [float(f"{value:.5g}") for value in image]}
        if parts[0].classes is not None:
            result[name]["classes"] = np.concatenate([part.classes for part in parts]).tolist()
        if parts[1].map is not None:
            places = parts[1].map[0][[0, 16, 32, 48, 63], [0, 40, 32, 8, 63]]
            result[name]["map"] = [float(f"{value:.5g}") for value in places]
    return result


@pytest.mark.parametrize("method", list_methods())
def test_scores_are_those_of_the_golden_file(method: str) -> None:
    path, found = FOLDER / f"{method}.json", score(method)
    if os.environ.get("AMISS_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert path.is_file(), f"no {path.name}; write it with AMISS_UPDATE_GOLDEN=1 and look at it"
    wanted = json.loads(path.read_text())
    assert wanted.keys() == found.keys()
    for world in wanted:
        assert wanted[world].keys() == found[world].keys()
        for kind, values in wanted[world].items():
            allowed = SENSITIVE.get(method, TOLERANCE) * np.abs(values).max()
            name = f"{method} {world} {kind}"
            np.testing.assert_allclose(found[world][kind], values, rtol=0, atol=allowed, err_msg=name)


def test_every_golden_file_has_its_method() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(list_methods())
