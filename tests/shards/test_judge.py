"""`amiss evaluate` and `amiss calibrate` by many: the same figures as by one process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from amiss.inspector import Inspector
from amiss.shards import judge
from amiss.shards.run import Options
from amiss.shards.tasks import from_json, to_json
from amiss.testing import toy_part, write_images, write_mvtec
from tests.shards.toy_run import Here


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without masks; one image cannot be read."""
    folder = tmp_path_factory.mktemp("labelled")
    write_images(folder / "OK", toy_part(60, seed=11).images)
    write_images(folder / "NG", toy_part(5, seed=12, defective=True).images)
    (folder / "NG" / "broken.png").write_bytes(b"words")
    return folder


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    made: list[Here] = []

    def make(options: Options, task: object) -> Here:
        made.append(Here(from_json(to_json(task)), reverse=True))
        return made[-1]

    monkeypatch.setattr(judge, "open_pool", make)
    monkeypatch.setattr(judge, "TO_LEARN", 7)
    return made


def test_the_same_evaluation(amiss: Callable, model: Path, labelled: Path, pools: list[Here]):
    alone, many = (amiss("evaluate", model, labelled, "--json", *words) for words in ((), ("--workers", "2")))
    assert alone[0] == many[0] == 0, (alone, many)
    one, two = (json.loads(out) for _, out, _ in (alone, many))
    assert one.pop("seconds_per_image") > 0 and two.pop("seconds_per_image") > 0
    assert one == two and one["n_errors"] == 1 and one["rim_peaks"] and pools[0].count > 2


def test_the_same_calibration(amiss: Callable, model: Path, labelled: Path, pools: list[Here], tmp_path: Path):
    words = ("calibrate", model, labelled, "--rule", "conformal:10%", "--output")
    assert amiss(*words, tmp_path / "one.amiss")[0] == 0
    assert amiss(*words, tmp_path / "two.amiss", "--workers", "3")[0] == 0
    one, two = (Inspector.load(tmp_path / name) for name in ("one.amiss", "two.amiss"))
    assert one.fingerprint == two.fingerprint and one.rule.threshold == two.rule.threshold and pools[0].count > 2


def test_masks_are_measured_by_one(amiss: Callable, model: Path, pools: list[Here], tmp_path: Path):
    good, test = (toy_part(count, seed=seed).images for count, seed in ((3, 1), (4, 2)))
    write_mvtec(tmp_path / "parts", good, test, blot=toy_part(4, seed=3, defective=True))
    code, _, err = amiss("evaluate", model, tmp_path / "parts", "--workers", "2")
    assert code != 0 and "has masks" in err and "--workers" in err


def test_what_workers_refuse(amiss: Callable, model: Path, labelled: Path, pools: list[Here], monkeypatch):
    monkeypatch.setattr(judge, "say_processor", lambda: "another")
    code, _, err = amiss("evaluate", model, labelled, "--workers", "2")
    assert code != 0 and "one kind of processor" in err
