"""The chart thread records when something changes, and since which part; its process may die, and dies with it."""

import os
import pathlib
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from amiss.ledger.events import Draft
from amiss.rules import Fixed
from amiss.station.charts import LEAST, MOST, PARTS, Charts


@pytest.mark.service  # designing charts takes seconds
def test_a_change_of_light_is_an_event_and_its_end_another(station, inspector):
    found, told = station(), []
    charts = Charts(found.writer, found.reader, told.append)
    charts.start()
    rng = np.random.default_rng(0)
    usual = rng.choice(inspector.rule.normal, 150)
    for number in range(300):
        bright = number >= 150
        health = {"brightness": 100.0 + rng.normal() + 30 * bright, "contrast": 50 + rng.normal()}
        health |= {"sharpness": 0.1 + 0.001 * rng.normal(), "colour": 0.0}
        score = float(usual[number % 150] + 2 * bright)
        charts.add("toy", 1, inspector, 10 + number, f"{number}.png", (score, health))
        if number == 149:
            while not charts._lines["toy"].drawn:
                time.sleep(0.05)
            assert not told and not charts.alarm["toy"]
            charts._child.kill()  # the next request begins another
    charts.stop()
    charts = [event.data for event in found.reader.events(kind="chart")]
    assert charts[-1]["alarm"] and charts[-1]["last"] is None and abs(charts[-1]["first"] - 160) < 10
    assert charts[-1]["kind"] == "light" and "since event" in told[-1]


PARENT = """
import os, subprocess, sys
command = [sys.executable, "-P", "-m", *sys.argv[1:], str(os.getpid())]
print(subprocess.Popen(command).pid, flush=True)
input()
"""


def is_there(process: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.service
@pytest.mark.parametrize("program", [["charter"], ["decoder", "1000000000"]])
def test_a_child_ends_with_a_station_that_is_killed(program):
    """Also at once, and where something else holds its standard input open, so that no end of file tells it."""
    source, kept = os.pipe()
    command = [sys.executable, "-c", PARENT, f"amiss.station.{program[0]}", *program[1:]]
    with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        assert is_there(child)
        parent.kill()
    end = time.monotonic() + 60
    while is_there(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_there(child)
    os.close(source), os.close(kept)


@pytest.fixture
def charts(station) -> Charts:
    """Not begun: what is added waits to be drawn."""
    found = station()
    return Charts(found.writer, found.reader, lambda line: None)


def add(charts: Charts, inspector, count: int, score: float | None, version: int = 1) -> None:
    for number in range(count):
        charts.add("toy", version, inspector, 10 + number, f"{number}.png", (score, None))


def test_parts_that_no_chart_can_be_drawn_of_are_not_kept(charts: Charts, inspector):
    fixed = replace(inspector, rule=Fixed(1.0))
    assert fixed.rule.n < LEAST <= inspector.rule.n
    add(charts, fixed, PARTS + 1, 0.5)
    assert not charts._lines["toy"].seqs
    add(charts, inspector, 2 * MOST + 1, None, version=2)  # all of them errors
    assert len(charts._lines["toy"].seqs) == 1 and [len(line.seqs) for line in charts._full] == [MOST] * 2
    for line in charts._to_draw():
        charts._draw(line)
        assert line.drawn == len(line.seqs)
    charts._more.clear()
    add(charts, inspector, PARTS - 1, None, version=2)
    assert not charts._full and not charts._more.is_set()


@pytest.mark.parametrize("enough", [True, False])
def test_an_alarm_of_the_version_before_ends(charts: Charts, inspector, monkeypatch: pytest.MonkeyPatch, enough: bool):
    alarm = {"recipe": "toy", "alarm": True, "first": 3, "last": None, "kind": "light", "text": "Brighter."}
    charts._writer.submit(Draft("chart", alarm)).result()
    calm = {"alarm": False, "first": None, "last": None, "kind": "none", "text": "Nothing has changed."}
    monkeypatch.setattr(charts, "_ask", lambda asked: calm)
    for _ in range(2):
        add(charts, inspector if enough else replace(inspector, rule=Fixed(1.0)), LEAST, 0.5, version=2)
        charts._draw(charts._lines["toy"])
    assert [row["alarm"] for row in charts._reader.charts()] == [True, False]


def test_an_alarm_that_goes_on_is_recorded_once(charts: Charts, inspector, monkeypatch: pytest.MonkeyPatch):
    alarm = {"recipe": "toy", "alarm": True, "first": 3, "last": None, "kind": "light", "text": "Brighter."}
    charts._writer.submit(Draft("chart", alarm)).result()
    monkeypatch.setattr(charts, "_ask", lambda asked: {**alarm, "first": 0})
    add(charts, inspector, LEAST, 0.5)
    charts._draw(charts._lines["toy"])
    assert len(charts._reader.charts()) == 1 and charts.alarm["toy"]
