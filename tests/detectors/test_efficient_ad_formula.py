"""EfficientAD against plain NumPy, layer shapes of the paper, and what takes part in training."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch.utils.flop_counter import FlopCounterMode

from amiss.core.errors import InputError
from amiss.core.images import Images
from amiss.detectors.detector import TorchScorer, to_batch
from amiss.detectors.student_teacher.efficient_ad import EfficientAD, _draw, hardest, jitter
from amiss.export import export_onnx
from amiss.features.patch_network import PatchNetwork
from amiss.runtime import Graph
from amiss.statistics.reduce import place_patches
from amiss.testing import toy_part, toy_texture

TINY = EfficientAD.card.presets["tiny"]
QUICK = {**TINY, "penalty": "none", "steps": 10}


@pytest.fixture(scope="module")
def detector() -> EfficientAD:
    return EfficientAD(**TINY).fit(toy_texture(16, seed=0).images)


def stack(images: Images) -> np.ndarray:
    """(N, 3, H, W) in [0, 1], float64."""
    return np.stack(list(images)).transpose(0, 3, 1, 2) / 255


def plain_network(x: np.ndarray, network: PatchNetwork) -> np.ndarray:
    """Convolution, ReLU, mean of 2 x 2, one plane at a time, with SciPy."""
    x = (x - 0.5) / 0.25
    last = len(network.convolutions) - 1
    for number, layer in enumerate(network.convolutions):
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        x = np.stack([sum(correlate2d(x[c], one[c], mode="valid") for c in range(len(x))) for one in weight])
        x = x + bias[:, None, None]
        x = x if number == last else np.maximum(x, 0)
        if number < 2:
            h, w = x.shape[1] // 2, x.shape[2] // 2
            x = x[:, : 2 * h, : 2 * w].reshape(len(x), h, 2, w, 2).mean(axis=(2, 4))
    return x


def plain_grids(detector: EfficientAD, x: np.ndarray) -> np.ndarray:
    """Both maps (2, h, w) of one image, without a scale; the autoencoder has a formula test of its own."""
    mean, spread = (v.double().numpy()[:, None, None] for v in detector.standardising.state_dict().values())
    answers = (plain_network(x, detector.frozen) - mean) / spread
    first, second = np.split(plain_network(x, detector.student), 2)
    with torch.no_grad():
        pixels = torch.from_numpy((x - 0.5) / 0.25).float()[None]
        coded = detector.autoencoder(pixels, answers.shape[1:])[0].double().numpy()
    return np.stack([((answers - first) ** 2).mean(axis=0), ((coded - second) ** 2).mean(axis=0)])


def plain_map(detector: EfficientAD, x: np.ndarray) -> np.ndarray:
    """Batzner et al., section 3.4; each score at the middle of its 21 x 21 pixels, linear between."""
    low, high = detector.low.numpy(), detector.high.numpy()
    grid = sum(0.1 * (m - a) / (b - a) for m, a, b in zip(plain_grids(detector, x), low, high, strict=True)) / 2
    for axis, side in enumerate(x.shape[1:]):
        middles = 4 * np.arange(grid.shape[axis]) + 10
        grid = np.apply_along_axis(lambda line, m=middles, s=side: np.interp(np.arange(s), m, line), axis, grid)
    return grid


@pytest.mark.parametrize("size", [(64, 64), (63, 97)])
def test_map_equals_the_formula(detector: EfficientAD, size: tuple[int, int]) -> None:
    """Also at a size that was not learned."""
    test = toy_texture(2, seed=1, defective=True).images.resized(size)
    wanted = np.stack([plain_map(detector, x) for x in stack(test)])
    np.testing.assert_allclose(detector.score(test).map, wanted, atol=1e-4 * np.abs(wanted).max())


def test_losses_equal_the_formula(detector: EfficientAD) -> None:
    detector.eval()
    images, other = stack(toy_texture(2, seed=1).images), stack(toy_part(2, seed=1).images)
    jittered = np.clip(images * 1.1, 0, 1)
    channels = detector.frozen.channels
    mean, spread = (v.double().numpy()[:, None, None] for v in detector.standardising.state_dict().values())
    answers = np.stack([(plain_network(x, detector.frozen) - mean) / spread for x in images])
    hard = []
    for x, wanted in zip(images, answers, strict=True):
        errors = (wanted - plain_network(x, detector.student)[:channels]) ** 2
        hard.append(errors[errors >= np.quantile(errors, detector.p_hard)].mean())
    grids = np.stack([plain_grids(detector, x) for x in jittered])
    with torch.no_grad():
        pixels = torch.from_numpy((jittered - 0.5) / 0.25).float()
        coded = detector.autoencoder(pixels, answers.shape[2:]).double().numpy()
        found = detector.loss(*(torch.from_numpy(a).float() for a in (images, answers, jittered)))
        penalty = detector.penalty_loss(torch.from_numpy(other).float())
    rebuilt = np.mean(
        [((plain_network(x, detector.frozen) - mean) / spread - c) ** 2 for x, c in zip(jittered, coded, strict=True)]
    )
    assert float(found) == pytest.approx(np.mean(hard) + rebuilt + grids[:, 1].mean(), rel=1e-5)
    predicted = np.stack([plain_network(x, detector.student)[:channels] for x in other])
    assert float(penalty) == pytest.approx((predicted**2).mean(), rel=1e-5)


@pytest.mark.parametrize("p_hard", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("elements", [1, 2, 999, 1000, 1001, 4096])
def test_the_hardest_are_those_that_reach_the_quantile(p_hard: float, elements: int) -> None:
    errors = np.random.default_rng(0).random((3, elements))
    wanted = np.mean([one[one >= np.quantile(one, p_hard)].mean() for one in errors])
    assert float(hardest(torch.from_numpy(errors), p_hard)) == pytest.approx(wanted, rel=1e-12)


def test_the_hardest_of_more_elements_than_torch_can_take_a_quantile_of() -> None:
    errors = torch.arange(2**24 + 1, dtype=torch.float64)
    with pytest.raises(RuntimeError):
        torch.quantile(errors, 0.999)
    count = len(errors) - math.ceil(0.999 * (len(errors) - 1))
    assert float(hardest(errors[None], 0.999)) == pytest.approx(float(errors[-count:].mean()), rel=1e-12)


def test_only_the_hardest_have_a_gradient() -> None:
    errors = torch.rand(2, 5, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    hardest(errors, 0.9).backward()
    assert (errors.grad != 0).flatten(1).sum(dim=1).tolist() == [5, 5]


def test_jitter_is_one_of_three_formulas() -> None:
    rng = np.random.default_rng(0)
    batch = np.random.default_rng(1).random((60, 3, 4, 5))
    found = jitter(torch.from_numpy(batch), rng).numpy()
    again = np.random.default_rng(0)
    kinds, factors = again.integers(3, size=60), again.uniform(0.8, 1.2, 60)
    assert set(kinds) == {0, 1, 2}
    for x, y, kind, factor in zip(batch, found, kinds, factors, strict=True):
        grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
        wanted = [factor * x, grey.mean() + factor * (x - grey.mean()), grey + factor * (x - grey)][kind]
        np.testing.assert_allclose(y, np.clip(wanted, 0, 1), atol=1e-6)


class Watched(EfficientAD):
    """Notes the images of every gradient step."""

    def loss(self, images: torch.Tensor, *others: object) -> torch.Tensor:
        self.seen |= {one.numpy().tobytes() for one in images}
        return super().loss(images, *others)


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (9, 1), (20, 2), (26, 3)])
def test_held_out_images_fix_the_scale_and_nothing_else(count: int, held_out: int) -> None:
    images = toy_texture(count, seed=0).images
    detector = Watched(**{**QUICK, "steps": 60, "batch": 4})
    detector.seen = set()
    detector.fit(images)
    batch = to_batch(torch.from_numpy(np.stack(list(images))))
    in_training = np.array([one.numpy().tobytes() in detector.seen for one in batch])
    assert (~in_training).sum() == held_out, "the rest were drawn in these many steps"
    kept, aside = batch[in_training], batch[~in_training]
    with torch.no_grad():
        local, overall = detector.differences(aside).numpy()
        answers = detector.frozen(kept)
    for number, cells in enumerate((local, overall)):
        low, high = np.quantile(cells, [0.9, 0.995])
        assert float(detector.low[number]) == pytest.approx(low, rel=1e-4)
        assert float(detector.high[number]) == pytest.approx(high, rel=1e-4)
    np.testing.assert_allclose(detector.standardising.mean, answers.mean(dim=(0, 2, 3)), atol=1e-4)
    variance = answers.double().var(dim=(0, 2, 3))
    np.testing.assert_allclose(detector.standardising.spread, (variance + 1e-3 * variance.mean()).sqrt(), rtol=1e-3)


def test_one_image_is_refused_and_images_without_variation_too() -> None:
    with pytest.raises(InputError, match="at least 2"):
        EfficientAD(**QUICK).fit(toy_part(1, seed=0).images)
    with pytest.raises(InputError, match="without any variation"):
        EfficientAD(**QUICK).fit(Images([np.full((64, 64, 3), 90, np.uint8)] * 4, size=(64, 64)))
    with pytest.raises(InputError, match="at least 21 x 21"):
        EfficientAD(**QUICK).fit(toy_part(3, seed=0).images.resized((20, 64)))


def test_one_cell_has_a_scale() -> None:
    """Images as small as a patch: the map of the held-out one is a single cell, whose quantiles are equal."""
    images = toy_texture(4, seed=0).images.resized((33, 33))
    one = EfficientAD(**{**QUICK, "variant": "xs", "steps": 2}).fit(images)
    assert (one.high > one.low).all()
    assert np.isfinite(one.score(images).image).all()


@pytest.mark.parametrize(("variant", "patch"), [("tiny", 21), ("xs", 33), ("s", 33)])
def test_a_cell_stands_in_the_middle_of_the_pixels_it_sees(variant: str, patch: int) -> None:
    one = EfficientAD(variant=variant, teacher="random")
    one.build(pretrained=True)
    pixels = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
    one.frozen(pixels)[0, :, 3, 5].sum().backward()
    rows, columns = torch.nonzero(pixels.grad[0].abs().sum(dim=0), as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (12, 12 + patch - 1)
    assert (int(columns.min()), int(columns.max())) == (20, 20 + patch - 1)
    grid = torch.zeros(1, *one.frozen(pixels).shape[2:])
    grid[0, 3, 5] = 1
    peak = place_patches(grid, (64, 80), patch=one.frozen.patch, stride=one.frozen.stride).argmax()
    assert divmod(int(peak), 80) == (12 + patch // 2, 20 + patch // 2)


def test_peaks_lie_on_the_defects(detector: EfficientAD) -> None:
    """Each within two cells of 4 pixels, and on average within half a cell."""
    offsets = []
    for row, column in [(20, 20), (20, 43), (27, 34), (34, 27), (41, 22), (43, 43)]:
        pixels = np.stack(list(toy_texture(8, seed=row).images))
        pixels[:, row - 1 : row + 2, column - 1 : column + 2] = 255
        maps = detector.score(Images(pixels, size=(64, 64))).map
        offsets += [np.subtract(np.unravel_index(one.argmax(), one.shape), (row, column)) for one in maps]
    assert np.abs(offsets).max() <= 8
    assert np.abs(np.mean(offsets, axis=0)).max() < 2


def test_a_defect_at_the_border_is_seen_and_the_frame_repeats_its_score(detector: EfficientAD) -> None:
    normal = toy_texture(16, seed=4).images
    pixels = np.stack(list(toy_texture(8, seed=5).images))
    pixels[:, :8, 28:36] = 255
    found = detector.score(Images(pixels, size=(64, 64)))
    assert found.image.min() > detector.score(normal).image.max()
    assert np.median(found.map.argmax(axis=1).min(axis=1)) <= 10
    np.testing.assert_array_equal(found.map[:, :10], np.repeat(found.map[:, 10:11], 10, axis=1))


def test_a_calm_image_keeps_its_score(detector: EfficientAD) -> None:
    """The frame is no floor: the score of an image is the largest score of its patches, below 0 too."""
    calm = EfficientAD(**TINY)
    calm.load_state({**detector.state_dict(), "low": detector.high, "high": 2 * detector.high})
    scores = calm.score(toy_texture(8, seed=6).images).image
    assert scores.max() < 0.1
    assert len(np.unique(scores)) == 8
    assert (scores < 0).any()


PAPER = {
    "s": [(128, 3, 4), (256, 128, 4), (256, 256, 3), (384, 256, 4)],
    "m": [(256, 3, 4), (512, 256, 4), (512, 512, 1), (512, 512, 3), (384, 512, 4), (384, 384, 1)],
}


@pytest.mark.parametrize(("variant", "millions", "gigaflop"), [("s", 8, 76), ("m", 21, 235)])
def test_the_paper_s_layers_parameters_and_arithmetic(variant: str, millions: int, gigaflop: int) -> None:
    """Batzner et al., tables 6 to 8; the students' last layers are twice as wide, both of them in the medium one."""
    one = EfficientAD(variant=variant, teacher="random")
    one.build(pretrained=True)
    shapes = [tuple(layer.weight.shape[:3]) for layer in one.frozen.convolutions]
    assert shapes == PAPER[variant]
    wide = [tuple(2 * n if n == 384 else n for n in shape) for shape in shapes]
    assert [tuple(layer.weight.shape[:3]) for layer in one.student.convolutions] == wide
    assert one.autoencoder.smooth.out_channels == 64
    assert round(sum(p.numel() for p in one.parameters()) / 1e6) == millions
    one = one.to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        one.differences(torch.zeros(1, 3, 256, 256, device="meta"))
    assert round(counter.get_total_flops() / 1e9) == gigaflop


