"""PNI against plain NumPy on the same features and the same trained weights."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.memory_bank.pni import PNI, Surroundings
from amiss.testing import toy_part, toy_texture

TINY = {**PNI.card.presets["tiny"], "bank_size": 40, "distribution_size": 15, "steps": 20, "gamma": 0.8}
H = W = 16


def patches_of(detector: PNI, images: Images) -> np.ndarray:
    """(N, h, w, D) float64, from the raw stages."""
    with torch.no_grad():
        fine, coarse = detector.features(to_batch(torch.from_numpy(np.stack(list(images)))))
    coarse = torch.nn.functional.interpolate(coarse, fine.shape[2:], mode="bilinear")
    return torch.cat([fine, coarse], dim=1).permute(0, 2, 3, 1).double().numpy()


def plain_probability(detector: PNI, patches: np.ndarray) -> np.ndarray:
    """The network as a function of one place's neighbours at a time: (h, w, K) from descriptors (h, w, D)."""
    state = {name: value.double().numpy() for name, value in detector.surroundings.state_dict().items()}
    scaled = (patches - detector.center.double().numpy()) / np.sqrt(np.square(detector.bank.double().numpy()).mean())
    r = detector.window // 2
    padded = np.pad(scaled @ state["reduce.weight"][:, :, 0, 0].T, ((r, r), (r, r), (0, 0)))
    weight = state["gather.weight"].transpose(0, 2, 3, 1)  # (width, window, window, reduction)
    found = np.zeros((H, W, state["answer.3.weight"].shape[0]))
    for i in range(H):
        for j in range(W):
            total = sum(
                weight[:, a, b] @ padded[i + a, j + b]
                for a in range(2 * r + 1)
                for b in range(2 * r + 1)
                if (a, b) != (r, r)
            )
            normed = (total - state["answer.0.running_mean"]) / np.sqrt(state["answer.0.running_var"] + 1e-5)
            hidden = np.maximum(normed * state["answer.0.weight"] + state["answer.0.bias"], 0)
            logits = (state["answer.3.weight"][:, :, 0, 0] @ hidden + state["answer.3.bias"]) / detector.temperature
            found[i, j] = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return found


def plain_positions(detector: PNI, normal: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """How probable each bank vector is at each position: a histogram of nearest vectors over the window, (h, w, M)."""
    histogram, r = np.zeros((H, W, len(bank))), detector.window // 2
    for patches in normal:
        for i in range(H):
            for j in range(W):
                nearest = np.linalg.norm(bank - patches[i, j], axis=1).argmin()
                histogram[max(0, i - r) : i + r + 1, max(0, j - r) : j + r + 1, nearest] += 1
    return histogram / histogram.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("changes", [{}, {"temperature": 3.0, "gamma": 0.99, "window": 3}])
def test_map_equals_the_formula(changes: dict) -> None:
    """Bae et al., section 3: minus the logarithm of the likelihood by neighbourhood and by position, averaged."""
    normal, test = toy_part(6, seed=0).images, toy_part(2, seed=1, defective=True).images
    detector = PNI(**{**TINY, **changes}).fit(normal)
    bank = (detector.bank + detector.center).double().numpy()
    group = cdist(bank, bank[: detector.distribution_size]).argmin(axis=1)
    positions = plain_positions(detector, patches_of(detector, normal), bank)
    wanted, barred = [], 0
    for patches in patches_of(detector, test):
        likelihood = np.exp(-cdist(patches.reshape(-1, 20), bank)).reshape(H, W, -1)
        score = np.zeros((H, W))
        for probability in (plain_probability(detector, patches)[..., group], positions):
            gate = probability > detector.gamma / len(bank)
            score -= 0.5 * np.log((likelihood * gate).max(axis=2))
            barred += (~gate & (likelihood == likelihood.max(axis=2, keepdims=True))).sum()
        large = torch.nn.functional.interpolate(torch.from_numpy(score)[None, None], (64, 64), mode="bilinear")[0, 0]
        wanted.append(gaussian_filter(large.numpy(), detector.smoothing * 64 / 256))
    assert barred > 20  # the gates matter: in so many places the nearest vector is not allowed
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-3 * np.max(wanted))


