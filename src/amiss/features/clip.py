"""CLIP of the user's own: its image tower, which may look at some patches only, and what its text tower makes of words.

Radford et al., "Learning transferable visual models from natural language supervision" (2021). The image tower is
written here, so that it can be asked about windows of an image, and needs no library later: weights and text tower
are read by transformers, from safetensors files only, and prompts are encoded when a detector is built.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amiss.core.errors import InputError
from amiss.features.hf_models import load, model_file, parse, read_config, read_facts, transformers_library
from amiss.statistics.reduce import resized

TINY = "tiny-random"
"""Name of the small towers with random weights that never change, for tests; words mean nothing to them."""

ACTIVATIONS = {"quick_gelu": lambda x: x * torch.sigmoid(1.702 * x), "gelu": F.gelu}
"""By the library's names."""


@dataclass(frozen=True)
class Shape:
    """The architecture of an image tower.

    Args:
        image: Side of its images, in pixels.
        patch: Side of a patch, in pixels.
        width: Numbers of a token.
        layers: Blocks.
        heads: Of attention.
        inner: Numbers between the two layers of a block that see one token only.
        embedding: Numbers of an embedding, which text and image share.
        activation: One of `ACTIVATIONS`.
        epsilon: Added to variances.
    """

    image: int
    patch: int
    width: int
    layers: int
    heads: int
    inner: int
    embedding: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5

    @property
    def side(self) -> int:
        """Patches along each side."""
        return self.image // self.patch


class Attention(nn.Module):
    """Each token looks at every other one. The names of the layers are those of the library's files."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, T, width) to (B, T, width)."""
        parts = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key, value = parts  # (B, heads, T, width / heads)
        looks = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
        out: Tensor = self.out_proj((looks @ value).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then two layers that see one token only, each after a layer norm and beside a short cut."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = shape.activation
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(shape.width, eps=shape.epsilon) for _ in range(2))
        self.self_attn = Attention(shape.width, shape.heads)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(shape.width, shape.inner), "fc2": nn.Linear(shape.inner, shape.width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, T, width) to (B, T, width)."""
        x = x + self.self_attn(self.layer_norm1(x))
        inner = ACTIVATIONS[self.activation](self.mlp["fc1"](self.layer_norm2(x)))
        out: Tensor = x + self.mlp["fc2"](inner)
        return out


class ImageTower(nn.Module):
    """A vision transformer with a class token, frozen.

    Args:
        name: With which it can be built without its files.
        shape: Its architecture.
        mean: Of the images that it was trained with, per channel.
        std: Their standard deviation.
        licence: Of its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, shape: Shape, mean: Sequence[float], std: Sequence[float], licence: str) -> None:
        super().__init__()
        self.name, self.shape, self.licence = name, shape, licence
        self.class_embedding = nn.Parameter(torch.zeros(shape.width))
        self.patch_embedding = nn.Conv2d(3, shape.width, shape.patch, stride=shape.patch, bias=False)
        self.position_embedding = nn.Parameter(torch.zeros(shape.side**2 + 1, shape.width))
        self.pre_layrnorm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.post_layernorm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.visual_projection = nn.Linear(shape.width, shape.embedding, bias=False)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def tokens(self, batch: Tensor) -> Tensor:
        """Class and patch tokens (N, 1 + side^2, width) of a batch (N, 3, H, W) in [0, 1], resized to its images."""
        x = (resized(batch, (self.shape.image, self.shape.image)) - self.mean) / self.std
        patches = self.patch_embedding(x).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(batch.shape[0], 1, -1)
        tokens: Tensor = self.pre_layrnorm(torch.cat([first, patches], dim=1) + self.position_embedding)
        return tokens

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) of unit length from some tokens (B, T, width), the class token first, and the other tokens
        before the last layer, (B, T - 1, width)."""
        before = tokens
        for layer in self.layers:
            before, tokens = tokens, layer(tokens)
        embedding = self.visual_projection(self.post_layernorm(tokens[:, 0]))
        return F.normalize(embedding, dim=1), before[:, 1:]


def create_clip(name: str, prompts: Sequence[Sequence[str]], *, pretrained: bool) -> tuple[ImageTower, Tensor]:
    """The image tower, and the direction of each group of prompts, of unit length, (groups, D).

    A direction is that of the mean over a group of embeddings of unit length.

    Args:
        name: "hf:NAME" or "hf:FOLDER", or the full name of an earlier one; "tiny-random".
        prompts: Groups of texts.
        pretrained: False leaves weights and directions open, to be overwritten; no file is read then.

    Raises:
        MissingExtraError: transformers is not installed.
        InputError: No such model on this disk, another kind of model, weights that are missing, or a prompt that is too
            long for it.
    """
    if name == TINY:
        return _tiny(prompts)
    if not name.startswith("hf:"):
        raise InputError(
            "backbone must be a CLIP of your own, such as hf:/path/to/folder or hf:openai/clip-vit-base-patch16, got "
            f"{name!r}"
        )
    source, mark, rest = name.removeprefix("hf:").partition("#{")
    if not pretrained:
        tower = _tower(source, parse(mark[1:] + rest, source))
        return tower, torch.zeros(len(prompts), tower.shape.embedding)
    library = transformers_library()
    config = read_config(library, source)
    if config.model_type != "clip":
        raise InputError(
            f"hf:{source} must be a CLIP with an image and a text tower (model_type 'clip'), got {config.model_type!r}"
        )
    model = load(library.CLIPModel, config, source)
    tower = _tower(source, read_facts(source) | {"config": _shape_of(config)})
    tower.load_state_dict(_renamed(model.state_dict()))
    return tower, _directions(library, source, model, prompts)


def _shape_of(config: Any) -> dict[str, Any]:
    """The architecture of an image tower, as JSON."""
    vision = config.vision_config
    if vision.hidden_act not in ACTIVATIONS:
        raise InputError(
            f"activation of the image tower must be one of {', '.join(ACTIVATIONS)}, got {vision.hidden_act!r}"
        )
    shape = Shape(
        image=vision.image_size,
        patch=vision.patch_size,
        width=vision.hidden_size,
        layers=vision.num_hidden_layers,
        heads=vision.num_attention_heads,
        inner=vision.intermediate_size,
        embedding=config.projection_dim,
        activation=vision.hidden_act,
        epsilon=vision.layer_norm_eps,
    )
    return asdict(shape)


def _tower(source: str, facts: dict[str, Any]) -> ImageTower:
    known = {one.name for one in fields(Shape)}
    if set(facts["config"]) != known:
        raise InputError(
            f"hf:{source}#... must have a config of {', '.join(sorted(known))}, got {sorted(facts['config'])}"
        )
    name = f"hf:{source}#{json.dumps(facts, sort_keys=True)}"
    return ImageTower(name, Shape(**facts["config"]), facts["mean"], facts["std"], facts["licence"])


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image tower's part of a saved CLIP, under our names."""
    found = {}
    for name, tensor in state.items():
        if name.startswith("vision_model."):
            short = name.removeprefix("vision_model.").removeprefix("embeddings.").removeprefix("encoder.")
            found["position_embedding" if short == "position_embedding.weight" else short] = tensor
    found["visual_projection.weight"] = state["visual_projection.weight"]
    return found


