"""A border that raises no alarm still shows the defects that touch it."""

import numpy as np
import pytest

from amiss.background.border_level import BorderLevel
from amiss.core.images import Images
from amiss.detectors.memory_bank.patchcore import PatchCore
from amiss.metrics import auroc
from amiss.metrics.border import peaks_on_rim, rim_area

SIDE = 128


def cloth(count: int, seed: int) -> np.ndarray:
    """Woven threads with noise, uint8 (N, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    place = np.arange(SIDE)
    images = []
    for _ in range(count):
        down, right = (np.sin(2 * np.pi * (place / 9 + rng.random())) for _ in range(2))
        grey = 128 + 30 * (down[:, None] + right) + rng.normal(0, 8, (SIDE, SIDE))
        images.append(np.repeat(grey.clip(0, 255)[..., None], 3, axis=2))
    return np.stack(images).astype(np.uint8)


def with_stain(images: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Dark discs with a radius of 7 pixels."""
    rows, columns = np.indices((SIDE, SIDE))
    stained = images.copy()
    for image, (row, column) in zip(stained, centres, strict=True):
        image[(rows - row) ** 2 + (columns - column) ** 2 < 49] //= 2
    return stained


@pytest.fixture(scope="module")
def detector() -> PatchCore:
    return PatchCore(backbone="efficientnet-lite0", bank_size=500).fit(Images(list(cloth(24, 0)), size=(SIDE, SIDE)))


@pytest.mark.parametrize("side", ["top", "left", "bottom", "right", "corner"])
def test_a_stain_that_touches_the_border_is_found_where_it_is(detector: PatchCore, side: str) -> None:
    rng = np.random.default_rng(1)
    along, edge = rng.uniform(20, SIDE - 20, 16), np.full(16, 2.0)
    centres = {
        "top": np.stack([edge, along], axis=1),
        "left": np.stack([along, edge], axis=1),
        "bottom": np.stack([SIDE - 1 - edge, along], axis=1),
        "right": np.stack([along, SIDE - 1 - edge], axis=1),
        "corner": np.full((16, 2), 3.0),
    }[side]
    good = detector.score(Images(list(cloth(16, 2)), size=(SIDE, SIDE)))
    bad = detector.score(Images(list(with_stain(cloth(16, 3), centres)), size=(SIDE, SIDE)))
    assert auroc(np.repeat([False, True], 16), np.concatenate([good.image, bad.image])) > 0.95
    assert bad.map is not None
    peaks = np.array([np.unravel_index(one.argmax(), one.shape) for one in bad.map])
    assert (np.abs(peaks - centres).max(axis=1) <= 16).mean() > 0.9


def test_fewer_good_images_are_strangest_at_their_border(detector: PatchCore) -> None:
    """Without the level most are; the rim is a quarter of the area."""
    good = Images(list(cloth(39, 4)), size=(SIDE, SIDE))

    def share() -> float:
        scores = detector.score(good)
        assert scores.map is not None
        return float(np.mean([peaks_on_rim(one) for one in scores.map]))

    found, level = share(), detector.border
    detector.border = BorderLevel()
    try:
        assert share() > 0.75
    finally:
        detector.border = level
    assert found < 2 * rim_area(SIDE, SIDE)
