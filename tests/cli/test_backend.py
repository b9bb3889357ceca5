"""``--backend`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amiss.front import fit
from amiss.runtime import installed
from amiss.testing import toy_part, write_images


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and new parts."""
    root = tmp_path_factory.mktemp("world")
    write_images(root / "new", toy_part(3, seed=2, defective=True).images)
    fit(toy_part(20, seed=1).images, preset="tiny", size=64).save(root / "model.amiss")
    return root


@pytest.mark.parametrize("backend", ["auto", *installed()])
def test_every_backend_gives_the_same_verdicts(amiss, world, tmp_path, monkeypatch, backend):
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    code, out, _ = amiss("inspect", world / "model.amiss", world / "new", "--json", "--backend", backend)
    _, default, _ = amiss("inspect", world / "model.amiss", world / "new", "--json")
    found, wanted = ([json.loads(line) for line in text.splitlines()[:-1]] for text in (out, default))
    assert code == 0 and [one["label"] for one in found] == [one["label"] for one in wanted]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in wanted], rel=1e-4)


def test_what_auto_chose_is_said(amiss, world, tmp_path, monkeypatch):
    monkeypatch.setenv("AMISS_CACHE", str(tmp_path))
    code, out, _ = amiss("inspect", world / "model.amiss", world / "new", "--backend", "auto")
    assert code == 0 and any(f"Runtime: {name}, " in out for name in installed())


def test_an_unknown_backend_is_one_line(amiss, world):
    code, out, err = amiss("inspect", world / "model.amiss", world / "new", "--backend", "rocm")
    assert code == 2 and out == "" and "backend must be one of" in err and "got 'rocm'" in err and err.count("\n") == 1


def test_no_card_is_one_line(amiss, world):
    code, out, err = amiss("inspect", world / "model.amiss", world / "new", "--backend", "cuda")
    assert code != 0 and out == "" and "backend 'cuda'" in err and err.count("\n") == 1
