"""Minus the logarithm of a density."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def component_log_densities(vectors: Tensor, log_weights: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """``log(weight_k N(x; mean_k, covariance_k))`` of each vector and component of a Gaussian mixture.

    One component after the other, so that the memory does not grow with K.

    Args:
        vectors: (..., D).
        log_weights: (K,) logarithms of weights that sum to 1.
        means: (K, D).
        whitening: (K, D, D), lower triangular W with W^T W = inverse covariance; or (K, D), the diagonals of diagonal
            ones.

    Returns:
        (..., K).

    Cost:
        K x D^2 multiply-adds a vector; K x D with diagonal covariances.
    """
    diagonals = whitening if whitening.ndim == 2 else whitening.diagonal(dim1=1, dim2=2)  # (K, D)
    scales = log_weights + diagonals.log().sum(dim=1) - 0.5 * means.shape[1] * math.log(2 * math.pi)
    densities = []
    for component in range(len(means)):
        centred, root = vectors - means[component], whitening[component]
        white = centred * root if root.ndim == 1 else centred @ root.T
        densities.append(scales[component] - 0.5 * white.square().sum(dim=-1))
    return torch.stack(densities, dim=-1)


def mixture_nll(vectors: Tensor, log_weights: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """Minus the log-density of vectors (..., D) under a Gaussian mixture, (...); see `component_log_densities`.

    Example:
        >>> mixture_nll(torch.zeros(2), torch.zeros(1), torch.zeros(1, 2), torch.eye(2)[None]).exp() / (2 * math.pi)
        tensor(1.0000)
    """
    return -component_log_densities(vectors, log_weights, means, whitening).logsumexp(dim=-1)
