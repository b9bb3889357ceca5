"""UniAD against plain NumPy: the transformer, the jitter, the map, and what it refuses."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from amiss.background.transformer import Look, Think, hide_neighbours
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.reconstruction.uniad import UniAD, jittered
from amiss.features.batch import to_batch
from amiss.registry import create
from amiss.testing import toy_part, toy_texture

TINY = {**UniAD.card.presets["tiny"], "steps": 2}


@pytest.fixture(scope="module")
def learned() -> UniAD:
    return UniAD(**{**TINY, "depth": 2}).fit(toy_part(6, seed=0).images)


def normalised(tokens: np.ndarray, norm: torch.nn.LayerNorm) -> np.ndarray:
    deviation = np.sqrt(tokens.var(axis=-1, keepdims=True) + 1e-5)
    return (tokens - tokens.mean(axis=-1, keepdims=True)) / deviation * norm.weight.numpy() + norm.bias.numpy()


def linear(tokens: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    return tokens @ layer.weight.numpy().T + layer.bias.numpy()


def plain_look(
    look: Look, tokens: np.ndarray, memory: np.ndarray, places: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    attention, width = look.attention, tokens.shape[-1]
    weights, biases = attention.in_proj_weight.numpy(), attention.in_proj_bias.numpy()
    inputs = (tokens + places, memory + places, memory)
    query, key, value = (
        (one @ weights[number * width : (number + 1) * width].T + biases[number * width : (number + 1) * width])
        .reshape(len(tokens), -1, attention.num_heads, width // attention.num_heads)
        .swapaxes(1, 2)
        for number, one in enumerate(inputs)
    )
    logits = query @ key.swapaxes(2, 3) / np.sqrt(query.shape[-1])
    allowed = np.where(hidden, 0, np.exp(logits - logits.max()))
    mixed = (allowed / allowed.sum(axis=-1, keepdims=True) @ value).swapaxes(1, 2).reshape(tokens.shape)
    return normalised(tokens + linear(mixed, attention.out_proj), look.norm)


def plain_think(think: Think, tokens: np.ndarray) -> np.ndarray:
    inner = np.maximum(linear(tokens, think.layers[0]), 0)
    return normalised(tokens + linear(inner, think.layers[3]), think.norm)


def test_the_transformer_and_the_map_by_their_formula(learned: UniAD) -> None:
    test = toy_part(2, seed=1, defective=True).images
    batch = to_batch(torch.from_numpy(np.stack(list(test))))
    with torch.no_grad():
        fine, coarse = (one.double().numpy() for one in learned.features(batch))
        found = learned.rebuild(learned.standardising(learned.gather(batch)[0])).double().numpy()
    fine = fine.reshape(2, -1, 16, 2, 16, 2).mean(axis=(3, 5))  # stride 2 onto the grid of stride 4
    maps = np.concatenate([fine, coarse], axis=1)
    mean, spread = (
        one.numpy()[None, :, None, None] for one in (learned.standardising.mean, learned.standardising.spread)
    )
    maps = (maps - mean) / spread
    network, hidden = learned.network, hide_neighbours((16, 16), 3)
    with torch.no_grad():
        places = network.places((16, 16)).numpy()
        memory = linear(maps.reshape(2, -1, 256).swapaxes(1, 2), network.entering)
        for look, think in zip(network.encoder, network.encoder_think, strict=True):
            memory = plain_think(think, plain_look(look, memory, memory, places, hidden))
        rebuilt = memory
        for number in range(2):
            asked = network.queries[number]((16, 16)).numpy().repeat(2, axis=0)
            first = plain_look(network.at_memory[number], asked, memory, places, hidden)
            second = plain_look(network.at_rebuilt[number], first, rebuilt, places, hidden)
            rebuilt = plain_think(network.decoder_think[number], second)
        said = linear(normalised(rebuilt, network.norm), network.leaving).swapaxes(1, 2).reshape(maps.shape)
    np.testing.assert_allclose(found, said, atol=1e-4)
    length = torch.from_numpy(np.sqrt(((maps - said) ** 2).sum(axis=1)))
    large = torch.nn.functional.interpolate(length[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = np.stack([gaussian_filter(one, learned.smoothing * 64 / 256) for one in large])
    np.testing.assert_allclose(learned.score(test).map, wanted, rtol=1e-3)


def test_jitter_by_its_formula() -> None:
    torch.manual_seed(0)
    maps = torch.ones(1, 4, 200, 200)
    maps[:, :, 100:] *= 3
    noise = (jittered(maps, 6.0) - maps).numpy()
    for part, length in ((noise[:, :, :100], 2.0), (noise[:, :, 100:], 6.0)):
        assert part.std() == pytest.approx(6.0 * length / 4, rel=0.02) and abs(part.mean()) < 0.05 * length


def test_the_network_scores_without_jitter_and_dropout(learned: UniAD) -> None:
    images = toy_part(2, seed=1).images
    np.testing.assert_array_equal(learned.score(images).map, learned.score(images).map)
    assert not any(module.training for module in learned.modules())


def test_images_whose_cells_would_all_be_hidden_are_refused_before_learning() -> None:
    with pytest.raises(InputError, match=r"at least 8 cells on one side where 7 x 7 are hidden, got 4 x 4 cells"):
        UniAD(**{**TINY, "neighbours": 7}).fit(toy_part(4, seed=0).images.resized((16, 16)))
    assert UniAD(**{**TINY, "neighbours": 7}).fit(toy_part(2, seed=0).images.resized((16, 32))).score(
        toy_part(1, seed=1).images.resized((16, 32))
    ).map.shape == (1, 16, 32)


def test_one_image_and_constant_images_can_be_learned() -> None:
    for images in (toy_part(1, seed=0).images, Images(np.full((3, 64, 64, 3), 90, np.uint8), size=(64, 64))):
        assert np.isfinite(UniAD(**TINY).fit(images).score(images).map).all()


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(InputError, match="width must be a multiple of heads = 5, got 32"):
        create("uniad", "tiny", heads=5)


def test_one_model_of_two_products_finds_defects_of_both() -> None:
    worlds = (toy_part, toy_texture)
    both = Images.join([world(8, seed=0).images for world in worlds])
    detector = UniAD(**UniAD.card.presets["tiny"]).fit(both)
    for world in worlds:
        good, bad = (detector.score(world(8, seed=1, defective=one).images).image for one in (False, True))
        assert (bad[:, None] > good).mean() > 0.8
