"""Backbones of timm and transformers, with tiny random networks that the tests write to disk themselves.

Skipped where the extras `timm` and `hf` are not installed: the default environment has neither.
"""

import json
import os
import pickle
import shutil
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import amiss
from amiss.core.errors import InputError, MissingExtraError
from amiss.features import FeatureExtractor, create_backbone
from amiss.features.whole import WholeNetwork, positions, tokens_to_map
from amiss.inspector import Inspector
from amiss.testing import toy_texture


def _installed(name: str):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return __import__(name)
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision that was built for another torch
        return None


timm, transformers = _installed("timm"), _installed("transformers")
needs_timm = pytest.mark.skipif(timm is None, reason="timm is not installed, or torchvision does not fit this torch")
needs_hf = pytest.mark.skipif(transformers is None, reason="transformers is not installed: pip install 'amiss[hf]'")

TINY = {"num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 64}
CONVOLUTIONS = {"hidden_sizes": [8, 8, 12, 16], "depths": [1, 1, 1, 1]}
HIERARCHIES = {
    "resnet": ("ResNetConfig", {"embedding_size": 8, "layer_type": "basic", **CONVOLUTIONS}),
    "convnext": ("ConvNextConfig", CONVOLUTIONS),
    "swin": ("SwinConfig", {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 1, 2, 2], "window_size": 4}),
}
TRANSFORMERS = {
    "dinov2": ("Dinov2Config", {**TINY, "patch_size": 14, "image_size": 56}),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", {**TINY, "patch_size": 14, "image_size": 56}),
    "vit": ("ViTConfig", {**TINY, "patch_size": 16}),
    "deit": ("DeiTConfig", {**TINY, "patch_size": 16}),
}
HF = {**HIERARCHIES, **TRANSFORMERS}
TIMM = {"test_resnet": (8, 16), "test_vit": (2, 4)}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def _save_hf(kind: str, folder: Path) -> Path:
    name, settings = HF[kind]
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, name)(**settings))
    with torch.no_grad():  # class tokens, position embeddings and layer scales start out as next to nothing
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return folder


