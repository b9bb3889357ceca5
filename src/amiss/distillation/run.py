"""How a teacher is trained, whatever it learns from: optimiser, schedule, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from amiss.core.progress import Progress, silent
from amiss.training import Checkpoint, Loss, cosine, train


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        steps: Number of steps.
        seed: Random seed.
        checkpoint: See `amiss.training`, or None.
        progress: Reports the stage "distilling", and what comes before it.
    """

    steps: int
    seed: int = 0
    checkpoint: Checkpoint | None = None
    progress: Progress = silent

    def train(self, module: nn.Module, loss: Loss, rate: float) -> list[float]:
        """Train a module in place by Adam, whose rate falls to 0 along a cosine; returns the loss of every step."""
        return train(
            module,
            torch.optim.Adam(module.parameters(), lr=rate, weight_decay=1e-5),
            loss,
            steps=self.steps,
            seed=self.seed,
            schedule=cosine,
            checkpoint=self.checkpoint,
            stage="distilling",
            progress=self.progress,
        )
