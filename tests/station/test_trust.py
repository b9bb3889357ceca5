"""Models in a store: whose signature they need to judge, and whether they are still the ones that were recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import amiss
from amiss.core.errors import TamperedArtefactError, UntrustedArtefactError
from amiss.inspector import Inspector
from amiss.ledger.store import Store
from amiss.rules import Fixed
from amiss.signature import new_key, sign_artefact, signature_path
from amiss.station.engine import Station
from amiss.station.recipes import Recipes
from amiss.station.stored import keep_signature

pytest.importorskip("cryptography")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    return new_key(tmp_path / "line.key")


@pytest.fixture
def signed(tmp_path: Path, model: Path, keys: tuple[Path, Path]) -> Path:
    """The model, signed."""
    path = tmp_path / "toy.amiss"
    shutil.copy(model, path)
    sign_artefact(path, keys[0])
    return path


@pytest.fixture
def begun(tmp_path: Path, keys: tuple[Path, Path]) -> Callable[[], object]:
    """Begin a station on the same store, as often as asked, where only what the key has signed may judge."""

    @contextmanager
    def begin() -> Iterator[Recipes]:
        with Station(Store.make(tmp_path / "store"), cores=1, deadline=None, charts=False) as station:
            station.recipes.hold_to(lambda path: amiss.load(path, trusted_key=keys[1]))
            yield station.recipes

    return begin


def test_a_signed_model_judges_again_after_a_restart(begun, signed, keys, monkeypatch):
    monkeypatch.setenv("AMISS_TRUSTED_KEY", str(keys[1]))
    with begun() as recipes:
        recipes.deploy("toy", amiss.load(signed), reason="first", signature=signature_path(signed))
    with begun() as recipes:
        assert recipes.resume() == {} and [one.version for one in recipes.all] == [1]


def test_without_a_key_of_its_own_a_station_reads_what_it_has_stored(tmp_path, inspector, keys, monkeypatch):
    monkeypatch.setenv("AMISS_TRUSTED_KEY", str(keys[1]))
    with Station(Store.make(tmp_path / "store"), cores=1, charts=False) as station:
        station.recipes.deploy("toy", inspector, reason="first")
    with Station(Store.make(tmp_path / "store"), cores=1, charts=False) as station:
        assert station.recipes.resume() == {} and station.recipes.current("toy").version == 1


def test_a_store_of_before_takes_the_signature_of_its_model_alone(begun, tmp_path, signed, inspector, keys):
    """Stores were kept without signatures once; one of another model does not take the place of the right one."""
    store = Store.make(tmp_path / "store")
    with Station(store, cores=1, charts=False) as station:
        station.recipes.deploy("toy", inspector, reason="first")
        other = tmp_path / "other.amiss"
        inspector.with_rule(Fixed(-1.0)).save(other)
        keep_signature(store, sign_artefact(other, keys[0]))
        station.recipes.deploy("toy", inspector, reason="again", signature=signature_path(other))
    with begun() as recipes:
        assert "must be signed" in recipes.resume()["toy"]
    keep_signature(store, signature_path(signed))
    with begun() as recipes:
        assert recipes.resume() == {}


def test_another_file_in_the_store_does_not_judge(tmp_path, inspector):
    store = Store.make(tmp_path / "store")
    with Station(store, cores=1, charts=False) as station:
        station.recipes.deploy("toy", inspector, reason="first")
    stored = store.model(inspector.fingerprint)
    stored.unlink()
    inspector.with_rule(Fixed(1e9)).save(stored)  # nothing is ever anomalous
    with Station(store, cores=1, charts=False) as station:
        assert "got another one" in station.recipes.resume()["toy"] and station.recipes.all == []
        with pytest.raises(TamperedArtefactError, match="put the right file back"):
            station.recipes.version("toy", 1)


def test_what_nobody_has_signed_comes_in_from_here_alone_and_does_not_judge(begun, signed, model, inspector, keys):
    with begun() as recipes:
        with pytest.raises(UntrustedArtefactError, match="must be signed"):
            recipes.add_file("toy", model, actor="ann")
        first = recipes.add_file("toy", signed, actor="ann")
        recipes.deploy_version("toy", first.version, reason="first")
        own: Inspector = inspector.with_rule(Fixed(-1.0))  # as one that is learned or calibrated here
        second = recipes.add("toy", own).version
        assert "may not judge" in recipes.refusal("toy", second) and recipes.refusal("toy", first.version) == ""
        assert recipes.version("toy", second).fingerprint == own.fingerprint
        for refused in (recipes.deploy_version, recipes.put_in_shadow):
            with pytest.raises(UntrustedArtefactError, match=r"version 2 of 'toy' may not judge: .*must be signed"):
                refused("toy", second, reason="looks right")
        path = signed.with_name("own.amiss")
        own.save(path)
        sign_artefact(path, keys[0])
        assert recipes.add_file("toy", path, actor="ann").version == second
        assert recipes.deploy_version("toy", second, reason="signed by now").version == second
    with begun() as recipes:
        assert recipes.resume() == {} and recipes.current("toy").version == second