def _save_timm(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    save_file(timm.create_model(name, num_classes=3).state_dict(), folder / "net.safetensors")
    return folder / "net.safetensors"


def _provider(kind: str, folder: Path) -> tuple[str, tuple[int, ...]]:
    """The name of a backbone that is on disk, and two of its stages."""
    if kind in TIMM:
        return f"timm:{kind}@{_save_timm(kind, folder)}", TIMM[kind]
    return f"hf:{_save_hf(kind, folder)}", (2, 4) if kind in TRANSFORMERS else (8, 16)


EVERY = [pytest.param(kind, marks=needs_timm) for kind in TIMM] + [pytest.param(kind, marks=needs_hf) for kind in HF]
ONE_EACH = [pytest.param(kind, marks=needs_timm) for kind in TIMM]
ONE_EACH += [pytest.param(kind, marks=needs_hf) for kind in ("resnet", "dinov2")]


# Without the libraries


def test_which_maps_are_stages() -> None:
    assert positions([2, 4, 8, 16, 32]) == (0, 1, 2, 3, 4)
    assert positions([4, 4, 8, 16, 32, 32]) == (1, 2, 3, 5)
    assert positions([14] * 3) == (0, 1, 2)


def test_tokens_keep_their_places() -> None:
    """A linear patch embedding, flattened as transformers do it, with one class and four register tokens in front."""
    image = torch.rand(2, 3, 28, 42)
    patches = torch.nn.functional.conv2d(image, torch.rand(5, 3, 14, 14), stride=14)
    tokens = torch.cat([torch.full((2, 5, 5), 9.0), patches.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(tokens_to_map(tokens, 2, 3), patches)


def test_a_size_that_the_network_does_not_take() -> None:
    def maps(_: object, __: object) -> list:
        raise AssertionError("height 32 does not fit")

    with pytest.raises(InputError, match="odd does not take images of 32 x 40 pixels: height 32 does not fit"):
        WholeNetwork("odd", torch.nn.Identity(), maps)(torch.zeros(1, 3, 32, 40))


@pytest.mark.parametrize(("name", "extra", "there"), [("timm:resnet18", "timm", timm), ("hf:a/b", "hf", transformers)])
def test_an_extra_that_is_not_installed(name: str, extra: str, there: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, {"timm": "timm", "hf": "transformers"}[extra], None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'amiss\[{extra}\]'"):
        create_backbone(name)


# Every kind


@pytest.mark.parametrize("kind", EVERY)
def test_maps_have_the_stated_shapes_and_the_full_name_builds_it_again(kind: str, tmp_path: Path) -> None:
    name, stages = _provider(kind, tmp_path / "net")
    found = create_backbone(name)
    extractor = FeatureExtractor(name, stages)
    size = 4 * max(found.strides)
    strides = [found.strides[found.levels.index(stage)] for stage in stages]
    batch = torch.rand(2, 3, size, 2 * size)
    maps = extractor(batch)
    shapes = [(2, c, size // s, 2 * size // s) for c, s in zip(extractor.channels, strides, strict=True)]
    assert [tuple(found.shape) for found in maps] == shapes
    assert all(torch.isfinite(found).all() and found.std() > 1e-3 for found in maps)
    assert extractor.licence == ("user's file" if kind in TIMM else "unknown: see the model's page")

    shutil.rmtree(tmp_path / "net")
    again = FeatureExtractor(extractor.name, stages, pretrained=False)
    again.load_state_dict(extractor.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(maps, again(batch), strict=True))
    assert again.name == extractor.name
    assert torch.equal(again.mean, extractor.mean)
    with pytest.raises(InputError, match="no such f"):
        FeatureExtractor(name, stages)


@pytest.mark.parametrize("kind", EVERY)
def test_an_image_of_any_size(kind: str, tmp_path: Path) -> None:
    name, stages = _provider(kind, tmp_path / "net")
    for found in FeatureExtractor(name, stages)(torch.rand(1, 3, 67, 99)):
        assert found.shape[-1] > found.shape[-2] >= 4


@pytest.mark.parametrize("kind", ONE_EACH)
def test_onnx_equals_torch_and_the_artefact_needs_no_weights(kind: str, tmp_path: Path) -> None:
    """Fit, save, lose the weights, load: the graph and the rebuilt detector give the same scores."""
    name, stages = _provider(kind, tmp_path / "net")
    images = toy_texture(24, seed=0).images
    settings = {"backbone": name, "stages": stages, "dimension": 8}
    amiss.fit(images, method="padim", settings=settings, size=64).save(tmp_path / "part.amiss")
    shutil.rmtree(tmp_path / "net")
    inspector = Inspector.load(tmp_path / "part.amiss")
    inspector.check_parity()
    fresh = toy_texture(5, seed=1).images
    in_torch = inspector.detector().score(fresh.resized(inspector.size))
    graph = inspector.score(fresh)
    np.testing.assert_allclose(graph.image, in_torch.image, rtol=1e-3)
    np.testing.assert_allclose(graph.map, in_torch.map, rtol=1e-3, atol=1e-3)
    record = inspector.record
    assert record.weights_name == name.replace("@", ".r160_in1k@")
    assert record.weights_licence == ("user's file" if kind in TIMM else "unknown: see the model's page")


# timm


@needs_timm
@pytest.mark.parametrize("name", TIMM)
def test_timm_runs_the_network_of_the_file(name: str, tmp_path: Path) -> None:
    """The same maps as timm's own features_only network with the same file."""
    path = _save_timm(name, tmp_path)
    plain = timm.create_model(name, num_classes=3)
    plain.load_state_dict(load_file(path))
    extractor = FeatureExtractor(f"timm:{name}@{path}", TIMM[name])
    batch = torch.rand(2, 3, 160, 160)
    indices = [2, 3] if name == "test_resnet" else [1, 3]  # strides 2, 4, 8 ... or layers 1, 2, 3 ...
    normalised = (batch - torch.tensor(0.5)) / 0.5
    with torch.no_grad():
        wanted = plain.eval().forward_intermediates(normalised, indices=indices, intermediates_only=True)
    for found, other in zip(extractor(batch), wanted, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)


@needs_timm
def test_timm_finds_weights_in_the_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    with pytest.raises(InputError, match=r"hf download timm/test_resnet\.r160_in1k model\.safetensors"):
        create_backbone("timm:test_resnet")
    path = _save_timm("test_resnet", tmp_path)
    asked = []

    def cached(*arguments: str) -> str:
        asked.append(arguments)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    extractor = FeatureExtractor("timm:test_resnet", (8,))
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]
    assert extractor.name == "timm:test_resnet.r160_in1k"
    assert extractor.licence == timm.get_pretrained_cfg("test_resnet").license
    batch = torch.rand(1, 3, 32, 32)
    assert torch.equal(extractor(batch)[0], FeatureExtractor(f"timm:test_resnet@{path}", (8,))(batch)[0])


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@needs_timm
def test_timm_files_that_are_refused(tmp_path: Path) -> None:
    path = _save_timm("test_resnet", tmp_path)
    state = load_file(path)
    torch.save({"conv1.0.weight": Attack(tmp_path / "ran")}, tmp_path / "attack.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Attack(tmp_path / "ran")))
    save_file(
        {key: value for key, value in state.items() if not key.startswith("layer2")}, tmp_path / "cut.safetensors"
    )
    save_file({**state, "layer1.0.conv1.weight": torch.zeros(2, 2)}, tmp_path / "shape.safetensors")
    for name, message in {
        "attack.pth": "not a safetensors file or a plain dictionary",
        "raw.pth": "not a safetensors file or a plain dictionary",
        "cut.safetensors": "tensors are missing, the first is layer2",
        "shape.safetensors": "does not fit timm:test_resnet",
        "gone.pth": "no such file",
    }.items():
        with pytest.raises(InputError, match=message):
            FeatureExtractor(f"timm:test_resnet@{tmp_path / name}", (32,))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="Did you mean 'resnet"):
        create_backbone("timm:resnet81")
    with pytest.raises(InputError, match="no model of timm"):
        create_backbone("timm:resnet18.no_such_tag")


# transformers


@needs_hf
@pytest.mark.parametrize("kind", ["dinov2", "dinov2_with_registers", "vit", "deit"])
def test_hf_layers_are_the_hidden_states_of_the_saved_model(kind: str, tmp_path: Path) -> None:
    """Against AutoModel: hidden states without the first tokens, and the final norm where the backbone applies it."""
    folder = _save_hf(kind, tmp_path)
    extractor = FeatureExtractor(f"hf:{folder}", (1, 3))
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    patch, leading = model.config.patch_size, {"dinov2_with_registers": 5, "deit": 2}.get(kind, 1)
    side = model.config.image_size
    batch = torch.rand(2, 3, side, side)
    with torch.no_grad():
        states = model((batch - extractor.mean) / extractor.std, output_hidden_states=True).hidden_states
        for layer, found in zip((1, 3), extractor(batch), strict=True):
            tokens = model.layernorm(states[layer]) if kind.startswith("dinov2") else states[layer]
            wanted = tokens[:, leading:].unflatten(1, (side // patch, side // patch)).permute(0, 3, 1, 2)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@needs_hf
def test_hf_layers_that_are_not_asked_for_are_not_kept(tmp_path: Path) -> None:
    folder = _save_hf("dinov2", tmp_path)
    one, three = (FeatureExtractor(f"hf:{folder}", stages) for stages in ((1,), (1, 3)))
    layers = [{key.split(".layer.")[1][0] for key in net.state_dict() if ".layer." in key} for net in (one, three)]
    assert layers == [{"0"}, {"0", "1", "2"}]
    assert not any(p.requires_grad for p in one.parameters())
    with pytest.raises(InputError, match=r"layers \(all of stride 14\) out of \(1, 2, 3, 4\)"):
        FeatureExtractor(f"hf:{folder}", (8, 16))


@needs_hf
def test_hf_reads_mean_std_and_licence(tmp_path: Path) -> None:
    folder = _save_hf("resnet", tmp_path)
    content = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.2, 0.1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    for card, wanted in {
        "---\nlicense: apache-2.0\ntags:\n- vision\n---\n# Net\nlicense: mit\n": "apache-2.0",
        "---\nlicense: other\nlicense_name: dinov3-license\n---\n": "dinov3-license",
        "---\ntags: [vision]\n---\n": "unknown: see the model's page",
        "# license: mit\n": "unknown: see the model's page",
    }.items():
        (folder / "README.md").write_text(card)
        found = create_backbone(f"hf:{folder}")
        assert (found.licence, found.mean, found.std) == (wanted, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))


@needs_hf
def test_hf_models_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`hf download somebody/something`"):
        create_backbone("hf:somebody/something")
    with pytest.raises(InputError, match="no such folder"):
        create_backbone(f"hf:{tmp_path / 'none'}")
    folder = _save_hf("dinov2", tmp_path / "cut")
    state = load_file(folder / "model.safetensors")
    key = next(key for key in state if "mlp" in key)
    save_file({k: v for k, v in state.items() if k != key}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"1 tensors are missing, the first is .*mlp"):
        FeatureExtractor(f"hf:{folder}", (4,))
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        FeatureExtractor(f"hf:{folder}", (4,))
    language = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    language.save_pretrained(tmp_path / "words")
    with pytest.raises(InputError, match="gives no feature maps of an image"):
        create_backbone(f"hf:{tmp_path / 'words'}")


@needs_hf
@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("{oops", "not the JSON"),
        ('{"config": {}}', "must have config, mean, std and licence"),
        (
            '{"config": {"model_type": "none"}, "mean": [0], "std": [1], "licence": ""}',
            "cannot build a network of kind",
        ),
    ],
)
def test_hf_full_names_that_are_damaged(rest: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_backbone(f"hf:gone#{rest}", pretrained=False)


@needs_hf
def test_few_shot_on_a_vision_transformer_of_the_users_own(tmp_path: Path) -> None:
    """The preset anomaly_dino of patchcore learns from one image of a part, and its foreground is in the graph."""
    settings = {"backbone": f"hf:{_save_hf('dinov2', tmp_path)}", "stages": (4,), "bank_size": 200}
    image = np.zeros((112, 112, 3), np.uint8)
    image[28:84, 28:84] = np.random.default_rng(0).integers(60, 250, (56, 56, 3))
    options = {"method": "patchcore", "preset": "anomaly_dino", "settings": settings, "size": 112}
    made = amiss.fit([image], **options)
    assert made.rule.name == "few_shot" and made.rule.n == 1 and made.learned.learned_from == 1
    assert any("judged" in note for note in made.learned.notes)
    detector = made.detector()
    assert detector.rotations == 8 and detector.foreground and len(detector.bank) == 200
    scores = made.score(amiss.Images([image]))
    np.testing.assert_allclose(scores.map, detector.score(amiss.Images([image], size=(112, 112))).map, atol=1e-3)
