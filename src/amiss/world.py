"""Several processes that learn one model together, as `torchrun` starts them: each takes its own images, and all take
the mean of their gradients.

All else every process does alike, so that all have the same model; the first one alone writes. The bits depend on how
many there are: of as many, they are the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(hours=2)
"""How long one process waits for the others, such as while the first one makes features."""


def world_size() -> int:
    """How many processes learn together; 1 outside of `joined`."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def own_rank() -> int:
    """Number of this process among them, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


@contextmanager
def joined() -> Iterator[bool]:
    """Within the block, this process learns together with the others that `torchrun` has started, if there are any.

    Yields:
        Whether it is the first, which writes what is to be written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield True
        return
    cards = torch.cuda.is_available()
    if cards:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cards else "gloo", timeout=PATIENCE)
    try:
        yield own_rank() == 0
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Give every parameter that has a gradient the mean of those of all processes."""
    if world_size() < 2:
        return
    slopes = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not slopes:
        return
    flat = torch.cat([slope.flatten() for slope in slopes])
    distributed.all_reduce(flat)
    flat /= world_size()
    start = 0
    for slope in slopes:
        slope.copy_(flat[start : start + slope.numel()].view_as(slope))
        start += slope.numel()


def average(number: float, device: torch.device) -> float:
    """The mean of a number over all processes; on a device that they can all reach."""
    if world_size() < 2:
        return number
    shared = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.all_reduce(shared)
    return float(shared) / world_size()


def share_buffers(module: nn.Module) -> None:
    """Give every process the buffers of the first, such as running means, which come from the images it has seen."""
    if world_size() > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)
