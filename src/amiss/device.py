"""Where networks learn: the CPU, or an accelerator that torch can use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from amiss.core.errors import InputError

AUTO = "auto"


def choose_device(asked: str = AUTO) -> torch.device:
    """The device with this name.

    Args:
        asked: "cpu", "cuda", "cuda:1", "mps"; or "auto": CUDA where there is a card, else MPS, else the CPU.

    Raises:
        InputError: An unknown name, or a device that this machine or this build of torch does not have.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == AUTO:
        return torch.device(next(name for name, found in there.items() if found))
    cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if there["cuda"] else []
    if there.get(asked) or asked in cards:
        return torch.device(asked)
    names = ", ".join([AUTO, *(name for name, found in there.items() if found)])
    raise InputError(f"device must be one that torch {torch.__version__} has here ({names}), got {asked!r}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch works on one core of the CPU: the order of its sums, and so their last bits, depend on how
    many cores add."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within the block torch draws from a seed, here and on the device; afterwards its random states are as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        with seeded_there(seed, device):
            yield


@contextmanager
def seeded_there(seed: int, device: torch.device) -> Iterator[None]:
    """The same for what is drawn on an accelerator alone: what is drawn on the CPU goes on where it is."""
    if device.type == "cuda":
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
        return
    if device.type == "mps":
        torch.mps.manual_seed(seed)
    yield
