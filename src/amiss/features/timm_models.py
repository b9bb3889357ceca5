"""Networks of the library timm: ``timm:NAME`` with weights of the local cache, ``timm:NAME@PATH`` with a file's.

Wightman, "PyTorch image models" (2019). Nothing is downloaded here: weights come from the user's disk or not at all.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError, MissingExtraError
from amiss.features.backbone import Backbone
from amiss.features.whole import WholeNetwork, at_patches, grid, near_miss, positions

OPTIONS: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
"""What makes a timm network take images of any size; the first that it knows is used."""

UNKNOWN_LICENCE = "unknown: see the model's page"


def timm_backbone(address: str, *, pretrained: bool) -> Backbone:
    """Build from ``NAME`` or ``NAME@PATH``; weights are read only when `pretrained`.

    Raises:
        MissingExtraError: timm is not installed, or cannot be imported beside this torch.
        InputError: Unknown name, a network without feature maps, or weights that are not on disk or do not fit.
    """
    timm = _timm()
    name, at, path = address.partition("@")
    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # a known network, an unknown tag
        config = None
    if config is None:
        close = near_miss(name, timm.list_models() + timm.list_pretrained())
        raise InputError(f"timm:{name} is not a model of timm {timm.__version__}; see timm.list_models().{close}")
    size = int(config.input_size[-1])
    with torch.device("meta"), torch.no_grad():
        trial = _create(timm, name).eval()
        maps = _maps(trial, torch.zeros(1, 3, size, size), indices=None)
    strides, channels = grid(maps, size)
    stages = positions(strides)
    weights = _find(address, config) if pretrained else None

    def network(chosen: tuple[int, ...]) -> nn.Module:
        indices = [stages[position] for position in chosen]
        module = _create(timm, name) if weights is None else _load(timm, name, weights, strict=bool(path))
        prune: Any = getattr(module, "prune_intermediate_layers", None)
        if prune is not None:
            prune(indices, prune_head=True)  # deeper layers are not kept
        return WholeNetwork(f"timm:{address}", module, partial(_maps, indices=indices))

    mean, std = tuple(config.mean), tuple(config.std)
    full = f"{config.architecture}.{config.tag}" if config.tag else name  # a later timm may prefer another tag
    return Backbone(
        name=f"timm:{full}{at}{path}",
        strides=tuple(strides[stage] for stage in stages),
        channels=tuple(channels[stage] for stage in stages),
        mean=mean,
        std=std,
        licence="user's file" if path else config.license or UNKNOWN_LICENCE,
        displacements=at_patches(strides, stages),
        network=network,
    )


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("backbones named timm:NAME need timm; pip install 'amiss[timm]'") from error
    except RuntimeError as error:  # a torchvision that was built for another torch
        raise MissingExtraError(
            f"timm is installed but cannot be imported ({error}); install the torchvision that belongs to torch "
            f"{torch.__version__} from the same index, then pip install 'amiss[timm]'"
        ) from error
    module: ModuleType = timm
    return module


def _create(timm: ModuleType, name: str, **settings: Any) -> nn.Module:
    for options in OPTIONS:
        try:
            module: nn.Module = timm.create_model(name, num_classes=0, **{"pretrained": False, **settings, **options})
        except TypeError:
            if not options:
                raise
            continue
        if not hasattr(module, "forward_intermediates"):
            break
        return module
    raise InputError(f"timm:{name} gives no feature maps: it has no forward_intermediates; choose another network")


def _maps(network: nn.Module, x: Tensor, indices: list[int] | None) -> list[Tensor]:
    run: Any = network.forward_intermediates
    maps: list[Tensor] = run(x, indices=indices, intermediates_only=True, output_fmt="NCHW")
    return maps


def _find(address: str, config: Any) -> Path:
    """Where the weights lie on this disk."""
    name, _, path = address.partition("@")
    if path:
        if not Path(path).is_file():
            raise InputError(f"timm:{address}: no such file; give the path of a .safetensors or .pth file")
        return Path(path)
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
        if isinstance(found, str):
            return Path(found)
        raise InputError(
            f"timm:{name}: its weights are not on this disk, and Amiss downloads nothing by itself; fetch them once "
            f"with: hf download {config.hf_hub_id} {config.hf_hub_filename or 'model.safetensors'}"
        )
    raise InputError(f"timm:{name} has no published weights that Amiss can find; give a file: timm:{name}@PATH")


def _load(timm: ModuleType, name: str, path: Path, *, strict: bool) -> nn.Module:
    """The network with a file's weights; `strict`: the file must hold every tensor of it by timm's names."""
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)  # safetensors, or tensors and nothing else
    except Exception as error:  # many kinds, all of them mean the same to the user
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a safetensors file or a plain dictionary of tensors ({reason})") from error
    if strict:
        with torch.device("meta"):
            wanted = _create(timm, name).state_dict()
        missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
        if missing:
            raise InputError(f"timm:{name}@{path}: {len(missing)} tensors are missing, the first is {missing[0]}")
    overlay = {"state_dict": state, "source": "", "custom_load": False}
    try:
        return _create(timm, name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"{path}: does not fit timm:{name} ({str(error).splitlines()[0]})") from error