def test_the_network_does_not_see_the_patch_itself() -> None:
    torch.manual_seed(0)
    network = Surroundings(6, 5, 4, 8, 2, 7).eval()
    patches = torch.randn(1, 6, 11, 11)
    changed = patches.clone()
    changed[:, :, 5, 5] += 10
    with torch.no_grad():
        moved = (network(changed) - network(patches)).abs().amax(dim=1)[0] > 1e-6
    wanted = torch.zeros(11, 11, dtype=torch.bool)
    wanted[3:8, 3:8] = True
    wanted[5, 5] = False
    assert torch.equal(moved, wanted)


def test_training_predicts_better_than_the_frequencies() -> None:
    """On parts it has not seen, cross entropy below that of the best answer that ignores the neighbourhood."""
    normal, fresh = toy_part(16, seed=0).images, toy_part(8, seed=1).images
    detector = PNI(**{**TINY, "steps": 150}).fit(normal)
    bank = (detector.bank + detector.center).double().numpy()[:15]
    learned, patches = patches_of(detector, normal), patches_of(detector, fresh)
    share = np.bincount(cdist(learned.reshape(-1, 20), bank).argmin(axis=1), minlength=15) / (16 * H * W)
    truth = cdist(patches.reshape(-1, 20), bank).argmin(axis=1)
    probability = np.stack([plain_probability(detector, one) for one in patches]).reshape(-1, 15)
    entropy = -np.log(probability[np.arange(len(truth)), truth]).mean()
    assert entropy < 0.8 * -np.log(np.maximum(share, 1e-3)[truth]).mean()


def test_one_vector_is_always_allowed() -> None:
    """Also far from everything: an empty gate would score infinity."""
    detector = PNI(**{**TINY, "gamma": 0.999}).fit(toy_part(4, seed=0).images)
    assert detector.here.any(dim=2).all()
    noise = Images(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8), size=(64, 64))
    assert np.isfinite(detector.score(noise).map).all()


def test_the_groups_are_those_of_the_first_vectors_and_none_is_empty() -> None:
    detector = PNI(**{**TINY, "steps": 1}).fit(toy_part(4, seed=0).images)
    assert detector.group[:15].tolist() == list(range(15))
    assert detector.group.shape == (40,)


def test_fewer_patches_than_the_bank_asks_for() -> None:
    """One image has 256 patches; the network has more answers than there are groups."""
    settings = {**TINY, "bank_size": 1000, "distribution_size": 500, "steps": 2}
    detector = PNI(**settings).fit(toy_texture(1, seed=0).images)
    assert len(detector.bank) == 256
    assert np.isfinite(detector.score(toy_texture(2, seed=1).images).map).all()


def test_scoring_at_another_size_is_refused() -> None:
    detector = PNI(**{**TINY, "steps": 1}).fit(toy_part(2, seed=0).images.resized((64, 96)))
    with pytest.raises(InputError, match="score at the same size"):
        detector.score(toy_part(1, seed=1).images.resized((96, 64)))


def test_an_interrupted_fit_goes_on(tmp_path) -> None:
    images, test = toy_part(4, seed=0).images, toy_part(2, seed=1).images
    whole = PNI(**TINY).fit(images, checkpoint=tmp_path)
    files = list(tmp_path.iterdir())
    assert [file.name for file in files] == ["surroundings.safetensors"]
    seen: list[int] = []

    def watch(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "surroundings":
            seen.append(done)

    again = PNI(**TINY).fit(images, checkpoint=tmp_path, progress=watch)
    assert seen == []  # nothing left to do
    np.testing.assert_array_equal(again.score(test).map, whole.score(test).map)
