"""Kernels against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from amiss.core.errors import InputError
from amiss.statistics.kernel import KERNELS, create_kernel, natural_gamma

PLAIN = {
    "rbf": lambda x, y: rbf_kernel(x, y, gamma=0.3),
    "polynomial": lambda x, y: polynomial_kernel(x, y, gamma=0.3, coef0=1, degree=3),
}


def vectors(count: int, dimension: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension))


@pytest.mark.parametrize("name", KERNELS)
def test_equals_scikit_learn(name: str) -> None:
    x, y = vectors(12, seed=0), vectors(7, seed=1)
    kernel = create_kernel(name, torch.tensor(0.3, dtype=torch.float64), 3)
    found = kernel(torch.from_numpy(x).reshape(3, 4, 5), torch.from_numpy(y))
    np.testing.assert_allclose(found.reshape(12, 7), PLAIN[name](x, y), rtol=1e-10)
    np.testing.assert_allclose(kernel.of_itself(torch.from_numpy(x)), np.diag(PLAIN[name](x, x)), rtol=1e-10)


@pytest.mark.parametrize("name", KERNELS)
def test_float32_keeps_its_digits_for_whitened_vectors(name: str) -> None:
    """150 dimensions, lengths of about 12, an outlier of length 50."""
    x = vectors(40, 150)
    x[0] *= 4
    gamma = natural_gamma(name, torch.from_numpy(x))
    exact = create_kernel(name, gamma, 2)(torch.from_numpy(x), torch.from_numpy(x))
    found = create_kernel(name, gamma.float(), 2)(torch.from_numpy(x).float(), torch.from_numpy(x).float())
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=1e-5)


def test_natural_gamma() -> None:
    x = vectors(31)
    pairs = np.sum((x[:, None] - x) ** 2, axis=2)[np.triu_indices(31, 1)]  # 465 of them: the median is one of them
    assert float(natural_gamma("rbf", torch.from_numpy(x))) == pytest.approx(1 / np.median(pairs))
    assert float(natural_gamma("polynomial", torch.from_numpy(x))) == pytest.approx(1 / np.mean(np.sum(x**2, axis=1)))


@pytest.mark.parametrize(
    ("name", "some"), [("rbf", torch.ones(5, 2)), ("rbf", torch.ones(1, 2)), ("polynomial", torch.zeros(3, 2))]
)
def test_vectors_that_do_not_vary_are_refused(name: str, some: torch.Tensor) -> None:
    with pytest.raises(InputError, match="vectors must vary"):
        natural_gamma(name, some)


def test_an_unknown_kernel_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'polynomial'"):
        create_kernel("polynomal", torch.tensor(1.0), 2)
