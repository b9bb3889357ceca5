"""Every command on a page for users is run, in the order of its page, where the files that it names are there."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.docs.test_docs import PAGES, ROOT, commands_of

from amiss.cli.exit_codes import ExitCode
from amiss.cli.main import main
from amiss.testing import toy_classes, toy_part

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]

TOLD = {"CHANGELOG.md", "cli.md"}
"""Pages that tell what there is; the options of their commands are checked in `test_docs`."""

STAND_FOR = {
    "MODEL": "part.amiss",
    "A": "part.amiss",
    "B": "other.amiss",
    "DATA": "parts/",
    "[DATA]": "new_good/",
    "GOOD": "new_good/",
    "IMAGES": "new_parts/",
    "FILE": "new_parts/00.png",
    "STREAM": "new_parts/",
    "STUDY": "study/",
    "STORE": "store/",
    "SOURCE": "parts/",
    "METHOD": "padim",
    "NAME": "knn",
    "VERB": "fit",
    "WORDS": "conformal:10%",
    "NEW.amiss": "new.amiss",
    "DIR": "exported/",
    "FOLDER": "parts/",
    "PATH": "classes/",
}
"""What stands for a word of a synopsis."""

NEEDED = {
    "calibrate": ("--output", "new.amiss"),
    "update": ("--output", "new.amiss"),
    "quantise": ("--output", "int8.amiss"),
    "score": ("--output", "scores/"),
    "sign": ("--key", "own.key"),
}
"""An option that a synopsis leaves out and the command needs."""

SAID = {
    "certify": {ExitCode.PROMISE},
    "monitor": {ExitCode.PROMISE},
    "inspect": {ExitCode.ANOMALOUS},
    "data": {ExitCode.UNUSABLE},
    "gauge": {ExitCode.UNUSABLE},
}
"""Codes that tell of the data, not that the command failed."""

SYNOPSIS = re.compile(r"^amiss( [a-z]+)?$|\[OPTIONS\]|\.\.\.|--output$|--check$|amiss/bin|/n$")
"""Not a command but its name, or a form."""

ELSEWHERE = {
    r"--on ray|^amiss score --merge": "tests/service/test_shards.py",
    r"\$SLURM": "tests/service/test_shards.py",
    r"^amiss (serve|watch)": "tests/server/running.py",
    r"^amiss results": "tests/cli/test_results.py",
    r"my_module": "tests/rules/test_plugged_rules.py",
    r"hf:|--(device|backend) cuda|wafer_maps|magnetic_tile": "bench",
    r"--install-completion": "tests/cli",
    r"^amiss (inspect|calibrate|certify|monitor) --|^amiss fit --bits 12|^amiss methods --": "tests/cli",
}
"""What needs a server, a cluster, an accelerator, real data or a store of verdicts, and where it is run instead; and
options that are named without the rest of their command."""


def where_else(command: str) -> str | None:
    return next((place for pattern, place in ELSEWHERE.items() if re.search(pattern, command)), None)


def asked_for(page: Path) -> list[str]:
    """The commands of a page that are run here."""
    plain = [" ".join(re.split(r"   | #|, \d{2} ", command)[0].split()) for command in commands_of(page)]
    found = [command for command in plain if not SYNOPSIS.search(command) and where_else(command) is None]
    return list(dict.fromkeys(found))


def words_of(command: str) -> list[str]:
    """Its words, with what stands for others; learning is by the smallest preset, as only the command is looked at."""
    words = [STAND_FOR.get(word, word) for word in shlex.split(command.partition(" | ")[0])[1:]]
    if words[0] == "fit" and "--size" not in words and "--tile" not in words:
        words += ["--size", "64"]
    if words[0] == "fit" and not {"--preset", "--recipe"} & set(words):
        words += ["--preset", "tiny", "--calibration", "50%"]  # enough for the pages
    option, value = NEEDED.get(words[0], ("", ""))
    if option and not {option, "--new-key"} & set(words):
        words += [option, value]
    if words[0] == "update":
        words += ["--calibration", "folds"]
    return words


def instead(words: list[str], page: Path) -> list[str]:
    """Where a page, a verb or a rule speaks of other files than most do."""
    if page.name == "open_set.md":
        return [{"parts/": "classes/"}.get(word, word) for word in words]
    if words[0] == "quantise":  # wants the images that the model was made from
        return [{"parts/": "good_parts/"}.get(word, word) for word in words]
    if any(word.startswith("each_class") for word in words):
        return [{"part.amiss": "classes.amiss"}.get(word, word) for word in words]
    return words


COUNTS = {
    **{"good_parts": 220, "new_good": 110, "images/good": 30, "images/today": 200, "new_parts": 100, "our_images": 12},
    **{"top": 25, "side": 25, "good": 25, "parts/train/good": 30, "parts/test/good": 30},
}
"""Images in each folder: enough for what the pages promise with them."""

SMALL = ("--preset", "tiny", "--size", "64", "--calibration", "50%")

RUN = {page: asked_for(page) for page in PAGES if page.name not in TOLD | {"decisions", "experiments"}}
RUN = {page: some for page, some in RUN.items() if some and page.parent.name not in {"decisions", "experiments"}}


def draw(folder: Path, count: int, seed: int, *, defective: bool = False) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(toy_part(count, seed=seed, defective=defective).images):
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)


def enlarge(folder: Path, pattern: str = "*.png") -> None:
    for path in folder.glob(pattern):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (320, 320), interpolation=cv2.INTER_NEAREST))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that a page takes for granted."""
    place = tmp_path_factory.mktemp("files")
    for seed, (name, count) in enumerate(COUNTS.items()):
        draw(place / name, count, seed)
    draw(place / "parts" / "test" / "scratch", 12, 90, defective=True)
    for number in range(12):
        draw(place / "study" / f"P{number}", 3, 100 + number, defective=number > 8)
    rows = [f"good_parts/{number:02d}.png,good,{'bolt' if number % 2 else 'nut'}" for number in range(120)]
    washers = [f"new_good/{number:02d}.png,good,washer" for number in range(30)]
    for name, some in (("bolts.csv", rows), ("washers.csv", washers)):
        (place / name).write_text("\n".join(["path,label,product", *some]) + "\n")
    (place / "images.csv").write_text("\n".join(["path", *(f"good_parts/{n:02d}.png" for n in range(40))]) + "\n")
    (place / "recipe.toml").write_text('method = "padim"\npreset = "tiny"\nsize = 64\n')
    for name in ("clock_mask.png", "part_mask.png"):
        mask = np.zeros((64, 64), np.uint8)
        mask[:12, :12] = 255
        cv2.imwrite(str(place / name), mask if name[0] == "c" else 255 - mask)
    world = toy_classes(160, seed=0)
    for number, (image, label) in enumerate(zip(world.images, world.images.labels, strict=True)):
        (place / "classes" / label).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / "classes" / label / f"{number:02d}.png"), image)
    return place


