"""The loop: what it computes, that it resumes bit for bit, and when it stops."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from amiss.core.errors import DivergedError, InputError
from amiss.training import Checkpoint, HeldOut, Turn, constant, cosine, drop, train

X = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [3.0]]) + 1


@pytest.fixture(autouse=True)
def _leave_the_global_state_alone():
    with torch.random.fork_rng(devices=[]):
        yield


def network():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))


def loss_of(module):
    def loss(step, rng):
        chosen = rng.integers(64, size=16)
        return (module(X[chosen]) - Y[chosen]).square().mean()

    return loss


def run(steps, *, checkpoint=None, kill_at=None, optimiser=torch.optim.Adam, **options):
    module = network()
    progress = (lambda *_: None) if kill_at is None else Killer(kill_at)
    losses = train(
        module,
        optimiser(module.parameters(), lr=0.01),
        loss_of(module),
        steps=steps,
        seed=3,
        checkpoint=checkpoint,
        progress=progress,
        **options,
    )
    return module, losses


class Killer:
    def __init__(self, step):
        self.step = step

    def __call__(self, stage, done, total, note=""):
        if done == self.step:
            raise KeyboardInterrupt


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_sgd_by_hand():
    module = nn.Linear(5, 1)
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    train(
        module,
        torch.optim.SGD(module.parameters(), lr=0.1),
        lambda step, rng: (module(X) - Y).square().mean(),
        steps=5,
        seed=0,
        schedule=cosine,
    )
    for step in range(5):
        error = X @ weight.T + bias - Y
        rate = 0.1 * 0.5 * (1 + np.cos(np.pi * step / 5))
        weight = weight - rate * 2 * (error.T @ X) / 64
        bias = bias - rate * 2 * error.mean(dim=0)
    torch.testing.assert_close(module.weight.detach(), weight)
    torch.testing.assert_close(module.bias.detach(), bias)


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("kill_at", [1, 9, 10, 11, 29])
def test_a_killed_run_goes_on_bit_for_bit(kill_at, optimiser, tmp_path):
    checkpoint = Checkpoint(tmp_path, "run", every=10)
    whole, losses = run(30, optimiser=optimiser, schedule=cosine, clip=1.0)
    with pytest.raises(KeyboardInterrupt):
        run(30, optimiser=optimiser, schedule=cosine, clip=1.0, checkpoint=checkpoint, kill_at=kill_at)
    again, after = run(30, optimiser=optimiser, schedule=cosine, clip=1.0, checkpoint=checkpoint)
    assert after == losses and same(again, whole)


def test_sgd_with_momentum_resumes_and_a_finished_run_takes_no_step(tmp_path):
    def sgd(parameters, lr):
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9)

    whole, losses = run(20, optimiser=sgd)
    checkpoint = Checkpoint(tmp_path, "run", every=7)
    with pytest.raises(KeyboardInterrupt):
        run(20, optimiser=sgd, checkpoint=checkpoint, kill_at=15)
    first, _ = run(20, optimiser=sgd, checkpoint=checkpoint)
    again, after = run(
        20, optimiser=sgd, checkpoint=checkpoint, kill_at=20
    )  # no progress is reported, for none is made
    assert after == losses and same(first, whole) and same(again, whole)


def test_a_checkpoint_with_one_flipped_bit_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path, "one", every=5)
    run(5, checkpoint=checkpoint)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for place in (len(whole) // 2, len(whole) - 40):  # in the header, and in a number
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match="damaged one; delete it"):
            run(10, checkpoint=checkpoint)


def test_a_checkpoint_of_another_run_or_of_nothing_is_refused(tmp_path):
    run(5, checkpoint=Checkpoint(tmp_path, "one", every=5))
    with pytest.raises(InputError, match="checkpoint of another run"):
        run(5, checkpoint=Checkpoint(tmp_path, "two", every=5))
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="not a checkpoint"):
        run(5, checkpoint=Checkpoint(tmp_path, "one", every=5))


def test_the_seed_decides_and_the_module_ends_in_evaluation_mode():
    one, first = run(5)
    other, second = run(5)
    assert first == second and same(one, other) and not one.training


def test_training_lowers_the_loss():
    _, losses = run(300)
    assert np.mean(losses[-20:]) < 0.2 * np.mean(losses[:20])


def test_a_loss_that_is_not_finite_stops_with_the_step():
    module = nn.Linear(5, 1)
    values = itertools.chain([1.0, 2.0, float("nan")])
    with pytest.raises(DivergedError, match="nan at step 3; try a smaller rate"):
        train(
            module,
            torch.optim.SGD(module.parameters(), lr=0.1),
            lambda step, rng: module(X).mean() * 0 + next(values),
            steps=9,
            seed=0,
        )


def test_early_stop_keeps_the_best_state_on_held_out_normals(tmp_path):
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    held_out = HeldOut(lambda: abs(float(module.weight.detach()) - 0.34), every=1, patience=3)
    options = dict(steps=50, seed=0, held_out=held_out, checkpoint=Checkpoint(tmp_path, "x", every=100))

    def go():
        return train(module, torch.optim.SGD(module.parameters(), lr=0.1), lambda s, r: -module.weight.sum(), **options)

    assert len(go()) == 6  # 0.1, 0.2, 0.3 is best; 0.4, 0.5 and 0.6 are worse
    assert float(module.weight.detach()) == pytest.approx(0.3)
    nn.init.constant_(module.weight, 9.0)
    assert len(go()) == 6 and float(module.weight.detach()) == pytest.approx(0.3)


def test_schedules():
    assert [constant(x) for x in (0, 0.9)] == [1.0, 1.0]
    assert cosine(0.0) == 1.0 and cosine(0.5) == pytest.approx(0.5) and cosine(0.999) < 1e-5
    assert [drop(0.5, 0.2)(x) for x in (0.0, 0.49, 0.5, 0.9)] == [1.0, 1.0, 0.2, 0.2]


def test_progress_carries_loss_and_rate():
    notes = []
    module = nn.Linear(5, 1)
    train(
        module,
        torch.optim.SGD(module.parameters(), lr=0.5),
        lambda step, rng: module(X).square().mean(),
        steps=2,
        seed=0,
        stage="student 1",
        progress=lambda *words: notes.append(words),
    )
    assert [note[:3] for note in notes] == [("student 1", 1, 2), ("student 1", 2, 2)]
    assert notes[0][3].startswith("loss ") and "rate 0.5" in notes[0][3]


def adversaries(steps, **options):
    """A generator with plain descent, and a critic with three updates of Adam in each step."""
    torch.manual_seed(7)
    both = nn.ModuleDict({"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)})
    generator, critic = both["generator"], both["critic"]

    def draw(rng):
        return torch.from_numpy(rng.standard_normal((8, 2), dtype=np.float32))

    def critic_loss(step, rng):
        return (critic(generator(draw(rng))) - critic(1 + draw(rng))).mean() + critic.weight.square().sum()

    def loss(step, rng):
        return -critic(generator(draw(rng))).mean()

    turn = Turn(torch.optim.Adam(critic.parameters(), lr=0.01), critic_loss, times=3)
    descent = torch.optim.SGD(generator.parameters(), lr=0.1)
    losses = train(both, descent, loss, before=[turn], steps=steps, seed=3, **options)
    return both, losses, turn


def test_each_turn_changes_its_own_parameters_so_many_times_a_step():
    torch.manual_seed(7)
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.01)
    rng = np.random.default_rng([3, 0])
    rng.integers(2**63)  # torch's seed of the step

    def draw():
        return torch.from_numpy(rng.standard_normal((8, 2), dtype=np.float32))

    for _ in range(3):
        optimiser.zero_grad()
        wrong = critic(generator(draw()).detach()) - critic(1 + draw())
        (wrong.mean() + critic.weight.square().sum()).backward()
        optimiser.step()
    gradient = torch.autograd.grad(-critic(generator(draw())).mean(), generator.parameters())
    both, losses, _ = adversaries(1)
    assert len(losses) == 1
    torch.testing.assert_close(both["critic"].weight, critic.weight)
    for had, found, slope in zip(generator.parameters(), both["generator"].parameters(), gradient, strict=True):
        torch.testing.assert_close(found.detach(), (had - 0.1 * slope).detach())


@pytest.mark.parametrize("kill_at", [4, 10, 17])
def test_all_optimisers_go_on_bit_for_bit(kill_at, tmp_path):
    whole, losses, turn = adversaries(20, schedule=cosine)
    checkpoint = Checkpoint(tmp_path, "run", every=5)
    with pytest.raises(KeyboardInterrupt):
        adversaries(20, schedule=cosine, checkpoint=checkpoint, progress=Killer(kill_at))
    again, after, resumed = adversaries(20, schedule=cosine, checkpoint=checkpoint)
    assert after == losses and same(again, whole)
    for entry, other in zip(turn.optimiser.state.values(), resumed.optimiser.state.values(), strict=True):
        assert float(entry["step"]) == float(other["step"]) == 60
        assert torch.equal(entry["exp_avg_sq"], other["exp_avg_sq"])
