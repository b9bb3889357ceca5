"""Each part is judged once, and accept means good, on disk and in time: whatever else happens."""

import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amiss.artefact import Golden
from amiss.core.errors import BusyError, InputError, NotReadyError, OutputError, ParityError
from amiss.core.scores import Scores
from amiss.core.verdict import Label
from amiss.ledger.events import Draft
from amiss.ledger.images import Keeping
from amiss.ledger.reader import Reader
from amiss.ledger.store import Store
from amiss.ledger.verify import verify
from amiss.rules import Fixed, parse_rule
from amiss.server.parts import replay
from amiss.station.decoding import Decoders
from amiss.station.engine import Station
from amiss.station.jobs import TOGETHER, is_drawn, new_id
from amiss.station.pools import calibrated_on_pool, pools, tried
from amiss.station.replay import DIFFERENT, EQUAL, MISSING, WITHIN, Replay, compare
from amiss.testing import toy_part
from tests.station.toy_station import job, png, stopped


def answered(station: Station, number: int, data: bytes | None = None, **more: object):
    ticket = station.submit(job(number, data, **more), wait=30)
    ticket.committed.exception(timeout=30)
    return ticket.answer.result(timeout=30)


def test_verdicts_are_those_of_the_inspector_to_the_bit(shared: Station, inspector, tmp_path: Path):
    """Also of images of other sizes and shapes, whose regions are in pixels of the file."""
    images = [*toy_part(3, seed=5).images, *toy_part(5, seed=6, defective=True).images]
    sizes = [None, (64, 64), (90, 131), (200, 64), (64, 65), (301, 307), None, (48, 40)]
    for number, (image, size) in enumerate(zip(images, sizes, strict=True)):
        (tmp_path / f"{number}.png").write_bytes(png(image, size))
    (tmp_path / "8.png").write_bytes(b"not an image")
    wanted = list(inspector.inspect(tmp_path))
    tickets = [shared.submit(job(100 + n, (tmp_path / f"{n}.png").read_bytes()), wait=30) for n in range(9)]
    for verdict, ticket in zip(wanted, tickets, strict=True):
        said, found = verdict.summary(), ticket.committed.result(timeout=30).data
        for name in ("label", "score", "threshold", "p_value", "regions", "reason", "sha256"):
            assert found[name] == said[name], name
        assert ticket.answer.result().accept == (verdict.label is Label.GOOD)
    assert {str(verdict.label) for verdict in wanted} == {"good", "anomalous", "error"}


def test_the_same_part_again_is_the_same_verdict(shared: Station):
    first, again = (answered(shared, 201) for _ in range(2))
    assert first.event == again.event and first.accept and again.accept
    with pytest.raises(InputError, match="a key must belong to one image"):
        shared.submit(job(202, key="key 201"), wait=30).committed.result(timeout=30)


def test_a_decoder_that_dies_costs_one_part(shared: Station):
    lost = shared.decoders.lost
    with stopped(shared):
        ticket = shared.submit(job(301), wait=30)
        busy = wait_for_busy(shared)
        os.kill(busy, signal.SIGKILL)
        answer = ticket.answer.result(timeout=30)
    assert (answer.accept, answer.label) == (False, Label.ERROR) and "its decoder died" in answer.reason
    assert shared.decoders.lost == lost + 1
    assert all(answered(shared, number).label is Label.GOOD for number in (302, 303, 304))
    assert len(shared.decoders.children) == shared.cores + 1


