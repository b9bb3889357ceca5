"""Dinomaly against plain NumPy: groups, loss, map; on a small random vision transformer, and on a convolutional one."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from amiss.background.transformer import LinearBlock, to_map, to_tokens
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.reconstruction.dinomaly import Dinomaly, eased, mined_loss
from amiss.features import extractor
from amiss.features.backbone import Backbone
from amiss.features.batch import to_batch
from amiss.front import fit
from amiss.registry import create
from amiss.testing import toy_part

TINY = {**Dinomaly.card.presets["tiny"], "steps": 2}
LAYERS, PATCH, CHANNELS = 6, 8, 12


class VisionTransformer(nn.Module):
    """Patches of 8 x 8 pixels and layers of attention, all weights random."""

    def __init__(self, chosen: tuple[int, ...]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.patches = nn.Conv2d(3, CHANNELS, PATCH, stride=PATCH)
            self.layers = nn.ModuleList(LinearBlock(CHANNELS, 3, 2) for _ in range(LAYERS))
        self.chosen = chosen

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.patches(x)
        grid, tokens, said = (maps.shape[2], maps.shape[3]), to_tokens(maps), []
        for layer in self.layers:
            tokens = layer(tokens)
            said.append(to_map(tokens, grid))
        return [said[number] for number in self.chosen]


def small_vit(name: str, *, pretrained: bool = True) -> Backbone:
    return Backbone(
        name=name,
        strides=(PATCH,) * LAYERS,
        channels=(CHANNELS,) * LAYERS,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        licence="none",
        displacements=(0.0,) * LAYERS,
        network=VisionTransformer,
    )


@pytest.fixture
def vit(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setattr(extractor, "create_backbone", small_vit)
    return {**TINY, "backbone": "small-vit", "stages": (2, 3, 4, 5), "depth": 3, "width": 0, "heads": 3, "steps": 3}


def unit(vectors: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(axis=axis, keepdims=True))


def batch_of(count: int) -> Tensor:
    return to_batch(torch.from_numpy(np.stack(list(toy_part(count, seed=1, defective=True).images))))


def test_groups_of_layers_and_of_blocks_in_reverse_order(vit: dict) -> None:
    """Four layers and three blocks in two groups; the mean of each, compared at every cell."""
    detector = Dinomaly(**vit, standardise=False).fit(toy_part(4, seed=0).images).requires_grad_(False)
    batch = batch_of(2)
    two, three, four, five = (one.double().numpy() for one in detector.features(batch))
    wanted = [(two + three) / 2, (four + five) / 2]
    tokens = (torch.from_numpy((wanted[0] + wanted[1]) / 2).float()).flatten(2).transpose(1, 2)
    tokens = detector.bottleneck[4](nn.functional.gelu(detector.bottleneck[1](tokens)))
    first = detector.blocks[0](tokens)
    second = detector.blocks[1](first)
    third = detector.blocks[2](second)
    said = [(third + second) / 2, first]
    total = np.zeros((2, 8, 8))
    for one, other in zip(wanted, said, strict=True):
        other = other.transpose(1, 2).reshape(one.shape).double().numpy()
        total += (1 - (unit(one, 1) * unit(other, 1)).sum(axis=1)) / 2
    large = nn.functional.interpolate(torch.from_numpy(total)[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
    smooth = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector(batch).numpy(), smooth, rtol=1e-3, atol=1e-5)
    assert all(isinstance(layer, nn.Identity) for layer in detector.leaving)


def test_stages_that_differ_lie_side_by_side() -> None:
    """On the grid of the deepest, standardised, and compared group by group."""
    detector = create("dinomaly", "tiny", stages=(2, 4, 8), groups=2, steps=2)
    detector.fit(toy_part(4, seed=0).images).requires_grad_(False)
    two, four, eight = (one.double().numpy() for one in detector.features(batch_of(2)))
    two, four = two.reshape(2, -1, 8, 4, 8, 4).mean(axis=(3, 5)), four.reshape(2, -1, 8, 2, 8, 2).mean(axis=(3, 5))
    gathered = detector.gather(batch_of(2))
    np.testing.assert_allclose(gathered[0], np.concatenate([two, four], axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gathered[1], eight, rtol=1e-4, atol=1e-5)
    wanted = detector.standardised(gathered)
    said = detector.rebuild(wanted)
    assert [one.shape for one in said] == [one.shape for one in wanted]
    total = sum(
        (1 - (unit(a.numpy(), 1) * unit(b.numpy(), 1)).sum(axis=1)) / 2 for a, b in zip(wanted, said, strict=True)
    )
    large = nn.functional.interpolate(torch.from_numpy(total)[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
    smooth = np.stack([gaussian_filter(one, detector.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(detector(batch_of(2)).numpy(), smooth, rtol=1e-3, atol=1e-5)


def test_the_loss_is_that_of_whole_maps() -> None:
    torch.manual_seed(0)
    pairs = [(torch.randn(3, 5, 4, 4), torch.randn(3, 5, 4, 4)) for _ in range(2)]
    wanted = np.mean(
        [
            1 - (unit(one.reshape(3, -1).numpy(), 1) * unit(other.reshape(3, -1).numpy(), 1)).sum(axis=1)
            for one, other in pairs
        ]
    )
    for share in (0.0, 0.5, 0.9):  # which cells are easy changes gradients, not the loss
        found = mined_loss(*(list(side) for side in zip(*pairs, strict=True)), share)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.999])
def test_easy_cells_keep_a_tenth_of_their_gradient(share: float) -> None:
    torch.manual_seed(0)
    wanted, rebuilt = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5, requires_grad=True)
    weights = torch.randn(2, 3, 4, 5)
    out = eased(wanted, rebuilt, share)
    torch.testing.assert_close(out, rebuilt)
    (weights * out).sum().backward()
    one, other = wanted.numpy(), rebuilt.detach().numpy()
    distance = 1 - (unit(one, 1) * unit(other, 1)).sum(axis=1)
    hard = max(1, int(40 * (1 - share)))
    kept = np.where(distance >= np.sort(distance, axis=None)[-hard], 1.0, 0.1)
    assert (kept == 1).sum() == hard
    np.testing.assert_allclose(rebuilt.grad, weights.numpy() * kept[:, None], rtol=1e-5)


def test_only_the_decoder_learns(vit: dict) -> None:
    detector = Dinomaly(**vit).fit(toy_part(4, seed=0).images)
    fresh = VisionTransformer((1, 2, 3, 4)).state_dict()
    kept = detector.features.network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in fresh.items())
    assert not any(module.training for module in detector.modules())


@pytest.mark.slow
def test_a_vision_transformer_from_images_to_the_exported_graph(vit: dict) -> None:
    images, strange = toy_part(20, seed=0).images, toy_part(3, seed=1, defective=True).images
    inspector = fit(images, method="dinomaly", preset="tiny", settings=vit, size=64, rule="conformal:20%")
    detector = Dinomaly(**vit).fit(images)
    np.testing.assert_allclose(inspector.score(strange).map, detector.score(strange).map, rtol=2e-3)


def test_what_does_not_go_together_is_refused(vit: dict) -> None:
    with pytest.raises(InputError, match="groups must be at most as many as stages and blocks, got 3 groups, 2 stages"):
        create("dinomaly", "tiny", groups=3)
    with pytest.raises(InputError, match=r"groups must be at most .* depth 1"):
        create("dinomaly", "tiny", depth=1)
    with pytest.raises(InputError, match="width must be a multiple of heads = 2, got 15"):
        create("dinomaly", "tiny", width=15)
    with pytest.raises(InputError, match="width must be a multiple of heads = 5, got 12"):
        Dinomaly(**{**vit, "heads": 5}).build(pretrained=True)
    with pytest.raises(InputError, match=r"ascending layers .* out of \(1, 2, 3, 4, 5, 6\)"):
        Dinomaly(**{**vit, "stages": (2, 7)}).build(pretrained=True)


def test_a_width_is_needed_where_stages_differ() -> None:
    with pytest.raises(
        InputError, match=r"width must be at least 1 where stages differ in channels, got 0 and \(8, 12\)"
    ):
        create("dinomaly", "tiny", stages=(4, 8), width=0).build(pretrained=True)


def test_one_image_and_constant_images_can_be_learned() -> None:
    for images in (toy_part(1, seed=0).images, Images(np.full((3, 64, 64, 3), 90, np.uint8), size=(64, 64))):
        assert np.isfinite(Dinomaly(**TINY).fit(images).score(images).map).all()


def _dinov2(folder: Path) -> Path:
    """A small random DINOv2 with registers, as its library saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers", reason="pip install 'amiss[hf]'")
    shape = {"num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.Dinov2WithRegistersConfig(**shape, patch_size=14, image_size=56)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def test_dinov2_from_the_user_s_own_folder(tmp_path: Path) -> None:
    settings = {"backbone": f"hf:{_dinov2(tmp_path)}", "stages": (2, 3, 4), "width": 0, "heads": 2}
    images = toy_part(4, seed=0).images.resized((70, 56))
    assert Dinomaly(**{**TINY, **settings}).fit(images).score(images).map.shape == (4, 70, 56)
