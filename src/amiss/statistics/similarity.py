"""How alike two images are, pixel by pixel: structural similarity, its wavelet form, and gradient magnitudes.

All functions take two batches (N, C, H, W) in [0, 1] and return a map (N, H, W), the mean over the channels: 1 where
they are the same, less where they differ. They are differentiable and can be exported: a loss is 1 minus the mean of
the map, a statistic is 1 minus the map. The outermost pixels are repeated beyond the border.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.statistics.reduce import resized

WINDOW, SIGMA = 11, 1.5
"""Gaussian window of the structural similarity, in pixels, after its authors."""

C1, C2 = 0.01**2, 0.03**2
"""Keep the quotients finite, for a range of values of 1."""

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's scales, finest first, after its authors; with fewer scales they are brought to sum 1."""

LEAST = 1e-6
"""Similarity below which a scale of MS-SSIM is cut off: negative numbers have no fractional powers."""

GRADIENT_FLOOR = 0.0026
"""Keeps the gradient magnitude similarity 1 where both images are plain; for a range of 1, after its authors."""


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity: luminance, contrast and structure under a Gaussian window, in [-1, 1].

    Cost: 55 C multiply-adds per pixel and moment.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004.

    Raises:
        InputError: Batches of different shapes.

    Example:
        >>> image = torch.rand(1, 3, 32, 32)
        >>> bool(torch.allclose(ssim(image, image), torch.ones(1, 32, 32)))
        True
    """
    _check(one, other)
    luminance, structure = _moments(one, other)
    return (luminance * structure).mean(dim=1)


def ms_ssim(one: Tensor, other: Tensor, *, scales: int = 5) -> Tensor:
    """Multi-scale structural similarity, in [0, 1]: contrast and structure on all scales, luminance on the coarsest.

    Each scale halves the one before by the mean of 2 x 2 pixels; its map is enlarged to the image before the product.

    Args:
        one: (N, C, H, W).
        other: The same shape.
        scales: 1 to 5.

    Source: Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003.
    Differs from the paper: a product of maps in place of a product of means, so that there is a map.

    Raises:
        InputError: Batches of different shapes, or images whose coarsest scale is narrower than the window.
    """
    _check(one, other, least=least_side(scales))
    size, product = (one.shape[2], one.shape[3]), torch.ones(())
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    for scale, weight in enumerate(weights.tolist()):
        if scale > 0:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        luminance, similarity = _moments(one, other)
        if scale == scales - 1:
            similarity = luminance * similarity
        product = product * resized(similarity.clamp_min(LEAST) ** weight, size)
    return product.mean(dim=1)


def least_side(scales: int) -> int:
    """Smallest side of an image whose coarsest scale holds a whole window.

    Example:
        >>> least_side(5), least_side(1)
        (176, 11)
    """
    return WINDOW << (scales - 1)


def cw_ssim(one: Tensor, other: Tensor, *, levels: int = 3, orientations: int = 6, window: int = 7) -> Tensor:
    """Complex-wavelet structural similarity, in [0, 1]: indifferent to shifts much smaller than the wavelets.

    A steerable pyramid in quadrature: on each level, second derivatives of a Gaussian and their Hilbert transforms are
    the real and imaginary parts of one coefficient per orientation; levels halve the image. A shift turns the phase of
    all coefficients under a window alike, which ``(2 |sum x y*| + K) / (sum |x|^2 + sum |y|^2 + K)`` does not see.
    Numerator and denominator are summed over the orientations: one that neither image has would count as the same.

    Args:
        one: (N, C, H, W).
        other: The same shape.
        levels: Levels of the pyramid, averaged.
        orientations: K, evenly spaced over 180 degrees.
        window: Odd width of the square that coefficients are summed over.

    Cost: 9 x 9 x 2 `orientations` C multiply-adds per pixel and image on the finest level, 4/3 of it in all.

    Source: Sampat, Wang, Gupta, Bovik and Markey, "Complex wavelet structural similarity", IEEE TIP 18(11), 2009; the
    filters: Freeman and Adelson, "The design and use of steerable filters", IEEE PAMI 13(9), 1991.

    Raises:
        InputError: Batches of different shapes, or images whose coarsest level is narrower than the filters.
    """
    _check(one, other, least=QUADRATURE_TAPS * 2 ** (levels - 1))
    size, maps = (one.shape[2], one.shape[3]), []
    for level in range(levels):
        if level > 0:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        similarity = _wavelet_similarity(_wavelets(one, orientations), _wavelets(other, orientations), window)
        maps.append(resized(similarity, size))
    return torch.stack(maps).mean(dim=(0, 2))


def gms(one: Tensor, other: Tensor) -> Tensor:
    """Gradient magnitude similarity, in (0, 1], of the mean over the channels.

    Source: Xue, Zhang, Mou and Bovik, "Gradient magnitude similarity deviation", IEEE TIP 23(2), 2014.

    Raises:
        InputError: Batches of different shapes.
    """
    _check(one, other)
    first, second = (_gradient_magnitude(batch.mean(dim=1, keepdim=True)) for batch in (one, other))
    quotient = (2 * first * second + GRADIENT_FLOOR) / (first.square() + second.square() + GRADIENT_FLOOR)
    return quotient.squeeze(1)


def ms_gms(one: Tensor, other: Tensor, *, scales: int = 4) -> Tensor:
    """`gms` on several scales, each half the one before, enlarged to the image and averaged.

    Source: Zavrtanik, Kristan and Skocaj, "Reconstruction by inpainting for visual anomaly detection", Pattern
    Recognition 112, 2021.

    Raises:
        InputError: Batches of different shapes, or images whose coarsest scale has no pixel.
    """
    _check(one, other, least=3 * 2 ** (scales - 1))
    size, maps = (one.shape[2], one.shape[3]), []
    for scale in range(scales):
        if scale > 0:
            one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
        maps.append(resized(gms(one, other)[:, None], size))
    return torch.stack(maps).mean(dim=(0, 2))


def _moments(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, each (N, C, H, W)."""
    mean_one, mean_other = _blur(one), _blur(other)
    variance_one = _blur(one.square()) - mean_one.square()
    variance_other = _blur(other.square()) - mean_other.square()
    covariance = _blur(one * other) - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + C1) / (mean_one.square() + mean_other.square() + C1)
    structure = (2 * covariance + C2) / (variance_one + variance_other + C2)
    return luminance, structure


