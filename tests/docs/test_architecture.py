"""docs/architecture.md names every file of the package in its room, and nothing that is not there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import amiss

PACKAGE = Path(amiss.__file__).parent
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
BULLETS = re.findall(r"^\* `([\w/.]+)`:((?:.*\n)(?:  .*\n)*)", TEXT.partition("## The rooms")[2], re.M)
ROOMS = {name: words for name, words in BULLETS if name.endswith("/")}
SILENT = ("__init__.py", "__main__.py")


def test_every_room_is_there_once_and_says_what_it_is_for() -> None:
    names = [name for name, _ in BULLETS]
    folders = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("*/__init__.py")}
    assert sorted(ROOMS) == sorted(folders) and len(set(names)) == len(names)
    assert all(re.search(r"[a-z]{3}", words) for _, words in BULLETS)


def test_every_top_level_module_is_named() -> None:
    modules = {path.name for path in PACKAGE.glob("*.py")} - set(SILENT)
    assert {name for name, _ in BULLETS if not name.endswith("/")} == modules


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_file_of_a_room_is_named_and_is_there(room: str) -> None:
    """Without folders: a file named in a room lies in it. Another room's is named with its folder."""
    named = set(re.findall(r"`(\w+\.py)`", ROOMS[room]))
    assert named == {path.name for path in (PACKAGE / room).glob("*.py")} - set(SILENT)


def test_every_path_on_the_page_exists() -> None:
    paths = set(re.findall(r"`([\w./-]+(?:\.(?:py|md|toml)|/))`", TEXT))
    known = {path.name for path in PACKAGE.rglob("*") if "/" not in path.name}
    lost = [
        path
        for path in paths
        if not (PACKAGE / path).exists()
        and not (ROOT / path).exists()
        and not ("/" not in path.rstrip("/") and path.rstrip("/") in known)
    ]
    assert len(paths) > 150 and not lost


def test_the_layers_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    wanted = [layer.replace("amiss.", "").split(" | ") for layer in contracts[0]["layers"]]
    block = TEXT.partition("## The layers")[2].partition("## ")[0]
    shown = [re.sub(r"  .*", "", line.strip()).split(" | ") for line in block.splitlines() if line.startswith("    ")]
    assert [sorted(layer) for layer in shown] == [sorted(layer) for layer in wanted]
