"""Features by blocks on several machines, then one learns: the same bits as from one machine alone."""

import json
from pathlib import Path

import numpy as np
import pytest

import amiss
from amiss.core.errors import InputError
from amiss.features import cache
from amiss.recipe import Recipe
from amiss.shards.blocks import Shard
from amiss.shards.fill import Share, fill_cache
from amiss.testing import toy_texture, write_images

SETTINGS = {"method": "kmeans", "preset": "tiny", "size": 64, "calibration": 0.25}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A cache folder, and the name of every entry that is written to it."""
    written: list[str] = []
    write = cache.write_entry
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "write_entry", lambda path, *rest: (written.append(path.name), write(path, *rest)))
    return written


def test_the_same_bits_as_one_machine(counted: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    images = amiss.Images(list(toy_texture(41, seed=0).images))
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path / "alone"))
    alone = amiss.fit(images, **SETTINGS)
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path / "cache"))
    counted.clear()
    recipe = alone.recipe
    assert isinstance(recipe, Recipe)
    shares = [fill_cache(images, recipe, Shard(index, 3), size=7) for index in (2, 0, 1)]
    assert shares == [Share("images", count, 41) for count in (13, 14, 14)]
    assert len(counted) == len(set(counted)) == 41
    assert fill_cache(images, recipe, Shard(1, 3), size=7).done == 14 and len(counted) == 41
    together = amiss.fit(images, **SETTINGS)
    assert len(counted) == 41, "everything was there"
    assert together.parts.weights == alone.parts.weights and together.parts.graph == alone.parts.graph
    assert np.array_equal(together.score(images).map, alone.score(images).map)


def test_the_verb(amiss, counted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_images(tmp_path / "good", toy_texture(4, seed=0).images)
    words = ("fit", tmp_path / "good", "--method", "kmeans", "--preset", "tiny", "--size", "64")
    code, out, _ = amiss(*words, "--shard", "0/2")
    assert code == 0 and "4 of 4 images" in out and len(counted) == 4 and not (tmp_path / "model.amiss").exists()
    code, out, _ = amiss(*words, "--shard", "1/2", "--json")
    assert code == 0 and json.loads(out) == {"shard": "1/2", "images": 0, "of": 4}
    monkeypatch.delenv("AMISS_CACHE")
    code, _, err = amiss(*words, "--shard", "0/2")
    assert code == 2 and "got no AMISS_CACHE" in err


def test_a_method_that_keeps_nothing(counted: list[str]):
    images = amiss.Images(list(toy_texture(4, seed=0).images))
    with pytest.raises(InputError, match="got gmm, which sees each image once"):
        fill_cache(images, Recipe(method="gmm", preset="tiny", size=(64, 64)), Shard())
