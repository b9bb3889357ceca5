"""PyramidFlow: its pyramid and couplings can be undone, keep volume, and the map is what the docstring says."""

import numpy as np
import pytest
import torch

from amiss.core.errors import InputError
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.pyramidflow import PyramidCouplings, PyramidFlow, join_pyramid, split_pyramid
from amiss.statistics.reduce import smooth_upsample
from amiss.testing import toy_part

TINY = {**PyramidFlow.card.presets["tiny"], "steps": 20}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def couplings(levels: int = 3, channels: int = 4, kernel: int = 3) -> PyramidCouplings:
    made = PyramidCouplings(channels, levels, 2, kernel=kernel, hidden=1.0, clamp=2.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize("size", [(16, 16), (7, 13), (1, 1), (2, 5)])
@pytest.mark.parametrize("levels", [2, 4])
def test_the_pyramid_can_be_undone_at_any_size(size: tuple[int, int], levels: int) -> None:
    x = torch.randn(2, 3, *size)
    pyramid = split_pyramid(x, levels)
    assert len(pyramid) == levels
    torch.testing.assert_close(join_pyramid(pyramid), x, atol=1e-5, rtol=0)


def test_even_sizes_halve_by_means_of_four() -> None:
    x = torch.randn(1, 1, 4, 6)
    fine, coarse = split_pyramid(x, 2)
    torch.testing.assert_close(coarse[0, 0], x[0, 0].reshape(2, 2, 3, 2).mean(dim=(1, 3)))
    flat = split_pyramid(torch.full((1, 1, 5, 7), 3.0), 3)
    assert max(float(level.abs().max()) for level in flat[:-1]) < 1e-6  # all of a constant is in the coarsest
    assert float(fine.abs().max()) > 0.1


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_couplings_can_be_undone(levels: int) -> None:
    made = couplings(levels)
    pyramid = split_pyramid(torch.randn(2, 4, 11, 14), levels)
    with torch.no_grad():
        latent = made(pyramid)
        back = made.inverse(latent)
    assert all(float((z - x).abs().max()) > 0.05 for z, x in zip(latent, pyramid, strict=True))
    for found, wanted in zip(back, pyramid, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_couplings_keep_the_volume() -> None:
    """Determinant +-1 of the whole pyramid, from autograd's Jacobian."""
    made = couplings(levels=2).double()
    shapes = [(1, 4, 3, 4), (1, 4, 2, 2)]
    sizes = [int(np.prod(shape)) for shape in shapes]

    def flat(x: torch.Tensor) -> torch.Tensor:
        levels = [part.reshape(shape) for part, shape in zip(x.split(sizes), shapes, strict=True)]
        return torch.cat([level.flatten() for level in made(levels)])

    jacobian = torch.autograd.functional.jacobian(flat, torch.randn(sum(sizes), dtype=torch.float64))
    assert abs(float(torch.linalg.slogdet(jacobian).logabsdet)) < 1e-9
    assert float((jacobian.abs() - jacobian.abs().round()).abs().max()) > 0.01  # and it is no permutation


@pytest.mark.parametrize("backbone", ["tiny-random", "none"])
@pytest.mark.parametrize("size", [(64, 64), (63, 97)])
def test_map_equals_the_formula(backbone: str, size: tuple[int, int]) -> None:
    normal = toy_part(5, seed=0).images.resized(size)
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    detector = PyramidFlow(**{**TINY, "backbone": backbone, "channels": 6, "steps": 4}).fit(normal)
    latent = []
    for images in (normal, test):
        x = to_batch(torch.from_numpy(np.stack(list(images))))
        with torch.no_grad():
            x = x if backbone == "none" else detector.features(x)[0]
            scale = detector.standardising[0]
            x = (x - scale.mean[:, None, None]) / scale.spread[:, None, None]
            if backbone == "none":
                x = (x.movedim(1, -1) @ detector.spreading.T).movedim(-1, 1)
            latent.append([level.double().numpy() for level in detector.flow(split_pyramid(x, 2))])
    grids = [np.abs(tested - learned.mean(axis=0)).mean(axis=1) for learned, tested in zip(*latent, strict=True)]
    wanted = sum(smooth_upsample(torch.from_numpy(one), size, smoothing=8.0).numpy() for one in grids)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * wanted.max())


def test_spreading_the_colours_loses_and_distorts_nothing() -> None:
    detector = PyramidFlow(**{**TINY, "backbone": "none", "channels": 7})
    detector.build(pretrained=False)
    torch.testing.assert_close(detector.spreading.T @ detector.spreading, torch.eye(3), atol=1e-5, rtol=0)


def test_training_makes_normal_images_alike() -> None:
    """On fresh normals, at equal volume: the mean amplitude of the differences between two latent images falls."""
    images, fresh = toy_part(12, seed=0).images, toy_part(8, seed=1).images
    batch = to_batch(torch.from_numpy(np.stack(list(fresh))))

    def differ(detector: PyramidFlow) -> float:
        with torch.no_grad():
            latent = detector.latent(detector.describe(batch)[0])
            spectra = [torch.fft.fft2(one[0::2] - one[1::2], norm="ortho").abs().mean() for one in latent]
            return float(torch.stack(spectra).mean())

    trained = PyramidFlow(**{**TINY, "steps": 100}).fit(images)
    untrained = PyramidFlow(**{**TINY, "steps": 1, "rate": 1e-12}).fit(images)
    assert differ(trained) < 0.95 * differ(untrained)


def test_refusals() -> None:
    with pytest.raises(InputError, match="at least 2 normal images"):
        PyramidFlow(**TINY).fit(toy_part(1, seed=0).images)
    detector = PyramidFlow(**TINY).fit(toy_part(3, seed=0).images.resized((64, 96)))
    with pytest.raises(InputError, match="score at the same size"):
        detector.score(toy_part(1, seed=1).images.resized((96, 64)))