@torch.no_grad()
def _directions(library: ModuleType, source: str, model: Any, prompts: Sequence[Sequence[str]]) -> Tensor:
    if not any(model_file(source, name) for name in ("tokenizer.json", "vocab.json")):  # the library would make one up
        raise InputError(
            f"hf:{source} must have its tokenizer beside it (tokenizer.json, or vocab.json and merges.txt)"
        )
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"hf:{source}: its tokenizer cannot be read, and prompts are encoded with it: {error}"
        ) from error
    texts = list(chain.from_iterable(prompts))
    given = tokenizer(texts, padding=True, return_tensors="pt")
    most = model.config.text_config.max_position_embeddings
    if given["input_ids"].shape[1] > most:
        longest = max(texts, key=lambda text: len(tokenizer(text)["input_ids"]))
        raise InputError(f"a prompt must be at most {most} tokens long, got {longest!r}")
    encoded = model.eval().text_model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
    return _mean_of_groups(model.text_projection(encoded.pooler_output), prompts)


def _mean_of_groups(embeddings: Tensor, groups: Sequence[Sequence[str]]) -> Tensor:
    parts = torch.split(F.normalize(embeddings, dim=1), [len(group) for group in groups])
    return F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=1)


def _tiny(prompts: Sequence[Sequence[str]]) -> tuple[ImageTower, Tensor]:
    shape = Shape(image=64, patch=8, width=32, layers=2, heads=2, inner=64, embedding=16)
    tower = ImageTower(TINY, shape, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "none")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in tower.named_parameters():
            if "norm" not in name:
                fan = weights[0].numel() if weights.ndim > 1 else weights.numel()
                weights.copy_(torch.randn(weights.shape, generator=generator) / fan**0.5)
    drawn = [_drawn(text, shape.embedding) for text in chain.from_iterable(prompts)]
    return tower, _mean_of_groups(torch.stack(drawn), prompts)


def _drawn(text: str, count: int) -> Tensor:
    """Numbers (count,) that depend on nothing but a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))
