"""DN2 against plain NumPy on the same features."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.dn2 import DN2
from amiss.testing import toy_texture

TINY = DN2.card.presets["tiny"]


def pooled(detector: DN2, images: Images) -> np.ndarray:
    """(N, D) float64."""
    with torch.no_grad():
        (features,) = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    return features.double().numpy().mean(axis=(2, 3))


@pytest.mark.parametrize("neighbours", [1, 2, 5, 100])
def test_score_equals_the_formula(neighbours: int) -> None:
    normal, test = toy_texture(12, seed=0).images, toy_texture(5, seed=1, defective=True).images
    detector = DN2(**TINY, neighbours=neighbours).fit(normal)
    squares = np.sort(cdist(pooled(detector, test), pooled(detector, normal)) ** 2, axis=1)
    scores = detector.score(test)
    assert scores.map is None
    np.testing.assert_allclose(scores.image, squares[:, :neighbours].mean(axis=1), rtol=1e-4)


def test_the_bank_is_capped() -> None:
    images = toy_texture(12, seed=0).images
    detector = DN2(**TINY, bank_size=5).fit(images)
    bank = (detector.bank + detector.center).double().numpy()
    distance = cdist(bank, pooled(detector, images))
    assert distance.min(axis=1).max() < 1e-5
    assert len(set(distance.argmin(axis=1))) == 5
