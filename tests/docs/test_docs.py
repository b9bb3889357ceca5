"""If it is written, it runs: examples, the README's commands and code, the generated pages, the links."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from functools import lru_cache
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


COMMAND = re.compile(r"^(?:\$ |    |\t)*((?:amiss/bin/)?amiss (?!is )[a-z].*)$", re.M)


def commands_of(page: Path) -> list[str]:
    """Commands of `amiss` in blocks and in the text of a page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return COMMAND.findall(text) + re.findall(r"`(amiss [^`]+)`", text.replace("\n", " "))


def deeper(asked, words: list[str], code: int, help_text: str) -> tuple[int, str]:
    """Help of a verb within a verb, such as `serve person add`; `run` where none is named."""
    for depth in (1, 2):
        verbs = re.findall(r"^  ([a-z]+) ", help_text.partition("Commands:")[2], re.M)
        named = next((word for word in words[depth : depth + 1] if word in verbs), "run")
        if named in verbs:
            words = [*words[:depth], named, *words[depth + 1 :]]
            code, help_text, _ = asked(*words[: depth + 1])
    return code, help_text


def test_every_command_on_a_page_exists_with_its_options(amiss) -> None:
    """On pages for users; decisions and experiments tell what was."""
    asked = lru_cache(lambda *verb: amiss(*verb, "--help"))
    wrong = []
    for page in PAGES:
        for command in [] if page.parent.name in {"decisions", "experiments"} else commands_of(page):
            words = shlex.split(command.split("   ")[0].replace("...", ""), comments=True)
            if len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
                continue
            code, help_text, _ = asked(words[1])
            if "Commands:" in help_text:
                code, help_text = deeper(asked, words[1:], code, help_text)
            options = {word.partition("=")[0] for word in words[2:] if re.match(r"--[a-z]", word)}
            wrong += [f"{page.name}: {command}" for option in options if option not in help_text]
            wrong += [f"{page.name}: {command}"] if code else []
    assert not wrong


def test_the_readme_shows_commands() -> None:
    assert len(COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))) >= 6


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
