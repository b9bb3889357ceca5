"""Similarities of images against scikit-image and independent NumPy forms."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve, uniform_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from amiss.core.errors import InputError
from amiss.statistics.similarity import (
    GRADIENT_FLOOR,
    LEAST,
    WAVELET_FLOOR,
    WEIGHTS,
    cw_ssim,
    gms,
    least_side,
    ms_gms,
    ms_ssim,
    quadrature,
    ssim,
)

ALL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "cw_ssim": cw_ssim,
    "gms": gms,
    "ms_gms": ms_gms,
}


def pair(size: int = 192, channels: int = 3) -> tuple[Tensor, Tensor]:
    """A smooth random image, and one that differs from it."""
    rng = np.random.default_rng(0)
    image = uniform_filter(rng.random((1, channels, size, size)), (0, 0, 5, 5))
    image = (image - image.min()) / (image.max() - image.min())
    other = np.clip(0.9 * image + 0.05 + 0.05 * rng.standard_normal(image.shape), 0, 1)
    return torch.from_numpy(image).float(), torch.from_numpy(other).float()


def halved(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


@pytest.mark.parametrize("name", ALL)
def test_equal_images_are_alike_and_others_less(name: str) -> None:
    one, other = pair()
    same, found = ALL[name](one, one), ALL[name](one, other)
    assert same.shape == found.shape == (1, 192, 192)
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-4, rtol=0)
    assert float(found.mean()) < 0.99 and float(found.max()) <= 1 + 1e-5
    torch.testing.assert_close(ALL[name](other, one), found)


@pytest.mark.parametrize("name", ALL)
def test_a_plain_image_has_finite_gradients(name: str) -> None:
    plain = torch.full((1, 3, 192, 192), 0.5, requires_grad=True)
    (1 - ALL[name](plain, torch.full_like(plain, 0.5)).mean()).backward()  # type: ignore[no-untyped-call]
    assert plain.grad is not None and bool(plain.grad.isfinite().all())


def test_ssim_is_that_of_scikit_image() -> None:
    one, other = pair(96)
    _, wanted = structural_similarity(
        one[0].permute(1, 2, 0).double().numpy(),
        other[0].permute(1, 2, 0).double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    inside = slice(8, -8)  # scikit-image mirrors at the border
    np.testing.assert_allclose(ssim(one, other)[0, inside, inside], wanted.mean(axis=2)[inside, inside], atol=2e-4)


def test_ms_ssim_by_its_formula_on_one_scale_after_the_other() -> None:
    one, other = pair(64, 1)
    a, b = one[0, 0].double().numpy(), other[0, 0].double().numpy()
    wanted, weights = np.ones((64, 64)), np.array(WEIGHTS[:2]) / sum(WEIGHTS[:2])
    for scale in range(2):
        a, b = (halved(a), halved(b)) if scale else (a, b)
        _, similarity = structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, full=True
        )
        if scale == 0:  # without luminance
            blurred = [torch.from_numpy(x)[None, None] for x in (a, b)]
            means = [_gaussian_mean(x) for x in blurred]
            similarity = similarity / ((2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4))
        part = torch.from_numpy(np.clip(similarity, LEAST, None) ** weights[scale])[None, None]
        part = torch.nn.functional.interpolate(part, (64, 64), mode="bilinear", align_corners=False)
        wanted = wanted * part[0, 0].numpy()
    inside = slice(20, -20)
    np.testing.assert_allclose(ms_ssim(one, other, scales=2)[0, inside, inside], wanted[inside, inside], atol=3e-4)


def _gaussian_mean(image: Tensor) -> NDArray[np.float64]:
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()
    return convolve(image[0, 0].numpy(), np.outer(taps, taps), mode="nearest")


def test_cw_ssim_by_its_formula() -> None:
    one, other = pair(40, 1)
    kernels = quadrature(4).astype(np.float64)
    products, energies = np.zeros((40, 40)), np.zeros((40, 40))
    for real, imaginary in zip(kernels[:4], kernels[4:], strict=True):
        kernel = (real + 1j * imaginary)[::-1, ::-1]  # convolve turns it round
        x, y = (convolve(image[0, 0].double().numpy(), kernel, mode="nearest") for image in (one, other))
        product = x * y.conj()
        products += 49 * np.abs(
            uniform_filter(product.real, 7, mode="nearest") + 1j * uniform_filter(product.imag, 7, mode="nearest")
        )
        energies += 49 * uniform_filter(np.abs(x) ** 2 + np.abs(y) ** 2, 7, mode="nearest")
    wanted = (2 * products + WAVELET_FLOOR) / (energies + WAVELET_FLOOR)
    found = cw_ssim(one, other, levels=1, orientations=4)
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-4)


def test_the_wavelets_are_in_quadrature() -> None:
    """A grating's coefficient keeps its length while its phase runs: even and odd parts answer alike."""
    even, odd = quadrature(1).astype(np.float64)
    taps = np.arange(9) - 4
    for frequency in (0.9, 1.1, 1.3):  # radians per pixel, around the filters' own
        lengths = [
            np.hypot((even * np.cos(frequency * taps + phase)).sum(), (odd * np.cos(frequency * taps + phase)).sum())
            for phase in np.linspace(0, 2 * np.pi, 16)
        ]
        assert np.ptp(lengths) < 0.12 * np.mean(lengths)
    assert abs(even.sum()) < 1e-6 and abs(odd.sum()) < 1e-6


