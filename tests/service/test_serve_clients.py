"""Programs that nobody here wrote, against a real server: clients of the protocol, a fuzzer of the API, promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.running import Running, amiss, png, start

pytestmark = pytest.mark.service
HERE = Path(__file__).parent
PASSWORD = "a long password"


@pytest.fixture(scope="module")
def server(toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(toy_model, folder)
    running = start(folder)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The Python of an environment of its own, so that nobody else's needs meet ours."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*packages: str) -> Path:
        if packages not in made:
            folder = tmp_path_factory.mktemp("client") / "venv"
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            done = subprocess.run(
                [folder / "bin" / "pip", "install", "--quiet", *packages], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"{', '.join(packages)} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
            made[packages] = folder / "bin"
        return made[packages]

    return make


@pytest.mark.parametrize(
    ("script", "packages"),
    [
        ("tritonserver_client.py", ("tritonclient[http]==2.73.0",)),
        ("openapi_client.py", ("open-inference-openapi==2.0.0.1",)),
        ("kserve_client.py", ("kserve==0.21.0",)),
    ],
)
def test_clients_of_the_open_inference_protocol(
    server: Running, environment: Callable[..., Path], tmp_path: Path, script: str, packages: tuple[str, ...]
) -> None:
    programs = environment(*packages)
    path = tmp_path / "part.png"
    path.write_bytes(png(5, defective=True))
    wanted = server.post("/api/v1/parts?recipe=toy", path.read_bytes()).json
    command = [programs / "python", HERE / "clients" / script, f"127.0.0.1:{server.port}", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["live"] and found["ready"]
    assert (found["label"], found["accept"]) == (wanted["label"], wanted["accept"])
    assert all(score == pytest.approx(wanted["score"], rel=1e-6) for score in found["scores"])
    if "two as JSON" in found:
        assert found["two"] == found["two as JSON"] and found["map"] == [1, 64, 64]


@pytest.mark.parametrize("role", ["operator", "engineer", "auditor", "inspect", "local"])
def test_a_fuzzer_finds_no_fault(toy_model: Path, tmp_path: Path, environment: Callable[..., Path], role: str) -> None:
    """Schemathesis makes requests out of the document of the API, with what each role may send."""
    programs = environment("schemathesis==4.32.5")
    shutil.copy(toy_model, tmp_path)
    running = start(tmp_path)
    headers = []
    if role != "local":
        amiss(tmp_path, "serve", "person", "add", "ann", "--role", "engineer", said=PASSWORD + "\n")
    if role == "inspect":
        headers = [
            "-H",
            f"Authorization: Bearer {amiss(tmp_path, 'serve', 'token', 'add', 'plc', '--scope', 'inspect')}",
        ]
    elif role != "local":
        amiss(tmp_path, "serve", "person", "add", "ann", "--role", role, said=PASSWORD + "\n")
        headers = ["-H", f"Cookie: {running.log_in('ann', PASSWORD).headers['cookie']}"]
    words = ["--checks", "not_a_server_error", "--max-examples", "6", "--phases", "coverage,fuzzing", "--seed", "1"]
    words += ["--max-time", "25", "--no-color", "--exclude-path-regex", "^/(login|logout)$", *headers]
    address = f"http://127.0.0.1:{running.port}/api/v1/openapi.json"
    done = subprocess.run(
        [programs / "schemathesis", "run", address, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert "Server error" not in done.stdout and "test cases" in done.stdout.lower(), done.stdout[-4000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated and int(generated[1]) > 0, done.stdout[-4000:]
    assert running.get("/healthz").status == 200 and running.stop() == 0
    assert '"trace"' not in (tmp_path / "server.log").read_text()


def test_promtool_has_nothing_to_say(server: Running) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    server.post("/api/v1/parts?recipe=toy", png(6))
    text = server.get("/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr.decode()


def test_the_unit_leaves_little_to_attack() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = HERE.parents[1] / "packaging" / "amiss.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if "Overall exposure level" in line]
    assert float(line.split(":")[1].split()[0]) <= 2.0, line
