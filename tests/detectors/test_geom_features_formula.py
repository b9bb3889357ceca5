"""GEOM in two steps: its features and densities against plain NumPy and scikit-learn, its halves against each other."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import silent
from amiss.detectors.self_supervised.geom_features import GEOMFeatures
from amiss.features.batch import to_batch
from amiss.testing import toy_part

TINY = GEOMFeatures.card.presets["tiny"] | {"steps": 20}


def features(detector: GEOMFeatures, images: Images) -> np.ndarray:
    """(N, D) float64: what the trained encoder gives, with a leaky slope of 0.1."""
    with torch.no_grad():
        shrunk = detector.describe(to_batch(torch.from_numpy(np.stack(list(images)))))
        encoded = detector.classifier.encoder(shrunk).double().numpy()
    return np.where(encoded > 0, encoded, 0.1 * encoded)


def fitted(density: str) -> tuple[GEOMFeatures, Images, np.ndarray]:
    """A detector, test images, and the numbers of the images that its density was fitted to."""
    second = list[np.ndarray]()

    class Watched(GEOMFeatures):
        @staticmethod
        def halves(count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            found = GEOMFeatures.halves(count, rng)
            second.append(found[1].numpy())
            return found

    detector = Watched(**TINY, density=density).fit(toy_part(16, seed=0).images)
    return detector, toy_part(6, seed=1, defective=True).images, second[0]


@pytest.mark.parametrize("density", ["mvg", "knn"])
def test_score_by_definition(density: str) -> None:
    detector, images, second = fitted(density)
    normal = features(detector, toy_part(16, seed=0).images)[second]
    found = features(detector, images)
    precision = np.linalg.inv(ledoit_wolf(normal)[0])

    def squares(differences: np.ndarray) -> np.ndarray:
        return np.einsum("...i,ij,...j->...", differences, precision, differences)

    if density == "mvg":
        wanted = np.sqrt(squares(found - normal.mean(axis=0)))
    else:
        wanted = np.sqrt(squares(found[:, None] - normal[None]).min(axis=1))
    np.testing.assert_allclose(detector.score(images).image, wanted, rtol=2e-3)


def test_the_sphere_holds_the_normal_images_of_its_half() -> None:
    detector, images, second = fitted("svdd")
    normal = detector.score(toy_part(16, seed=0).images).image[second]
    assert (normal <= 1e-3 * np.abs(normal).max()).mean() >= 1 - detector.nu - 1 / len(normal)
    assert np.isfinite(detector.score(images).image).all()


def test_no_image_is_in_both_halves_and_none_is_left_out() -> None:
    first, second = GEOMFeatures.halves(11, np.random.default_rng(0))
    assert len(first) == 5 and sorted([*first.tolist(), *second.tolist()]) == list(range(11))


def test_the_classifier_does_not_see_the_half_of_the_density() -> None:
    images = np.stack(list(toy_part(12, seed=0).images))

    def encoder(pixels: np.ndarray) -> torch.Tensor:
        detector = GEOMFeatures(**TINY)
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        detector.build(pretrained=False)
        detector.learn(Images(pixels).resized((64, 64)), rng, silent)
        return detector.classifier.head.weight.detach()

    _, second = GEOMFeatures.halves(12, np.random.default_rng(0))
    changed = images.copy()
    changed[second.numpy()] = 255 - changed[second.numpy()][:, ::-1]
    torch.testing.assert_close(encoder(changed), encoder(images), rtol=0, atol=0)
    first, _ = GEOMFeatures.halves(12, np.random.default_rng(0))
    changed = images.copy()
    changed[first.numpy()] = changed[first.numpy()][:, ::-1]
    assert not torch.equal(encoder(changed), encoder(images))


def test_too_few_images_and_no_transformations_are_refused() -> None:
    with pytest.raises(InputError, match="at least 4 normal images are needed, two for each half, got 3"):
        GEOMFeatures(**TINY).fit(toy_part(3, seed=0).images)
    with pytest.raises(InputError, match="flips, turns or shift must ask"):
        GEOMFeatures(flips=False, turns=False, shift=0.0)
