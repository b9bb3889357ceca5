"""Two processes learn one model by gradients, as torchrun starts them: the same bits each time, also after a kill."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from amiss.inspector import Inspector
from amiss.testing import toy_texture, write_images
from amiss.training import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good")
    write_images(path, toy_texture(16, seed=0).images)
    return path


def command(folder: Path, output: Path, *words: object, steps: int) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "amiss.cli"]
    fit = ["fit", folder, "--method", "fastflow", "--preset", "tiny", "--size", "64", "--calibration", "40%"]
    return [*run, *map(str, (*fit, "--rule", "conformal:20%", "--set", f"steps={steps}", "--output", output, *words))]


def bits(output: Path) -> tuple[bytes, float]:
    found = Inspector.load(output)
    return found.parts.weights, found.rule.threshold


def learned(folder: Path, output: Path, *words: object, steps: int) -> tuple[bytes, float]:
    done = subprocess.run(command(folder, output, *words, steps=steps), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return bits(output)


def kill_all(output: Path) -> None:
    """torchrun and what it has started: whoever was told of this output."""
    mine = [path for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]
    end = time.monotonic() + 60
    while told := [path for path in mine if str(output).encode() in read(path / "cmdline").split(b"\0")]:
        assert time.monotonic() < end
        for path in told:
            with suppress(ProcessLookupError):
                os.kill(int(path.name), signal.SIGKILL)
        time.sleep(0.05)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_same_bits_each_time_and_after_a_kill(folder: Path, tmp_path: Path):
    """Killed as soon as there is a checkpoint, at step 200 of 250."""
    wanted = learned(folder, tmp_path / "one.amiss", steps=250)
    output = tmp_path / "two.amiss"
    child = subprocess.Popen(command(folder, output, steps=250), stderr=subprocess.DEVNULL)
    end = time.monotonic() + 900
    while not list(tmp_path.glob("two.amiss.training/*.safetensors")):
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    kill_all(output)
    child.wait()
    assert not output.exists()
    assert learned(folder, output, "--resume", steps=250) == wanted
    assert not output.with_name("two.amiss.training").exists()


PROGRAM = """
import sys, numpy as np, torch
from amiss.training import train
from amiss.world import joined
with joined() as first:
    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(1))
    def loss(step, rng):
        return (module(torch.from_numpy(rng.random((8, 4), np.float32))) - 1).square().mean()
    losses = train(module, torch.optim.SGD(module.parameters(), lr=0.1), loss, steps=6, seed=5)
    if first:
        torch.save([losses, module.state_dict()], sys.argv[1])
"""


def test_a_step_is_that_of_the_mean_gradient(tmp_path: Path):
    """Against both processes' losses in this one."""
    (tmp_path / "program.py").write_text(PROGRAM)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*run, str(tmp_path / "program.py"), str(tmp_path / "found")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    losses, state = torch.load(tmp_path / "found", weights_only=True)
    torch.manual_seed(3)
    modules = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(1))

    def loss(step: int, rng: np.random.Generator) -> torch.Tensor:
        draws = [np.random.default_rng(seed) for seed in ([5, step], [5, step, 1])]
        for draw in draws:
            draw.integers(2**63)  # what seeds torch
        shown = [torch.from_numpy(draw.random((8, 4), np.float32)) for draw in draws]
        before = {name: value.clone() for name, value in modules[1].named_buffers()}
        second = (modules(shown[1]) - 1).square().mean()
        for name, value in modules[1].named_buffers():
            value.data.copy_(before[name])  # running means are those of the first process
        return ((modules(shown[0]) - 1).square().mean() + second) / 2

    wanted = train(modules, torch.optim.SGD(modules.parameters(), lr=0.1), loss, steps=6, seed=5)
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    for name, value in modules.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)


def test_what_goes_with_torchrun(folder: Path, tmp_path: Path):
    done = subprocess.run(
        command(folder, tmp_path / "one.amiss", "--workers", 2, steps=1), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "must be left out with torchrun" in done.stderr
