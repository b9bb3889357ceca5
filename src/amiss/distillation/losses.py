"""The three losses of a teacher of Uninformed Students, as pure functions of descriptors.

Two of them are means where the paper has sums over dimensions and over pairs of dimensions: their balance does not
depend on how wide the networks are then, and in short runs compactness does not drown what is to be learned.
"""

from __future__ import annotations

import torch
from torch import Tensor


def knowledge_loss(decoded: Tensor, wanted: Tensor) -> Tensor:
    """Knowledge distillation: mean squared difference to another network's descriptors.

    Args:
        decoded: (N, D).
        wanted: (N, D).
    """
    return (decoded - wanted).square().mean()


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Metric learning: a changed view of a patch must be nearer than another patch is to either of the two.

    Args:
        anchor: Descriptors (N, D) of patches.
        positive: Descriptors of other views of the same patches.
        negative: Descriptors of patches of other images. The nearer of anchor and positive counts: in-triplet hard
            negatives.
        margin: How much nearer, in squared distance.

    Returns:
        Mean over the patches of ``max(0, margin + near - far)``.
    """
    near = (anchor - positive).square().sum(dim=1)
    far = torch.minimum((anchor - negative).square().sum(dim=1), (positive - negative).square().sum(dim=1))
    return (margin + near - far).clamp(min=0).mean()


def compactness_loss(descriptors: Tensor) -> Tensor:
    """Mean of the squared correlations between any two different dimensions, over the patches of a batch.

    Args:
        descriptors: (N, D), N > 1 and D > 1. A dimension that does not vary correlates with nothing.
    """
    centred = descriptors - descriptors.mean(dim=0)
    scaled = centred / centred.norm(dim=0).clamp(min=1e-6)
    correlation = scaled.T @ scaled  # (D, D)
    different: Tensor = correlation - torch.diag(correlation.diagonal())
    width = descriptors.shape[1]
    return different.square().sum() / (width * (width - 1))
