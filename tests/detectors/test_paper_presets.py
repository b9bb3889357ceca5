"""A published recipe says how it learns; that of every reconstruction method takes 20 steps on real images.

The networks are those of the preset, the images are photographs of solar cells at 128 x 128 pixels, and a batch has
four of them. Weights of other people's networks do not come with Amiss: there another frozen network stands in.
"""

import importlib.util

import numpy as np
import pytest

from amiss.core.images import Images
from amiss.data import open_dataset
from amiss.registry import create, find_method, list_methods

METHODS = [name for name in list_methods() if find_method(name).card.family == "reconstruction"]
STEPS, SIDE = 20, 128
STAND_INS = {
    "uniad": {"backbone": "efficientnet-lite2", "stages": (2, 4, 8, 16), "neighbours": 5},
    "dinomaly": {"backbone": "efficientnet-lite2", "stages": (4, 8, 16), "width": 768},
}
"""For weights that are a user's own; 128 pixels have fewer cells than the paper's images."""

PUBLISHED = [name for name in list_methods() if "paper" in find_method(name).card.presets]


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_default_for_small_machines_changes_no_published_recipe(method: str) -> None:
    """What a preset leaves out is the default's, which is chosen for two cores, and anew now and then."""
    chosen = {"steps", "batch", "rate", "width"} & set(find_method(method).declared)
    assert chosen <= set(find_method(method).card.presets["paper"])


@pytest.fixture(scope="module")
def cells() -> Images:
    return open_dataset("elpv:mono").normal.resized((SIDE, SIDE)).subset(range(12))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("elpv_dataset") is None, reason="pip install 'amiss[demo]'")
@pytest.mark.parametrize("method", METHODS)
def test_the_published_recipe_runs(method: str, cells: Images) -> None:
    settings = dict(STAND_INS.get(method, {}))
    declared = find_method(method).declared
    settings |= {name: STEPS for name in declared if name == "steps" or name.endswith("_steps")}
    if "batch" in declared:
        settings["batch"] = 4
    if "texture_count" in declared:
        settings["texture_count"] = 20
    taken, losses = [], []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("loss"):
            taken.append(stage)
            losses.append(float(note.split()[1].rstrip(",")))

    detector = create(method, "paper", **settings).fit(cells, progress=progress)
    assert taken and all(taken.count(stage) == STEPS for stage in set(taken)) and np.isfinite(losses).all()
    scores = detector.score(cells.subset(range(2)))
    assert np.isfinite(scores.image).all() and scores.image[0] != scores.image[1]
    if detector.card.localises:
        assert scores.map.shape == (2, SIDE, SIDE) and np.isfinite(scores.map).all() and scores.map.std() > 0
