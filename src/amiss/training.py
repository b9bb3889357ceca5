"""One plain training loop: steps, a seed for each, clipping, schedule, checkpoints that continue bit for bit.

Each step draws from its own seed, made of the run's seed and the number of the step. So no random state has to be
saved: a run that was killed and one that was not are the same run. Several processes may learn together, see
`amiss.world`: then each draws images of its own, and a step sees as many times more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from amiss.core.checks import check_count
from amiss.core.errors import DivergedError, InputError
from amiss.core.progress import Progress, silent
from amiss.storage import entry_data, write_entry
from amiss.world import average, average_gradients, own_rank, share_buffers, world_size

HELD_OUT = 0.1
"""Share of the normal images that `set_aside` takes."""

Loss = Callable[[int, np.random.Generator], Tensor]
"""``loss(step, rng)``: the loss of one step, a scalar; everything random comes from `rng` or torch's global state."""

Schedule = Callable[[float], float]
"""Share of the run that is done, in [0, 1), to the factor of the learning rate."""


def constant(done: float) -> float:
    """The rate stays as it is."""
    return 1.0


def cosine(done: float) -> float:
    """From the full rate to zero along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * done))


def drop(at: float, factor: float = 0.1) -> Schedule:
    """The full rate up to a share of the run, then a fraction of it.

    Example:
        >>> rate = drop(0.95)
        >>> rate(0.5), rate(0.96)
        (1.0, 0.1)
    """
    return lambda done: 1.0 if done < at else factor


@dataclass(frozen=True)
class Checkpoint:
    """Where a run leaves its state, so that it can go on later.

    Args:
        folder: Made when it is missing; holds one file a training stage.
        identity: What the run is: method, hyper-parameters, seed and images. A checkpoint of another run is refused.
        every: Steps between two saves; a killed run loses at most so many.
    """

    folder: Path
    identity: str
    every: int = 200

    def file(self, stage: str) -> Path:
        """The file of one training stage."""
        return self.folder / f"{stage.replace(' ', '-')}.safetensors"


@dataclass(frozen=True)
class HeldOut:
    """Stop early, judged by a loss on held-out *normal* images; the best state is kept. Never give test images.

    Args:
        loss: Evaluated without gradients, in evaluation mode.
        every: Steps between two evaluations.
        patience: Evaluations in a row without a better loss after which training stops.
    """

    loss: Callable[[], float]
    every: int
    patience: int


@dataclass(frozen=True)
class Turn:
    """What another optimiser does in each step, such as the critic of a generative adversarial network.

    Args:
        optimiser: Over parameters of its own; all others are left as they are.
        loss: See `Loss`.
        times: Updates in each step.
    """

    optimiser: torch.optim.Optimizer
    loss: Loss
    times: int = 1


def train(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
    *,
    before: Sequence[Turn] = (),
    steps: int,
    seed: int,
    schedule: Schedule = constant,
    clip: float | None = None,
    held_out: HeldOut | None = None,
    checkpoint: Checkpoint | None = None,
    stage: str = "learning",
    progress: Progress = silent,
) -> list[float]:
    """Take `steps` steps, or go on from a checkpoint until there are so many.

    The module is left in evaluation mode. Global random states of NumPy are not used; torch's is seeded anew in every
    step, so call this inside `torch.random.fork_rng` (`Detector.fit` does).

    Args:
        module: Everything whose state must be saved; trained as a whole in training mode.
        optimiser: Over the module's parameters, with their rates.
        loss: See `Loss`.
        before: Turns of other optimisers, taken first in each step. The schedule and `clip` hold for them too.
        steps: Number of steps.
        seed: Random seed.
        schedule: See `Schedule`.
        clip: Largest norm of the gradient, or None.
        held_out: See `HeldOut`, or None.
        checkpoint: See `Checkpoint`, or None.
        stage: Name of this training in progress and checkpoints.
        progress: See `amiss.core.progress`; its note carries loss and rate.

    Returns:
        The loss of every step that was taken, also before a restart.

    Raises:
        DivergedError: A loss that is not finite; says at which step and what to try.
        InputError: A checkpoint of another run.
    """
    check_count("steps", steps)
    turns = (*before, Turn(optimiser, loss))
    rates = [[group["lr"] for group in turn.optimiser.param_groups] for turn in turns]
    state = _State(module, [turn.optimiser for turn in turns])
    if checkpoint is not None:
        checkpoint = _by_all(checkpoint)
        state.resume(checkpoint, stage)
    with _channels_last(module, state.optimisers):
        while state.step < steps and not state.stopped:
            factor = schedule(state.step / steps)
            _set_rates(turns, rates, factor)
            state.losses.append(_one_step(module, turns, state.step, seed, clip))
            state.step += 1
            progress(stage, state.step, steps, f"loss {state.losses[-1]:.4g}, rate {rates[-1][0] * factor:.2g}")
            if held_out is not None and (state.step % held_out.every == 0 or state.step == steps):
                share_buffers(module)
                state.judge(held_out)
            if checkpoint is not None and (state.step % checkpoint.every == 0 or state.step == steps or state.stopped):
                state.save(checkpoint, stage)
    if state.stopped:
        progress(stage, steps, steps, f"stopped at step {state.step}: held-out normals got no better")
    share_buffers(module)
    state.restore_best()
    module.eval()
    return state.losses


def set_aside(count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of the images to train on, and of every tenth one, one at least, that no gradient step may see.

    Raises:
        InputError: Fewer than 2 images.
    """
    if count < 2:
        raise InputError(f"at least 2 images are needed, since one is held out of training, got {count}")
    order = rng.permutation(count)
    aside = max(1, round(HELD_OUT * count))
    return order[aside:], order[:aside]


