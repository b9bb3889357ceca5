"""kill -9 at random moments: a small, seeded part of `make kill`, and that its eyes are open."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "kill.py"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")


@pytest.mark.slow
def test_some_kills(tmp_path: Path) -> None:
    words = ["--kills", "6", "--seed", "3", "--verbs", "inspect", "calibrate", "--output", str(tmp_path / "kill.json")]
    done = subprocess.run([sys.executable, str(BENCH), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kill.json").read_text())
    assert found["kills"] >= 6 and set(found["verbs"]) == {"inspect", "calibrate"}


LINE = '{"name": "/parts/0.png"}\n'


@pytest.mark.parametrize(
    ("lines", "table", "told", "fault"),
    [
        (LINE, "name\r\n/parts/0.png,x\r\n", f"{LINE}", None),
        (LINE + '{"name": "/pa', "name\r\n/parts/0.png,x\r\n/par", "GOOD       /parts/0.png  p\nGOOD       /par", None),
        ("", "name\r\n/parts/0.png,x\r\n", LINE, "results.jsonl lacks"),
        (LINE, "name\r\n/parts/0.png", LINE, "results.csv lacks"),
        (LINE, "name\r\n/parts/0.png,x\r\n", "ANOMALOUS  /parts/1.png  p\n", "results.jsonl lacks"),
        (LINE * 2, "name\r\n/parts/0.png,x\r\n", "", "results.jsonl has .* twice"),
    ],
)
def test_what_is_lost_or_doubled_is_a_fault(tmp_path: Path, lines: str, table: str, told: str, fault: str) -> None:
    spec = importlib.util.spec_from_file_location("kill", BENCH)
    assert spec is not None and spec.loader is not None
    kill = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "kill", kill)
        spec.loader.exec_module(kill)
    (tmp_path / "r" / "overlays").mkdir(parents=True)
    (tmp_path / "r" / "results.jsonl").write_text(lines)
    (tmp_path / "r" / "results.csv").write_text(table, newline="")
    if fault is None:
        kill.look_at_journal(tmp_path, told)
        (tmp_path / "r" / "overlays" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        fault = "0.png is cut off"
    with pytest.raises(kill.Fault, match=fault):
        kill.look_at_journal(tmp_path, told)
