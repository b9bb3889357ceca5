"""``amiss distil`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from amiss.features.teacher import Teacher
from amiss.testing import write_images

TINY = ("--arch", "pdn-tiny", "--backbone", "tiny-random", "--size", 64, "--steps", 4)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    return write_images(tmp_path / "holiday", noise)


def record_of(file: Path) -> dict[str, str]:
    with safe_open(file, "pt") as opened:
        return opened.metadata()


def test_procedural_images_by_default(amiss, tmp_path):
    file = tmp_path / "new" / "teacher.safetensors"
    code, out, err = amiss("distil", *TINY, "--count", 6, "--output", file)
    assert code == 0 and "Loss: " in out and str(file) in out and "6, drawn by Amiss" in out
    assert "images: 6 done" in err and "distilling: 4 done" in err
    Teacher("pdn-tiny", str(file))
    record = record_of(file)
    assert record["command"] == (
        "amiss distil --arch pdn-tiny --backbone tiny-random --stages 8,16 --images procedural --count 6 --steps 4 "
        "--size 64 --seed 0"
    )
    # the command it names makes the same bytes
    again = tmp_path / "again.safetensors"
    assert amiss(*record["command"].split()[1:], "--output", again)[0] == 0
    assert again.read_bytes() == file.read_bytes()


def test_a_folder_and_json(amiss, photographs, tmp_path):
    file = tmp_path / "teacher.safetensors"
    code, out, _ = amiss("distil", *TINY, "--images", photographs, "--seed", 3, "--output", file, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["bytes"] == file.stat().st_size and answer["last_loss"] < 10
    assert answer["images"] == "3, in folder holiday" and "for their owner to say" in answer["licence"]
    assert {key: answer[key] for key in record_of(file)} == record_of(file)
    assert str(tmp_path) not in json.dumps(record_of(file))


def test_the_same_command_goes_on_from_its_checkpoint(amiss, tmp_path, monkeypatch):
    monkeypatch.setattr("amiss.distillation.teachers.EVERY", 2)
    arguments = ("distil", *TINY, "--count", 5, "--output", tmp_path / "whole")
    assert amiss(*arguments)[0] == 0
    kept = ("--checkpoint", tmp_path / "state", "--output", tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr("amiss.cli.console._Log.__call__", stop_at(3))
        code, _, err = amiss(*arguments, *kept)
    assert code == 130 and "interrupted" in err and not (tmp_path / "parts").exists()
    assert amiss(*arguments, *kept)[0] == 0
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    code, _, err = amiss(*arguments, *kept, "--seed", 1)
    assert code == 2 and "another run" in err and "start over" in err


def test_without_torch_it_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from amiss.cli.main import main; main()"
    arguments = ["distil", "--arch", "pdn-xs", "--output", str(tmp_path / "x")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr == "amiss: distilling needs torch; pip install 'amiss[fit]'\n"


def stop_at(step: int):
    """A display during which the user presses Ctrl-C."""

    def show(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "distilling" and done == step:
            raise KeyboardInterrupt

    return show


@pytest.mark.slow
def test_errors_are_one_line(amiss, photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for arguments, words in [
        (("--arch", "pdn-xxs"), ["pdn-xxs", "Did you mean 'pdn-xs'"]),
        (("--backbone", "resnet18"), ["resnet18", "file:PATH"]),
        (("--backbone", f"file:{tmp_path}/none.safetensors"), ["none.safetensors"]),
        (("--stages", "8;16"), ["got '8;16'", "such as 8,16"]),
        (("--stages", "16"), ["must be 8 pixels wide", "got 16"]),
        (("--images", tmp_path / "empty"), ["empty", "no image inside"]),
        (("--images", tmp_path / "nowhere"), ["nowhere", "no such file or folder"]),
        (("--images", torn), ["a.png"]),
        (("--size", 100), ["a multiple of 32", "got 100"]),
        (("--count", 0), ["count must be a whole number of at least 1, got 0"]),
        (("--steps", 0), ["steps must be a whole number of at least 1, got 0"]),
        (("--output", photographs), ["holiday is a folder", "--output"]),
        (("--checkpoint", torn / "a.png"), ["a.png", "must be a folder, got a file"]),
    ]:
        code, out, err = amiss("distil", *TINY, "--output", tmp_path / "x", *arguments)
        message = [line for line in err.splitlines() if line.startswith("amiss: ")]
        assert code == (1 if "--checkpoint" in arguments else 2) and out == "" and len(message) == 1, arguments
        assert all(word in message[0] for word in words), message
        assert not (tmp_path / "x").exists()
