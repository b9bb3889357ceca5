"""Blocks of transformers against plain NumPy."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from amiss.background.transformer import (
    LinearAttention,
    LinearBlock,
    Look,
    Places,
    Think,
    hide_neighbours,
    to_map,
    to_tokens,
)
from amiss.core.errors import InputError


@pytest.mark.parametrize(("grid", "side"), [((8, 8), 7), ((3, 9), 5), ((1, 2), 1), ((5, 4), 3)])
def test_who_is_hidden_by_the_definition(grid: tuple[int, int], side: int) -> None:
    hidden = hide_neighbours(grid, side)
    cells = [(row, column) for row in range(grid[0]) for column in range(grid[1])]
    for number, (row, column) in enumerate(cells):
        for other, (its_row, its_column) in enumerate(cells):
            near = abs(row - its_row) <= side // 2 and abs(column - its_column) <= side // 2
            assert hidden[number, other] == near
    assert not hidden.all(axis=1).any()


@pytest.mark.parametrize(("grid", "side"), [((7, 7), 7), ((1, 1), 1), ((3, 3), 3), ((2, 5), 5)])
def test_a_grid_where_a_cell_would_see_nothing_is_refused(grid: tuple[int, int], side: int) -> None:
    with pytest.raises(InputError, match=f"at least {side + 1} cells on one side where {side} x {side} are hidden"):
        hide_neighbours(grid, side)
    assert not hide_neighbours((1, side + 1), side).all(axis=1).any()


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def normalised(tokens: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(tokens.var(axis=-1, keepdims=True) + 1e-5)
    return (tokens - tokens.mean(axis=-1, keepdims=True)) / deviation


def test_look_by_its_formula() -> None:
    torch.manual_seed(0)
    look, heads = Look(8, 2, dropout=0.5).double().eval(), 2
    tokens, memory, places = (torch.randn(2, 6, 8, dtype=torch.float64) for _ in range(3))
    hidden = hide_neighbours((2, 3), 1)
    with torch.no_grad():
        found = look(tokens, memory, places[:1], torch.from_numpy(hidden)).numpy()
        weight = look.attention.in_proj_weight.numpy().reshape(3, 8, 8)
        last = look.attention.out_proj.weight.numpy()
    query, key, value = (
        (one.numpy() @ matrix.T).reshape(2, 6, heads, 4)
        for one, matrix in zip((tokens + places[:1], memory + places[:1], memory), weight, strict=True)
    )
    logits = np.einsum("nqhd,nkhd->nhqk", query, key) / np.sqrt(4)
    mixed = np.einsum("nhqk,nkhd->nqhd", softmax(np.where(hidden, -np.inf, logits)), value).reshape(2, 6, 8)
    np.testing.assert_allclose(found, normalised(tokens.numpy() + mixed @ last.T), rtol=1e-9)


def test_what_is_hidden_has_no_say() -> None:
    """Change one token of the memory: nothing moves within its neighbourhood, and something does beyond."""
    torch.manual_seed(0)
    look, hidden = Look(8, 2, dropout=0.0).eval(), torch.from_numpy(hide_neighbours((5, 5), 3))
    asked, memory, places = torch.randn(1, 25, 8), torch.randn(1, 25, 8), torch.randn(1, 25, 8)
    other = memory.clone()
    other[:, 12] += 3
    with torch.no_grad():
        moved = (look(asked, memory, places, hidden) - look(asked, other, places, hidden)).abs().amax(dim=2)[0]
    near = hidden[12]
    assert float(moved[near].max()) == 0 and float(moved[~near].min()) > 0


def test_think_by_its_formula() -> None:
    think = Think(4, 6, dropout=0.5).double().eval()
    tokens = torch.randn(2, 3, 4, dtype=torch.float64)
    first, second = think.layers[0], think.layers[3]
    with torch.no_grad():
        inner = np.maximum(tokens.numpy() @ first.weight.numpy().T + first.bias.numpy(), 0)
        wanted = normalised(tokens.numpy() + inner @ second.weight.numpy().T + second.bias.numpy())
        np.testing.assert_allclose(think(tokens).numpy(), wanted, rtol=1e-9)


def plain_linear_attention(layer: LinearAttention, tokens: np.ndarray) -> np.ndarray:
    """With every weight written out, tokens times tokens."""
    count, length, width = tokens.shape
    parts = tokens @ layer.entering.weight.numpy().T + layer.entering.bias.numpy()
    query, key, value = parts.reshape(count, length, 3, layer.heads, -1).transpose(2, 0, 3, 1, 4)
    query, key = (np.where(one > 0, 1 + one, np.exp(np.minimum(one, 0))) for one in (query, key))  # 1 + ELU
    weights = query @ key.swapaxes(2, 3)
    weights /= weights.sum(axis=3, keepdims=True)
    np.testing.assert_allclose(weights.sum(axis=3), 1)
    mixed = (weights @ value).swapaxes(1, 2).reshape(count, length, width)
    return mixed @ layer.leaving.weight.numpy().T + layer.leaving.bias.numpy()


@torch.no_grad()
def test_linear_attention_by_its_formula() -> None:
    torch.manual_seed(0)
    layer = LinearAttention(12, 3).double()
    tokens = 3 * torch.randn(2, 7, 12, dtype=torch.float64)
    np.testing.assert_allclose(layer(tokens).numpy(), plain_linear_attention(layer, tokens.numpy()), rtol=1e-4)


@torch.no_grad()
def test_linear_attention_stays_finite_where_all_weights_vanish() -> None:
    layer = LinearAttention(4, 1)
    layer.entering.weight.zero_()
    layer.entering.bias.fill_(-200.0)
    assert bool(layer(torch.randn(1, 5, 4)).isfinite().all())


@torch.no_grad()
def test_linear_block_by_its_formula() -> None:
    torch.manual_seed(0)
    block = LinearBlock(6, 2, 3).double()
    tokens = torch.randn(2, 5, 6, dtype=torch.float64)
    looked = tokens.numpy() + plain_linear_attention(block.looking[1], normalised(tokens.numpy()))
    first, second = block.thinking[1], block.thinking[3]
    inner = normalised(looked) @ first.weight.numpy().T + first.bias.numpy()
    inner = F.gelu(torch.from_numpy(inner)).numpy()
    wanted = looked + inner @ second.weight.numpy().T + second.bias.numpy()
    np.testing.assert_allclose(block(tokens).numpy(), wanted, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_places_are_their_own_on_their_grid_and_between_them_on_others() -> None:
    places = Places(3, 4, spread=1.0)
    assert torch.equal(to_map(places((4, 4)), (4, 4)), places.vectors)
    finer = to_map(places((8, 8)), (8, 8))
    torch.testing.assert_close(
        finer[:, :, 1, 1],
        0.75**2 * places.vectors[:, :, 0, 0]
        + 0.75 * 0.25 * (places.vectors[:, :, 0, 1] + places.vectors[:, :, 1, 0])
        + 0.25**2 * places.vectors[:, :, 1, 1],
    )


def test_heads_share_the_channels() -> None:
    for make in (lambda: Look(10, 4, 0.0), lambda: LinearAttention(10, 4)):
        with pytest.raises(InputError, match="width must be a multiple of heads = 4, got 10"):
            make()


def test_tokens_keep_their_places() -> None:
    maps = torch.rand(2, 3, 4, 5)
    tokens = to_tokens(maps)
    assert torch.equal(tokens[1, 2 * 5 + 3], maps[1, :, 2, 3]) and torch.equal(to_map(tokens, (4, 5)), maps)
