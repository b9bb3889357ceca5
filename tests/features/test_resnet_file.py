"""ResNets from a user's file in torchvision's key layout. The files are made here; torchvision is not needed."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.features import FeatureExtractor
from amiss.features import extractor as extractor_module
from amiss.features.borders import repeat_inner

ARCHITECTURES = {
    "resnet18": ((2, 2, 2, 2), False, 1, (64, 64, 128, 256, 512)),
    "resnet50": ((3, 4, 6, 3), True, 1, (64, 256, 512, 1024, 2048)),
    "resnet101": ((3, 4, 23, 3), True, 1, (64, 256, 512, 1024, 2048)),
    "wide_resnet50_2": ((3, 4, 6, 3), True, 2, (64, 256, 512, 1024, 2048)),
    "wide_resnet101_2": ((3, 4, 23, 3), True, 2, (64, 256, 512, 1024, 2048)),
}
STRIDES = (2, 4, 8, 16, 32)
MEASURED = ("resnet18", "resnet50")
"""Whose displacement is measured here, once for each kind of block: it takes 25 runs of the network."""


def torchvision_state(architecture: str) -> dict[str, Tensor]:
    """Random tensors with the names and shapes of torchvision's state dicts."""
    layers, bottleneck, widening, _ = ARCHITECTURES[architecture]
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def conv(name: str, leaving: int, entering: int, kernel: int) -> None:
        weight = torch.randn(leaving, entering, kernel, kernel, generator=generator)
        state[f"{name}.weight"] = weight * (1.5 / (entering * kernel**2)) ** 0.5

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    entering = 64
    for layer, count in enumerate(layers, start=1):
        planes = 64 * 2 ** (layer - 1)
        width, leaving = planes * widening, planes * (4 if bottleneck else 1)
        for block in range(count):
            at = f"layer{layer}.{block}"
            shapes = [(width, entering, 1), (width, width, 3), (leaving, width, 1)]
            for number, shape in enumerate(
                shapes if bottleneck else [(leaving, entering, 3), (leaving, leaving, 3)], 1
            ):
                conv(f"{at}.conv{number}", *shape)
                norm(f"{at}.bn{number}", shape[0])
            if block == 0 and (layer > 1 or entering != leaving):
                conv(f"{at}.downsample.0", leaving, entering, 1)
                norm(f"{at}.downsample.1", leaving)
            entering = leaving
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, entering), torch.zeros(1000)
    return state


def plain_forward(state: dict[str, Tensor], batch: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
    """The network written down step by step with `torch.nn.functional`, He et al. 2016 as in torchvision (v1.5)."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (batch - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    x = F.relu(norm(conv(x, "conv1", 2), "bn1"))
    found = [x]
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, count in enumerate(layers, start=1):
        for block in range(count):
            at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            if f"{at}.conv3.weight" in state:
                y = F.relu(norm(conv(x, f"{at}.conv1"), f"{at}.bn1"))
                y = F.relu(norm(conv(y, f"{at}.conv2", stride), f"{at}.bn2"))
                y = norm(conv(y, f"{at}.conv3"), f"{at}.bn3")
            else:
                y = F.relu(norm(conv(x, f"{at}.conv1", stride), f"{at}.bn1"))
                y = norm(conv(y, f"{at}.conv2"), f"{at}.bn2")
            if f"{at}.downsample.0.weight" in state:
                x = norm(conv(x, f"{at}.downsample.0", stride), f"{at}.downsample.1")
            x = F.relu(x + y)
        found.append(x)
    return found


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(torchvision_state("resnet18"), path)
    return path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_is_recognised_and_computes_the_network(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if architecture not in MEASURED:
        monkeypatch.setattr(extractor_module, "measure_displacements", lambda maps, strides: (0.5,) * len(strides))
    layers, _, _, channels = ARCHITECTURES[architecture]
    state, path = torchvision_state(architecture), tmp_path / "weights.pth"
    torch.save(state, path)
    extractor = FeatureExtractor(f"file:{path}", STRIDES)
    assert extractor.channels == channels
    assert extractor.name == f"file:{path}#{architecture}"
    assert extractor.licence == "user's file"
    assert all(0 < displacement < stride for displacement, stride in zip(extractor.displacements, STRIDES, strict=True))
    extractor.displacements = (0.0,) * 5  # the network's own maps
    batch = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for found, wanted in zip(extractor(batch), repeat_inner(plain_forward(state, batch, layers)), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_safetensors_and_pth_give_the_same(resnet18: Path, tmp_path: Path) -> None:
    torch.save(torchvision_state("resnet18"), tmp_path / "same.pth")
    batch = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, other = (FeatureExtractor(f"file:{path}", (8,))(batch)[0] for path in (resnet18, tmp_path / "same.pth"))
    assert torch.equal(one, other)


def test_the_full_name_builds_it_again_without_the_file(resnet18: Path, tmp_path: Path) -> None:
    name = FeatureExtractor(f"file:{resnet18}", (4, 8)).name
    gone = name.replace(str(resnet18), str(tmp_path / "gone.safetensors"))
    assert FeatureExtractor(gone, (4, 8), pretrained=False).channels == (64, 128)
    with pytest.raises(InputError, match="no such file"):
        FeatureExtractor(gone, (4, 8))


class Attack:
    """Unpickling this touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    traces = []
    for number, write in enumerate((lambda it, path: path.write_bytes(pickle.dumps(it)), torch.save)):
        traces.append(tmp_path / f"ran{number}")
        path = tmp_path / f"attack{number}.pth"
        write({"conv1.weight": Attack(traces[-1])}, path)
        with pytest.raises(InputError, match="plain dictionary of tensors"):
            FeatureExtractor(f"file:{path}", (4,))
    assert not any(trace.exists() for trace in traces)
    pickle.loads(pickle.dumps(Attack(traces[0])))  # the attack is real
    assert traces[0].exists()


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    state = torchvision_state("resnet18")
    cases = {
        "2 tensors are missing, the first is layer2.1.conv1.weight": {
            name: value for name, value in state.items() if name not in ("layer2.1.conv1.weight", "layer2.1.bn1.bias")
        },
        "a tensor has the wrong shape": {**state, "layer1.1.conv2.weight": torch.zeros(64, 64, 1, 1)},
        "no network in torchvision's key layout": {"net.conv1.weight": torch.zeros(3)},
    }
    for number, (message, content) in enumerate(cases.items()):
        save_file(content, tmp_path / f"{number}.safetensors")
        with pytest.raises(InputError, match=message):
            FeatureExtractor(f"file:{tmp_path / f'{number}.safetensors'}", (8,))


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("not tensors")
    torch.save({"state_dict": torchvision_state("resnet18")}, tmp_path / "nested.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    for name in ("text.safetensors", "nested.pth", "list.pth"):
        with pytest.raises(InputError, match="plain dictionary of tensors"):
            FeatureExtractor(f"file:{tmp_path / name}", (8,))
    with pytest.raises(InputError, match="no such file"):
        FeatureExtractor(f"file:{tmp_path / 'none.pth'}", (8,))
    with pytest.raises(InputError, match="architecture"):
        FeatureExtractor(f"file:{tmp_path / 'none.pth'}#resnet34", (8,), pretrained=False)
