"""What the `Cost` of the one-pass methods promises: memory that does not grow with the number of normal images."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from amiss.registry import create, find_method
from amiss.testing import toy_texture

BOUND = {
    "knn": {"bank_size": 400},
    "dn2": {"bank_size": 10},
    "mahalanobis": {},
    "mvg": {},
    "pca": {},
    "gmm": {"samples": 400},
    "padim": {},
    "patchcore": {"bank_size": 100},
    "svdd": {"samples": 10},
    "ocsvm": {"samples": 400},
}
"""Each with its bank, if it keeps one, smaller than what 16 images give."""


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Yields a function that counts the numbers in all tensors made since; views count once."""

    def count() -> int:
        tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values()) // 4

    gc.collect()
    gc.freeze()  # what is there already is not listed any more
    try:
        yield count
    finally:
        gc.unfreeze()


def largest_while_learning(method: str, images: int) -> int:
    """The most numbers alive at any report of progress."""
    detector, shown, most = create(method, "tiny", **BOUND[method]), toy_texture(images, seed=0).images, 0
    with counting() as count:

        def look(stage: str, done: int, total: int, note: str = "") -> None:
            nonlocal most
            most = max(most, count())

        detector.fit(shown, progress=look)
    return most


ALL = [pytest.param(name, marks=() if name in {"patchcore", "padim"} else pytest.mark.slow) for name in BOUND]


@pytest.mark.parametrize("method", ALL)
def test_memory_does_not_grow_with_the_number_of_images(method: str) -> None:
    assert find_method(method).card.learning.value == "one pass"
    few, many = (largest_while_learning(method, count) for count in (16, 39))  # fewer than on_runtime.WORTH
    assert 0 < many <= 1.2 * few  # 2.4 times the images


def test_the_count_sees_what_is_kept() -> None:
    with counting() as count:
        kept = torch.zeros(5000)
        assert count() == len(kept)