def test_the_small_variant_is_narrower() -> None:
    one = EfficientAD(teacher="random")
    one.build(pretrained=True)
    assert [layer.out_channels for layer in one.student.convolutions] == [32, 64, 128, 96]
    assert sum(p.numel() for p in one.parameters()) < 1e6


@pytest.mark.parametrize(("variant", "shared"), [("xs", 3), ("m", 4)])
def test_the_student_starts_with_the_teacher_s_layers(variant: str, shared: int) -> None:
    """All that are as wide; the last answers 0, the mean. A random start shares none."""
    one = EfficientAD(variant=variant, teacher="random")
    one.build(pretrained=True)
    pairs = list(zip(one.student.convolutions, one.frozen.convolutions, strict=True))
    assert all(torch.equal(mine.weight, known.weight) for mine, known in pairs[:shared])
    assert len(pairs) in (shared + 1, shared + 2)
    assert not one.student(torch.rand(1, 3, 40, 40)).any()
    one = EfficientAD(variant=variant, teacher="random", start="random")
    one.build(pretrained=True)
    assert not any(
        torch.equal(mine.weight, known.weight)
        for mine, known in zip(one.student.convolutions, one.frozen.convolutions, strict=True)
    )
    assert one.student(torch.rand(1, 3, 40, 40)).any()


