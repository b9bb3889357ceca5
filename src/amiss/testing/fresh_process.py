"""Scores of a saved detector in a process that has never learned anything: what is not in the state is not there."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, Any, cast
from unittest.mock import patch

import numpy as np

from amiss.core.images import Images
from amiss.core.scores import Scores
from amiss.detectors.detector import Detector
from amiss.testing.expect import require

_SERVE = "from amiss.testing.fresh_process import _serve; _serve()"
_DONE = "amiss: done"

_running: list[subprocess.Popen[str]] = []
"""At most one: it has loaded torch, which takes seconds, and serves all checks. It only ever loads and scores."""


def score_elsewhere(detector: Detector, images: Images) -> Scores:
    """Save a detector, load it in the other process, and score there.

    Raises:
        AssertionError: The state cannot be saved or loaded, or scoring it fails.
    """
    from safetensors.torch import save_file

    method = type(detector)
    require("<locals>" not in method.__qualname__, f"{method.__qualname__} cannot be imported; define it in a module")
    address = {"module": method.__module__, "file": inspect.getfile(method), "name": method.__qualname__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        state = {key: value.contiguous() for key, value in detector.state_dict().items()}
        save_file(state, folder / "state.safetensors")
        (folder / "spec.json").write_text(
            json.dumps({**address, "settings": detector.hyperparameters(), "classes": detector.classes})
        )
        np.save(folder / "pixels.npy", np.stack(list(images)), allow_pickle=False)
        _ask(name)
        if (failure := folder / "failure.txt").exists():
            raise AssertionError(f"loading in a fresh process failed:\n{failure.read_text()}")
        classes = np.load(folder / "classes.npy", allow_pickle=False) if detector.classes else None
        return Scores(np.load(folder / "scores.npy", allow_pickle=False), classes=classes)


def _ask(folder: str) -> None:
    """Let the other process work on a folder, and wait."""
    if not _running or _running[0].poll() is not None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", _SERVE]
        pipe = subprocess.PIPE
        _running[:] = [subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)]
        atexit.register(_running[0].terminate)
    other = _running[0]
    requests, answers = cast(IO[str], other.stdin), cast(IO[str], other.stdout)
    requests.write(folder + "\n")
    requests.flush()
    while (line := answers.readline()) != _DONE + "\n":  # whatever else the method prints
        require(line != "", "the fresh process ended while it loaded the detector")


def _serve() -> None:
    """The other process: works on the folders named on its standard input."""
    for line in sys.stdin:
        folder = Path(line.strip())
        try:
            _score_reloaded(folder)
        except Exception:  # whatever the method raises is what its author needs to read
            (folder / "failure.txt").write_text(traceback.format_exc()[-2000:])
        sys.stdout.write(_DONE + "\n")
        sys.stdout.flush()


def _score_reloaded(folder: Path) -> None:
    """Load what was saved there and score, without a network."""
    import socket

    from safetensors.torch import load_file

    def refuse(*_: Any) -> None:
        raise OSError("loading a saved detector must not use the network")

    with patch.object(socket.socket, "connect", refuse):
        spec = json.loads((folder / "spec.json").read_text())
        detector: Detector = _find(spec["module"], spec["file"], spec["name"])(**spec["settings"])
        detector.classes = tuple(spec["classes"])
        detector.load_state(load_file(folder / "state.safetensors"))
        scores = detector.score(Images(np.load(folder / "pixels.npy", allow_pickle=False)))
        np.save(folder / "scores.npy", scores.image, allow_pickle=False)
        if scores.classes is not None:
            np.save(folder / "classes.npy", scores.classes, allow_pickle=False)


def _find(module: str, file: str, name: str) -> Any:
    try:
        if module != "__main__":  # here that is another module
            return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:  # a test file: its module has no place on the path
        pass
    called = "__mp_main__" if module == "__main__" else module  # as `multiprocessing` calls it
    origin = importlib.util.spec_from_file_location(called, file)
    if origin is None or origin.loader is None:
        raise ImportError(f"{file} must be a Python file")
    found = importlib.util.module_from_spec(origin)
    sys.modules[called] = found  # where types that are written as text are looked up
    origin.loader.exec_module(found)
    return getattr(found, name)