def wait_for_busy(station: Station) -> int:
    """Process of the decoder that has a part."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for child in station.decoders._all:
            if child._due is not None:
                return child.process.pid
        time.sleep(0.005)
    raise AssertionError("no decoder has a part")


def test_a_decoder_that_hangs_costs_one_part(shared: Station):
    shared.decoders._seconds = 0.3
    with stopped(shared):
        answer = shared.submit(job(311), wait=30).answer.result(timeout=30)
    shared.decoders._seconds = 30.0
    assert (answer.accept, answer.label) == (False, Label.ERROR) and "took too long" in answer.reason
    assert answered(shared, 312).label is Label.GOOD


@pytest.mark.service
def test_a_decoder_has_little_memory(monkeypatch: pytest.MonkeyPatch):
    decoders = Decoders(1, allowed=60_000_000)
    try:
        assert decoders.decode(png(toy_part(1, seed=1).images[0]), None, None).size == (64, 64)
        with pytest.raises(Exception, match=r"memory|died|cannot be decoded"):
            decoders.decode(b"P6 6000 6000 255\n" + bytes(6000 * 6000 * 3), None, None)
        assert decoders.decode(png(toy_part(1, seed=1).images[0]), (32, 32), None).pixels.shape == (32, 32, 3)
    finally:
        decoders.close()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(NotReadyError, match="decoding must work in a process of its own"):
        Decoders(0)


def test_too_late_is_reject_whatever_comes_of_it(station):
    """A decoder that takes too long; then a disk that does: the verdict is good, and was told as reject."""
    slow = station(deadline=3.0)
    with stopped(slow):
        ticket = slow.submit(job(1), wait=30)
        answer = ticket.answer.result(timeout=10)
        assert (answer.accept, answer.label) == (False, Label.ERROR) and "within 3000 ms" in answer.reason
        assert ticket.committed.result(timeout=10).data["label"] == "error"
    slow.writer.call(lambda connection: time.sleep(5.0))
    ticket = slow.submit(job(2), wait=30)
    answer = ticket.answer.result(timeout=10)
    assert not answer.accept and answer.event is None
    assert ticket.committed.result(timeout=10).data["label"] == "good"
    slow.drain()
    time.sleep(0.1)
    slow.writer.call(lambda connection: None).result()
    parts = {part["name"]: part for part in slow.reader.parts()}
    assert {name: part["accept"] for name, part in parts.items()} == {"1.png": False, "2.png": False}
    assert [part["late"] for part in parts.values()] == [True, True]
    assert {event.data["label"] for event in slow.reader.events(kind="late")} == {"good"}
    assert slow.counts["late"] == 2 and verify(slow.reader).faults == 0


def test_no_room_no_model_no_disk(station, monkeypatch: pytest.MonkeyPatch):
    busy = station(keeping=Keeping.of(floor="1M"))
    with pytest.raises(NotReadyError, match="recipe must be one that a model is deployed for"):
        busy.submit(job(1, recipe="other"))
    with stopped(busy):
        tickets = [busy.submit(job(number), wait=5) for number in range(20)]
        with pytest.raises(BusyError, match="no room for more than 18 parts"):
            busy.submit(job(50))
    busy.keeping = replace(busy.keeping, floor=10**18)
    with pytest.raises(OutputError, match="must stay free on its disk"):
        busy.submit(job(51))
    assert all(ticket.answer.result(timeout=30).event for ticket in tickets)
    assert busy.drain() and busy.drain()
    with pytest.raises(NotReadyError, match="it is ending"):
        busy.submit(job(52))


def test_parts_that_come_together_are_all_taken_or_none(station):
    busy = station()
    with stopped(busy):
        some = busy.submit_all([job(number) for number in range(TOGETHER)])
        with pytest.raises(BusyError, match="no room"):
            busy.submit_all([job(50 + number) for number in range(TOGETHER)])
        assert busy.waiting == TOGETHER and busy.counts["refused"] == TOGETHER
    assert all(ticket.answer.result(timeout=30).event for ticket in some)
    assert busy.drain() and len(busy.reader.parts()) == TOGETHER


def test_what_nobody_was_told_is_not_accepted(station):
    found = station()
    tickets = [found.submit(job(1), wait=30), found.submit(job(2, b"junk"), wait=30)]
    assert [ticket.answer.result(timeout=30).accept for ticket in tickets] == [True, False]
    again = found.submit(job(1), wait=30)
    assert again.answer.result(timeout=30).accept and not found.untold([again], "told before")
    (done,) = found.untold(tickets, "nobody heard")
    assert done.result(timeout=30).event.data["reason"] == "nobody heard"
    assert not any(part["accept"] for part in found.reader.parts()) and verify(found.reader).faults == 0


def test_what_is_not_on_disk_is_not_accepted_and_the_station_goes_on(station):
    found = station()
    assert answered(found, 1).accept
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # as on a full disk
    try:
        answer = answered(found, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (answer.accept, answer.label, answer.event) == (False, Label.ERROR, None) and "not on disk" in answer.reason
    assert answered(found, 2).accept and found.counts["not recorded"] == 1
    assert found.healthy() and len(found.reader.parts()) == 2


def test_a_new_model_judges_at_once_and_the_old_one_comes_back(station, inspector):
    found = station()
    assert answered(found, 1).accept
    strict = inspector.with_rule(Fixed(-1.0))
    assert found.recipes.deploy("toy", strict, reason="stricter", actor="anna").version == 2
    assert answered(found, 2).label is Label.ANOMALOUS
    golden = inspector.parts.golden
    wrong = replace(
        inspector, parts=replace(inspector.parts, golden=Golden.of(golden.pixels, Scores.of_map(golden.wanted + 1)))
    )
    with pytest.raises(ParityError):
        found.recipes.deploy("toy", wrong, reason="broken")
    assert answered(found, 3).label is Label.ANOMALOUS
    assert found.recipes.roll_back("toy", reason="too strict").version == 1
    assert answered(found, 4).accept
    rows = [(row["version"], row["reason"], row["actor"]) for row in found.reader.deployments()]
    assert rows == [(1, "a test", "station"), (2, "stricter", "anna"), (1, "too strict", "station")]
    with pytest.raises(InputError, match="must have had another version"):
        found.recipes.roll_back("other", reason="")
    replayed = [one.outcome for one in Replay(found.store).run(found.reader.parts())]
    assert replayed == [EQUAL] * 4


def test_replay_says_what_differs(station, tmp_path, monkeypatch: pytest.MonkeyPatch):
    found = station()
    [answered(found, number) for number in range(3)]
    answered(found, 3, b"junk")
    parts = found.reader.parts()
    found.store.image(parts[1]["sha256"]).unlink()
    found.store.image(parts[2]["sha256"]).write_bytes(b"another")
    changed = {**parts[3], "score": parts[3]["score"] + 1}
    monkeypatch.setenv("AMISS_TRUSTED_KEY", str(tmp_path / "a key that the station's own models are not held to"))
    outcomes = list(Replay(found.store).run([*parts, changed, {**parts[3], "fingerprint": "0" * 64}]))
    assert [one.outcome for one in outcomes] == [EQUAL, MISSING, DIFFERENT, EQUAL, DIFFERENT, MISSING]
    assert json.dumps(outcomes[1].summary()) and "not kept any more" in outcomes[1].why
    near = compare(parts[3], "good", parts[3]["score"] + 1e-4, 1e-3)
    assert near.outcome == WITHIN and compare(parts[3], "anomalous", parts[3]["score"], 1).outcome == DIFFERENT


def test_a_server_replays_with_its_decoders(station, monkeypatch: pytest.MonkeyPatch):
    """An image that ends whoever decodes it ends a child, then and now."""

    def ends(*_: object, **__: object) -> None:
        raise AssertionError("decoded in the process of the station")

    found = station()
    monkeypatch.setattr("amiss.station.replay.decode_image", ends)
    here: Any = SimpleNamespace(station=found, desk=SimpleNamespace(show=lambda *_: True))
    answered(found, 1)
    with stopped(found):
        ticket = found.submit(job(2), wait=30)
        os.kill(wait_for_busy(found), signal.SIGKILL)
        ticket.committed.result(timeout=30)
    for name, label in (("1.png", "good"), ("2.png", "error")):
        (part,) = [part for part in found.reader.parts() if part["name"] == name]
        with ThreadPoolExecutor(1) as pool, stopped(found) if label == "error" else nullcontext():
            asked = pool.submit(replay, here, None, part["id"])
            if label == "error":
                os.kill(wait_for_busy(found), signal.SIGKILL)
            said = asked.result(timeout=30)
        assert (said["outcome"], said["label_now"]) == (EQUAL, label)


def test_pools_leave_out_what_no_child_could_decode(station, inspector):
    found = station(audit=1)
    for number in range(20):
        event = answered(found, number, b"junk" if number in (3, 12) else None).event
        said = {"by": "anna", "truth": "good", "type": None, "boxes": [], "comment": "", "blind": True}
        said |= {"part": event.data["id"], "pool": "calibrate" if number < 12 else "certify"}
        found.writer.submit(Draft("labelled", said)).result()
    rule = parse_rule("conformal", alpha=0.2)
    other = calibrated_on_pool(found.reader, "toy", inspector, rule)
    assert other.rule.n == 11 and tried(found.reader, "toy", inspector, other)["before"]["false_alarms"]["of"] == 7
    counted = pools(found.reader, "toy", rule)
    assert counted["calibrate"]["good"] == 12 and counted["missing"] == 0


def test_audits_are_drawn_before_anybody_has_looked(station):
    found = station(audit=1)
    answered(found, 1)
    (part,) = found.reader.parts()
    assert part["audit"] and found.reader.part(part["id"])["image"]["class"] == "audit"
    ids = [new_id() for _ in range(2000)]
    assert sorted(ids) == sorted(ids, key=lambda one: one[:13]) or len(set(ids)) == 2000
    assert 150 < sum(is_drawn(one, found.store.secret, 0.1) for one in ids) < 250


def test_all_images_that_must_go_do_so(station, monkeypatch: pytest.MonkeyPatch):
    """In one round, however many came since the one before."""
    monkeypatch.setattr("amiss.ledger.prune.BATCH", 1)
    found = station()
    [answered(found, number) for number in range(15)]
    found.keeping = Keeping.of(quota="0")
    rounds = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr(found._ends, "wait", lambda seconds: next(rounds) if seconds > 1 else time.sleep(0.01))
        found._tidy()
    assert not found.reader.kept() and verify(found.reader).faults == 0


def test_systemd_hears_of_progress(tmp_path: Path, inspector, monkeypatch: pytest.MonkeyPatch):
    heard, path = [], tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        with Station(Store.make(tmp_path / "s"), cores=1, charts=False) as one:
            heard.append(channel.recv(100))
            one._busy[0] = time.monotonic() - 1000  # a thread that does not come to an end
            assert not one.healthy()
            channel.settimeout(0.5)
            with pytest.raises(TimeoutError):
                while True:
                    heard.append(channel.recv(100))
            del one._busy[0]
            heard.append(channel.recv(100))
    assert set(heard) == {b"WATCHDOG=1"}


@pytest.mark.service
def test_many_senders(station):
    """Every part of every thread is answered once, and is on disk once."""
    found, answers = station(cores=2), []

    def send(own: int) -> None:
        tickets = [found.submit(job(own * 1000 + n), wait=30) for n in range(10)]
        answers.extend(ticket.answer.result(timeout=30) for ticket in tickets)

    threads = [threading.Thread(target=send, args=(own,)) for own in range(4)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    parts = found.reader.parts(limit=1000)
    assert {answer.part for answer in answers} == {part["id"] for part in parts} and len(parts) == 40
    assert isinstance(found.reader, Reader) and verify(found.reader, read_images=True).faults == 0
