"""The flow library: inverse, log-determinant against autograd's Jacobian, and densities that integrate to 1."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from amiss.background.flow import Coupling, Flow, convolutions, perceptron, surprise
from amiss.core.errors import InputError


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def disturb(module: nn.Module, size: float = 0.3) -> nn.Module:
    """Couplings begin as permutations: give all weights some noise, so that they do something."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return module


def vector_flow(**options) -> Flow:
    return disturb(Flow(5, [perceptron(2.0)] * 6, **options), 0.2)


def map_flow(channels: int = 5, **options) -> Flow:
    return disturb(Flow(channels, [convolutions(3), convolutions(1)] * 3, **options), 0.1)


CASES = [
    (vector_flow, (64, 5), None),
    (lambda: vector_flow(conditions=3), (64, 5), (64, 3)),
    (map_flow, (4, 5, 7, 9), None),
    (lambda: map_flow(conditions=2), (4, 5, 7, 9), (4, 2, 7, 9)),
    (lambda: map_flow(volume_preserving=True), (4, 5, 1, 6), None),
    (lambda: vector_flow(affine=True, conditions=3), (64, 5), (64, 3)),
    (lambda: map_flow(affine=True), (4, 5, 7, 9), None),
]


def drawn(shape: tuple[int, ...] | None) -> Tensor | None:
    return None if shape is None else torch.randn(shape)


@pytest.mark.parametrize(("make", "shape", "condition"), CASES)
def test_inverse(make, shape, condition) -> None:
    flow, x, seen = make(), torch.randn(shape), drawn(condition)
    with torch.no_grad():
        z, log_determinant = flow(x, seen)
        assert z.shape == x.shape
        assert log_determinant.shape == x[:, 0].shape
        assert (z - x).abs().max() > 0.1
        torch.testing.assert_close(flow.inverse(z, seen), x, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(flow(flow.inverse(x, seen), seen)[0], x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(256, 5), (16, 5, 6, 7)])
def test_training_lowers_the_loss_and_leaves_it_invertible(shape: tuple[int, ...]) -> None:
    """Strongly dependent, skewed channels."""
    mixing = torch.randn(5, 5)
    x = torch.einsum("dc,nc...->nd...", mixing, torch.randn(shape)).tanh() * 2
    net = perceptron() if len(shape) == 2 else convolutions(3)
    flow = Flow(5, [net] * 6)
    optimiser = torch.optim.Adam(flow.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        loss = surprise(*flow(x)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    with torch.no_grad():
        torch.testing.assert_close(flow.inverse(flow(x)[0]), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("make", "shape", "condition"), CASES)
def test_log_determinant_is_that_of_the_jacobian(make, shape, condition) -> None:
    """Of the whole map: the parts of the positions add up."""
    flow = make().double()
    small = (1, shape[1], *(min(side, 3) for side in shape[2:]))
    x = torch.randn(small, dtype=torch.float64)
    seen = None if condition is None else torch.randn((1, condition[1], *small[2:]), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda point: flow(point, seen)[0], x)
    wanted = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel())).logabsdet
    found = flow(x, seen)[1].sum()
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)


def test_volume_preserving_means_determinant_one_everywhere() -> None:
    flow = map_flow(6, volume_preserving=True)
    x = torch.randn(2, 6, 5, 4)
    z, log_determinant = flow(x)
    assert log_determinant.abs().max() < 1e-5
    assert (z - x).abs().max() > 0.1
    assert map_flow(6)(x)[1].abs().max() > 0.1


@pytest.mark.parametrize("position", [-1.0, 0.0, 2.0])
def test_conditional_density_on_the_line_integrates_to_one(position: float) -> None:
    flow = disturb(Flow(1, [perceptron(4.0)] * 4, conditions=1), 0.4).double()
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        density = (-surprise(*flow(x, torch.full_like(x, position)))).exp()
    assert float(torch.trapezoid(density, x[:, 0])) == pytest.approx(1, abs=1e-6)


def test_density_in_the_plane_integrates_to_one() -> None:
    """After training on a banana, which no Gaussian fits."""
    flow = Flow(2, [perceptron(8.0)] * 6).double()
    u = torch.randn(2000, 2, dtype=torch.float64)
    x = torch.stack([u[:, 0], 0.5 * u[:, 1] + u[:, 0].square() - 1], dim=1)
    optimiser = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for _ in range(150):
        loss = surprise(*flow(x)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    side = torch.linspace(-15, 15, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = (-2 * surprise(*flow(grid))).exp()
    assert float(density.sum() * (side[1] - side[0]) ** 2) == pytest.approx(1, abs=1e-3)
    gaussian = 0.5 * (1 + np.log(2 * np.pi)) + 0.25 * np.log(0.25 + 2)
    assert loss.item() < gaussian - 0.2
    assert loss.item() == pytest.approx(0.5 * (1 + np.log(2 * np.pi)) + 0.5 * np.log(0.5), abs=0.15)


def test_couplings_equal_the_formula() -> None:
    """One coupling in NumPy."""
    order = torch.tensor([2, 0, 1])
    coupling = disturb(Coupling(3, perceptron(2.0), order, clamp=0.7), 1.0)
    x = torch.randn(6, 3)
    with torch.no_grad():
        z, log_determinant = coupling(x)
    first, last = (
        (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()) for layer in coupling.net[::2]
    )
    points = x.double().numpy()
    hidden = np.maximum(points[:, :1] @ first[0].T + first[1], 0)
    read = hidden @ last[0].T + last[1]
    log_scale = 0.7 * np.tanh(read[:, :2] / 0.7)
    moved = points[:, 1:] * np.exp(log_scale) + read[:, 2:]
    wanted = np.concatenate([points[:, :1], moved], axis=1)[:, [2, 0, 1]]
    np.testing.assert_allclose(z.numpy(), wanted, atol=1e-5)
    np.testing.assert_allclose(log_determinant.numpy(), log_scale.sum(axis=1), atol=1e-5)


def test_the_clamp_keeps_huge_inputs_finite() -> None:
    flow = vector_flow(clamp=1.9)
    with torch.no_grad():
        z, log_determinant = flow(torch.randn(10, 5) * 1e6)
    assert z.isfinite().all()
    assert (log_determinant.abs() <= 6 * 3 * 1.9 + 1e-4).all()


@pytest.mark.parametrize("channels", [2, 3, 5, 8])
def test_two_couplings_reach_every_channel(channels: int) -> None:
    """Every leaving channel of two disturbed couplings has a scale of its own: no channel slips through unchanged."""
    flow = disturb(Flow(channels, [perceptron()] * 2))
    x = torch.randn(50, channels)
    with torch.no_grad():
        z, _ = flow(x)
    kept = (z[:, :, None] - x[:, None, :]).abs().amax(dim=0) < 1e-6  # leaving channel equals an entering one
    assert not kept.any()


def test_a_fresh_flow_is_a_permutation() -> None:
    flow, x = Flow(4, [perceptron()] * 3), torch.randn(7, 4)
    z, log_determinant = flow(x)
    torch.testing.assert_close(z.sort(dim=1).values, x.sort(dim=1).values)
    assert not log_determinant.any()
    wanted = -torch.distributions.Normal(0.0, 1.0).log_prob(x).mean(dim=1)
    torch.testing.assert_close(surprise(z, log_determinant), wanted)


def test_refusals() -> None:
    with pytest.raises(InputError, match="at least 2 channels, got 1"):
        Flow(1, [perceptron()])
    with pytest.raises(InputError, match="odd"):
        convolutions(4)
