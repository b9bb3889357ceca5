"""The autoencoder's residual and loss against plain NumPy, and what its images must be."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.reconstruction.autoencoder import ConvolutionalAutoencoder
from amiss.features.batch import to_batch
from amiss.testing import toy_part, toy_texture

TINY = {**ConvolutionalAutoencoder.card.presets["tiny"], "steps": 4}


def batch_of(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def rebuilt(detector: ConvolutionalAutoencoder, batch: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return detector.decoder(detector.encoder(batch), (batch.shape[2], batch.shape[3])).double().numpy()


def plain_squares(one: np.ndarray, other: np.ndarray, scales: int) -> np.ndarray:
    """Squared differences (N, H, W), summed over a pyramid of means of 2 x 2 pixels."""
    size, total = one.shape[2:], 0
    for scale in range(scales):
        if scale > 0:
            one, other = (
                (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
                for x in (one, other)
            )
        grid = torch.from_numpy(((one - other) ** 2).mean(axis=1))[:, None]
        total = total + nn.functional.interpolate(grid, size, mode="bilinear", align_corners=False)[:, 0].numpy()
    return total


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("scales", [1, 3])
def test_map_and_loss_equal_the_formula(bottleneck: bool, scales: int) -> None:
    settings = {**TINY, "bottleneck": bottleneck, "scales": scales, "code_penalty": 0.5, "weights": (2.0,)}
    detector = ConvolutionalAutoencoder(**settings).fit(toy_part(8, seed=0).images)
    test = toy_part(2, seed=1, defective=True).images
    batch = batch_of(test)
    wanted = 2 * plain_squares(batch.double().numpy(), rebuilt(detector, batch), scales)
    smooth = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in wanted])
    np.testing.assert_allclose(detector.score(test).map, smooth, rtol=1e-3, atol=1e-6)
    with torch.no_grad():
        loss, code = float(detector.training_loss(batch)), detector.encoder(batch).numpy()
    assert loss == pytest.approx(wanted.mean() + 0.5 * np.abs(code).mean(), rel=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (63, 97)])
def test_the_loss_is_the_mean_of_the_statistic(size: tuple[int, int]) -> None:
    settings = {**TINY, "loss": "l2+ssim", "weights": (1.0, 0.1), "smoothing": 0.0}
    detector = ConvolutionalAutoencoder(**settings).fit(toy_part(8, seed=0).images.resized(size))
    batch = batch_of(toy_part(3, seed=1).images.resized(size))
    with torch.no_grad():
        assert float(detector.training_loss(batch)) == pytest.approx(float(detector(batch).mean()), rel=1e-5)


def test_training_lowers_the_residual() -> None:
    images, losses = toy_texture(8, seed=0).images, []
    detector = ConvolutionalAutoencoder(**{**TINY, "steps": 60})
    detector.fit(images, progress=lambda stage, done, total, note="": losses.append((stage, note)))
    values = [float(note.split()[1].rstrip(",")) for stage, note in losses if stage == "learning"]
    assert np.mean(values[-5:]) < 0.5 * np.mean(values[:5])


def test_squares_are_learned_and_whole_images_scored() -> None:
    settings = {**TINY, "patch": 32, "levels": 2}
    detector = ConvolutionalAutoencoder(**settings).fit(toy_texture(4, seed=0).images)
    assert detector.score(toy_texture(1, seed=1).images).map.shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 32, "bottleneck": True}, "patch must be 0 with a bottleneck"),
        ({"patch": 8, "loss": "ssim"}, "patch must be at least 11"),
        ({"loss": "l3"}, "loss must be made of l1, l2"),
        ({"loss": "l2+ssim", "weights": (1.0,)}, "weights must be 2"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConvolutionalAutoencoder(**{**TINY, **settings})


def test_images_that_are_too_small_say_the_least_side() -> None:
    images = toy_part(4, seed=0).images
    with pytest.raises(InputError, match=r"at least 176 x 176 pixels for loss='ms_ssim' on 1 scales, got 64 x 64"):
        ConvolutionalAutoencoder(**{**TINY, "loss": "ms_ssim"}).fit(images)
    with pytest.raises(InputError, match="at least 128 x 128 pixels to be halved 7 times"):
        ConvolutionalAutoencoder(**{**TINY, "levels": 7}).fit(images)


def test_one_image_and_constant_images_can_be_learned() -> None:
    constant = Images(np.full((4, 64, 64, 3), 128, np.uint8), size=(64, 64))
    for images in (toy_part(1, seed=0).images, constant):
        scores = ConvolutionalAutoencoder(**TINY).fit(images).score(images)
        assert np.isfinite(scores.map).all()
