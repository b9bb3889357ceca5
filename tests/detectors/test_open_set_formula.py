"""Open-set statistics against plain NumPy and SciPy, from the logits and last features of a learned classifier."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.covariance import ledoit_wolf

from amiss.background.weibull import fit_tail, weibull_cdf
from amiss.core.errors import InputError
from amiss.features.batch import to_batch
from amiss.registry import create
from amiss.testing import toy_classes
from amiss.testing.toy import toy_other_classes


def many(count, seed):
    """Images of four classes."""
    worlds = [world(count // 2, seed=seed).images for world in (toy_classes, toy_other_classes)]
    return type(worlds[0]).join(worlds)


def outputs(detector, images):
    """Last features and logits in float64, and what the statistic says."""
    batch = to_batch(torch.from_numpy(np.stack(list(images))))
    with torch.no_grad():
        last, logits = detector.head(detector.describe(batch))
        score, number = detector.statistic(batch)
    return last.double().numpy(), logits.double().numpy(), score.numpy(), number.numpy()


@pytest.fixture(scope="module")
def learned():
    """One classifier under all statistics: their state differs in buffers of their own."""
    images, made = many(48, 0), {}
    settings = {"steps": 40, "versions": 1}
    for name in ("max_logit", "energy", "msp", "openmax", "class_mahalanobis", "class_knn"):
        made[name] = create(name, "tiny", **settings).fit(images)
    return made, images, many(16, 1)


def test_scores_of_logits(learned):
    made, _, test = learned
    _, z, score, number = outputs(made["max_logit"], test)
    np.testing.assert_allclose(score, -z.max(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(number, z.argmax(axis=1))
    made["energy"].temperature = 2.5
    _, z, score, _ = outputs(made["energy"], test)
    np.testing.assert_allclose(score, -2.5 * logsumexp(z / 2.5, axis=1), rtol=1e-5)
    _, z, score, _ = outputs(made["msp"], test)
    likeliest = softmax(z, axis=1).max(axis=1)
    np.testing.assert_allclose(score, np.log((1 - likeliest) / likeliest), rtol=1e-4, atol=1e-5)


def test_msp_orders_images_of_which_the_softmax_is_one():
    detector = create("msp", "tiny")
    logits = torch.tensor([[60.0, 0.0, -1.0], [80.0, 0.0, -1.0], [1.0, 1.0, 1.0]])
    assert detector.strangeness(logits, logits).tolist() == pytest.approx([-59.687, -79.687, np.log(2)], rel=1e-4)


def test_mahalanobis_of_classes(learned):
    made, images, test = learned
    detector = made["class_mahalanobis"]
    known, _, _, _ = outputs(detector, images)
    truth = np.array(images.labels)
    means = np.stack([known[truth == name].mean(axis=0) for name in detector.classes])
    within = known - means[np.searchsorted(detector.classes, truth)]
    covariance, _ = ledoit_wolf(within, assume_centered=True)
    last, _, score, _ = outputs(detector, test)
    wanted = cdist(last, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(axis=1)
    np.testing.assert_allclose(score, wanted, rtol=1e-3)


def test_neighbours_of_classes(learned):
    made, images, test = learned
    detector = made["class_knn"]
    known, *_ = outputs(detector, images)
    last, _, score, _ = outputs(detector, test)
    known, last = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (known, last))
    np.testing.assert_allclose(score, np.sort(cdist(last, known), axis=1)[:, detector.neighbours - 1], atol=1e-5)


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "both"])
def test_openmax(learned, distance):
    made, images, test = learned
    detector = made["openmax"]
    detector.distance, detector.top, detector.tail = distance, 3, 4
    _, logits, _, _ = outputs(detector, images)
    truth = np.searchsorted(detector.classes, np.array(images.labels))
    detector.keep(torch.zeros(0), torch.from_numpy(logits).float(), torch.from_numpy(truth))

    def far(one, mean):
        straight = np.linalg.norm(one - mean)
        angle = 1 - one @ mean / np.linalg.norm(one) / np.linalg.norm(mean)
        return {"euclidean": straight, "cosine": angle, "both": straight / 200 + angle}[distance]

    right = logits.argmax(axis=1) == truth
    means, tails = [], []
    for number in range(4):
        own = logits[right & (truth == number)]
        means.append(own.mean(axis=0))
        largest = sorted(far(one, means[-1]) for one in own)[-4:]
        shape, _, scale = stats.weibull_min.fit(largest, floc=0)
        tails.append(stats.weibull_min(shape, scale=scale))
    _, z, score, _ = outputs(detector, test)
    for one, found in zip(z, score, strict=True):
        weakened, unknown = one.copy(), 0.0
        for rank, number in enumerate(np.argsort(-one)[:3], start=1):
            omega = 1 - (3 + 1 - rank) / 3 * tails[number].cdf(far(one, means[number]))
            weakened[number] = one[number] * omega
            unknown += one[number] * (1 - omega)
        probability = softmax([unknown, *weakened])[0]
        assert found == pytest.approx(np.log(probability / (1 - probability)), rel=2e-3, abs=2e-3)


def test_the_tail_is_the_weibull_of_most_likelihood():
    drawn = stats.weibull_min(2.5, scale=7.0).rvs(400, random_state=3)
    shape, scale = fit_tail(drawn, 150, "a")
    largest = np.sort(drawn)[-150:]
    best = stats.weibull_min.logpdf(largest, shape, scale=scale).sum()
    for other in ((shape * 1.01, scale), (shape / 1.01, scale), (shape, scale * 1.01), (shape, scale / 1.01)):
        assert stats.weibull_min.logpdf(largest, other[0], scale=other[1]).sum() < best
    again = fit_tail(1000 * drawn, 150, "a")  # another unit
    assert again == pytest.approx((shape, 1000 * scale), rel=1e-6)
    given = torch.tensor([0.0, 3.0, 9.0])
    found = weibull_cdf(given, torch.tensor(2.5), torch.tensor(7.0))
    np.testing.assert_allclose(found, stats.weibull_min(2.5, scale=7.0).cdf(given), rtol=1e-5)


def test_half_of_the_distances_at_most_are_a_tail():
    assert fit_tail(np.arange(1.0, 11), 100, "a") == fit_tail(np.arange(1.0, 11), 5, "a")
    with pytest.raises(InputError, match="farthest from their mean must differ in their distance, got 1 to 1"):
        fit_tail(np.ones(9), 4, "a")


def test_openmax_needs_images_that_are_told_rightly():
    detector = create("openmax", "tiny")
    detector.classes = ("a", "b")
    logits, numbers = torch.tensor([[1.0, 0.0]] * 8), torch.tensor([0] * 6 + [1] * 2)
    with pytest.raises(InputError, match="at least 3 images of each class rightly, got 0 of 'b'"):
        detector.keep(logits, logits, numbers)
