"""Images as other libraries hold them give the same pixels as arrays do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader, TensorDataset

from amiss.core.errors import InputError
from amiss.core.images import Images

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
CHANNELS_FIRST = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)


def same(source: object, wanted: np.ndarray = COLOUR) -> None:
    images = Images(source)
    assert len(images) == len(wanted)
    for found, one in zip(images, wanted, strict=True):
        np.testing.assert_array_equal(found, one)


class Duck:
    """Anything that can be asked for an array."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


class Pairs(torch.utils.data.Dataset):
    """A data set of torch: an image and its class."""

    def __len__(self) -> int:
        return len(COLOUR)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index >= len(COLOUR):
            raise AssertionError("asked beyond the end")
        return CHANNELS_FIRST[index], index % 2


def test_tensors_of_either_order() -> None:
    same(CHANNELS_FIRST)
    same(torch.from_numpy(COLOUR))
    same(list(CHANNELS_FIRST))
    same([tensor.requires_grad_() for tensor in CHANNELS_FIRST.double() / 255])


def test_what_totensor_has_divided_comes_back_exactly() -> None:
    same(CHANNELS_FIRST.float() / 255)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    same(torch.from_numpy(ramp)[:, None].float() / 255, np.repeat(ramp[..., None], 3, 3))
    same((torch.from_numpy(ramp)[:, None].float() / 255).half(), np.repeat(ramp[..., None], 3, 3))


@pytest.mark.parametrize("change", [lambda x: x - 0.5, lambda x: 0.987 * x, lambda x: 255 * x, lambda x: x * np.nan])
def test_floats_that_are_no_pixels_are_refused_with_a_hint(change) -> None:
    with pytest.raises(InputError, match=r"item 0 must hold uint8 .* leave out transforms that normalise"):
        Images([change(CHANNELS_FIRST[0].float() / 255)])


def test_a_data_set_and_a_loader_of_torch() -> None:
    same(Pairs())
    same(DataLoader(TensorDataset(CHANNELS_FIRST, torch.arange(6)), batch_size=4))
    same(batch for batch in (COLOUR[:4], COLOUR[4:]))


def test_images_of_pil() -> None:
    same([Pillow.fromarray(one) for one in COLOUR])
    grey = COLOUR[..., 0]
    same([Pillow.fromarray(one) for one in grey], np.repeat(grey[..., None], 3, 3))
    palette = [Pillow.fromarray(one).quantize(256) for one in COLOUR]
    same(palette, np.stack([np.asarray(one.convert("RGB")) for one in palette]))
    black = Pillow.new("1", (5, 4), 1)
    assert Images([black])[0].max() == 255


def test_whatever_has_an_array() -> None:
    same([Duck(one) for one in COLOUR])
    same(Duck(COLOUR))


@pytest.mark.parametrize("source", [Pillow.fromarray(COLOUR[0]), CHANNELS_FIRST[0], Duck(COLOUR[0])])
def test_one_image_alone_is_refused(source: object) -> None:
    with pytest.raises(InputError, match=r"must be a list, or one array \(N, H, W, C\)"):
        Images(source)


@pytest.mark.parametrize("source", [[object()], [["a", 1]], [(1, 2)], [None]])
def test_other_things_are_named(source: object) -> None:
    with pytest.raises(InputError, match="item 0 must be a path, array, tensor, PIL image"):
        Images(source)
