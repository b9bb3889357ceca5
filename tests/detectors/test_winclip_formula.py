"""WinCLIP and WinCLIP+ against transformers and plain NumPy, on a small random CLIP that the test saves.

Needs `transformers` (extra `hf`) where a folder is read; the rest runs on the random towers of `tiny-random`.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import amiss
from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import to_batch
from amiss.detectors.language import ANOMALOUS, NORMAL, TEMPLATES
from amiss.features.clip import create_clip
from amiss.inspector import Inspector
from amiss.registry import create
from amiss.testing import toy_part, toy_texture

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
except (ImportError, RuntimeError):
    transformers = None
needs_hf = pytest.mark.skipif(transformers is None, reason="transformers is not installed: pip install 'amiss[hf]'")

WORDS = {"noun": "bottle cap", "templates": ["a photo of a {}.", "the {}"], "temperature": 0.5, "smoothing": 4.0}
TEST = toy_part(2, seed=1, defective=True).images
GOOD = toy_part(3, seed=0).images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of 5 x 5 patches with random weights, and a tokenizer of letters."""
    made = tmp_path_factory.mktemp("clip")
    letters = "abcdefghijklmnopqrstuvwxyz.-"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    ids = {"bos_token_id": vocabulary["<|startoftext|>"], "eos_token_id": vocabulary["<|endoftext|>"]}
    common = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config={**common, **ids, "pad_token_id": 57, "vocab_size": len(words), "max_position_embeddings": 64},
        vision_config={**common, "image_size": 40, "patch_size": 8, "hidden_act": "gelu", "initializer_factor": 8.0},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(made)
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(made)
    (made / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2] * 3}))
    (made / "README.md").write_text("---\nlicense: mit\n---\n")
    return made


