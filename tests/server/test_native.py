"""The native API of a real server: parts, labels, versions, quarantines, the record."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from amiss import load
from amiss.core.verdict import Label
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.server.answers import answer_of
from amiss.station.jobs import Job, Ticket
from tests.server.running import Running, png


def post(server: Running, data: bytes, where: str = "recipe=toy", **headers: str) -> dict:
    reply = server.post(f"/api/v1/parts?{where}", data, **headers)
    assert reply.status == 200, reply.body
    return reply.json


def test_a_verdict_is_that_of_the_inspector_and_is_on_disk(server: Running, toy_model: Path) -> None:
    inspector = load(toy_model)
    for seed, defective in ((50, False), (51, True)):
        found = post(server, png(seed, defective=defective), f"recipe=toy&serial=S{seed}&lot=L1")
        (server.folder / "one.png").write_bytes(png(seed, defective=defective))
        (wanted,) = inspector.inspect([server.folder / "one.png"])
        assert (found["label"], found["score"]) == (str(wanted.label), wanted.score)
        assert found["accept"] is (found["label"] == "good")
        assert found["margin"] == found["score"] - found["threshold"] and found["n"] == inspector.rule.n
        shown = server.get(f"/api/v1/parts/{found['id']}").json
        assert (shown["serial"], shown["score"], shown["accept"]) == (f"S{seed}", found["score"], found["accept"])
        with Store.open(server.store).reading() as engine:
            event = next(Reader(engine, Store.open(server.store)).events(after=found["seq"] - 1))
        assert event.hash == found["hash"] and event.data["id"] == found["id"]


def test_a_key_belongs_to_one_image(server: Running) -> None:
    first = post(server, png(60), idempotency_key="k")
    again = post(server, png(60), idempotency_key="k")
    assert again["id"] == first["id"] and again["hash"] == first["hash"]
    other = server.post("/api/v1/parts?recipe=toy", png(61), idempotency_key="k")
    assert other.status == 409 and other.json["accept"] is False and "one image" in other.json["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/api/v1/parts?recipe=toy", b"not an image", 422, "not a PNG"),
        ("/api/v1/parts?recipe=toy", png(1)[:200], 422, ""),
        ("/api/v1/parts?recipe=toy", b"", 422, "got none"),
        ("/api/v1/parts?recipe=other", png(1), 404, "got 'other'"),
        ("/api/v1/parts", png(1), 422, "recipe"),
        ("/api/v1/parts/nobody/labels", {"truth": "good"}, 404, "part must be"),
        ("/api/v1/parts/nobody/labels", {"truth": "lovely"}, 422, "truth"),
        ("/api/v1/parts/nobody/labels", {"truth": "good", "more": 1}, 422, "more"),
        ("/api/v1/recipes/toy/deployments", {"version": 99, "reason": "x"}, 422, "version must be one"),
        ("/api/v1/recipes/toy/rollback", {"reason": "x"}, 422, "must have had another version"),
        ("/api/v1/recipes/toy/versions", b"PK not a model", 422, ""),
        ("/api/v1/recipes/toy/recalibrations", {"rule": "guess"}, 422, "rule"),
        ("/api/v1/quarantines", {"recipe": "toy", "reason": "x"}, 422, "first or lots"),
        ("/api/v1/quarantines", {"recipe": "none", "first": 1, "reason": "x"}, 404, "recipe must be"),
        ("/api/v1/nothing", {}, 404, ""),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_never_accept(
    server: Running, path: str, body: object, status: int, words: str
) -> None:
    reply = server.post(path, body)
    assert reply.status == status, reply.body
    assert reply.json["accept"] is False and words in reply.json["error"] and reply.json["id"]


def test_an_unusable_image_is_a_verdict_too(server: Running) -> None:
    reply = server.post("/api/v1/parts?recipe=toy&serial=BAD", b"\x89PNG broken")
    assert reply.status == 422 and reply.json["label"] == "error" and reply.json["seq"] > 0
    assert server.get("/api/v1/parts/BAD").json["reason"] == reply.json["reason"]


def test_lists_go_page_by_page(server: Running) -> None:
    for seed in range(70, 75):
        post(server, png(seed), "recipe=toy&lot=PAGED")
    seen, before = [], ""
    while True:
        page = server.get(f"/api/v1/parts?lot=PAGED&limit=2{before}").json
        seen += [part["seq"] for part in page["parts"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)
    assert server.get("/api/v1/parts?limit=201").status == 422
    assert server.get("/api/v1/parts?since=soon").status == 422


def test_a_person_says_what_is_true_and_takes_it_back(server: Running) -> None:
    seed, found = 100, {"label": ""}
    while found["label"] != "review":
        seed += 1
        found = post(server, png(seed))
    left = server.get("/api/v1/queue").json["left"]
    path = f"/api/v1/parts/{found['id']}/labels"
    assert server.post(path, {"truth": "defective", "type": "scratch", "boxes": [[1, 2, 3, 4]]}).status == 200
    assert server.get("/api/v1/queue").json["left"] == left - 1
    assert server.get(f"/api/v1/parts/{found['id']}").json["truth"] == "defective"
    assert {"type": "scratch", "count": 1} in server.get("/api/v1/recipes/toy/pareto").json["types"]
    assert server.post(path, {"truth": "withdrawn"}).status == 200
    assert server.get("/api/v1/queue").json["left"] == left
    shown = server.get(f"/api/v1/parts/{found['id']}").json
    assert shown["truth"] is None and [one["truth"] for one in shown["labels"]] == ["defective", "withdrawn"]


def test_pictures_are_small_or_show_scores_and_nothing_else_is_served(server: Running) -> None:
    found = post(server, png(80, defective=True))
    base = f"/api/v1/parts/{found['id']}"
    whole, small, drawn = (server.get(f"{base}/{name}") for name in ("image", "thumb", "overlay"))
    assert whole.body == png(80, defective=True) and whole.headers["content-type"] == "image/png"
    assert small.body.startswith(b"\xff\xd8") and drawn.body.startswith(b"\x89PNG")
    twin = server.get(f"{base}/twin").json["id"]
    assert twin is not None and server.get(f"/api/v1/parts/{twin}").json["label"] == "good"
    broken = server.post("/api/v1/parts?recipe=toy", b"<script>alert(1)</script>").json["id"]
    reply = server.get(f"/api/v1/parts/{broken}/image")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == "attachment" and reply.headers["x-content-type-options"] == "nosniff"
    assert server.get(f"/api/v1/parts/{broken}/thumb").status == 404


def test_replay_gives_equal_bits(server: Running) -> None:
    found = post(server, png(81))
    assert server.post(f"/api/v1/parts/{found['id']}/replay").json["outcome"] == "equal bits"


def test_versions_are_added_deployed_and_rolled_back(server: Running) -> None:
    new = server.post("/api/v1/recipes/toy/recalibrations", {"rule": "conformal", "alpha": "10%"})
    assert new.status == 201 and new.json["version"] == 2 and new.json["about"]["alpha"] == 0.1, new.body
    assert [row["alpha"] for row in new.json["trade"]] and server.get("/api/v1/recipes").json["recipes"][0][
        "current"
    ] == 1
    asked = {"version": 2, "reason": "fewer escapes", "expected_current": 5}
    assert server.post("/api/v1/recipes/toy/deployments", asked).status == 409
    assert server.post("/api/v1/recipes/toy/deployments", {**asked, "expected_current": 1}).status == 200
    second = post(server, png(90), idempotency_key="of the second")
    assert (second["version"], second["alpha"]) == (2, 0.1)
    assert server.post("/api/v1/recipes/toy/rollback", {"reason": "too many alarms"}).json["version"] == 1
    again = post(server, png(90), idempotency_key="of the second")
    assert [again[name] for name in ("id", "version", "alpha", "n")] == [second["id"], 2, 0.1, second["n"]]
    assert post(server, png(91))["version"] == 1
    assert server.post("/api/v1/recipes/toy/rollback", {"reason": "once more"}).status == 422
    model = next((server.store / "models").glob("*.amiss")).read_bytes()
    known = server.post("/api/v1/recipes/toy/versions", model)
    assert known.status == 201 and known.json["known"] is True
    assert server.post("/api/v1/recipes/toy/versions", model[:-9]).status == 422


def test_parts_are_set_aside_by_lot_and_by_number(server: Running) -> None:
    lots = [post(server, png(seed), "recipe=toy&lot=Q")["seq"] for seed in (95, 96)]
    said = server.post("/api/v1/quarantines", {"recipe": "toy", "lots": ["Q"], "reason": "oil"})
    assert said.status == 201 and said.json["parts"] == 2
    since = server.post("/api/v1/quarantines", {"recipe": "toy", "first": lots[1], "last": lots[1], "reason": "lamp"})
    assert since.json["parts"] == 1
    newest, before = server.get("/api/v1/quarantines").json["quarantines"][:2]
    assert (newest["first"], newest["last"], newest["lots"]) == (lots[1], lots[1], []) and before["lots"] == ["Q"]


def test_the_record_is_sound_and_leaves_as_lines(server: Running) -> None:
    assert server.post("/api/v1/verify").json == {
        "sound": True, "events": server.get("/api/v1/chain/head").json["seq"], "faults": []
    }  # fmt: skip
    page = server.get("/api/v1/events?limit=3").json
    assert [event["kind"] for event in page["events"]] == ["opened", "versioned", "deployed"] and page["next"] == 3
    lines = server.get("/api/v1/export").body.decode().splitlines()
    assert len(lines) == server.get("/api/v1/chain/head").json["seq"] and lines[0].startswith("1 ")
    with Store.open(server.store).reading() as engine:
        assert verify(Reader(engine, Store.open(server.store)), read_images=True).faults == 0


def test_the_document_describes_every_route(server: Running) -> None:
    document = server.get("/api/v1/openapi.json").json
    assert document["info"]["title"] == "Amiss" and len(document["paths"]) > 30
    for path, verbs in document["paths"].items():
        for verb, one in verbs.items():
            assert one.get("summary") and one.get("description"), f"{verb} {path} is not described"
    assert "/api/v1/parts" in document["paths"] and "/v2/models/{model}/infer" in document["paths"]


def test_metrics_count_verdicts(server: Running) -> None:
    def text() -> str:
        return server.get("/metrics").body.decode()

    def count() -> float:
        return sum(float(line.split()[-1]) for line in text().splitlines() if line.startswith("amiss_parts_total{"))

    before = count()
    post(server, png(85))
    end = time.monotonic() + 10
    while count() < before + 1 and time.monotonic() < end:  # it is counted just after it is answered
        time.sleep(0.05)
    assert count() == before + 1 and "amiss_calibration_n" in text()


def test_estimates_and_lots_have_intervals(server: Running) -> None:
    for seed in range(110, 115):
        post(server, png(seed), "recipe=toy&lot=SHARES")
    found = server.get("/api/v1/recipes/toy/lots").json
    row = next(one for one in found["lots"] if one["lot"] == "SHARES")
    assert row["parts"] == 5 and row["low"] <= row["share"] <= row["high"] and "95 % interval" in row["text"]
    assert server.get("/api/v1/recipes/toy/estimates").json["audited"] == 0
    assert server.get("/api/v1/recipes/none/lots").status == 404
    chart = server.get("/api/v1/recipes/toy/monitor").json
    assert len(chart["scores"]) >= 5 and json.dumps(chart)


def test_events_go_both_ways(server: Running) -> None:
    """What goes forward from the beginning is what goes back from the end, page by page, also of one kind."""
    for kind in ("", "&kind=deployed"):
        forward = [row["seq"] for row in server.get(f"/api/v1/events?limit=500{kind}").json["events"]]
        back, before = [], forward[-1] + 1
        while before is not None:
            page = server.get(f"/api/v1/events?limit=3&before={before}{kind}").json
            back += [row["seq"] for row in page["events"]]
            before = page["next"]
        assert back == forward[::-1] and forward


def test_whoever_gives_up_takes_no_answer_with_it() -> None:
    ticket = Ticket(Job(name="a", data=b"", recipe="toy", key="a"), "id", False, None)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer_of(ticket), 0.01)

    asyncio.run(impatient())
    assert ticket.say(Label.ERROR, "late", None) and ticket.answer.result().reason == "late"