def _wavelets(batch: Tensor, orientations: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts (N, C, K, H, W) of the coefficients of one level."""
    count, channels, height, width = batch.shape
    kernels = torch.from_numpy(quadrature(orientations)).to(batch)[:, None]  # (2 K, 1, 9, 9)
    padded = _pad(batch.reshape(count * channels, 1, height, width), QUADRATURE_TAPS // 2)
    parts = F.conv2d(padded, kernels).reshape(count, channels, 2, orientations, height, width)
    return parts[:, :, 0], parts[:, :, 1]


def _wavelet_similarity(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], window: int) -> Tensor:
    """(N, C, H, W) from real and imaginary parts (N, C, K, H, W)."""
    (a, b), (c, d) = one, other
    real, imaginary = _sum(a * c + b * d, window), _sum(b * c - a * d, window)
    energy = (a.square() + b.square() + c.square() + d.square()).sum(dim=2, keepdim=True)
    product = (real.square() + imaginary.square() + _TINY).sqrt()
    return (2 * product.sum(dim=2) + WAVELET_FLOOR) / (_sum(energy, window)[:, :, 0] + WAVELET_FLOOR)


QUADRATURE_TAPS = 9
"""Width of the filters of `quadrature`, in pixels."""

WAVELET_FLOOR = 0.01
"""K of the wavelet form: keeps it 1 where both images are plain."""

_TINY = 1e-12  # under a root: keeps its gradient finite at 0


@lru_cache(maxsize=8)
def quadrature(orientations: int) -> NDArray[np.float32]:
    """Second derivatives of a Gaussian, then their Hilbert transforms, for every orientation: (2 K, 9, 9).

    Real parts sum to 0 and all have length 1, so a plain image has no coefficients. The third-order polynomials of the
    imaginary parts are those of Freeman and Adelson, table VI; directions by turning the coordinates.
    """
    step = 0.67  # their sampling, in units in which the Gaussian is exp(-r^2)
    taps = step * (np.arange(QUADRATURE_TAPS) - QUADRATURE_TAPS // 2)
    rows, columns = np.meshgrid(taps, taps, indexing="ij")
    gaussian = np.exp(-(rows**2) - columns**2)
    real, imaginary = [], []
    for angle in np.pi * np.arange(orientations) / orientations:
        along = math.cos(angle) * columns + math.sin(angle) * rows
        even = 0.9213 * (2 * along**2 - 1) * gaussian
        even = even - gaussian * even.sum() / gaussian.sum()
        odd = 0.9780 * (-2.254 * along + along**3) * gaussian
        real.append(even / np.linalg.norm(even))
        imaginary.append(odd / np.linalg.norm(odd))
    kernels: NDArray[np.float32] = np.array([*real, *imaginary], np.float32)
    return kernels


def _gradient_magnitude(batch: Tensor) -> Tensor:
    """Length of Prewitt's gradient, (N, 1, H, W)."""
    rise = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]]).to(batch) / 3
    gradients = F.conv2d(_pad(batch, 1), torch.stack([rise, rise.T])[:, None])
    return (gradients.square().sum(dim=1, keepdim=True) + _TINY).sqrt()


@lru_cache(maxsize=2)
def _gaussian(width: int, sigma: float) -> NDArray[np.float32]:
    taps = np.exp(-0.5 * ((np.arange(width) - width // 2) / sigma) ** 2)
    weights: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return weights


def _blur(batch: Tensor) -> Tensor:
    return _separable(batch, torch.from_numpy(_gaussian(WINDOW, SIGMA)).to(batch))


def _sum(batch: Tensor, window: int) -> Tensor:
    """Sums over squares, of (N, C, K, H, W)."""
    flat = batch.flatten(0, 2)[:, None]
    return (F.avg_pool2d(_pad(flat, window // 2), window, stride=1) * window**2).reshape(batch.shape)


def _separable(batch: Tensor, taps: Tensor) -> Tensor:
    """A filter along both axes of every channel."""
    channels, reach = batch.shape[1], len(taps) // 2
    rows = taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = F.conv2d(_pad(batch, reach), rows, groups=channels)
    return F.conv2d(padded, rows.transpose(2, 3), groups=channels)


def _pad(batch: Tensor, reach: int) -> Tensor:
    return F.pad(batch, (reach,) * 4, mode="replicate")


def _check(one: Tensor, other: Tensor, least: int = 1) -> None:
    if one.shape != other.shape:
        raise InputError(f"both batches must have one shape, got {tuple(one.shape)} and {tuple(other.shape)}")
    if min(one.shape[2:]) < least:
        raise InputError(
            f"an image must have at least {least} x {least} pixels for this many scales, "
            f"got {one.shape[2]} x {one.shape[3]}"
        )
