"""An optimiser for rates that are large from the first step on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_TINY = 1e-10
"""Added to a root that `StableAdamW` divides by."""


class StableAdamW(torch.optim.Optimizer):
    """AdamW whose step of a tensor is shortened where its gradient is larger than what was usual so far.

    The rate is divided by the root mean square of gradient / sqrt(usual squared gradient), where that exceeds 1; so a
    rate can be large from the first step on. AMSGrad: what is usual never falls.

    Source: Wortsman et al., "Stable and low-precision training for large-scale vision-language models", NeurIPS 2023,
    algorithm 2; Reddi, Kale and Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Args:
        parameters: What is trained.
        lr: Learning rate.
        betas: What is kept of the mean gradient and of the mean squared gradient per step.
        weight_decay: Share of a weight, times the rate, that is taken off in each step.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            settings = {name: group[name] for name in ("lr", "betas", "weight_decay")}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, parameter.grad, **settings)

    def _change(
        self, parameter: Tensor, slope: Tensor, *, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        state = self.state[parameter]
        if not state:
            state |= {name: torch.zeros_like(parameter) for name in ("mean", "square", "most")} | {"count": 0}
        state["count"] += 1
        state["mean"].lerp_(slope, 1 - betas[0])
        state["square"].lerp_(slope.square(), 1 - betas[1])
        torch.maximum(state["most"], state["square"], out=state["most"])
        first, second = (1 - beta ** state["count"] for beta in betas)
        usual = (state["most"] / second).sqrt().add_(_TINY)
        rate = lr / max(1.0, float((slope / usual).square().mean().sqrt()))
        parameter.mul_(1 - rate * weight_decay).addcdiv_(state["mean"], usual, value=-rate / first)
