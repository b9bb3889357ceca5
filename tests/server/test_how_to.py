"""The snippets of docs/how-to/serve.md do what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.running import Running, amiss, png

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "serve.md").read_text()


def block(language: str) -> str:
    return next(body for kind, body in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S) if kind == language)


def test_the_python_of_the_page(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict = {}
    exec(block("python"), names)  # what a reader would paste
    address = f"http://localhost:{server.port}"
    found = []
    for number, defective in enumerate((False, True)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(700 + number, defective=defective))
        found.append(names["accept"](str(path), f"how-to-{number}", address, "toy"))
    assert found == [True, False]
    assert names["accept"](str(path), "elsewhere", "http://localhost:9", "toy") is False
    (tmp_path / "bad.png").write_bytes(b"bad")
    assert names["accept"](str(tmp_path / "bad.png"), "how-to-bad", address, "toy") is False
    good = str(tmp_path / "0.png")
    for token, wanted in (
        (amiss(server.folder, "serve", "token", "add", "py", "--scope", "inspect"), True),
        ("x", False),
    ):
        monkeypatch.setenv("AMISS_TOKEN", token)
        assert names["accept"](good, "how-to-token", address, "toy") is wanted


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_of_the_page(server: Running, tmp_path: Path) -> None:
    (tmp_path / "part.png").write_bytes(png(700))
    command = block("sh").replace("localhost:8470", f"localhost:{server.port}").replace("recipe=part", "recipe=toy")
    token = amiss(server.folder, "serve", "token", "add", "curl", "--scope", "inspect")
    for said, wanted in (({}, True), ({"AMISS_TOKEN": token}, True), ({"AMISS_TOKEN": "wrong"}, False)):
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **said}
        )
        assert (done.returncode == 0 and '"accept":true' in done.stdout) is wanted, done


def test_every_status_of_the_page_is_one_of_the_server(server: Running) -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d{3}) \|", PAGE, re.M)}
    assert listed == {200, 401, 403, 404, 409, 413, 421, 422, 429, 503, 504, 507}
