"""`Learnings`: a person without a terminal collects good images, and a child process learns a model from them.

learnings/<id>/job.json     what was asked for, and how far it is
learnings/<id>/images/      the good images, each checked when it came
learnings/<id>/model.amiss  what came of it, which is also a version of its recipe; nothing is deployed
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from amiss.core.errors import AmissError, BusyError, ConflictError, DataError, InputError
from amiss.inspector import Inspector
from amiss.rules import parse_rule
from amiss.rules.trade import trade
from amiss.station.choices import Choices
from amiss.station.decoding import Decoders
from amiss.station.jobs import new_id
from amiss.station.recipes import Recipes
from amiss.station.stored import load_own
from amiss.storage import sweep, write_file

STATES = ("collecting", "running", "cancelled", "failed", "done")
"""A cancelled one, or one that the end of the station interrupted, can be resumed."""

_NAME = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass
class Learning:
    """One model in the making.

    Args:
        id: Its id.
        recipe: What kind of parts the images show.
        method: See `amiss.list_methods`.
        preset: Of the method.
        size: Pixels of the sides that images are resized to.
        rule: A rule in words, such as conformal:5%.
        actor: Who asked for it.
        state: One of `STATES`.
        images: Good images that came.
        error: Why it failed.
        version: Of the recipe, once it is done.
        statement: What the model promises, once it is done.
        trade: What other alphas would mean, once it is done.
        refused: Why the version may not judge, such as that nobody has signed it; empty where it may.
        stage: What is being done; nothing of this line is kept.
        done: Units of it, of `total`.
        total: Units in all.
        seconds_left: Of this stage, about; None when nobody knows.
    """

    id: str
    recipe: str
    method: str
    preset: str
    size: int
    rule: str
    actor: str
    state: str = "collecting"
    images: int = 0
    error: str = ""
    version: int | None = None
    statement: str = ""
    trade: list[dict[str, Any]] = field(default_factory=list)
    refused: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


class Learnings:
    """All of them, of one store.

    Args:
        folder: Where they lie.
        recipes: Where finished models go.
        decoders: Children that try each image.
    """

    def __init__(self, folder: Path, recipes: Recipes, decoders: Decoders) -> None:
        self._folder, self._recipes, self._decoders = folder, recipes, decoders
        self.choices = Choices()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._all: dict[str, Learning] = {}
        for path in sorted(folder.glob("*/job.json")):
            with suppress(ValueError, TypeError, OSError):
                one = Learning(**json.loads(path.read_text(encoding="utf-8")))
                one.state = "cancelled" if one.state == "running" else one.state
                one.images = self._count(one)
                self._all[one.id] = one

    def summaries(self) -> list[dict[str, Any]]:
        """All of them, the newest first, as plain JSON values."""
        return [asdict(one) for one in sorted(self._all.values(), key=lambda one: one.id, reverse=True)]

    def get(self, name: str) -> Learning:
        """One of them.

        Raises:
            DataError: There is none.
        """
        if name not in self._all:
            raise DataError(f"learning must be one that was begun, got {name!r}")
        return self._all[name]

    def begin(self, recipe: str, method: str, preset: str, size: int, rule: str, actor: str) -> Learning:
        """Begin to collect images.

        Raises:
            InputError: An unknown method, preset or rule.
            MissingExtraError: The lab is not installed.
        """
        self.choices.check(method, preset)
        parse_rule(rule)
        one = Learning(new_id(), recipe, method, preset, size, rule, actor)
        self._all[one.id] = one
        (self._place(one) / "images").mkdir(parents=True)
        self._keep(one)
        return one

    def put(self, name: str, file: str, data: bytes) -> int:
        """Keep a good image, once it has shown that it can be decoded; the same name again replaces it.

        Args:
            name: Id of the learning.
            file: Name of the image, with the folders that it lies in; another one is another image.
            data: Its bytes.

        Returns:
            How many there are.

        Raises:
            ConflictError: It learns already.
            DataError: There is no such learning, or not any more.
            ImageError: It cannot be used.
            OutputError: It cannot be written.
        """
        self._collecting(name)
        self._decoders.decode(data, (8, 8), None)
        with self._lock:
            one = self._collecting(name)  # it may have been started, or removed, meanwhile
            write_file(self._place(one) / "images" / file_name(file), data)
            one.images = self._count(one)
            one.state = "collecting"
            self._keep(one)
            return one.images

    def _collecting(self, name: str) -> Learning:
        one = self.get(name)
        if one.state == "running":
            raise ConflictError(f"learning {name} is running; it takes no more images")
        return one

    def start(self, name: str) -> Learning:
        """Learn, or go on where it was cancelled.

        Raises:
            BusyError: One is running already; two at once would slow what inspects.
            InputError: There is no image.
        """
        with self._lock:
            one = self.get(name)
            if any(other.state == "running" for other in self._all.values()):
                raise BusyError("one model is being learned already; wait for it, or cancel it")
            if one.images == 0:
                raise InputError("images must be at least 1, got 0")
            one.state, one.error, one.stage = "running", "", ""
            self._keep(one)
            command = [sys.executable, "-P", "-m", "amiss.station.learner", str(self._place(one))]
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True, encoding="ascii",
            )  # fmt: skip
        threading.Thread(target=self._follow, args=(one, self._child), name="amiss-learn", daemon=True).start()
        return one

    def cancel(self, name: str) -> Learning:
        """End the child; what it has come to is kept, and `start` goes on from there."""
        one = self.get(name)
        with self._lock:
            if one.state == "running" and self._child is not None:
                one.state = "cancelled"
                self._child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(timeout=10)
                self._child.kill()
                self._keep(one)
        return one

    def remove(self, name: str) -> None:
        """Forget one, with its images; the version that came of it stays."""
        one = self.cancel(name)
        with self._lock:
            self._all.pop(one.id, None)
            shutil.rmtree(self._place(one), ignore_errors=True)

    def close(self) -> None:
        """End what is running."""
        for name in list(self._all):
            self.cancel(name)

    def _follow(self, one: Learning, child: subprocess.Popen[str]) -> None:
        with child:
            self._listen(one, child)
        with self._lock:
            if one.state != "running" or self._child is not child:  # cancelled, and perhaps begun again since
                return
        if child.returncode == 0:
            self._finish(one)
        else:
            one.state, one.error = "failed", one.error or f"the process ended with exit code {child.returncode}"
        self._keep(one)

    def _listen(self, one: Learning, child: subprocess.Popen[str]) -> None:
        """What a child says, until it ends."""
        began: dict[str, float] = {}
        for line in child.stdout or ():
            with suppress(ValueError):
                said = json.loads(line)
                if "error" in said:
                    one.error = said["error"]
                else:
                    one.stage, one.done, one.total = said["stage"], said["done"], said["total"]
                    spent = time.monotonic() - began.setdefault(one.stage, time.monotonic())
                    one.seconds_left = spent / one.done * (one.total - one.done) if one.done and spent > 1 else None

    def _finish(self, one: Learning) -> None:
        try:
            inspector = load_own(str(self._place(one) / "model.amiss"))
            one.version = self._recipes.add(one.recipe, inspector, actor=one.actor).version
            one.refused = self._recipes.refusal(one.recipe, one.version)
        except AmissError as error:
            one.state, one.error = "failed", str(error)
            return
        one.statement, one.trade = inspector.statement(), trade_table(inspector)
        one.stage, one.state = "", "done"

    def _place(self, one: Learning) -> Path:
        return self._folder / one.id

    def _count(self, one: Learning) -> int:
        folder = self._place(one) / "images"
        sweep(folder)
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0

    def _keep(self, one: Learning) -> None:
        passing = ("stage", "done", "total", "seconds_left")
        kept = {name: value for name, value in asdict(one).items() if name not in passing}
        write_file(self._place(one) / "job.json", json.dumps(kept).encode())


def file_name(given: str) -> str:
    """The name under which an image is kept: another one for each name that is given, folders and all."""
    last = Path(given.replace("\\", "/")).name
    safe = Path(_NAME.sub("_", last)[-100:].lstrip(".") or "image")
    return f"{safe.stem}-{hashlib.sha256(given.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}{safe.suffix}"


def trade_table(inspector: Inspector) -> list[dict[str, Any]]:
    """What other alphas would mean, see `amiss.rules.trade`."""
    return [choice.summary() for choice in trade(inspector.rule)]
