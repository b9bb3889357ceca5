"""A version in the shadow, what people's labels are for, and what another version would have done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from amiss import load
from amiss.rules import Conformal
from tests.server.running import Running, png, start

RECIPE = "/api/v1/recipes/toy"


@pytest.fixture(scope="module")
def audited(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that draws every part for an audit."""
    folder = tmp_path_factory.mktemp("audited")
    shutil.copy(toy_model, folder)
    running = start(folder, audit=1.0)
    yield running
    assert running.stop() == 0


def judged(server: Running, seeds: range, lot: str | None = None) -> list[dict[str, Any]]:
    """Parts, every third of them defective."""
    found = []
    for seed in seeds:
        where = "recipe=toy" + ("" if lot is None else f"&lot={lot}{seed % 4}")
        reply = server.post(f"/api/v1/parts?{where}", png(seed, defective=seed % 3 == 0))
        assert reply.status == 200, reply.body
        found.append({**reply.json, "truth": "good" if seed % 3 else "defective"})
    return found


def shadow(server: Running) -> Any:
    return server.get(f"{RECIPE}/shadow").json["shadow"]


def compared(server: Running, count: int) -> dict[str, Any]:
    """What the shadow says, once it has caught up."""
    until = time.monotonic() + 60
    while (found := shadow(server))["compared"] < count and time.monotonic() < until:
        time.sleep(0.05)
    assert found["compared"] == count, found
    return dict(found)


def label(server: Running, part: str, truth: str, *, claim: bool = True) -> None:
    if claim:
        assert server.post(f"/api/v1/queue/{part}/claim").status == 200
    assert server.post(f"/api/v1/parts/{part}/labels", {"truth": truth}).status == 200


def test_a_shadow_is_compared_on_the_parts_it_disagrees_on(server: Running) -> None:
    """It has no say; people label what is disputed, blind; McNemar's test and the interval are SciPy's."""
    made = server.post(f"{RECIPE}/recalibrations", {"rule": "conformal", "alpha": "30%"}).json
    version = made["version"]
    current = server.get("/api/v1/recipes").json["recipes"][0]["current"]
    assert server.post(f"{RECIPE}/shadow", {"version": current, "reason": "x"}).status == 409
    assert server.post(f"{RECIPE}/shadow", {"version": 99, "reason": "x"}).status == 422
    assert server.post(f"{RECIPE}/shadow", {"version": version, "reason": "30 % is cheap"}).status == 200
    parts = judged(server, range(2000, 2030), "S")
    assert all(part["version"] == current for part in parts), "the shadow has no say"
    found = compared(server, len(parts))
    inspector = load(server.folder / "toy.amiss")
    strict = inspector.with_rule(Conformal(alpha=0.3)).rule.threshold
    disputed = [one for one in parts if (one["score"] > strict) != (one["label"] != "good")]
    assert disputed and found["differ"]["count"] == len(disputed) == found["unlabelled"]
    queue = server.get("/api/v1/queue?kind=disagreement&limit=100").json
    assert [one["id"] for one in queue["parts"]] == [one["id"] for one in disputed]
    assert all("label" not in one and "score" not in one for one in queue["parts"])
    for one in disputed:
        label(server, one["id"], one["truth"])
    found = shadow(server)
    assert found["labelled"] == len(disputed) and server.get("/api/v1/status").json["disagreement"] == 0
    for truth in ("good", "defective"):
        own = [one for one in disputed if one["truth"] == truth]
        right = sum((one["label"] == "good") == (truth == "good") for one in own)
        assert (found[truth]["acting_right"], found[truth]["shadow_right"]) == (right, len(own) - right)
        assert 0 < found[truth]["p_value"] <= 1 and found[truth]["lots"] in (None, len({one["lot"] for one in own}))
    won = binomtest(found["shadow_right"]["count"], len(disputed)).proportion_ci(0.95, "exact")
    assert (found["shadow_right"]["low"], found["shadow_right"]["high"]) == pytest.approx((won.low, won.high))
    asked = {"version": version, "reason": "it is right", "expected_current": current}
    assert server.post(f"{RECIPE}/deployments", asked).status == 200
    assert shadow(server) is None, "what judges is in no shadow"
    assert server.post(f"{RECIPE}/rollback", {"reason": "end of the test"}).status == 200


