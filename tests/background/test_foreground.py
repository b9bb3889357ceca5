"""Part and background, from patches of normal images."""

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from sklearn.decomposition import PCA

from amiss.background.foreground import Foreground, otsu


def scene(*, part: bool, count: int = 3, seed: int = 0) -> torch.Tensor:
    """Patches (count, 12, 12, 5): a disc at another place in each, or the same everywhere."""
    rng = np.random.default_rng(seed)
    patches = rng.normal(0, 0.3, (count, 12, 12, 5))
    rows, columns = np.mgrid[:12, :12]
    for number in range(count if part else 0):
        disc = (rows - 5 - number % 2) ** 2 + (columns - 6) ** 2 < 12
        patches[number, disc] += (3, -2, 0, 1, 0)
    return torch.from_numpy(patches).float()


def test_the_part_is_what_the_first_axis_divides_and_one_cell_around_it() -> None:
    patches = scene(part=True)
    found = Foreground(5)
    found.learn(patches)
    assert bool(found.told)
    flat = patches.flatten(0, 2).numpy()
    along = PCA(1).fit_transform(flat)[:, 0].reshape(3, 12, 12)
    along = along if along[:, 5, 6].mean() > 0 else -along
    groups = along > otsu(along.ravel())
    wanted = np.stack([binary_dilation(group, np.ones((3, 3))) for group in groups])
    np.testing.assert_array_equal(found(patches).bool().numpy(), wanted)
    new = scene(part=True, count=1, seed=9)
    assert found(new)[0, 0, 0] == 0 and found(new)[0, 5, 6] == 1


def test_where_no_background_can_be_told_everything_counts() -> None:
    found = Foreground(5)
    found.learn(scene(part=False))
    assert not bool(found.told) and bool((found(scene(part=True)) == 1).all())


def test_otsu_by_trying_every_split() -> None:
    values = np.random.default_rng(0).normal([0.0] * 30 + [4.0] * 20, 1.0)
    ordered = np.sort(values)
    cost = [k * ordered[:k].var() + (50 - k) * ordered[k:].var() for k in range(1, 50)]
    best = int(np.argmin(cost)) + 1
    assert otsu(values) == (ordered[best - 1] + ordered[best]) / 2
