"""Who may do what: every route, every role, every method; and what else a request must be."""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from amiss.server.people import FAILURES, PAUSE, People
from tests.server.running import Running, amiss, png, start

PASSWORDS = {
    "olga": ("operator", "operator-pass"),
    "emil": ("engineer", "engineer-pass"),
    "aud": ("auditor", "auditor-pass"),
}


@pytest.fixture(scope="module")
def guarded(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a person of every role and a token of every scope."""
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copy(toy_model, folder)
    running = start(folder)
    for name, (role, password) in PASSWORDS.items():
        amiss(folder, "serve", "person", "add", name, "--role", role, said=password + "\n")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def roles(guarded: Running) -> dict[str, Running]:
    """The server as asked by everybody."""
    found = {role: guarded.log_in(name, password) for name, (role, password) in PASSWORDS.items()}
    for scope in ("inspect", "read", "metrics"):
        token = amiss(guarded.folder, "serve", "token", "add", f"plc-{scope}", "--scope", scope)
        found[scope] = guarded.bearing(token)
    return {**found, "nobody": guarded}


NEEDS = {
    "GET /api/v1/me": "who",
    "GET /api/v1/status": "read",
    "GET /api/v1/parts": "read",
    "POST /api/v1/parts": "inspect",
    "GET /api/v1/parts/{part}": "read",
    "GET /api/v1/parts/{part}/image": "read",
    "GET /api/v1/parts/{part}/overlay": "read",
    "GET /api/v1/parts/{part}/thumb": "read",
    "GET /api/v1/parts/{part}/twin": "read",
    "POST /api/v1/parts/{part}/replay": "replay",
    "POST /api/v1/parts/{part}/labels": "label",
    "GET /api/v1/queue": "read",
    "POST /api/v1/queue/{part}/claim": "label",
    "GET /api/v1/recipes": "read",
    "POST /api/v1/recipes/{recipe}/versions": "change",
    "POST /api/v1/recipes/{recipe}/deployments": "change",
    "POST /api/v1/recipes/{recipe}/rollback": "change",
    "POST /api/v1/recipes/{recipe}/recalibrations": "change",
    "GET /api/v1/recipes/{recipe}/versions/{version}/trial": "read",
    "GET /api/v1/recipes/{recipe}/pools": "read",
    "GET /api/v1/recipes/{recipe}/shadow": "read",
    "POST /api/v1/recipes/{recipe}/shadow": "change",
    "GET /api/v1/recipes/{recipe}/monitor": "read",
    "GET /api/v1/recipes/{recipe}/pareto": "read",
    "GET /api/v1/recipes/{recipe}/lots": "read",
    "GET /api/v1/recipes/{recipe}/estimates": "read",
    "GET /api/v1/quarantines": "read",
    "POST /api/v1/quarantines": "change",
    "GET /api/v1/events": "trace",
    "GET /api/v1/chain/head": "read",
    "POST /api/v1/verify": "trace",
    "GET /api/v1/export": "trace",
    "GET /api/v1/learnings": "read",
    "GET /api/v1/learnings/methods": "read",
    "POST /api/v1/learnings": "change",
    "PUT /api/v1/learnings/{learning}/images/{name}": "change",
    "POST /api/v1/learnings/{learning}/start": "change",
    "POST /api/v1/learnings/{learning}/resume": "change",
    "POST /api/v1/learnings/{learning}/cancel": "change",
    "DELETE /api/v1/learnings/{learning}": "change",
    "GET /v2": "open",
    "GET /v2/health/live": "open",
    "GET /v2/health/ready": "open",
    "GET /v2/models/{model}": "inspect",
    "GET /v2/models/{model}/versions/{version}": "inspect",
    "GET /v2/models/{model}/ready": "inspect",
    "GET /v2/models/{model}/versions/{version}/ready": "inspect",
    "POST /v2/models/{model}/infer": "inspect",
    "POST /v2/models/{model}/versions/{version}/infer": "inspect",
    "POST /login": "open",
    "POST /logout": "open",
    "GET /healthz": "open",
    "GET /readyz": "open",
    "GET /metrics": "metrics",
}
"""What each route needs: a new route must be added here, by somebody who has thought about it."""

MAY = {
    "operator": {"read", "label"},
    "engineer": {"read", "label", "change", "trace"},
    "auditor": {"read", "trace", "replay"},
    "inspect": {"inspect"},
    "read": {"read"},
    "metrics": {"metrics"},
    "nobody": set(),
}


def test_every_route_is_in_the_table(guarded: Running) -> None:
    document = guarded.get("/api/v1/openapi.json").json
    routes = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}
    assert routes == set(NEEDS)


@pytest.mark.parametrize("role", MAY)
def test_every_route_asks_who_it_is(roles: dict[str, Running], role: str) -> None:
    server = roles[role]
    for route, need in NEEDS.items():
        method, _, path = route.partition(" ")
        if path == "/logout":  # it would end the session
            continue
        for name in ("part", "recipe", "learning", "name", "model", "version"):
            path = path.replace("{" + name + "}", "none")
        body = b"{}" if method in ("POST", "PUT") else None
        status = server.ask(method, path, body, content_type="application/json").status
        if need == "open":
            assert status != 403 and (status != 401 or path == "/login"), route
        elif need == "who":
            assert (status == 200) is (role != "nobody"), route
        elif need in MAY[role]:
            assert status not in (401, 403), (route, status)
        else:
            assert status == (401 if role == "nobody" else 403), (route, status)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_no_other_method_does_anything(roles: dict[str, Running], method: str) -> None:
    for path in ("/api/v1/parts", "/api/v1/status", "/", "/metrics", "/v2/models/toy/infer"):
        assert roles["engineer"].ask(method, path).status == 405, path


def test_the_name_of_whoever_did_it_is_in_the_record(roles: dict[str, Running]) -> None:
    seed, found = 300, {"label": ""}
    while found["label"] != "review":
        seed += 1
        found = roles["inspect"].post("/api/v1/parts?recipe=toy", png(seed)).json
    path = f"/api/v1/parts/{found['id']}"
    assert roles["operator"].post(f"/api/v1/queue/{found['id']}/claim").status == 200
    assert roles["engineer"].post(f"/api/v1/queue/{found['id']}/claim").status == 409
    waiting = [part["id"] for part in roles["engineer"].get("/api/v1/queue").json["parts"]]
    assert found["id"] not in waiting
    assert roles["operator"].post(f"{path}/labels", {"truth": "good"}).status == 200
    (label,) = roles["auditor"].get(path).json["labels"]
    assert label["by"] == "olga"
    events = roles["auditor"].get("/api/v1/events?kind=labelled").json["events"]
    assert events[-1]["actor"] == "olga"
    assert roles["auditor"].post(f"{path}/replay").json["outcome"] == "equal bits"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:80"}, 421),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({}, 404),
    ],
)
def test_another_page_can_write_nothing(roles: dict[str, Running], headers: dict[str, str], status: int) -> None:
    reply = roles["operator"].ask("POST", "/api/v1/parts/none/labels", {"truth": "good"}, **headers)
    assert reply.status == status, reply.body


def test_a_cookie_is_for_this_page_alone(guarded: Running) -> None:
    reply = guarded.post("/login", {"name": "olga", "password": "operator-pass"})
    words = reply.headers["set-cookie"].lower()
    assert "httponly" in words and "samesite=strict" in words and "operator-pass" not in words
    mine = Running(guarded.folder, guarded.process, guarded.port, {"cookie": reply.headers["set-cookie"].split(";")[0]})
    assert mine.get("/api/v1/me").json["name"] == "olga"
    assert mine.post("/logout").status == 200 and mine.get("/api/v1/me").status == 401
    for path in ("/", "/api/v1/me", "/web/none"):
        assert "default-src 'none'" in guarded.get(path).headers["content-security-policy"]


def test_wrong_passwords_have_to_wait(guarded: Running) -> None:
    for _ in range(5):
        assert guarded.post("/login", {"name": "nobody", "password": "x"}).status == 401
    reply = guarded.post("/login", {"name": "nobody", "password": "x"})
    assert reply.status == 429 and int(reply.headers["retry-after"]) > 20
    assert guarded.log_in("olga", "operator-pass")


def test_a_person_who_is_removed_is_out_at_once(guarded: Running) -> None:
    amiss(guarded.folder, "serve", "person", "add", "guest", "--role", "auditor", said="guest-pass-1\n")
    guest = guarded.log_in("guest", "guest-pass-1")
    assert guest.get("/api/v1/status").status == 200
    amiss(guarded.folder, "serve", "person", "remove", "guest")
    assert guest.get("/api/v1/status").status == 401
    token = amiss(guarded.folder, "serve", "token", "add", "old", "--scope", "read", "--days", "1")
    assert guarded.bearing(token).get("/api/v1/status").status == 200
    amiss(guarded.folder, "serve", "token", "remove", "old")
    assert guarded.bearing(token).get("/api/v1/status").status == 401


def test_secrets_are_kept_as_hashes_for_nobody_elses_eyes(guarded: Running) -> None:
    path = guarded.store / "people.json"
    text = path.read_text()
    assert "operator-pass" not in text and "amiss_" not in text and path.stat().st_mode & 0o077 == 0


def test_sizes_are_limited_before_they_are_read(roles: dict[str, Running]) -> None:
    engineer = roles["engineer"]
    large = b'{"reason": "' + b"x" * 300_000 + b'"}'
    assert engineer.post("/api/v1/recipes/toy/rollback", large, content_type="application/json").status == 413
    with closing(http.client.HTTPConnection("127.0.0.1", engineer.port, timeout=10)) as connection:
        pieces = (b"x" * 10_000 for _ in range(30))
        connection.request("POST", "/login", pieces, {"content-type": "application/json"}, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413 and b"and no more" in answer.read()
    assert engineer.get("/api/v1/status", x="y" * 20_000).status == 431


def test_a_client_that_drips_is_closed(guarded: Running) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 15:
                slow.sendall(b"x: y\r\n")
                time.sleep(0.5)
        assert 3 < time.monotonic() - began < 12
    assert guarded.get("/healthz").status == 200


def test_the_pause_grows_and_ends(tmp_path: Path) -> None:
    now = [0.0]
    people = People(tmp_path, clock=lambda: now[0])
    people.add_person("ann", "operator", "long enough")
    for _ in range(5):
        assert people.log_in("ann", "wrong") == 0.0
    assert people.log_in("ann", "long enough") == PAUSE
    now[0] += PAUSE + 1
    assert people.log_in("ann", "wrong") == 0.0
    assert people.log_in("ann", "long enough") == 2 * PAUSE
    now[0] += 2 * PAUSE + 1
    session = people.log_in("ann", "long enough")
    assert isinstance(session, tuple) and people.of_session(session[0]) is not None
    now[0] += 13 * 3600
    assert people.of_session(session[0]) is None


def test_guesses_at_the_same_time_are_counted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(tmp_path)
    people.add_person("ann", "operator", "long enough")
    busy: list[str] = []
    most: list[int] = []

    def slow(password: str, salt: bytes) -> str:
        busy.append(password)
        most.append(len(busy))
        time.sleep(0.02)
        busy.remove(password)
        return "00"

    monkeypatch.setattr("amiss.server.people._hash", slow)
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda number: people.log_in("ann", f"guess {number}"), range(20)))
    assert found.count(0.0) == FAILURES and len(most) == FAILURES, "the others have to wait"
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: people.log_in(f"name {number}", "guess"), range(10)))
    assert set(most) == {1}, "never two cores at once, whatever the names"


def test_nobody_waits_long_for_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses that come faster than they can be checked are sent away, so that they do not take all threads."""
    people = People(tmp_path)
    people.add_person("anna", "engineer", "anna's password")
    monkeypatch.setattr("amiss.server.people.QUEUE", 0.05)
    with people._hashing:
        assert people.log_in("anna", "anna's password") == 0.05
    assert not isinstance(people.log_in("anna", "anna's password"), float)


def test_a_session_is_of_one_password(tmp_path: Path) -> None:
    people = People(tmp_path)

    def session(password: str) -> str:
        found = people.log_in("ann", password)
        assert isinstance(found, tuple)
        return found[0]

    people.add_person("ann", "operator", "the first one")
    first = session("the first one")
    found = people.of_session(first)
    assert found is not None and found.role == "operator"
    people.add_person("ann", "operator", "the second one")
    assert people.of_session(first) is None
    second = session("the second one")
    people.remove("ann")
    people.add_person("ann", "engineer", "the second one")  # somebody else of that name
    assert people.of_session(second) is None
