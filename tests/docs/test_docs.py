"""If it is written, it runs: examples, the README's commands and code, the generated pages, the links."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from amiss.testing import toy_part

ROOT = Path(__file__).parents[2]
PAGES = [path for path in (ROOT, *(ROOT / "docs").rglob("*")) if path.is_dir() for path in path.glob("*.md")]
PAGES += list((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.S)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each as a program, in this process: a process of its own would spend most of its time importing torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example)])
    runpy.run_path(str(example), run_name="__main__")


def test_every_command_of_the_readme_exists_with_its_options(amiss):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:\$ |    )(amiss .*)$", text, re.M)
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(command.split("   ")[0])
        code, help_text, _ = amiss(words[1], "--help")
        assert code == 0, command
        for word in words[2:]:
            assert not word.startswith("--") or word in help_text, command


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path):
    for folder, seed in (("good_parts", 0), ("new_parts", 1)):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(toy_part(30, seed=seed).images):
            cv2.imwrite(str(tmp_path / folder / f"{number:02d}.png"), image)
    (code,) = blocks(ROOT / "README.md", "python")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_is_half_a_page_and_links_its_log(page: Path):
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30 and len(text.split()) <= 340, "move the log to docs/experiments/"
    log = ROOT / "docs" / "experiments" / page.name
    assert (f"](../experiments/{page.name})" in text) == log.exists()
    assert not log.exists() or f"](../decisions/{page.name})" in log.read_text(encoding="utf-8")


def test_every_log_has_its_decision():
    logs = {path.name for path in (ROOT / "docs" / "experiments").glob("*.md")}
    assert logs and logs <= {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}


def test_generated_pages_are_fresh(monkeypatch: pytest.MonkeyPatch):
    program = ROOT / "docs" / "generate.py"
    monkeypatch.setattr(sys, "argv", [str(program), "--check"])
    monkeypatch.syspath_prepend(program.parent)  # as for a script
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(program), run_name="__main__")
    assert not stop.value.code
