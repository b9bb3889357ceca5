"""PaDiM against plain NumPy on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.core.progress import silent
from amiss.detectors.detector import to_batch
from amiss.detectors.distribution.padim import PaDiM
from amiss.export import export_onnx
from amiss.registry import create
from amiss.runtime import Graph
from amiss.testing import toy_part

TINY = PaDiM.card.presets["tiny"]


def features_of(detector: PaDiM, images: Images) -> np.ndarray:
    """(N, h, w, D) float64: all channels on the finer grid, then those that were drawn."""
    with torch.no_grad():
        fine, coarse = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    coarse = torch.nn.functional.interpolate(coarse, fine.shape[2:], mode="bilinear")
    chosen = torch.cat([detector.drawn[0], detector.drawn[1] + fine.shape[1]])
    return torch.cat([fine, coarse], dim=1)[:, chosen].permute(0, 2, 3, 1).double().numpy()


def plain_map(detector: PaDiM, normal: Images, test: Images) -> np.ndarray:
    """Defard et al., section III: a Gaussian at every position, solved in float64, then upsampling and Gaussian."""
    learned, tested = features_of(detector, normal), features_of(detector, test)
    _, h, w, d = learned.shape
    distance = np.zeros((len(tested), h, w))
    covariance = [[np.cov(learned[:, i, j].T) for j in range(w)] for i in range(h)]
    share = detector.regularisation * np.mean([np.diag(one) for row in covariance for one in row])
    for i in range(h):
        for j in range(w):
            centred = (tested[:, i, j] - learned[:, i, j].mean(axis=0)).T  # (D, N)
            distance[:, i, j] = np.sqrt(
                (centred * np.linalg.solve(covariance[i][j] + share * np.eye(d), centred)).sum(0)
            )
    large = torch.nn.functional.interpolate(torch.from_numpy(distance)[:, None], (64, 64), mode="bilinear")[:, 0]
    return np.stack([gaussian_filter(one.numpy(), detector.smoothing * 64 / 256) for one in large])


@pytest.mark.parametrize("count", [2, 30])
def test_map_equals_the_formula(count: int) -> None:
    normal, test = toy_part(count, seed=0).images, toy_part(3, seed=1, defective=True).images
    detector = PaDiM(**TINY).fit(normal)
    wanted = plain_map(detector, normal, test)
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * wanted.max())


def test_fewer_images_than_dimensions() -> None:
    """5 images and 100 channels: every covariance is singular; only the regularisation makes it invertible."""
    normal, test = toy_part(5, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = create("padim", "default", stages=(8, 16), dimension=100).fit(normal)
    assert detector.gaussians.mean.shape == (8, 8, 100)
    found, wanted = detector.score(test).map, plain_map(detector, normal, test)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, wanted, atol=1e-3 * wanted.max())


def channels_of(detector: PaDiM) -> list[int]:
    """Numbered over both stages, of which the first has 8."""
    fine, coarse = detector.drawn
    return [*fine.tolist(), *(coarse + 8).tolist()]


def test_the_drawn_channels() -> None:
    images = toy_part(3, seed=0).images
    one, other = (channels_of(PaDiM(**TINY).fit(images, seed=seed)) for seed in (0, 1))
    assert one == np.sort(np.random.default_rng(0).permutation(8 + 12)[:12]).tolist()
    assert len(other) == 12
    assert one != other
    assert channels_of(PaDiM(**{**TINY, "dimension": 10_000}).fit(images)) == list(range(8 + 12))


@pytest.mark.parametrize("channels", [[0, 3, 8, 11, 19], [9, 12]])
def test_features_from_disk_are_those_of_the_network(channels: list[int]) -> None:
    """What a field too large for one pass learns from; the second draw has no channel of the first stage."""
    images, found = toy_part(9, seed=0).images, []
    for in_passes in (False, True):
        detector = PaDiM(**{**TINY, "dimension": len(channels)})
        detector.build(pretrained=True)
        detector._take_channels(np.array(channels))
        if in_passes:
            detector._learn_in_passes(images, silent)
        else:
            state = detector.gather(images, range(9), np.random.default_rng(0), silent)
            detector.fold(iter([state]), images, np.random.default_rng(0), silent)
        found.append(detector.gaussians)
    assert found[0].mean.shape == (16, 16, len(channels))
    for name, tensor in found[0].state_dict().items():
        torch.testing.assert_close(found[1].state_dict()[name], tensor)


@pytest.mark.parametrize(("seed", "drawn"), [(0, [1, 0]), (3, [0, 1])])
def test_a_draw_that_leaves_a_stage_out(seed: int, drawn: list[int]) -> None:
    """One channel of two stages; also in the graph, which cannot enlarge a map without channels."""
    normal, test = toy_part(8, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = PaDiM(**{**TINY, "dimension": 1}).fit(normal, seed=seed)
    assert [len(each) for each in detector.drawn] == drawn
    wanted = detector.score(test).map
    graph = Graph(export_onnx(detector, (64, 64))).run(np.stack(list(test))).map
    np.testing.assert_allclose(graph, wanted, atol=1e-4 * wanted.max())


def test_one_image_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 normal images"):
        PaDiM(**TINY).fit(toy_part(1, seed=0).images)


@pytest.mark.parametrize("size", [(96, 96), (64, 32), (96, 64)])
def test_scoring_at_another_size_is_refused(size: tuple[int, int]) -> None:
    """Also at a size with as many positions: 64 x 96 learned, 96 x 64 scored."""
    detector = PaDiM(**TINY).fit(toy_part(3, seed=0).images.resized((64, 96)))
    with pytest.raises(InputError, match="score at the same size"):
        detector.score(toy_part(1, seed=1).images.resized(size))