def test_strangers_come_from_a_folder(tmp_path: Path) -> None:
    """Resized to twice the normal images, cut to the middle, 30 % of them grey."""
    ramp = np.zeros((100, 300, 3), np.uint8)
    ramp[:, :, 0] = np.linspace(0, 255, 300)
    cv2.imwrite(str(tmp_path / "a.png"), ramp[:, :, ::-1])
    one = EfficientAD(**{**QUICK, "penalty": str(tmp_path)})
    strangers = one._strangers(toy_part(2, seed=0).images, np.random.default_rng(0))
    assert strangers.size == (128, 128)
    drawn = _draw(strangers, 400, (64, 64), np.random.default_rng(0)).numpy()
    middle = cv2.resize(ramp, (128, 128), interpolation=cv2.INTER_AREA)[32:96, 32:96, 0] / 255
    grey = np.abs(drawn[:, 0] - drawn[:, 1]).max(axis=(1, 2)) < 1e-6
    assert 90 < grey.sum() < 150
    np.testing.assert_allclose(drawn[~grey][0][0], middle, atol=0.02)
    np.testing.assert_allclose(drawn[grey][0][2], 0.299 * middle, atol=0.02)
    assert np.isfinite(one.fit(toy_part(4, seed=0).images).score(toy_part(1, seed=1).images).image).all()


def test_strangers_are_kept_small() -> None:
    """With the penalty the student says less on procedural images than without."""
    images, sizes = toy_texture(8, seed=0).images, []
    for penalty in ("procedural", "none"):
        one = EfficientAD(**{**TINY, "penalty": penalty}).fit(images)
        strangers = EfficientAD(**TINY)._strangers(images, np.random.default_rng(9))
        with torch.no_grad():
            sizes.append(float(one.penalty_loss(_draw(strangers, 16, (64, 64), np.random.default_rng(0)))))
    assert sizes[0] < 0.7 * sizes[1]


def test_graph_equals_torch_at_an_odd_size() -> None:
    size = (63, 97)
    one = EfficientAD(**QUICK).fit(toy_texture(4, seed=0).images.resized(size))
    pixels = np.stack(list(toy_texture(3, seed=1, defective=True).images.resized(size)))
    found, wanted = Graph(export_onnx(one, size)).run(pixels).map, TorchScorer(one, size).run(pixels).map
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_penalty_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no/such/folder"):
        EfficientAD(**{**QUICK, "penalty": "no/such/folder"}).fit(toy_part(2, seed=0).images)
