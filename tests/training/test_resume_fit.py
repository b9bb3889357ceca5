"""A fit that was interrupted goes on, and comes to the same model as one that was not."""

from pathlib import Path

import numpy as np
import pytest

import amiss
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import Progress
from amiss.inspector import Inspector
from amiss.registry import create
from amiss.testing import toy_texture

STEPS = {"steps": 210}


def fit(checkpoint: Path | None, progress: Progress | None = None, *, seed: int = 1) -> Inspector:
    options = {} if progress is None else {"progress": progress}
    return amiss.fit(
        toy_texture(24, seed=0).images,
        method="simplenet",
        preset="tiny",
        settings=STEPS,
        size=64,
        calibration=0.5,
        seed=seed,
        checkpoint=checkpoint,
        **options,
    )


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path: Path) -> None:
    taken: list[int] = []

    def stop_late(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "learning" and done == 205:
            raise KeyboardInterrupt

    def count(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "learning":
            taken.append(done)

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_late)
    resumed = fit(tmp_path, count)
    assert taken[0] == 201  # the last state that was kept is that of step 200
    whole, test = fit(None), toy_texture(8, seed=3, defective=True).images.resized((64, 64))
    assert resumed.rule.threshold == whole.rule.threshold
    np.testing.assert_array_equal(resumed.image_scores(test).image, whole.image_scores(test).image)


def test_the_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(InputError, match="another run"):
        fit(tmp_path, seed=2)


def test_the_checkpoint_of_images_that_were_read_with_other_bits_is_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 12, (4, 64, 64, 3), dtype=np.uint16)
    images = Images([*values]).resized((64, 64))
    detector = create("simplenet", "tiny", steps=2)
    detector.fit(images.with_bits(12), checkpoint=tmp_path)
    with pytest.raises(InputError, match="another run"):
        detector.fit(images.with_bits(14), checkpoint=tmp_path)
