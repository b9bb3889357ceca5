"""Patch networks: dense evaluation equals patch by patch, published shapes, teachers that are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from amiss.core.errors import InputError
from amiss.features.patch_network import ARCHITECTURES, PatchNetwork
from amiss.features.teacher import Teacher, embedded_teachers

SMALL = ["pdn-xs", "pdn-tiny", "students-17-xs", "students-33-xs", "students-65-xs"]


@pytest.mark.parametrize("name", SMALL)
def test_dense_equals_patch_by_patch(name: str) -> None:
    network = Teacher(name, "random")
    size = network.patch
    images = torch.rand(2, 3, size + 5, size + 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        dense = network.dense(images)
        grey = functional.pad(images - 0.5, (size // 2, (size - 1) // 2) * 2) + 0.5
        for row, column in [(0, 0), (1, 2), (7, 3), (size + 4, size + 7)]:
            alone = network(grey[:, :, row : row + size, column : column + size])
            assert alone.shape[2:] == (1, 1)
            np.testing.assert_allclose(dense[:, :, row, column], alone[:, :, 0, 0], atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_plain_pass_is_the_dense_one_every_stride_pixels(name: str) -> None:
    network = Teacher(name, "random")
    image = torch.rand(1, 3, 90, 81, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        plain, dense = network(image), network.dense(image)
    start = network.patch // 2
    inside = dense[:, :, start :: network.stride, start :: network.stride]
    np.testing.assert_allclose(plain, inside[:, :, : plain.shape[2], : plain.shape[3]], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "grid"),
    # Parameters by hand: sum of (kernel^2 x in + 1) x out. Grid for 256 x 256: published, 56 for both PDNs.
    [("pdn-s", 2_694_144, 56), ("pdn-m", 8_026_624, 56), ("students-33", 1_616_000, 57)],
)
def test_published_shapes(name: str, parameters: int, grid: int) -> None:
    network = PatchNetwork(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    with torch.no_grad():
        assert tuple(network(torch.zeros(1, 3, 256, 256)).shape[2:]) == (grid, grid)
    assert PatchNetwork(name, channels=10).channels == 10


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_patch_gives_one_descriptor(name: str) -> None:
    network = PatchNetwork(name)
    with torch.no_grad():
        assert tuple(network(torch.zeros(1, 3, network.patch, network.patch)).shape) == (1, network.channels, 1, 1)
        with pytest.raises(InputError, match="at least"):
            network(torch.zeros(1, 3, network.patch - 1, network.patch))


def test_teachers_from_files(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    made = Teacher("pdn-tiny", "random")
    save_file(made.state_dict(), file, {"architecture": "pdn-tiny"})
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    assert torch.equal(Teacher("pdn-tiny", str(file))(image), made(image))
    with pytest.raises(InputError, match="got 'pdn-tiny'"):
        Teacher("pdn-xs", str(file))
    save_file({**made.state_dict(), "convolutions.2.bias": torch.zeros(9)}, file, {"architecture": "pdn-tiny"})
    with pytest.raises(InputError, match="other sizes"):
        Teacher("pdn-tiny", str(file))
    with pytest.raises(InputError, match="not a teacher"):
        Teacher("pdn-tiny", str(tmp_path / "none"))
    with pytest.raises(InputError, match="amiss distil"):
        Teacher("pdn-m")
    with pytest.raises(InputError, match="pdn-sx"):
        PatchNetwork("pdn-sx")
    assert set(embedded_teachers()) <= set(ARCHITECTURES)


def test_a_teacher_is_named_without_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_file(Teacher("pdn-tiny", "random").state_dict(), file, {"architecture": "pdn-tiny"})
    assert Teacher("pdn-tiny", str(file)).name == "pdn-tiny (mine.safetensors)"
    assert Teacher("pdn-tiny", "random").name == "pdn-tiny (random)"


@pytest.mark.parametrize("name", ["pdn-xs", "pdn-m", "students-33-xs"])
def test_some_of_the_channels_are_those_of_all(name: str) -> None:
    network = PatchNetwork(name, channels=12)
    batch = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        everything = network(batch)
        for some in (slice(None, 5), slice(5, None), slice(3, 9)):
            torch.testing.assert_close(network(batch, some), everything[:, some])
