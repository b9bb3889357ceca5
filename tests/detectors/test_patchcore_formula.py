"""PatchCore against plain NumPy on the same features."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from amiss.core.errors import InputError, NotReadyError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.patchcore import PatchCore, neighbours
from amiss.export import export_onnx
from amiss.runtime import Graph
from amiss.testing import toy_texture

TINY = {**PatchCore.card.presets["tiny"], "level_images": 0}


def batch_of(images: Images) -> torch.Tensor:
    return to_batch(torch.from_numpy(np.stack(list(images))))


def plain_map(detector: PatchCore, images: Images, reweight: int) -> np.ndarray:
    """Roth et al., section 3.3: nearest distances, weight from the neighbours of m*, upsampling, Gaussian."""
    with torch.no_grad():
        features = detector.describe(batch_of(images)).double().numpy()  # (N, h, w, D)
    bank = (detector.bank + detector.center).double().numpy()
    maps = []
    for patches in features:
        distance = cdist(patches.reshape(-1, patches.shape[2]), bank)  # (P, M)
        nearest = distance.min(axis=1)
        q = nearest.argmax()
        m_star = distance[q].argmin()
        around = np.argsort(cdist(bank[m_star : m_star + 1], bank)[0], kind="stable")[:reweight]
        weight = 1 - np.exp(nearest[q]) / np.exp(distance[q, around]).sum() if reweight > 1 else 1.0
        grid = torch.from_numpy(weight * nearest.reshape(1, 1, *patches.shape[:2]))
        large = torch.nn.functional.interpolate(grid, (64, 64), mode="bilinear")[0, 0].numpy()
        maps.append(gaussian_filter(large, detector.smoothing * 64 / 256))
    return np.stack(maps)


@pytest.mark.parametrize("reweight", [0, 1, 3, 9])
def test_map_equals_the_formula(reweight: int) -> None:
    detector = PatchCore(**TINY, reweight=reweight).fit(toy_texture(6, seed=0).images)
    test = toy_texture(3, seed=1, defective=True).images
    found, wanted = detector.score(test), plain_map(detector, test, reweight)
    np.testing.assert_allclose(found.map, wanted, atol=1e-4 * wanted.max())
    np.testing.assert_allclose(found.image, wanted.max(axis=(1, 2)), rtol=1e-3)


def test_distances_near_the_border_are_brought_to_the_level_inside() -> None:
    """Mean and deviation by ring of the normal images' distances to the bank vectors of the others, in float64."""
    images = toy_texture(6, seed=0).images
    detector = PatchCore(**{**TINY, "level_images": 4, "smoothing": 0.0}).fit(images, seed=3)
    plain = PatchCore(**{**TINY, "smoothing": 0.0}).fit(images, seed=3)
    assert torch.equal(detector.bank, plain.bank)
    with torch.no_grad():
        patches = detector.describe(batch_of(images)).double().numpy()  # (6, 16, 16, D)
    bank = (detector.bank + detector.center).double().numpy()
    origins = [int(cdist(one[None], patches.reshape(-1, patches.shape[3])).argmin()) // 256 for one in bank]
    far, chosen = [], chosen_images(6, 4, seed=3)
    for number in chosen:
        others = bank[[origin != number for origin in origins]]
        far.append(cdist(patches[number].reshape(256, -1), others).min(axis=1).reshape(16, 16))
    rows = np.minimum(np.arange(16), np.arange(16)[::-1])
    ring = np.minimum(np.minimum(rows[:, None], rows), 4)
    mean, std = (np.array([how(np.stack(far)[:, ring == r]) for r in range(5)]) for how in (np.mean, np.std))
    test = toy_texture(3, seed=1, defective=True).images
    with torch.no_grad():
        raw = detector._distance(detector.describe(batch_of(test)) - detector.center, detector.bank).double().numpy()
        found = detector.border(torch.from_numpy(raw).float()).numpy()
    np.testing.assert_allclose(found, (raw - mean[ring]) / std[ring] * std[4] + mean[4], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[:, ring == 4], raw[:, ring == 4], rtol=1e-6)


def chosen_images(count: int, wanted: int, *, seed: int) -> list[int]:
    """Which images `PatchCore.learn` draws for the level: after the projection and the first vector of the coreset."""
    rng = np.random.default_rng(seed)
    rng.integers(count * 256)
    return sorted(rng.permutation(count)[:wanted].tolist())


def test_the_weight_lies_between_0_and_1_and_large_distances_do_not_overflow() -> None:
    detector = PatchCore(**TINY, reweight=4).fit(toy_texture(6, seed=0).images)
    detector.bank *= 1e4  # distances far above 88, where float32 exp overflows
    scores = detector.score(toy_texture(2, seed=1).images)
    assert np.isfinite(scores.map).all()
    assert (scores.map >= 0).all()


def test_a_search_along_axes_is_nearly_the_exact_one_also_in_the_graph() -> None:
    images, test = toy_texture(6, seed=0).images, toy_texture(3, seed=1, defective=True).images
    exact = PatchCore(**TINY).fit(images).score(test).map
    detector = PatchCore(**TINY, search=10).fit(images)
    found = detector.score(test).map
    assert (found >= exact - 1e-4 * exact.max()).all()
    assert found.mean() <= 1.05 * exact.mean()
    graph = Graph(export_onnx(detector, (64, 64))).run(np.stack(list(test))).map
    np.testing.assert_allclose(graph, found, atol=1e-3 * exact.max())


@pytest.mark.parametrize("projection", [0, 5])
def test_the_bank_is_made_of_normal_patches_and_holds_its_seed(projection: int) -> None:
    images = toy_texture(4, seed=0).images
    detector = PatchCore(**{**TINY, "bank_size": 30, "projection": projection}).fit(images, seed=5)
    with torch.no_grad():
        pool = detector.describe(batch_of(images)).flatten(0, 2)
    bank = detector.bank + detector.center
    distance = torch.cdist(bank.double(), pool.double())
    assert distance.amin(dim=1).max() < 1e-5
    rng = np.random.default_rng(5)
    if projection:
        rng.standard_normal((pool.shape[1], projection))
    torch.testing.assert_close(bank[0], pool[int(rng.integers(len(pool)))])
    assert (detector.score(images).map >= 0).all()


def test_the_bank_is_capped_at_the_patches_there_are() -> None:
    images = toy_texture(1, seed=0).images
    detector = PatchCore(**{**TINY, "bank_size": 10**6}, reweight=300).fit(images)
    assert detector.bank.shape[0] == 16 * 16
    assert detector.neighbours.shape == (256, 256)
    plain = PatchCore(**{**TINY, "bank_size": 10**6}).fit(images)
    assert plain.score(images).image == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("share", "wanted"), [(0.1, 77), (0.01, 8), (1e-9, 1)])