def test_mcnemar_is_exact_without_lots(server: Running) -> None:
    made = server.post(f"{RECIPE}/recalibrations", {"rule": "conformal", "alpha": "30%"}).json
    assert server.post(f"{RECIPE}/shadow", {"version": made["version"], "reason": "again"}).status == 200
    before = shadow(server)["compared"]
    judged(server, range(2100, 2118))
    compared(server, before + 18)
    for one in server.get("/api/v1/queue?kind=disagreement&limit=100").json["parts"]:
        label(server, one["id"], "good")  # whatever they are: what is tested is arithmetic
    good = shadow(server)["good"]
    tosses = good["acting_right"] + good["shadow_right"]
    if good["lots"] is None:
        assert good["p_value"] == pytest.approx(binomtest(good["shadow_right"], tosses).pvalue)
    assert server.post(f"{RECIPE}/shadow", {"version": None, "reason": "enough"}).status == 200
    assert shadow(server) is None and server.get("/api/v1/recipes").json["recipes"][0]["shadow"] is None


def test_labels_go_to_pools_and_the_pools_calibrate_and_certify(audited: Running) -> None:
    parts = judged(audited, range(3000, 3048))
    assert len(audited.get("/api/v1/queue?kind=audit&limit=200").json["parts"]) == len(parts)
    known, drawn = parts[:4], {one["id"] for one in parts[4:]}
    asked = {"rule": "conformal", "alpha": "20%", "scores": "audited"}
    assert audited.post(f"{RECIPE}/recalibrations", asked).status == 422, "nobody has labelled any yet"
    for one in parts:
        label(audited, one["id"], one["truth"], claim=one not in known)
    found = audited.get(f"{RECIPE}/pools").json
    by_truth = [sum(found[pool][truth] for pool in ("calibrate", "certify")) for truth in ("good", "defective")]
    wanted = [sum(one["id"] in drawn and one["truth"] == truth for one in parts) for truth in ("good", "defective")]
    assert by_truth == wanted and found["learn"] + found["defects"] == len(parts) - len(drawn)
    assert found["missing"] == max(0, found["needed"] - found["calibrate"]["good"])
    made = audited.post(f"{RECIPE}/recalibrations", asked)
    assert made.status == 201 and made.json["about"]["n"] == found["calibrate"]["good"], made.body
    trial = made.json["trial"]
    assert trial == audited.get(f"{RECIPE}/versions/{made.json['version']}/trial").json
    before, after = trial["before"], trial["after"]
    kept = [one for one in parts if one["id"] in drawn and not int(one["id"].replace("-", ""), 16) % 2]
    good = [one for one in kept if one["truth"] == "good"]
    bad = [one for one in kept if one["truth"] == "defective"]
    assert trial["left_out"] == 0
    for found, threshold in ((before, parts[0]["threshold"]), (after, made.json["about"]["threshold"])):
        alarms = sum(one["score"] > threshold for one in good)
        assert (found["false_alarms"]["count"], found["false_alarms"]["of"]) == (alarms, len(good))
        interval = binomtest(alarms, len(good)).proportion_ci(0.95, "exact")
        assert (found["false_alarms"]["low"], found["false_alarms"]["high"]) == pytest.approx(tuple(interval))
        assert found["escapes"]["of"] == len(bad)
    assert before["escapes"]["count"] == sum(one["label"] == "good" for one in bad)


@pytest.mark.slow
def test_a_shadow_outlives_a_restart(toy_model: Path, tmp_path: Path) -> None:
    shutil.copy(toy_model, tmp_path)
    running = start(tmp_path)
    running.post(f"{RECIPE}/recalibrations", {"rule": "conformal", "alpha": "30%"})
    assert running.post(f"{RECIPE}/shadow", {"version": 2, "reason": "a test"}).status == 200
    assert running.stop() == 0
    again = start(tmp_path)
    judged(again, range(1, 4))
    assert compared(again, 3)["version"] == 2
    assert again.post("/api/v1/verify").json["sound"] and again.stop() == 0
