"""One fit by many, or by shares of a job array: the same bits as from one process."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import amiss
from amiss.core.errors import DataError, InputError
from amiss.detectors import by_blocks
from amiss.front import fit_recipe
from amiss.inspector import Inspector
from amiss.recipe import Recipe
from amiss.record import Component
from amiss.shards import crew as crews
from amiss.shards.blocks import Block, Shard
from amiss.shards.crew import Data, crew
from amiss.shards.fill import Share, fill_cache
from amiss.shards.run import Options
from amiss.shards.tasks import Answer, from_json, to_json
from amiss.testing import toy_texture, write_images
from tests.shards.toy_run import Here

COUNT, RULE = 30, Component.of(amiss.Conformal(0.2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good")
    write_images(path, toy_texture(COUNT, seed=0).images)
    return path


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    """Small blocks, and workers in this process, which are told of everything as text."""
    made: list[Here] = []

    def make(options: Options, task: object) -> Here:
        made.append(Here(from_json(to_json(task)), reverse=True))
        return made[-1]

    monkeypatch.setattr(by_blocks, "BLOCK", 8)
    monkeypatch.setattr(crews, "open_pool", make)
    return made


def recipe(method: str, **values: object) -> Recipe:
    return Recipe(**{"method": method, "preset": "tiny", "size": (64, 64), "calibration": 0.2, "rule": RULE, **values})


def alone(folder: Path, asked: Recipe) -> Inspector:
    return fit_recipe(amiss.Images(folder), asked)


def together(folder: Path, asked: Recipe) -> Inspector:
    images = amiss.Images(folder)
    with crew(Data(str(folder)), images, asked, Options("local", 2)) as found:
        return fit_recipe(images, asked, rate=found.rate)


def same(one: Inspector, two: Inspector) -> bool:
    equal = one.parts.weights == two.parts.weights and one.parts.graph == two.parts.graph
    return equal and one.rule.threshold == two.rule.threshold and one.rule.n == two.rule.n


SLOW = pytest.mark.slow


@pytest.mark.parametrize("method", ["mvg", pytest.param("ensemble", marks=SLOW), pytest.param("kmeans", marks=SLOW)])
def test_the_same_bits_by_many(folder: Path, pools: list[Here], method: str):
    """Sums; several members, each twice; features on disk. Scores to calibrate on come from workers too."""
    wanted, found = alone(folder, recipe(method)), together(folder, recipe(method))
    assert same(wanted, found)
    assert pools[0].count == {"mvg": 3 + 1, "ensemble": 2 * 2 + 2 * 3 + 1, "kmeans": 1 + 1}[method]
    assert "AMISS_CACHE" not in os.environ


@SLOW
def test_tiles_by_many(folder: Path, pools: list[Here]):
    asked = recipe("mvg", size=None, tile=32, overlap=0)
    assert same(alone(folder, asked), together(folder, asked)) and pools[0].count > 10


@SLOW
def test_a_driver_that_goes_on(folder: Path, pools: list[Here], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What lies in AMISS_CACHE is not done again, unless it is damaged; a block that fails is named."""
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    take = Here.take

    def failing(self: Here) -> tuple[Block, Answer]:
        block, answer = take(self)
        return (block, Answer("lost")) if block.number == 1 else (block, answer)

    monkeypatch.setattr(Here, "take", failing)
    with pytest.raises(DataError, match=r"1 blocks failed three times \(block 1: lost\)"):
        together(folder, recipe("pca"))
    monkeypatch.setattr(Here, "take", take)
    files = sorted(tmp_path.glob("blocks-*/*"))
    assert len(files) == 3, "its file is there: the answer was lost, not the work"
    files[0].write_bytes(files[0].read_bytes()[:-50])
    files[1].unlink()
    found = together(folder, recipe("pca"))
    assert pools[1].count == 1 + 1, "one block, and the scores"
    assert same(alone(folder, recipe("pca")), found)


@SLOW
def test_shares_of_a_job_array(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Nothing is gathered by the fit that comes last; another list of images finds nothing."""
    monkeypatch.setattr(by_blocks, "BLOCK", 8)
    asked, images = recipe("ensemble"), amiss.Images(folder)
    wanted = alone(folder, asked)
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    shares = [fill_cache(images, asked, Shard(index, 2)) for index in (1, 0)]
    assert shares == [Share("blocks", 4, 10), Share("blocks", 6, 10)]
    gathered: list[range] = []
    gather = by_blocks.gather_one
    monkeypatch.setattr(by_blocks, "gather_one", lambda *given: (gathered.append(given[2]), gather(*given))[1])
    assert same(wanted, alone(folder, asked)) and not gathered
    fit_recipe(images.subset(range(29)), asked)
    assert gathered


def test_one_block_is_not_shared(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, amiss: Callable):
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    code, out, _ = amiss("fit", folder, "--method", "pca", "--preset", "tiny", "--size", "64", "--shard", "0/2")
    assert code == 0 and "are one block" in out
    code, _, err = amiss("fit", folder, "--shard", "0/2", "--workers", "2")
    assert code == 2 and "--shard must come without" in err


def test_what_cannot_be_shared(folder: Path, pools: list[Here], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(InputError, match="got gmm, which sees each image once"):
        together(folder, recipe("gmm"))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    with (
        pytest.raises(InputError, match="a folder that all nodes share"),
        crew(Data(str(folder)), amiss.Images(folder), recipe("pca"), Options("ray")),
    ):
        pass
    monkeypatch.setattr(crews, "say_processor", lambda: "another")
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(DataError, match="one kind of processor"):
        together(folder, recipe("pca"))


@SLOW
def test_the_verb(folder: Path, pools: list[Here], amiss: Callable, tmp_path: Path):
    words = (
        "fit",
        folder,
        "--method",
        "padim",
        "--preset",
        "tiny",
        "--size",
        "64",
        "--rule",
        "conformal:20%",
        "--calibration",
        "20%",
        "--json",
    )
    code, out, err = amiss(*words, "--workers", "2", "--output", tmp_path / "many.amiss")
    assert code == 0, err
    assert amiss(*words, "--output", tmp_path / "one.amiss")[0] == 0
    found = [Inspector.load(tmp_path / name) for name in ("many.amiss", "one.amiss")]
    assert same(*found) and json.loads(out)["learned_from"] == 24 and pools[0].count == 3 + 1
