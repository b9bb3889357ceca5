"""Images that Amiss draws: what each texture promises, leaves on top of each other, and images on demand."""

import numpy as np
import pytest
from scipy import stats

from amiss.core.errors import InputError
from amiss.synthesis.colours import draw_colours, noise_canvas, paint
from amiss.synthesis.dead_leaves import Leaves, draw_leaves, lay, power_law
from amiss.synthesis.images import ProceduralImage, procedural_images
from amiss.synthesis.textures import SHARES, TEXTURES, draw_texture


@pytest.mark.parametrize("texture", TEXTURES, ids=lambda texture: texture.__name__)
@pytest.mark.parametrize("size", [(64, 64), (45, 83)])
def test_textures(texture, size) -> None:
    spread = []
    for seed in range(12):
        field = texture(size, np.random.default_rng(seed))
        assert field.shape == size and field.dtype == np.float32
        assert field.min() >= 0 and field.max() <= 1
        spread.append(field.std())
        assert np.array_equal(field, texture(size, np.random.default_rng(seed)))
    assert np.median(spread) > 0.05


def test_shares_and_combinations() -> None:
    assert SHARES.sum() == pytest.approx(1)
    for seed in range(30):
        field = draw_texture((48, 48), np.random.default_rng(seed))
        assert field.shape == (48, 48) and 0 <= field.min() <= field.max() <= 1


def test_colours_go_together() -> None:
    rng = np.random.default_rng(0)
    means = np.stack([draw_colours(40, rng).mean(axis=0) for _ in range(400)])
    correlation = np.corrcoef(means.T)
    assert correlation[np.triu_indices(3, 1)].min() > 0.4  # brightness is what varies most
    canvas = noise_canvas((20, 30), rng)
    assert canvas.shape == (20, 30, 3) and canvas.dtype == np.float32


def test_paint_interpolates_a_palette() -> None:
    field = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    colours = np.array([[0, 0, 0], [255, 51, 0]], np.float32)
    painted = paint(field, np.random.default_rng(0), colours=colours)
    np.testing.assert_allclose(painted[:, :, 0], np.floor(field * 255), atol=1e-3)
    np.testing.assert_allclose(painted[:, :, 1], np.floor(field * 255) / 5, atol=1e-3)


def test_radii_follow_the_power_law() -> None:
    radii = power_law(4000, 2.0, 30.0, np.random.default_rng(1))

    def cumulative(r):  # the integral of r^-3 from 2 to r, over that to 30
        return (2.0**-2 - r**-2) / (2.0**-2 - 30.0**-2)

    assert stats.kstest(radii, cumulative).pvalue > 0.01


def test_the_last_leaf_lies_on_top_and_what_is_below_is_not_changed() -> None:
    below = np.full((60, 60, 3), 100, np.float32)
    plain = Leaves(count=300, smallest=8, largest=9, corners=(24, 24), shade=0, shadow=0)
    above = lay(below, plain, [], np.random.default_rng(0))
    assert (below == 100).all() and above.shape == below.shape
    colours = np.unique(above.reshape(-1, 3), axis=0, return_counts=True)
    assert colours[1].max() > 80  # leaves of one colour, whole or cut
    shaded = Leaves(count=5, smallest=8, largest=20, corners=(3, 5), shade=0.5, shadow=0.5)
    cut = lay(below, shaded, [np.full((60, 60, 3), 200, np.float32)], np.random.default_rng(3))
    assert not np.array_equal(cut, below) and np.isfinite(cut).all()
    assert 4 <= draw_leaves((60, 60), np.random.default_rng(0)).count <= 350


def test_an_image_depends_on_seed_and_number_alone() -> None:
    state = np.random.get_state()[1].copy()
    few, many = procedural_images(3, (48, 64), seed=5), procedural_images(1000, (48, 64), seed=5)
    backwards = [many[index] for index in (2, 1, 0)][::-1]
    for index in range(3):
        assert np.array_equal(few[index], backwards[index])
        assert np.array_equal(few[index], ProceduralImage(index, (48, 64), 5).read())
    assert few[0].shape == (48, 64, 3) and few[0].dtype == np.uint8
    assert not np.array_equal(few[0], few[1])
    assert not np.array_equal(few[0], procedural_images(1, (48, 64), seed=6)[0])
    assert few.names[2] == "procedural image 2 of seed 5"
    assert np.array_equal(np.random.get_state()[1], state)


def test_images_are_of_many_kinds() -> None:
    images = [image.astype(float) for image in procedural_images(80, (64, 64), seed=1)]
    brightness = np.array([image.mean() for image in images])
    contrast = np.array([image.std() for image in images])
    grey = np.array([np.abs(image - image.mean(axis=2, keepdims=True)).max() < 1 for image in images])
    edges = np.array([np.abs(np.diff(image, axis=1)).mean() / image.std() for image in images])
    assert brightness.min() < 70 and brightness.max() > 185
    assert contrast.min() > 3 and contrast.max() > 55  # none is empty
    assert 0.05 < grey.mean() < 0.7
    assert edges.max() > 8 * edges.min()  # blurred and sharp


def test_impossible_orders() -> None:
    with pytest.raises(InputError, match="count"):
        procedural_images(0)
    with pytest.raises(InputError, match="seed"):
        procedural_images(1, seed=-1)