class Reference:
    """The same by transformers, image by image and window by window, in loops."""

    def __init__(self, folder: Path, scales: tuple[int, ...]) -> None:
        self.model = transformers.CLIPModel.from_pretrained(folder).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.scales = scales
        self.texts = [self.direction(states) for states in (NORMAL, ANOMALOUS)]

    def direction(self, states: tuple[str, ...]) -> np.ndarray:
        found = []
        for template in WORDS["templates"]:
            for state in states:
                given = self.tokenizer([template.format(state.format(WORDS["noun"]))], return_tensors="pt")
                with torch.no_grad():
                    vector = self.model.get_text_features(**given).pooler_output[0].double().numpy()
                found.append(vector / np.linalg.norm(vector))
        mean = np.mean(found, axis=0)
        return mean / np.linalg.norm(mean)

    @torch.no_grad()
    def embed(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict]:
        """Of the whole image and, by scale and place, of windows; and patch tokens before the last layer."""
        x = torch.nn.functional.interpolate(
            torch.from_numpy(image / 255).permute(2, 0, 1)[None].float(), (40, 40), mode="bilinear"
        )
        x = (x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / 0.2
        vision = self.model.vision_model
        whole = vision(x, output_hidden_states=True)
        tokens = vision.pre_layrnorm(vision.embeddings(x))
        windows = {}
        for scale in self.scales:
            for row in range(6 - scale):
                for column in range(6 - scale):
                    kept = [0, *(1 + (row + i) * 5 + column + j for i in range(scale) for j in range(scale))]
                    last = vision.encoder(inputs_embeds=tokens[:, kept]).last_hidden_state[:, 0]
                    windows[scale, row, column] = self.unit(vision.post_layernorm(last))
        return self.unit(whole.pooler_output), whole.hidden_states[-2][0, 1:].double().numpy(), windows

    def unit(self, pooled: torch.Tensor) -> np.ndarray:
        vector = self.model.visual_projection(pooled)[0].double().numpy()
        return vector / np.linalg.norm(vector)

    def says(self, vector: np.ndarray) -> float:
        logits = np.exp(np.array([vector @ text for text in self.texts]) / WORDS["temperature"])
        return logits[1] / logits.sum()

    def harmonic(self, scores: dict) -> list[np.ndarray]:
        grids = []
        for scale in self.scales:
            grid = np.zeros((5, 5))
            for row in range(5):
                for column in range(5):
                    over = [
                        score
                        for (size, top, left), score in scores.items()
                        if size == scale and top <= row < top + scale and left <= column < left + scale
                    ]
                    grid[row, column] = len(over) / sum(1 / score for score in over)
            grids.append(grid)
        return grids

    def words_map(self, image: np.ndarray) -> tuple[float, np.ndarray]:
        whole, _, windows = self.embed(image)
        grids = self.harmonic({place: self.says(vector) for place, vector in windows.items()})
        return self.says(whole), (1 + len(grids)) / (1 / self.says(whole) + sum(1 / grid for grid in grids))


def enlarged(grid: np.ndarray, peak: float) -> np.ndarray:
    large = torch.nn.functional.interpolate(torch.from_numpy(grid)[None, None], (64, 64), mode="bilinear")[0, 0].numpy()
    smooth = gaussian_filter(large, WORDS["smoothing"] * 64 / 256)
    return smooth * peak / smooth.max()


@needs_hf
@pytest.mark.parametrize("scales", [(2, 3), (2,)])
def test_winclip_equals_the_independent_computation(folder: Path, scales: tuple[int, ...]) -> None:
    detector = create("winclip", backbone=f"hf:{folder}", scales=scales, **WORDS).fit(GOOD)
    reference, found = Reference(folder, scales), detector.score(TEST)
    for number, image in enumerate(TEST):
        score, grid = reference.words_map(image)
        assert found.image[number] == pytest.approx(score, abs=1e-5) and 0.001 < score < 0.999
        np.testing.assert_allclose(found.map[number], enlarged(grid, score), atol=1e-4)
    assert found.image.std() > 1e-3 and found.map[0].std() > 1e-3  # not all alike


@needs_hf
def test_winclip_plus_equals_the_independent_computation(folder: Path) -> None:
    detector = create("winclip_plus", backbone=f"hf:{folder}", **WORDS).fit(GOOD)
    reference, found = Reference(folder, (2, 3)), detector.score(TEST)
    known = [reference.embed(image) for image in GOOD]
    bank = np.concatenate([patches for _, patches, _ in known])
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    for number, image in enumerate(TEST):
        score, words = reference.words_map(image)
        _, patches, windows = reference.embed(image)
        patches = patches / np.linalg.norm(patches, axis=1, keepdims=True)
        grids = [((1 - (patches @ bank.T).max(axis=1)) / 2).reshape(5, 5)]
        apart = {}
        for place, vector in windows.items():
            same_scale = [one for _, _, other in known for (size, _, _), one in other.items() if size == place[0]]
            apart[place] = (1 - max(vector @ one for one in same_scale)) / 2
        shown = np.mean([*grids, *reference.harmonic(apart)], axis=0)
        wanted = (score + shown.max()) / 2
        assert found.image[number] == pytest.approx(wanted, abs=1e-5)
        np.testing.assert_allclose(found.map[number], enlarged((words + shown) / 2, wanted), atol=1e-4)


@needs_hf
def test_the_artefact_needs_neither_folder_nor_words_nor_library(folder: Path, tmp_path: Path, monkeypatch) -> None:
    settings = {**WORDS, "backbone": f"hf:{folder}"}
    made = amiss.fit(toy_texture(12, seed=0).images, method="winclip", settings=settings, size=64, rule="conformal:10%")
    assert made.rule.n == 12 and made.learned.learned_from == 0  # nothing is learned from, so all calibrate
    assert made.learned.weights_licence == "mit"
    wanted = made.score(TEST)
    made.save(tmp_path / "m.amiss")
    folder.rename(folder.with_name("gone"))
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    try:
        again = Inspector.load(tmp_path / "m.amiss")
        np.testing.assert_array_equal(again.score(TEST).map, wanted.map)
        in_torch = again.detector().score(TEST.resized((64, 64)))
        np.testing.assert_allclose(in_torch.map, wanted.map, atol=1e-4)
        assert not any("text_model" in name for name in again.detector().state_dict())
    finally:
        folder.with_name("gone").rename(folder)


@needs_hf
def test_a_wrong_folder_or_a_prompt_that_is_too_long_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        create("winclip", backbone=f"hf:{tmp_path}/none").fit(GOOD)
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    with pytest.raises(InputError, match=r"must be a CLIP with an image and a text tower.*got 'vit'"):
        create("winclip", backbone=f"hf:{tmp_path}/vit").fit(GOOD)
    with pytest.raises(InputError, match=r"a prompt must be at most 64 tokens long, got 'a photo of a long"):
        create("winclip", backbone=f"hf:{folder}", **{**WORDS, "noun": "long" * 20}).fit(GOOD)
    with pytest.raises(InputError, match=r"scales must be at most 5, .*got \(2, 6\)"):
        create("winclip", backbone=f"hf:{folder}", scales=(2, 6)).fit(GOOD)
    (tmp_path / "words").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "words" / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(InputError, match="must have its tokenizer beside it"):
        create("winclip", backbone=f"hf:{tmp_path}/words").fit(GOOD)


@pytest.mark.parametrize("method", ["winclip", "winclip_plus"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"templates": []}, "templates must be a non-empty list of texts"),
        ({"templates": [""]}, r"templates must be texts with one \{\} in each, where the noun goes, got ''"),
        ({"normal_states": ["fine"]}, "normal_states must be texts with one"),
        ({"anomalous_states": ["{} and {}"]}, "anomalous_states must be texts with one"),
        ({"templates": ["a {} of {x}"]}, "templates must be texts with one"),
        ({"noun": " "}, "noun must be a word for the part, such as 'bottle', got ' '"),
        ({"backbone": "efficientnet-lite2"}, "backbone must be a CLIP of your own"),
    ],
)
def test_words_that_cannot_be_used_are_refused(method: str, settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        create(method, **{"backbone": "tiny-random", **settings}).fit(GOOD)


def test_the_prompts_of_the_paper_and_their_directions() -> None:
    detector = create("winclip", backbone="tiny-random", noun="cap")
    texts = detector.prompts(NORMAL)
    assert len(TEMPLATES) == 22 and len(texts) == 7 * 22 and len(set(texts)) == len(texts)
    assert "a photo of a flawless cap." in texts and "a jpeg corrupted photo of the cap without flaw." in texts
    groups = [["a", "b"], ["c"]]
    _, found = create_clip("tiny-random", groups, pretrained=True)
    alone = [create_clip("tiny-random", [[text]], pretrained=True)[1][0] for text in "abc"]
    mean = (alone[0] + alone[1]) / (alone[0] + alone[1]).norm()
    torch.testing.assert_close(found, torch.stack([mean, alone[2]]))


def test_a_window_sees_nothing_outside_and_the_peak_is_the_score() -> None:
    detector = create("winclip", "tiny").fit(GOOD)
    batch = to_batch(torch.from_numpy(np.stack(list(TEST.resized((64, 64))))))
    changed = batch.clone()
    changed[:, :, 32:] = 0.5  # the lower half: cells of rows 4 to 7
    with torch.no_grad():
        (_, _, before), (_, _, after) = detector.look(batch), detector.look(changed)
    same = (before[0] - after[0]).abs().amax(dim=(0, 2)).view(7, 7)
    assert bool((same[:3] < 1e-6).all()) and bool((same[3:] > 1e-4).all())
    scores = detector.score(TEST)
    np.testing.assert_allclose(scores.map.max(axis=(1, 2)), scores.image)


@pytest.mark.slow
def test_few_images_calibrate_it_too() -> None:
    made = amiss.fit(Images(list(GOOD)), method="winclip", preset="tiny", size=64)
    assert made.rule.name == "few_shot" and made.calibration.kind == "held out" and made.rule.n == 3
