"""Networks of the library transformers: ``hf:NAME`` from the local cache, ``hf:FOLDER`` as save_pretrained writes it.

Wolf et al., "Transformers: state-of-the-art natural language processing" (2020). Nothing is downloaded here, no code
of a model's repository is run, and weights are read from safetensors files only.

The full name carries what is needed to build the network without its folder, as JSON after a "#": the architecture
and the statistics of the images its weights were trained with.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from amiss.core.errors import InputError, MissingExtraError
from amiss.features.backbone import Backbone
from amiss.features.resnet import IMAGENET_MEAN, IMAGENET_STD
from amiss.features.whole import WholeNetwork, at_patches, grid, positions, tokens_to_map

UNKNOWN_LICENCE = "unknown: see the model's page"

NOT_ARCHITECTURE = (
    *("_name_or_path", "architectures", "auto_map", "dtype", "id2label", "label2id", "num_labels", "problem_type"),
    *("out_features", "out_indices", "stage_names", "torch_dtype", "transformers_version"),
)
"""Keys of a config that say nothing about the shape of the network."""

ELSEWHERE = ("_name_or_path", "auto_map", "backbone", "use_pretrained_backbone")
"""Keys of a config that name another model, or code."""

FRESH = ("pooler.", "hidden_states_norms.")
"""Parts that checkpoints do not hold: a head that is not used, and the plain layer norms of a backbone's maps."""


def hf_backbone(address: str, *, pretrained: bool) -> Backbone:
    """Build from ``NAME``, ``FOLDER``, or the full name of an earlier one; files are read only when `pretrained`.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: The model is not on disk, is not an image network with feature maps, or its weights are incomplete.
    """
    library = transformers_library()
    source, mark, rest = address.partition("#{")
    if not pretrained and not mark:
        raise InputError(f"hf:{source} must have its configuration after '#' where no file is read")
    facts = _read(library, source) if pretrained else parse(mark[1:] + rest, source)
    size = _image_size(facts["config"])
    with torch.device("meta"), torch.no_grad():
        trial, maps = _create(library, source, facts["config"], None)
        strides, channels = grid(_run(source, trial.eval(), maps, size), size)
    plain = len(set(strides)) == 1
    stages = positions(strides)[1:] if plain else positions(strides)  # a transformer's first state is the embedding

    def network(chosen: tuple[int, ...]) -> nn.Module:
        indices = [stages[position] for position in chosen]
        config = facts["config"]
        if plain and "num_hidden_layers" in _config(library, config).to_dict():
            config = {**config, "num_hidden_layers": indices[-1]}  # deeper layers are not built
        folder = source if pretrained else None
        module, maps = _create(library, source, config, indices, folder)
        return WholeNetwork(f"hf:{source}", module, maps)

    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    return Backbone(
        name=f"hf:{source}#{json.dumps(facts, sort_keys=True)}",
        strides=tuple(strides[stage] for stage in stages),
        channels=tuple(channels[stage] for stage in stages),
        mean=mean,
        std=std,
        licence=facts["licence"],
        displacements=at_patches(strides, stages),
        network=network,
    )


