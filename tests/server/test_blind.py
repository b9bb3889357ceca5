"""Labels of audited parts are blind only where they were given so, and nobody who is to label sees a verdict before."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amiss.server.desk import Desk
from amiss.server.people import Who
from tests.server.running import Running, amiss, png, start

PASSWORD = "a long password"
TELLING = {"label", "score", "threshold", "margin", "p_value", "regions", "reason", "accept", "late", "was"}


@pytest.fixture(scope="module")
def drawn(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """A server that audits every part, as asked by a person of each role and by a machine."""
    folder = tmp_path_factory.mktemp("drawn")
    shutil.copy(toy_model, folder)
    running = start(folder, audit=1.0)
    found = {}
    for role in ("operator", "engineer", "auditor"):
        amiss(folder, "serve", "person", "add", role, "--role", role, said=PASSWORD + "\n")
        found[role] = running.log_in(role, PASSWORD)
    found["inspect"] = running.bearing(amiss(folder, "serve", "token", "add", "plc", "--scope", "inspect"))
    yield found
    assert running.stop() == 0


def judged(drawn: dict[str, Running], seed: int, *, defective: bool = False) -> dict[str, Any]:
    reply = drawn["inspect"].post(f"/api/v1/parts?recipe=toy&lot=L{seed}", png(seed, defective=defective))
    assert reply.status == 200, reply.body
    return dict(reply.json)


def say(person: Running, part: dict[str, Any], truth: str, *, claim: bool = True) -> bool:
    """Label a part; whether it counts as blind."""
    if claim:
        assert person.post(f"/api/v1/queue/{part['id']}/claim").status == 200
    reply = person.post(f"/api/v1/parts/{part['id']}/labels", {"truth": truth})
    assert reply.status == 200, reply.body
    return bool(reply.json["blind"])


def estimates(drawn: dict[str, Running]) -> tuple[int, int]:
    found = drawn["auditor"].get("/api/v1/recipes/toy/estimates").json
    return found["audited"], found["not_blind"]


@pytest.mark.parametrize("role", ["operator", "engineer"])
def test_no_route_tells_a_verdict_before_the_label(drawn: dict[str, Running], role: str) -> None:
    part = judged(drawn, 500, defective=True)
    person, base = drawn[role], f"/api/v1/parts/{part['id']}"
    score = json.dumps(part["score"])
    for path in (base, "/api/v1/parts?lot=L500", "/api/v1/parts", "/api/v1/queue?kind=audit"):
        reply = person.get(path)
        rows = [reply.json] if path == base else reply.json["parts"]
        (row,) = [one for one in rows if one["id"] == part["id"]][:1]
        assert row["blind"] is True and not TELLING & set(row), path
        assert score not in reply.body.decode()
    for path in ("/api/v1/parts?label=anomalous", "/api/v1/recipes/toy/monitor"):
        body = person.get(path).body.decode()
        assert score not in body and "L500" not in body, path
    (lot,) = [one for one in person.get("/api/v1/recipes/toy/lots").json["lots"] if one["lot"] == "L500"]
    assert lot["parts"] == lot["waiting"] > 0 == lot["anomalous"] and lot["share"] is None
    assert person.get("/api/v1/recipes/toy/pareto").json["parts"] == 0
    assert sum(person.get("/api/v1/status").json["today"].values()) == 0
    assert person.get(f"{base}/overlay").status == 403
    assert drawn["auditor"].get(base).json["score"] == part["score"]
    if role == "engineer":
        rows = [one for one in person.get("/api/v1/events?limit=500").json["events"] if one["seq"] == part["seq"]]
        assert not TELLING & set(rows[0]["data"]) and rows[0]["data"]["id"] == part["id"]
    good = judged(drawn, 501)
    assert person.get(f"/api/v1/parts/{good['id']}/twin").json["id"] is None, "it would tell that a part is good"


def test_the_shadow_tells_no_verdict_either(drawn: dict[str, Running]) -> None:
    engineer, base = drawn["engineer"], "/api/v1/recipes/toy"
    made = engineer.post(f"{base}/recalibrations", {"rule": "conformal", "alpha": "30%"}).json["version"]
    assert engineer.post(f"{base}/shadow", {"version": made, "reason": "a test"}).status == 200
    part, until = judged(drawn, 505), time.monotonic() + 60
    while not (said := engineer.get("/api/v1/events?kind=compared").json["events"]) and time.monotonic() < until:
        time.sleep(0.05)
    assert said[-1]["data"]["part"] == part["id"] and not {*TELLING, "differs"} & set(said[-1]["data"])
    assert "was" in drawn["auditor"].get("/api/v1/events?kind=compared").json["events"][-1]["data"]
    assert engineer.get("/api/v1/queue?kind=disagreement").json["parts"] == [], "whoever asks there may guess"
    assert engineer.post(f"{base}/shadow", {"version": None, "reason": "enough"}).status == 200


def test_a_label_is_blind_only_from_the_queue(drawn: dict[str, Running]) -> None:
    operator, before = drawn["operator"], estimates(drawn)
    first, second = judged(drawn, 510), judged(drawn, 511)
    assert not say(operator, first, "good", claim=False), "posted by something that may know the verdict"
    assert say(operator, second, "good")
    assert estimates(drawn) == (before[0] + 1, before[1] + 1)
    assert "score" in operator.get(f"/api/v1/parts/{second['id']}").json, "once it is on disk, it may be seen"
    labels = [drawn["auditor"].get(f"/api/v1/parts/{one['id']}").json["labels"][-1] for one in (first, second)]
    assert [one["blind"] for one in labels] == [False, True]


def test_what_is_said_later_by_those_who_know_changes_no_estimate(drawn: dict[str, Running]) -> None:
    operator, engineer, part = drawn["operator"], drawn["engineer"], judged(drawn, 520)
    assert say(operator, part, "good")
    before = estimates(drawn)
    engineer.get(f"/api/v1/parts/{part['id']}")
    assert not say(engineer, part, "defective"), "the verdict was shown"
    assert estimates(drawn) == before
    say(operator, part, "withdrawn", claim=False)
    assert estimates(drawn) == (before[0] - 1, before[1])


def test_undo_stays_blind_unless_the_verdict_was_looked_at(drawn: dict[str, Running]) -> None:
    operator = drawn["operator"]
    for looks in (False, True):
        part = judged(drawn, 530 + looks)
        assert say(operator, part, "good")
        if looks:
            operator.get("/api/v1/parts?limit=5")
        operator.post(f"/api/v1/parts/{part['id']}/labels", {"truth": "withdrawn"})
        assert say(operator, part, "defective") is not looks


def test_a_copy_of_the_record_ends_blindness(drawn: dict[str, Running]) -> None:
    engineer, part = drawn["engineer"], judged(drawn, 540)
    assert engineer.get("/api/v1/export").status == 200
    assert not say(engineer, part, "good") and say(engineer, judged(drawn, 541), "good")


def test_after_a_restart_nobody_knows_who_has_seen_what() -> None:
    who = Who("ann", "operator", frozenset({"label"}))
    row = {"id": "p", "seq": 7, "audit": True, "label": "good"}
    desk = Desk("2026-01-02T00:00:00.000000Z")
    assert not desk.blind(row, who, []), "not in hand"
    desk.claim("p", "ann")
    assert desk.blind(row, who, []) and not desk.blind({**row, "audit": False}, who, [])
    assert not desk.blind(row, who, [{"at": "2026-01-01T23:00:00.000000Z"}])
    assert desk.blind(row, who, [{"at": "2026-01-02T01:00:00.000000Z"}])
    assert desk.claim("p", "bob") is None and desk.held_by_others("bob") == ["p"]
    assert not desk.show(row, None, who) and desk.show({**row, "label": "error"}, None, Who("m", "token", frozenset()))