def test_a_share_of_all_patches_is_kept(share: float, wanted: int) -> None:
    """Of 3 images with 16 x 16 patches each; and those that the whole number chooses."""
    images = toy_texture(3, seed=0).images
    found = PatchCore(**{**TINY, "bank_size": share}).fit(images)
    assert found.bank.shape[0] == wanted
    assert torch.equal(found.bank, PatchCore(**{**TINY, "bank_size": wanted}).fit(images).bank)


def test_neighbours_are_found_block_by_block(peak_bytes) -> None:
    """Against the whole matrix of distances, which is never held; one block is not full."""
    bank = torch.randn(3000, 6, generator=torch.Generator().manual_seed(0))
    found = neighbours(bank, 5)
    assert np.array_equal(found, np.argsort(cdist(bank, bank), axis=1)[:, :5])
    assert peak_bytes(lambda: neighbours(bank, 5)) < 4 * 3000 * 1024 + 8 * 3000 * 50


def test_without_re_weighting_the_bank_is_not_compared_with_itself() -> None:
    assert PatchCore(**TINY).fit(toy_texture(2, seed=0).images).neighbours.numel() == 0


def test_the_weight_holds_no_difference_of_every_image_and_bank_vector(peak_bytes) -> None:
    detector = PatchCore(**{**TINY, "bank_size": 500}, reweight=4).fit(toy_texture(6, seed=0).images)
    patches = torch.randn(64, 4, 20)
    found = peak_bytes(lambda: detector._weight(patches, patches.norm(dim=2)))
    assert found < 4 * (500 * 21 + 64 * 500 + 64 * 4 * 20 * 4)  # bank, closeness, neighbours: not 64 x 500 x 20


