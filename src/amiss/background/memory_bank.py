"""A memory bank: normal vectors that a detector keeps, centred, and the distances to the nearest of them.

The buffers ``center`` and ``bank`` belong to the detector itself, so that its saved state has these two names.
Distances are taken between centred vectors, see `amiss.statistics.knn`: the bank's mean changes none of them and costs
digits.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from amiss.statistics.knn import nearest


class HasBank(Protocol):
    """A module with a bank.

    Attributes:
        center: Mean of the vectors that were kept, (D,).
        bank: These vectors less their mean, (M, D).
    """

    center: Tensor
    bank: Tensor

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """As that of `torch.nn.Module`."""
        ...


def add_bank(owner: HasBank, dimension: int) -> None:
    """Give a module an empty bank of vectors (0, D): for ``build``."""
    owner.register_buffer("center", torch.zeros(dimension))
    owner.register_buffer("bank", torch.zeros(0, dimension))


def fill_bank(owner: HasBank, vectors: Tensor) -> None:
    """Keep these vectors (M, D), centred, and change them for it, so that no copy is made: for ``learn``."""
    owner.center = vectors.mean(dim=0)
    owner.bank = vectors.sub_(owner.center)


def bank_distances(owner: HasBank, queries: Tensor, count: int) -> Tensor:
    """Euclidean distances (..., count) of vectors (..., D), not centred, to their nearest of the bank.

    Cost:
        M x D multiply-adds and M numbers a query.
    """
    return nearest(queries - owner.center, owner.bank, count)[0]
