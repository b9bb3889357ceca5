"""Images as witnesses of one another: what is normal shows in most of them, what is strange in few.

Each patch is compared with all patches of each of the other images. How far the nearest one lies says how much that
image speaks for it; the mean over the images that speak for it most is small for what a part of them shows, and large
for what few show. Nobody needs to know which images are good.
"""

from __future__ import annotations

import torch
from torch import Tensor

from amiss.core.errors import InputError
from amiss.statistics.knn import closeness, distance

SHARE = 0.3
"""Share of the witnesses that speaks for a patch, those nearest to it."""


def distances_to_each(queries: Tensor, images: Tensor) -> Tensor:
    """How far each patch lies from the nearest patch of each image.

    Args:
        queries: (..., D), centred as the images are.
        images: Patches of R images, (R, K, D).

    Returns:
        (..., R).

    Cost:
        R K D multiply-adds and R (K + D) numbers a query.

    Example:
        >>> distances_to_each(torch.tensor([[0.0, 0.0]]), torch.tensor([[[3.0, 4.0], [9.0, 9.0]], [[1.0, 0.0]] * 2]))
        tensor([[5., 1.]])
    """
    close = closeness(queries, images.flatten(0, 1))  # (..., R K)
    nearest = close.reshape(*close.shape[:-1], *images.shape[:2]).argmax(dim=-1)  # (..., R)
    return distance(queries.unsqueeze(-2), images[torch.arange(len(images)), nearest])


def mean_of_nearest(distances: Tensor, share: float, *, without: int = 0) -> Tensor:
    """Mean of the smallest of R distances (..., R), as many as make up `share` of them, at least one.

    Args:
        distances: To the witnesses of each patch.
        share: In (0, 1].
        without: The smallest ones that are left out first: the patch's own image, where it may be among the witnesses.

    Raises:
        InputError: No witness is left.

    Example:
        >>> mean_of_nearest(torch.tensor([[4.0, 0.0, 2.0, 9.0, 1.0]]), 0.5, without=1)
        tensor([1.5000])
    """
    count = distances.shape[-1] - without
    if count < 1:
        raise InputError(f"there must be at least {without + 1} images to compare with, got {distances.shape[-1]}")
    most = without + max(1, int(share * count + 1e-9))
    return distances.topk(most, dim=-1, largest=False).values[..., without:].mean(dim=-1)