def transformers_library() -> ModuleType:
    """The library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("backbones named hf:NAME need transformers; pip install 'amiss[hf]'") from error
    module: ModuleType = transformers
    return module


def read_config(library: ModuleType, source: str) -> Any:
    """Configuration of a model on this disk.

    Raises:
        InputError: There is none.
    """
    try:
        return library.AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(_absent(source, error)) from error


def _read(library: ModuleType, source: str) -> dict[str, Any]:
    """Architecture, image statistics and licence of a model on this disk."""
    config = read_config(library, source)
    known = {key: value for key, value in config.to_diff_dict().items() if key not in NOT_ARCHITECTURE}
    return {"config": known, **read_facts(source)}


def read_facts(source: str) -> dict[str, Any]:
    """Image statistics and licence of a model on this disk."""
    images = _read_json(model_file(source, "preprocessor_config.json"))
    return {
        "mean": images.get("image_mean", IMAGENET_MEAN),
        "std": images.get("image_std", IMAGENET_STD),
        "licence": _licence(model_file(source, "README.md")),
    }


def parse(text: str, source: str) -> dict[str, Any]:
    """What the full name of a network says after "#".

    Raises:
        InputError: Not what Amiss writes there.
    """
    try:
        facts: Any = json.loads(text, object_hook=_alone)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"hf:{source}#...: the part after '#' is not the JSON that Amiss writes ({error})") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("config"), dict):
        raise InputError(f"hf:{source}#... must have a config")
    if not {"mean", "std", "licence"} <= set(facts):
        raise InputError(f"hf:{source}#... must have config, mean, std and licence, got {sorted(facts)}")
    return dict(facts)


def _alone(settings: dict[str, Any]) -> dict[str, Any]:
    """Part of a configuration, unless it names another model or code that transformers would then go and get."""
    if named := sorted(name for name in ELSEWHERE if settings.get(name)):
        raise InputError(f"the configuration after '#' must name no other model, got {', '.join(named)}")
    return settings


def _absent(source: str, error: Exception) -> str:
    if Path(source).is_dir() or source.startswith((".", "/", "~")):
        reason = str(error).splitlines()[0] if Path(source).is_dir() else "no such folder"
        return f"hf:{source}: {reason}; it must be a folder as save_pretrained writes it (config.json and safetensors)"
    return (
        f"hf:{source}: not on this disk, and Amiss downloads nothing by itself; fetch it once with "
        f"`hf download {source}`, or give a folder: hf:/path/to/folder"
    )


def model_file(source: str, name: str) -> Path | None:
    """A file beside the weights, in a folder or in the cache."""
    if Path(source).is_dir():
        return Path(source) / name if (Path(source) / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, name)
    return Path(found) if isinstance(found, str) else None


def _read_json(path: Path | None) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path else {}
    return content if isinstance(content, dict) else {}


def _licence(card: Path | None) -> str:
    """The licence a model card states in its head of YAML."""
    lines = card.read_text(encoding="utf-8").splitlines() if card else []
    if lines[:1] != ["---"]:
        return UNKNOWN_LICENCE
    head = lines[1 : lines.index("---", 1)] if "---" in lines[1:] else []
    found = {key.strip(): value.strip().strip("'\"") for key, _, value in (line.partition(":") for line in head)}
    licence = found.get("license", "")
    return (found.get("license_name", licence) if licence == "other" else licence) or UNKNOWN_LICENCE


def _config(library: ModuleType, settings: dict[str, Any]) -> Any:
    arguments = {key: value for key, value in settings.items() if key != "model_type"}
    kind = settings.get("model_type")
    try:
        return library.AutoConfig.for_model(kind, **arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"transformers {library.__version__} cannot build a network of kind {kind!r} from its saved configuration; "
            "install the version it was made with, or a newer one"
        ) from error


def _image_size(config: dict[str, Any]) -> int:
    """Side of a square image to try the network with: a whole number of patches, 32 of them at the most."""
    patch = config.get("patch_size", 16)
    size = config.get("image_size", 224)
    patch, size = (max(value) if isinstance(value, (list, tuple)) else int(value) for value in (patch, size))
    return int(-(-max(size, 64) // patch) * patch)


def _create(
    library: ModuleType, source: str, settings: dict[str, Any], indices: list[int] | None, weights: str | None = None
) -> tuple[nn.Module, Any]:
    """The network for some of its states (None: all) and the way to get them; `weights`: where to read them from."""
    config = _config(library, settings)
    known = library.models.auto.modeling_auto
    backbone = type(config) in known.MODEL_FOR_BACKBONE_MAPPING
    if not backbone and type(config) not in known.MODEL_MAPPING:
        raise InputError(f"hf:{source}: transformers has no image network for models of kind {config.model_type!r}")
    # the class itself, not AutoBackbone: that one asks the network whether the model exists, even for a folder
    kind = (known.MODEL_FOR_BACKBONE_MAPPING if backbone else known.MODEL_MAPPING)[type(config)]
    if backbone:
        wanted = list(range(len(config.stage_names))) if indices is None else indices
        config = _config(library, {**settings, "out_indices": wanted})
    module = kind._from_config(config) if weights is None else load(kind, config, weights)
    return module, _backbone_maps if backbone else partial(_token_maps, indices=indices)


def load(kind: Any, config: Any, source: str) -> nn.Module:
    """A network of this class with the weights in a folder or the cache, float32.

    Raises:
        InputError: They cannot be read, are no safetensors, or some are missing.
    """
    try:
        with _quiet():
            module, report = kind.from_pretrained(
                source,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(_absent(source, error)) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(FRESH))
    if missing:
        raise InputError(f"hf:{source}: {len(missing)} tensors are missing, the first is {missing[0]}")
    loaded: nn.Module = module
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bar and its list of unused tensors; missing ones are an error here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _run(source: str, module: nn.Module, maps: Any, size: int) -> list[Tensor]:
    """All maps of one empty image."""
    try:
        return list(maps(module, torch.zeros(1, 3, size, size)))
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"hf:{source} gives no feature maps of an image: {reason}") from error


def _backbone_maps(network: Any, x: Tensor) -> list[Tensor]:
    return list(network(x).feature_maps)


def _token_maps(network: Any, x: Tensor, indices: list[int] | None) -> list[Tensor]:
    """Hidden states of a plain vision transformer as maps."""
    patch = network.config.patch_size
    down, right = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    known = inspect.signature(network.forward).parameters
    extra = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}
    states = network(x, output_hidden_states=True, **extra).hidden_states
    chosen = states if indices is None else [states[index] for index in indices]
    return [tokens_to_map(tokens, x.shape[-2] // down, x.shape[-1] // right) for tokens in chosen]
