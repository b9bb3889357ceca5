"""Distance to the nearest vector of a memory bank."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_distance(queries: Tensor, bank: Tensor) -> Tensor:
    """Exact Euclidean distance of each query to its nearest bank vector, in float32.

    The nearest y of x has the largest ``x.y - |y|^2 / 2``, so one product and one arg max find it. The distance is
    then measured on the difference itself, which keeps its digits when x and y are close. Centre both on the bank's
    mean first, so that the arg max keeps its digits too.

    Args:
        queries: (..., D).
        bank: (M, D).

    Returns:
        (...).

    Cost:
        M x D multiply-adds a query.
    """
    closeness = torch.nn.functional.linear(queries, bank, -0.5 * bank.square().sum(dim=1))  # (..., M)
    nearest = bank[closeness.argmax(dim=-1)]  # (..., D)
    return (queries - nearest).square().sum(dim=-1).sqrt()