def test_the_neighbourhood_is_averaged() -> None:
    """3 x 3 mean of the finest stage; at the border over the cells inside."""
    detector = PatchCore(**{**TINY, "stages": (4,)})
    detector.build(pretrained=True)
    batch = batch_of(toy_texture(1, seed=0).images)
    with torch.no_grad():
        raw, found = detector.features(batch)[0][0].numpy(), detector.describe(batch)[0].numpy()
    np.testing.assert_allclose(found[5, 7], raw[:, 4:7, 6:9].mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0, 0], raw[:, :2, :2].mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_not_ready_and_no_images() -> None:
    with pytest.raises(NotReadyError, match="call fit"):
        PatchCore(**TINY).score(toy_texture(1, seed=0).images)
    with pytest.raises(InputError, match="images must be at least one and have a size"):
        PatchCore(**TINY).fit(Images([]))
    with pytest.raises(InputError, match="images must be at least one and have a size"):
        PatchCore(**TINY).fit(Images(list(toy_texture(2, seed=0).images)))


def test_a_state_of_other_settings_is_refused() -> None:
    state = PatchCore(**TINY).fit(toy_texture(2, seed=0).images).state_dict()
    with pytest.raises(InputError, match="does not fit patchcore"):
        PatchCore(**{**TINY, "stages": (4, 8, 16)}).load_state(state)


def test_with_rotations_a_turned_image_is_known_too() -> None:
    """The bank of all patches holds those of the image in each of four orientations, turned here by NumPy."""
    image = toy_texture(1, seed=0).images
    settings = {**TINY, "bank_size": 10_000}
    detector = PatchCore(**settings, rotations=4).fit(image)
    quarters = Images([np.rot90(image[0], turn).copy() for turn in range(4)], size=(64, 64))
    with torch.no_grad():
        wanted = detector.describe(batch_of(quarters)).flatten(0, 2)
    assert len(detector.bank) == len(wanted) == 4 * 16 * 16
    nearest = torch.cdist(wanted.double(), (detector.bank + detector.center).double()).amin(dim=1)
    assert float(nearest.max()) < 1e-3 * float(wanted.norm(dim=1).max())
    plain = PatchCore(**settings).fit(image)
    assert detector.score(quarters).image[2] < 0.01 * plain.score(quarters).image[2]


def test_the_background_is_left_out_where_it_can_be_told_and_exported_so() -> None:
    """A bright square on black: noise on the black is not looked at, noise on the square is."""
    rng = np.random.default_rng(0)
    base = np.zeros((64, 64, 3), np.uint8)
    base[20:44, 20:44] = rng.integers(120, 250, (24, 24, 3))
    behind, on_it = base.copy(), base.copy()
    behind[:8, :8], on_it[28:36, 28:36] = 255, 0
    good = Images([np.clip(base.astype(int) + k, 0, 255).astype(np.uint8) for k in range(3)], size=(64, 64))
    test = Images([behind, on_it], size=(64, 64))
    settings = {**TINY, "neighbourhood": 1, "smoothing": 0.0}
    detector, plain = PatchCore(**settings, foreground=True).fit(good), PatchCore(**settings).fit(good)
    found, whole = detector.score(test), plain.score(test)
    assert found.map is not None and whole.map is not None
    assert whole.image[0] > 1 and found.map[0, :8, :8].max() == 0 and found.image[1] == whole.image[1]
    assert "not judged" in detector.remarks()[0] and plain.remarks() == ()
    graph = Graph(export_onnx(detector, (64, 64))).run(np.stack(list(test)))
    np.testing.assert_allclose(graph.image, found.image, rtol=1e-4)
    texture = PatchCore(**settings, foreground=True).fit(toy_texture(3, seed=0).images)
    assert "No background could be told" in texture.remarks()[0]
