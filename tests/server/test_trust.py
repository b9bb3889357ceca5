"""A server with a trusted key: only signed models come in from outside and judge, also after a restart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from amiss import load
from amiss.rules import Fixed
from amiss.signature import new_key, sign_artefact
from tests.server.running import Running, png, start
from tests.server.test_learning import PATH, begin, wait

pytest.importorskip("cryptography")

RECIPE = "/api/v1/recipes/toy"


def signature_of(path: Path) -> str:
    """What a client sends: the file on one line."""
    return " ".join(path.read_text().split())


def promote(server: Running, recipe: str, version: int) -> str:
    """Ask that a version may judge; what is said instead."""
    reply = server.post(f"/api/v1/recipes/{recipe}/deployments", {"version": version, "reason": "a test"})
    return "" if reply.status == 200 else f"{reply.status} {reply.json['error']}"


def test_only_signed_models_come_in_and_judge(toy_model: Path, tmp_path: Path) -> None:
    private, public = new_key(tmp_path / "line.key")
    shutil.copy(toy_model, tmp_path / "toy.amiss")
    sign_artefact(tmp_path / "toy.amiss", private)
    other = tmp_path / "other.amiss"
    load(toy_model).with_rule(Fixed(-1.0)).save(other)
    server = start(tmp_path, AMISS_TRUSTED_KEY=str(public))
    unsigned = server.post(f"{RECIPE}/versions", other.read_bytes())
    assert unsigned.status == 422 and "must be signed" in unsigned.json["error"]
    assert len(server.get("/api/v1/recipes").json["recipes"][0]["versions"]) == 1

    words = signature_of(sign_artefact(other, private))
    assert server.post(f"{RECIPE}/versions", toy_model.read_bytes(), amiss_signature=words).status == 422
    added = server.post(f"{RECIPE}/versions", other.read_bytes(), amiss_signature=words)
    assert added.status == 201 and promote(server, "toy", added.json["version"]) == "", added.body

    again = server.post(f"{RECIPE}/recalibrations", {"rule": "conformal", "alpha": "10%"}).json
    assert "may not judge" in again["refused"] and again["about"]["alpha"] == 0.1
    assert promote(server, "toy", again["version"]).startswith("422 version 3 of 'toy' may not judge")

    name = begin(server, "new", 30)
    server.post(f"{PATH}/{name}/start")
    learned = wait(server, name, "done", "failed")
    assert learned["state"] == "done" and "must be signed" in learned["refused"], learned
    assert "may not judge" in promote(server, "new", learned["version"])
    assert server.stop() == 0

    server = start(tmp_path, AMISS_TRUSTED_KEY=str(public))
    assert server.post("/api/v1/parts?recipe=toy", png(1)).json["version"] == added.json["version"]
    assert server.stop() == 0
