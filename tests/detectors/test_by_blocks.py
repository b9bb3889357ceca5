"""Methods that learn by blocks: the same bits whoever works on them, and nearly those of one block."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from amiss.core.images import Images
from amiss.core.progress import Progress, silent
from amiss.detectors import by_blocks
from amiss.detectors.by_blocks import ByBlocks, State, blocks_of, gather_one, gathered_by
from amiss.detectors.detector import Detector
from amiss.registry import create, find_method, list_methods
from amiss.testing import toy_texture

IMAGES = toy_texture(27, seed=0).images
SOME = {
    "knn": {"bank_size": 300},
    "dn2": {"bank_size": 9},
    "svdd": {"samples": 9},
    "ocsvm": {"samples": 20},
    "patchcore": {"bank_size": 40},
}
METHODS = [name for name in list_methods() if issubclass(find_method(name), ByBlocks)]


def sha256(detector: Detector) -> str:
    digest = hashlib.sha256()
    for name, tensor in detector.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch each: four blocks, the last one of three images."""
    monkeypatch.setattr(by_blocks, "BLOCK", 8)


def elsewhere(detector: ByBlocks, images: Images, rng: np.random.Generator, progress: Progress) -> Iterator[State]:
    """Blocks from the last to the first, each by a detector of its own, through bytes."""
    threads, kept = torch.get_num_threads(), {}
    torch.set_num_threads(3)
    for block in reversed([*blocks_of(len(images))]):
        other = create(detector.card.name, "tiny", **detector.hyperparameters())
        other.build(pretrained=True)
        state = gather_one(other, images, block, rng, silent)
        kept[block.start] = save({name: tensor.contiguous() for name, tensor in state.items()})
    torch.set_num_threads(threads)
    yield from (load(kept[start]) for start in sorted(kept))


def test_which_methods_these_are() -> None:
    named = {"padim", "mahalanobis", "pca", "mvg", "patchcore", "knn", "dn2", "svdd", "ocsvm"}
    assert set(METHODS) == named


@pytest.mark.parametrize("method", [*METHODS, "ensemble"])
def test_the_same_bits_whoever_works(method: str) -> None:
    here = create(method, "tiny", **SOME.get(method, {})).fit(IMAGES, seed=3)
    with gathered_by(elsewhere):
        there = create(method, "tiny", **SOME.get(method, {})).fit(IMAGES, seed=3)
    assert sha256(here) == sha256(there)


@pytest.mark.parametrize("method", METHODS)
def test_nearly_what_one_block_gives(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are the same; sums in another order differ by rounding. The coreset has a test of its own."""
    four = create(method, "tiny", **SOME.get(method, {})).fit(IMAGES, seed=3)
    monkeypatch.setattr(by_blocks, "BLOCK", 256)
    one = create(method, "tiny", **SOME.get(method, {})).fit(IMAGES, seed=3)
    shown = toy_texture(3, seed=5, defective=True).images
    apart = 0.1 if method == "patchcore" else 1e-4
    np.testing.assert_allclose(four.score(shown).image, one.score(shown).image, rtol=apart)
    if method in ("knn", "dn2"):
        assert sha256(four) == sha256(one)


def test_a_share_of_all_patches_is_that_of_all_blocks() -> None:
    """And every bank vector is a patch of the image that it is said to be of: that image alone is left out for it."""
    detector = create("patchcore", "tiny", bank_size=0.01).fit(IMAGES)
    assert len(detector.bank) == round(0.01 * 27 * 16 * 16)


def test_fields_around_other_vectors_do_not_merge() -> None:
    from amiss.background.gaussian_field import GaussianField
    from amiss.core.errors import InputError

    one, other = GaussianField(2, 3), GaussianField(2, 3)
    one.add(torch.zeros(2, 2, 3))
    other.add(torch.ones(2, 2, 3))
    with pytest.raises(InputError, match="around the same vectors"):
        one.merge(other)
