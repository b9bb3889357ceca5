"""A Gaussian mixture by expectation maximisation, and the choice of its number of components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amiss.background.kmeans import KMeans, spread_seeds
from amiss.core.checks import check_choice
from amiss.core.progress import Progress, silent
from amiss.statistics.mahalanobis import inverse_root
from amiss.statistics.nll import component_log_densities, mixture_nll

COVARIANCES = ("full", "diagonal")

_KMEANS_PASSES = 10
_TINY = 10 * torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Mixture:
    """K Gaussians and their weights. All in float64.

    Args:
        log_weights: (K,).
        means: (K, D).
        whitening: (K, D, D) or, with diagonal covariances, (K, D); see `amiss.statistics.nll`.
        history: Mean log-likelihood of the vectors it was fitted to, before each step of the fit.
    """

    log_weights: Tensor
    means: Tensor
    whitening: Tensor
    history: tuple[float, ...] = ()

    def bic(self, vectors: Tensor, size: int) -> float:
        """Bayesian information criterion, less is better: -2 n (mean log-likelihood) + parameters log n.

        Args:
            vectors: (m, D), over which the mean is taken; held out, so that the fit does not flatter itself.
            size: n, the number of vectors that the mixture was fitted to.
        """
        count, dimension = self.means.shape
        shape = dimension if self.whitening.ndim == 2 else dimension * (dimension + 1) // 2
        parameters = count - 1 + count * (dimension + shape)
        nll = mixture_nll(vectors.double(), self.log_weights, self.means, self.whitening).mean()
        return 2 * size * float(nll) + parameters * math.log(size)


def fit_mixture(
    vectors: Tensor,
    count: int,
    rng: np.random.Generator,
    *,
    covariance: str = "full",
    regularisation: float = 1e-3,
    steps: int = 100,
    tolerance: float = 1e-3,
) -> Mixture:
    """Expectation maximisation in float64, from the clusters of k-means.

    Args:
        vectors: (n, D).
        count: K; fewer when there are fewer vectors.
        rng: Where the seeds of k-means are drawn.
        covariance: "full" or "diagonal".
        regularisation: Variance added to every direction of every component, > 0, in the vectors' unit squared.
        steps: Most steps.
        tolerance: The loop ends when the mean log-likelihood gains less, in nats.

    Cost:
        n x K x D^2 multiply-adds per step, twice; n x K x D with diagonal covariances.

    Example:
        >>> vectors = torch.tensor([[-5.1], [-4.9], [4.9], [5.1]])
        >>> mixture = fit_mixture(vectors, 2, np.random.default_rng(0))
        >>> sorted(round(float(mean), 3) for mean in mixture.means)
        [-5.0, 5.0]
    """
    check_choice("covariance", covariance, COVARIANCES)
    clusters = KMeans(vectors[spread_seeds(vectors, count, rng)].float())
    for _ in range(_KMEANS_PASSES):
        clusters.add(vectors.float())
    owner = clusters.assign(vectors.float())
    vectors = vectors.double()
    belonging = torch.nn.functional.one_hot(owner, len(clusters.centroids)).double()  # (n, K)
    mixture = maximise(vectors, belonging, covariance, regularisation)
    history: list[float] = []
    while len(history) < steps:
        densities = component_log_densities(vectors, mixture.log_weights, mixture.means, mixture.whitening)  # (n, K)
        total = densities.logsumexp(dim=1, keepdim=True)
        history.append(float(total.mean()))
        if len(history) > 1 and history[-1] - history[-2] < tolerance:
            break
        mixture = maximise(vectors, (densities - total).exp(), covariance, regularisation)
    return Mixture(mixture.log_weights, mixture.means, mixture.whitening, tuple(history))


def maximise(vectors: Tensor, belonging: Tensor, covariance: str, regularisation: float) -> Mixture:
    """The mixture that fits best when it is known how far each vector belongs to each component.

    Args:
        vectors: (n, D) float64.
        belonging: (n, K) float64, rows that sum to 1.
        covariance: "full" or "diagonal".
        regularisation: See `fit_mixture`.
    """
    counts = belonging.sum(dim=0) + _TINY  # (K,)
    means = belonging.T @ vectors / counts[:, None]  # (K, D)
    identity = torch.eye(vectors.shape[1], dtype=torch.float64, device=vectors.device)
    roots = []
    for component, mean in enumerate(means):
        centred, share = vectors - mean, belonging[:, component] / counts[component]
        if covariance == "diagonal":
            roots.append((share @ centred.square() + regularisation).rsqrt())
        else:
            roots.append(inverse_root((centred * share[:, None]).T @ centred + regularisation * identity))
    return Mixture((counts / len(vectors)).log(), means, torch.stack(roots))


def choose_mixture(
    vectors: Tensor,
    held_out: Tensor,
    counts: Sequence[int],
    rng: np.random.Generator,
    *,
    covariance: str = "full",
    regularisation: float = 1e-3,
    progress: Progress = silent,
) -> Mixture:
    """The mixture whose number of components has the least BIC on held-out vectors, fitted again to all of them.

    Args:
        vectors: (n, D), what the candidates are fitted to.
        held_out: (m, D), from other images; not looked at when there is a single candidate.
        counts: Candidates for K.
        rng: See `fit_mixture`.
        covariance: See `fit_mixture`.
        regularisation: See `fit_mixture`.
        progress: Reports the stage "mixtures".
    """
    chosen = counts[0]
    if len(counts) > 1:
        found = []
        for done, count in enumerate(counts):
            mixture = fit_mixture(vectors, count, rng, covariance=covariance, regularisation=regularisation)
            found.append(mixture.bic(held_out, len(vectors)))
            progress("mixtures", done + 1, len(counts) + 1)
        chosen = counts[int(np.argmin(found))]
    everything = torch.cat([vectors, held_out])
    mixture = fit_mixture(everything, chosen, rng, covariance=covariance, regularisation=regularisation)
    progress("mixtures", len(counts) + 1, len(counts) + 1)
    return mixture