def test_cw_ssim_tolerates_a_shift_of_two_pixels_where_ssim_does_not() -> None:
    rng = np.random.default_rng(1)
    texture = uniform_filter(rng.random((200, 200)), 5)
    texture = (texture - texture.min()) / np.ptp(texture)
    one, moved = (torch.from_numpy(texture[:192, s : s + 192].copy()).float()[None, None] for s in (0, 2))
    strange = torch.from_numpy(np.rot90(texture)[:192, :192].copy()).float()[None, None]
    loss = {name: [float(1 - ALL[name](one, each).mean()) for each in (moved, strange)] for name in ("ssim", "cw_ssim")}
    assert loss["ssim"][0] > 0.6 * loss["ssim"][1]  # a shift is nearly another texture
    assert loss["cw_ssim"][0] < 0.4 * loss["cw_ssim"][1]


def test_gms_by_its_formula() -> None:
    one, other = pair(32)
    kernel = np.array([[1.0, 1, 1], [0, 0, 0], [-1, -1, -1]]) / 3
    lengths = []
    for image in (one, other):
        grey = image[0].double().numpy().mean(axis=0)
        lengths.append(np.hypot(convolve(grey, kernel, mode="nearest"), convolve(grey, kernel.T, mode="nearest")))
    a, b = lengths
    wanted = (2 * a * b + GRADIENT_FLOOR) / (a**2 + b**2 + GRADIENT_FLOOR)
    np.testing.assert_allclose(gms(one, other)[0].numpy(), wanted, atol=1e-4)


def test_ms_gms_is_the_mean_over_scales() -> None:
    one, other = pair(32)
    size, maps, scaled = (32, 32), [], (one, other)
    for _ in range(4):
        maps.append(torch.nn.functional.interpolate(gms(*scaled)[:, None], size, mode="bilinear", align_corners=False))
        scaled = tuple(torch.from_numpy(np.stack([halved(c) for c in x[0].numpy()]))[None] for x in scaled)  # type: ignore[assignment]
    torch.testing.assert_close(ms_gms(one, other), torch.stack(maps).mean(dim=0)[:, 0])


def test_too_small_an_image_says_the_least_side() -> None:
    assert least_side(5) == 176
    with pytest.raises(InputError, match="at least 176 x 176 pixels"):
        ms_ssim(*pair(160))
    with pytest.raises(InputError, match="at least 36 x 36 pixels"):
        cw_ssim(*pair(32))
    with pytest.raises(InputError, match="at least 24 x 24 pixels"):
        ms_gms(*pair(20))
    with pytest.raises(InputError, match="must have one shape"):
        ssim(torch.zeros(1, 3, 20, 20), torch.zeros(1, 1, 20, 20))