def _by_all(checkpoint: Checkpoint) -> Checkpoint:
    """Of all processes that learn together: one of another number of them is another run."""
    if world_size() == 1:
        return checkpoint
    return replace(checkpoint, identity=f"{checkpoint.identity} by {world_size()} processes")


def _set_rates(turns: Sequence[Turn], rates: Sequence[Sequence[float]], factor: float) -> None:
    """Let each group of each optimiser learn at its own rate times a factor."""
    for turn, own in zip(turns, rates, strict=True):
        for group, rate in zip(turn.optimiser.param_groups, own, strict=True):
            group["lr"] = rate * factor


@contextmanager
def _channels_last(module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Within the block, kernels and what optimisers remember of them lie in the order that a CPU convolves faster in.

    They stay the parameters that optimisers know. What is remembered must lie alike: sums round by their order.
    """
    remembered = [value for each in optimisers for entries in each.state.values() for value in entries.values()]
    _lay_out([*module.parameters(), *(value for value in remembered if isinstance(value, Tensor))], torch.channels_last)
    try:
        yield
    finally:
        _lay_out(module.parameters(), torch.contiguous_format)  # as they are when loaded


def _lay_out(tensors: Iterable[Tensor], order: torch.memory_format) -> None:
    for tensor in tensors:
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=order)


def _one_step(module: nn.Module, turns: Sequence[Turn], step: int, seed: int, clip: float | None) -> float:
    """The last loss of the last turn."""
    rng = np.random.default_rng([seed, step, own_rank()] if own_rank() else [seed, step])
    torch.manual_seed(int(rng.integers(2**63)))
    module.train()
    number = math.nan
    for turn in turns:
        for _ in range(turn.times):
            number = _update(module, turn, step, rng, clip)
    return number


def _update(module: nn.Module, turn: Turn, step: int, rng: np.random.Generator, clip: float | None) -> float:
    turn.optimiser.zero_grad(set_to_none=True)
    with _precision(module):
        value = turn.loss(step, rng)
    number = average(float(value.detach()), value.device)
    if not math.isfinite(number):
        raise DivergedError(
            f"the loss is {number} at step {step + 1}; try a smaller rate, or look for images unlike the rest"
        )
    value.backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in turn.optimiser.param_groups for p in group["params"]]
    average_gradients(parameters)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip)
    turn.optimiser.step()
    return number


def _precision(module: nn.Module) -> AbstractContextManager[object]:
    """On CUDA, bfloat16 where torch knows that it is enough and the card has it; else float32 throughout."""
    first = next(module.parameters(), None)
    if first is None or first.device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)


_CHECKPOINT = "checkpoint"  # of Amiss, whatever run it is of


class _State:
    """What a run is at some step: module, optimisers, losses, and the best state on held-out normals."""

    def __init__(self, module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        self.module, self.optimisers = module, optimisers
        self.step, self.losses = 0, list[float]()
        self.best, self.worse, self.stopped = math.inf, 0, False
        self.best_state: dict[str, Tensor] = {}

    def judge(self, held_out: HeldOut) -> None:
        self.module.eval()
        with torch.no_grad():
            found = held_out.loss()
        if found < self.best:
            self.best, self.worse = found, 0
            self.best_state = {name: value.clone() for name, value in self.module.state_dict().items()}
            return
        self.worse += 1
        self.stopped = self.worse >= held_out.patience

    def restore_best(self) -> None:
        if self.best_state:
            self.module.load_state_dict(self.best_state)

    def save(self, checkpoint: Checkpoint, stage: str) -> None:
        from safetensors.torch import save

        share_buffers(self.module)
        if own_rank() > 0:
            return
        tensors = {f"module/{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best_state.items()}
        numbers: list[dict[str, dict[str, Any]]] = [{} for _ in self.optimisers]
        for turn, optimiser in enumerate(self.optimisers):
            for index, entries in optimiser.state_dict()["state"].items():
                for name, value in entries.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimiser {turn}/{index}/{name}"] = value
                    else:
                        numbers[turn].setdefault(str(index), {})[name] = value
        best = None if math.isinf(self.best) else self.best
        known = {"step": self.step, "losses": self.losses, "best": best, "worse": self.worse, "stopped": self.stopped}
        record = {"identity": checkpoint.identity, "state": json.dumps({**known, "optimisers": numbers})}
        contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
        write_entry(checkpoint.file(stage), save(contiguous, record), _CHECKPOINT)

    def resume(self, checkpoint: Checkpoint, stage: str) -> None:
        from safetensors.torch import load

        path = checkpoint.file(stage)
        if not path.is_file():
            return
        data = entry_data(path.read_bytes(), _CHECKPOINT)
        if data is None:
            raise InputError(f"{path}: not a checkpoint of Amiss, or a damaged one; delete it to start over")
        tensors = dict(sorted(load(data).items()))
        record = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if record.get("identity") != checkpoint.identity:
            raise InputError(
                f"{path}: a checkpoint of another run (method, settings, seed or images differ); "
                f"delete {path.parent} to start over"
            )
        known = json.loads(record["state"])
        self.step, self.losses = known["step"], known["losses"]
        self.best = math.inf if known["best"] is None else known["best"]
        self.worse, self.stopped = known["worse"], known["stopped"]
        self.module.load_state_dict(_below("module", tensors))
        self.best_state = _below("best", tensors)
        for turn, (optimiser, numbers) in enumerate(zip(self.optimisers, known["optimisers"], strict=True)):
            _load_optimiser(optimiser, _below(f"optimiser {turn}", tensors), numbers)


def _load_optimiser(
    optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], numbers: dict[str, dict[str, Any]]
) -> None:
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in numbers.items()}
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")}
