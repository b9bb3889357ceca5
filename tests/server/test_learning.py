"""A person without a terminal gets from images to a model that judges."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.running import Running, png

PATH = "/api/v1/learnings"


def begin(server: Running, recipe: str, count: int, **more: Any) -> str:
    asked = {"recipe": recipe, "method": "padim", "preset": "tiny", "size": 64, **more}
    one = server.post(PATH, asked)
    assert one.status == 201, one.body
    for seed in range(count):
        reply = server.ask("PUT", f"{PATH}/{one.json['id']}/images/part%20{seed}.png", png(seed))
        assert reply.status == 200 and reply.json["images"] == seed + 1, reply.body
    return str(one.json["id"])


def wait(server: Running, name: str, *states: str, seconds: float = 90.0) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        (found,) = [one for one in server.get(PATH).json["learnings"] if one["id"] == name]
        if found["state"] in states:
            return dict(found)
        time.sleep(0.05)
    raise AssertionError(found)


def test_from_images_to_a_model_that_judges(server: Running) -> None:
    name = begin(server, "new", 30)
    assert server.post(f"{PATH}/{name}/start").json["state"] == "running"
    assert server.post(f"{PATH}/{name}/start").status == 429
    assert server.ask("PUT", f"{PATH}/{name}/images/late.png", png(98)).status == 409
    done = wait(server, name, "done", "failed")
    assert done["state"] == "done" and done["version"] == 1, done
    assert "good part in" in done["statement"] and done["trade"][0]["alpha"] > 0
    assert server.post("/api/v1/parts?recipe=new", png(99)).status == 404, "nothing is deployed by itself"
    asked = {"version": 1, "reason": "looks right"}
    assert server.post("/api/v1/recipes/new/deployments", asked).status == 200
    assert server.post("/api/v1/parts?recipe=new", png(99)).json["recipe"] == "new"
    assert server.ask("DELETE", f"{PATH}/{name}").status == 200
    assert name not in {one["id"] for one in server.get(PATH).json["learnings"]}


def test_what_cannot_be_learned_says_why(server: Running) -> None:
    name = begin(server, "few", 0)
    assert server.post(f"{PATH}/{name}/start").status == 422
    bad = server.ask("PUT", f"{PATH}/{name}/images/x.png", b"not an image")
    assert bad.status == 422 and bad.json["accept"] is False
    assert server.ask("PUT", f"{PATH}/{name}/images/../../../../etc/x.png", png(1)).json == {"images": 1}
    (kept,) = (server.store / "learnings" / name / "images").iterdir()
    assert re.fullmatch(r"x-[0-9a-f]{12}\.png", kept.name)
    server.post(f"{PATH}/{name}/start")
    failed = wait(server, name, "failed")
    assert "image" in failed["error"]
    for wrong in ({"method": "magic"}, {"preset": "magic"}, {"rule": "magic"}, {"recipe": "../up"}, {"size": 1}):
        assert server.post(PATH, {"recipe": "r", **wrong}).status == 422, wrong


def test_methods_come_with_what_they_cost_and_without_torch_in_the_server(server: Running) -> None:
    found = server.get(f"{PATH}/methods").json["methods"]
    assert found[0]["method"] == "ensemble" and {"padim", "patchcore"} <= {one["method"] for one in found}
    assert not {"msp", "openmax", "musc"} & {one["method"] for one in found}, "they do not learn from good images alone"
    presets = {one["preset"]: one["measured"] for one in found[0]["presets"]}
    cost = presets["default"]
    assert cost["mean"] > 0.9 and cost["peak_mb"] > 0 and cost["ms_per_image"] > 0 and cost["seeds"] >= 3
    means = [max((one["measured"] or {}).get("mean") or 0 for one in each["presets"]) for each in found[1:]]
    assert means == sorted(means, reverse=True)
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libtorch" not in maps


@pytest.mark.slow
def test_it_is_cancelled_and_goes_on(server: Running) -> None:
    name = begin(server, "slow", 24, method="autoencoder")
    assert server.post(f"{PATH}/{name}/start").json["state"] == "running"
    until = time.monotonic() + 60
    while (one := server.get(PATH).json["learnings"][0])["stage"] == "":
        assert one["state"] == "running" and time.monotonic() < until, one
        time.sleep(0.05)
    assert server.post(f"{PATH}/{name}/cancel").json["state"] in ("cancelled", "done")
    server.post(f"{PATH}/{name}/resume")
    assert wait(server, name, "done", "failed", seconds=400)["state"] == "done"
