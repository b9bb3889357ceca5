"""The bank against distances taken one by one, its names in the state, and digits far from the origin."""

import torch
from torch import nn

from amiss.background.memory_bank import add_bank, bank_distances, fill_bank


def filled(vectors: torch.Tensor) -> nn.Module:
    owner = nn.Module()
    add_bank(owner, vectors.shape[1])
    fill_bank(owner, vectors)
    return owner


def test_distances_are_those_of_all_pairs() -> None:
    draw = torch.Generator().manual_seed(0)
    vectors, queries = torch.randn(30, 5, generator=draw), torch.randn(2, 4, 5, generator=draw)
    wanted = (queries[..., None, :] - vectors).norm(dim=-1).sort(dim=-1).values[..., :3]
    torch.testing.assert_close(bank_distances(filled(vectors), queries, 3), wanted)
    assert bank_distances(filled(vectors[:2]), queries, 3).shape == (2, 4, 2)


def test_the_state_has_two_names_and_the_bank_is_centred() -> None:
    vectors = torch.arange(12.0).view(4, 3)
    owner = filled(vectors.clone())
    assert list(owner.state_dict()) == ["center", "bank"]
    torch.testing.assert_close(owner.bank + owner.center, vectors)
    torch.testing.assert_close(owner.bank.mean(dim=0), torch.zeros(3))


def test_vectors_far_from_the_origin_keep_their_digits() -> None:
    """Not centred, the closeness of these would be lost in float32."""
    draw = torch.Generator().manual_seed(0)
    vectors, queries = torch.randn(50, 4, generator=draw).double(), torch.randn(20, 4, generator=draw).double()
    wanted = (queries[:, None] - vectors).norm(dim=-1).min(dim=1).values
    found = bank_distances(filled((vectors + 1000).float()), (queries + 1000).float(), 1)[:, 0]
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
