"""Blocks of transformers: attention that may not look near itself, attention without softmax, learned places."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.statistics.reduce import Size, resized

LEAST = 1e-6
"""Added to the sum of weights that `LinearAttention` divides by."""


def check_heads(width: int, heads: int) -> None:
    """Heads share the channels of a token evenly.

    Raises:
        InputError: `width` is not a multiple of `heads`.
    """
    if width % heads:
        raise InputError(f"width must be a multiple of heads = {heads}, got {width}")


def to_tokens(maps: Tensor) -> Tensor:
    """A map (N, C, h, w) to a token per cell, row by row, (N, h w, C)."""
    return maps.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, grid: Size) -> Tensor:
    """Tokens (N, h w, C), row by row, to a map (N, C, h, w).

    Example:
        >>> maps = torch.arange(12.0).view(1, 2, 2, 3)
        >>> bool((to_map(to_tokens(maps), (2, 3)) == maps).all())
        True
    """
    return tokens.transpose(1, 2).reshape(-1, tokens.shape[2], *grid)


def hide_neighbours(grid: Size, side: int) -> NDArray[np.bool_]:
    """What each cell of a grid may not look at: the square of cells around it, itself among them.

    Args:
        grid: Rows and columns.
        side: Odd side of the square, in cells.

    Returns:
        (h w, h w): row i is True at the cells that are hidden from cell i.

    Raises:
        InputError: From some cell everything would be hidden.

    Example:
        >>> hide_neighbours((1, 4), 3).astype(int)
        array([[1, 1, 0, 0],
               [1, 1, 1, 0],
               [0, 1, 1, 1],
               [0, 0, 1, 1]])
    """
    if max(grid) < side + 1:
        raise InputError(
            f"images must have at least {side + 1} cells on one side where {side} x {side} are hidden, got {grid[0]} x "
            f"{grid[1]} cells; take larger images, a finer stage or fewer neighbours"
        )
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    near = [np.abs(along[:, None] - along) <= side // 2 for along in (rows, columns)]
    hidden: NDArray[np.bool_] = near[0] & near[1]
    return hidden


class Places(nn.Module):
    """A learned vector for each cell of a grid, brought to grids of other sizes bilinearly.

    Args:
        width: Numbers of a vector, D.
        side: Cells on each side of the grid that is learned.
        spread: Standard deviation that the numbers begin with.
    """

    def __init__(self, width: int, side: int, *, spread: float) -> None:
        super().__init__()
        self.vectors = nn.Parameter(spread * torch.randn(1, width, side, side))

    def forward(self, grid: Size) -> Tensor:
        """A token per cell of a grid, (1, h w, D)."""
        return to_tokens(resized(self.vectors, grid))


class Look(nn.Module):
    """Tokens look at others, take up a weighted mean of what these hold, and are normalised.

    ``norm(x + attention(x + places, memory + places, memory))``, by softmax, with several heads.

    Args:
        width: Channels of a token, D.
        heads: Heads of the attention.
        dropout: Share of what is taken up that learning leaves out.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        check_heads(width, heads)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, memory: Tensor, places: Tensor, hidden: Tensor) -> Tensor:
        """(N, T, D), what they look at (N, T, D), where both are (1, T, D), and what is hidden (T, T): (N, T, D)."""
        taken, _ = self.attention(tokens + places, memory + places, memory, attn_mask=hidden, need_weights=False)
        found: Tensor = self.norm(tokens + self.dropout(taken))
        return found


class Think(nn.Module):
    """Two linear layers on each token by itself, added to it and normalised: ``norm(x + W2 relu(W1 x))``.

    Args:
        width: Channels of a token, D.
        inner: Channels between the two layers.
        dropout: Share of the numbers that learning leaves out after each of them.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D) to the same."""
        found: Tensor = self.norm(tokens + self.layers(tokens))
        return found


class LinearAttention(nn.Module):
    """Attention without softmax: weights are ``f(q) . f(k)`` with f = 1 + ELU, normalised to sum to 1.

    Without softmax no token can look at one other alone, and all are looked at at once by ``f(q) (f(K)^T V)``, so the
    cost grows with the number of tokens, not with its square.

    Source: Katharopoulos, Vyas, Pappas and Fleuret, "Transformers are RNNs: fast autoregressive transformers with
    linear attention", ICML 2020.

    Args:
        width: Channels of a token, D.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.entering = nn.Linear(width, 3 * width)
        self.leaving = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D) to the same."""
        count, length, width = tokens.shape
        parts = self.entering(tokens).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (N, heads, T, D / heads)
        query, key = 1 + F.elu(query), 1 + F.elu(key)
        total = query @ key.sum(dim=2, keepdim=True).transpose(2, 3)  # (N, heads, T, 1)
        mixed = query @ (key.transpose(2, 3) @ value) / (total + LEAST)
        found: Tensor = self.leaving(mixed.transpose(1, 2).reshape(count, length, width))
        return found


class LinearBlock(nn.Module):
    """Linear attention and two linear layers with GELU, each normalised before and added after.

    Args:
        width: Channels of a token, D.
        heads: Heads of the attention.
        growth: Channels between the two layers, as a multiple of `width`.
    """

    def __init__(self, width: int, heads: int, growth: int) -> None:
        super().__init__()
        self.looking = nn.Sequential(nn.LayerNorm(width), LinearAttention(width, heads))
        self.thinking = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, growth * width), nn.GELU(), nn.Linear(growth * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D) to the same."""
        tokens = tokens + self.looking(tokens)
        found: Tensor = tokens + self.thinking(tokens)
        return found
