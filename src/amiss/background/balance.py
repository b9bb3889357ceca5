"""How large the errors of each stage usually are, so that no stage drowns the others in their sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

LEAST = 1e-6
"""Of a stage's mean: maps that are 0 everywhere have no scale."""


class Balance(nn.Module):
    """Divides the map of each stage by its mean over normal images, and adds up.

    A stage that is always far off, since its features are hard to predict, would else decide by its noise alone. What
    comes out counts in multiples of the usual error. Before `learn` the maps are added as they are.

    Args:
        stages: Number of stages.

    Example:
        >>> balance = Balance(2)
        >>> balance.learn([[torch.full((3, 4, 4), 2.0), torch.full((3, 2, 2), 0.5)]])
        >>> balance([torch.ones(1, 8, 8), torch.ones(1, 8, 8)])[0, 0, 0]
        tensor(2.5000)
    """

    usual: Tensor

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.register_buffer("usual", torch.ones(stages))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of the stages, all (N, H, W), to one (N, H, W)."""
        return torch.stack([one / usual for one, usual in zip(maps, self.usual, strict=True)]).sum(dim=0)

    @torch.no_grad()
    def learn(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Set the mean of each stage over normal images that training has not seen.

        Args:
            batches: Maps (N, h, w) of each stage, as they are before they are enlarged; at least one batch.
        """
        totals = [0.0] * len(self.usual)
        count = 0
        for maps in batches:
            count += len(maps[0])
            totals = [
                total + float(one.cpu().double().mean(dim=(1, 2)).sum())
                for total, one in zip(totals, maps, strict=True)
            ]
        self.usual = torch.tensor([max(LEAST, total / count) for total in totals]).to(self.usual)
