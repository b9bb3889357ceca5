"""CFLOW-AD against plain NumPy, its position code, and where its constants come from."""

import numpy as np
import pytest
import torch

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.cflow import CFlow, encode_positions
from amiss.statistics.reduce import smooth_upsample
from amiss.testing import toy_part

TINY = {**CFlow.card.presets["tiny"], "couplings": 3, "steps": 20}


def dense(x: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def plain_positions(height: int, width: int, dimension: int) -> np.ndarray:
    code = np.zeros((height, width, dimension))
    quarter = dimension // 4
    for row in range(height):
        for column in range(width):
            for k in range(quarter):
                for part, place in enumerate((row, column)):
                    angle = (place + 0.5) * 32 / min(height, width) / 10000 ** (k / quarter)
                    code[row, column, 2 * part * quarter + k] = np.sin(angle)
                    code[row, column, (2 * part + 1) * quarter + k] = np.cos(angle)
    return code.reshape(-1, dimension)


def plain_grids(detector: CFlow, images: Images) -> list[np.ndarray]:
    """Minus log density per channel or its first term, (N, h, w) per stage: change of variables, vectors in rows."""
    with torch.no_grad():
        stages = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    found = []
    for scale, flow, feature in zip(detector.standardising, detector.flows, stages, strict=True):
        count, channels, height, width = feature.shape
        x = (feature.permute(0, 2, 3, 1).double().numpy() - scale.mean.numpy()) / scale.spread.numpy()
        x = x.reshape(-1, channels)
        code = np.tile(plain_positions(height, width, detector.position), (count, 1))
        log_determinant = np.zeros(len(x))
        for coupling in flow.couplings:
            half = channels // 2
            read = dense(np.maximum(dense(np.hstack([x[:, :half], code]), coupling.net[0]), 0), coupling.net[2])
            raw, shift = np.split(read, 2, axis=1)
            log_scale = detector.clamp * np.tanh(raw / detector.clamp)
            x = np.hstack([x[:, :half], x[:, half:] * np.exp(log_scale) + shift])
            log_determinant += log_scale.sum(axis=1)
            if detector.affine:
                stretch, offset = (one.detach().double().numpy() for one in (coupling.stretch, coupling.offset))
                x, log_determinant = x * np.exp(stretch) + offset, log_determinant + stretch.sum()
            x = x[:, coupling.order.numpy()]
        log_density = -0.5 * (x**2).sum(axis=1) - 0.5 * channels * np.log(2 * np.pi) + log_determinant
        score = -log_density / channels if detector.log_determinant else 0.5 * (x**2).mean(axis=1)
        found.append(score.reshape(count, height, width))
    return found


@pytest.mark.parametrize(("size", "log_determinant"), [((64, 64), False), ((63, 97), True)])
def test_map_equals_the_formula(size: tuple[int, int], log_determinant: bool) -> None:
    settings = {"log_determinant": log_determinant, "affine": log_determinant}
    detector = CFlow(**TINY, **settings).fit(toy_part(8, seed=0).images.resized(size))
    test = toy_part(2, seed=1, defective=True).images.resized(size)
    grids = plain_grids(detector, test)
    parts = [
        (grid - float(level)) / float(spread)
        for grid, level, spread in zip(grids, detector.level, detector.spread, strict=True)
    ]
    large = [smooth_upsample(torch.from_numpy(part), size, smoothing=detector.smoothing).numpy() for part in parts]
    wanted = np.mean(large, axis=0)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize(("count", "aside"), [(2, 1), (6, 1), (20, 2)])
def test_constants_are_those_of_normals_that_training_has_not_seen(count: int, aside: int) -> None:
    """Drawn first of all from the fit's own generator; a tenth, with fewer than 20 images one."""
    images = toy_part(count, seed=0).images
    detector = CFlow(**TINY).fit(images, seed=5)
    order = np.random.default_rng(5).permutation(count)[:aside]
    grids = plain_grids(detector, images.subset(order))
    np.testing.assert_allclose(detector.level, [grid.mean() for grid in grids], rtol=1e-4)
    np.testing.assert_allclose(detector.spread, [grid.std(ddof=1) for grid in grids], rtol=1e-3)


def test_a_single_image_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 normal images"):
        CFlow(**TINY).fit(toy_part(1, seed=0).images)


@pytest.mark.parametrize(("height", "width", "dimension"), [(4, 4, 8), (3, 7, 16), (1, 1, 4)])
def test_positions_equal_the_formula(height: int, width: int, dimension: int) -> None:
    found = encode_positions(height, width, dimension).numpy()
    np.testing.assert_allclose(found, plain_positions(height, width, dimension), atol=1e-5)


def test_one_place_has_one_code_on_every_grid() -> None:
    """The middle cell of 3 x 3 and of 5 x 5."""
    torch.testing.assert_close(encode_positions(3, 3, 64)[4], encode_positions(5, 5, 64)[12])
    assert len(encode_positions(16, 24, 128).unique(dim=0)) == 16 * 24


def test_position_matters() -> None:
    """Two halves of different brightness, always the same way round: turned over, it is strange only to position."""
    rng = np.random.default_rng(0)
    halves = [np.repeat([60, 190], 32)[None, :, None] + rng.integers(-20, 20, (64, 64, 3)) for _ in range(12)]
    images = [half.astype(np.uint8) for half in halves]
    detector = CFlow(**{**TINY, "steps": 150}).fit(Images(images[:10], size=(64, 64)))
    turned = [np.ascontiguousarray(one[:, ::-1]) for one in images[10:]]
    away = np.abs(np.arange(64) - 31.5) > 16  # of the edge, which looks different when it is turned
    normal, strange = (
        detector.score(Images(some, size=(64, 64))).map[:, :, away].mean() for some in (images[10:], turned)
    )
    assert strange > normal + 1
