"""GEOM against plain NumPy, its transformations and Dirichlet distributions against independent code."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import dirichlet

from amiss.background.dirichlet import fit_dirichlet
from amiss.background.transformations import Transformation, all_transformations, transformed
from amiss.core.errors import InputError
from amiss.detectors.self_supervised.geom import GEOM, told_apart
from amiss.features.batch import to_batch
from amiss.testing import toy_part, toy_texture

TINY = GEOM.card.presets["tiny"] | {"steps": 30}


def by_hand(image: np.ndarray, one: Transformation) -> np.ndarray:
    """(C, s, s) through np.fliplr, np.pad and np.rot90, channel by channel."""
    found = []
    for channel in image:
        flipped = np.fliplr(channel) if one.flipped else channel
        padded = np.pad(flipped, 8, mode="reflect")
        side = len(channel)
        moved = padded[8 - one.down : 8 - one.down + side, 8 - one.right : 8 - one.right + side]
        found.append(np.rot90(moved, one.turns))
    return np.stack(found)


def test_transformations_are_those_of_numpy() -> None:
    image = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    every = all_transformations(flips=True, turns=True, shift=4)
    found = transformed(torch.from_numpy(image)[None], every)[0].numpy()
    np.testing.assert_array_equal(found, np.stack([by_hand(image, one) for one in every]))
    assert len(every) == len(set(every)) == 72 and every[0] == Transformation(False, 0, 0, 0)


@pytest.mark.parametrize("measure", ["dirichlet", "simple"])
def test_score_by_definition(measure: str) -> None:
    detector = GEOM(**TINY, measure=measure).fit(toy_part(12, seed=0).images)
    images = toy_part(3, seed=1, defective=True).images
    with torch.no_grad():
        shrunk = detector.describe(to_batch(torch.from_numpy(np.stack(list(images))))).numpy()
    kept, every = detector.kept.tolist(), detector.transformations
    scores = []
    for image in shrunk:
        total = 0.0
        for place, number in enumerate(kept):
            shown = torch.from_numpy(by_hand(image, every[number]).copy())[None]
            with torch.no_grad():
                hidden = detector.classifier.encoder(shown).numpy()[0]
            hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
            logits = (
                detector.classifier.head.weight.detach().numpy() @ hidden
                + detector.classifier.head.bias.detach().numpy()
            )
            p = np.exp(logits[kept] - logits[kept].max())
            p = np.maximum(p / p.sum(), 1e-12)
            alpha = detector.alpha[place].double().numpy()
            total += (
                p[place] if measure == "simple" else dirichlet.logpdf(p.astype(float) / p.astype(float).sum(), alpha)
            )
        scores.append(1 - total / len(kept) if measure == "simple" else -total / len(kept))
    np.testing.assert_allclose(detector.score(images).image, scores, rtol=2e-3, atol=0.05)


def likelihood(log_alpha: np.ndarray, p: np.ndarray) -> float:
    alpha = np.exp(log_alpha)
    return -float(gammaln(alpha.sum()) - gammaln(alpha).sum() + ((alpha - 1) * np.log(p).mean(axis=0)).sum())


@pytest.mark.parametrize("alpha", [(0.5, 0.7, 2.0), (3.0, 8.0, 1.0, 4.0), (200.0, 3.0)])
def test_the_dirichlet_distribution_is_the_most_likely_one(alpha: tuple[float, ...]) -> None:
    p = np.random.default_rng(1).dirichlet(alpha, size=300)
    found = fit_dirichlet(p)
    best = minimize(likelihood, np.zeros(len(alpha)), args=(p,), method="BFGS")
    assert likelihood(np.log(found), p) <= best.fun + 1e-4  # flat along the concentration, where the iteration is slow
    np.testing.assert_allclose(found, np.exp(best.x), rtol=2e-2)
    both = fit_dirichlet(np.stack([p, p[:, ::-1]]))
    np.testing.assert_allclose(both[1], found[::-1], rtol=1e-3)


def test_certain_posteriors_have_a_finite_distribution() -> None:
    assert np.isfinite(fit_dirichlet(np.tile([1.0, 0.0, 0.0], (5, 1)))).all()


def test_what_a_classifier_confuses_is_dropped() -> None:
    """Of four, the first two look the same; the last is told from all others."""
    logits = np.zeros((10, 4, 4), np.float32)
    for number in range(4):
        logits[:, number, number] = 5
    logits[:7, 1, 0] = 9  # of ten images, seven of the second are taken for the first
    assert told_apart(logits, 0.5) == [0, 2, 3]
    assert told_apart(logits, 0.25) == [0, 1, 2, 3]
    assert told_apart(np.zeros((3, 4, 4), np.float32), 0.5) == [0, 1]


def test_a_texture_says_that_little_can_be_told() -> None:
    detector = GEOM(**TINY | {"turns": True, "shift": 0.0, "steps": 5}).fit(toy_texture(10, seed=0).images)
    assert len(detector.kept) < 8
    (remark,) = detector.remarks()
    assert "could not be told apart" in remark and "turned by" in remark


def test_no_transformation_at_all() -> None:
    with pytest.raises(InputError, match="flips, turns or shift must ask for transformations"):
        GEOM(flips=False, turns=False, shift=0.0)