@pytest.fixture(scope="module")
def stocked(files: Path) -> Path:
    """With models that a page has not made itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(files)
        for name, source, more in (
            ("part", "good_parts/", ()),
            ("other", "good_parts/", ("--seed", "1")),
            ("model", "classes/", ("--method", "max_logit", "--rule", "each_class:5%")),
        ):
            words = ["amiss", "fit", source, *SMALL, "--output", f"{name}.amiss", *more]
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as stop:
                main()
            assert not stop.value.code
    shutil.copy(files / "model.amiss", files / "classes.amiss")
    return files


@pytest.fixture
def here(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for one page."""
    shutil.copytree(stocked, tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "recipe.toml", tmp_path / "part.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", sorted(RUN), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, here: Path, amiss: Run) -> None:
    failed = []
    if "--tile" in page.read_text(encoding="utf-8"):
        enlarge(here / "good_parts")
        enlarge(here / "new_parts")
        enlarge(here, "*_mask.png")
    if page.name == "README.md":
        assert amiss("sign", "--new-key", "own.key")[0] == 0
    for command in RUN[page]:
        words = instead(words_of(command), page)
        target = words[words.index(">") + 1] if ">" in words else None
        words = words[: words.index(">")] if target else words
        code, out, err = amiss(*words)
        if code not in {ExitCode.DONE, *SAID.get(words[0], ())}:
            failed.append(f"{command}: {words}: {code}: {err[-300:]}")
        if target:
            (here / target).write_text(out)
    assert not failed


def test_none_is_forgotten() -> None:
    """Most are run; what is run elsewhere is so for a reason that is there."""
    assert sum(map(len, RUN.values())) >= 60
    for place in set(ELSEWHERE.values()):
        assert (ROOT / place).exists(), place
