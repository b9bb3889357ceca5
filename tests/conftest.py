"""What all tests share: the command as a user meets it, and a cache folder that nobody else's files lie in."""

import os
import signal
import sys
from collections.abc import Callable

import pytest

from amiss.cli import main as entry

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what is in the background deaf to it


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Shared by the processes of one run: each graph is traced by whoever comes first."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent / "cache" if "PYTEST_XDIST_WORKER" in os.environ else own / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AMISS_CACHE", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


@pytest.fixture
def amiss(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["amiss", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture(scope="session")
def peak_bytes() -> Callable[[Callable[[], object]], int]:
    """The most bytes that torch's CPU allocator holds at a time while some work runs, by torch's own profiler.

    The same in every run, unlike the memory of the process. What was there before does not count, nor what NumPy and
    ONNX Runtime take.
    """
    from torch.profiler import ProfilerActivity, profile

    def measure(work: Callable[[], object]) -> int:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            work()
        events = [each for each in found.profiler.kineto_results.events() if each.name() == "[memory]"]
        held = most = 0
        for event in sorted(events, key=lambda each: each.start_ns()):
            held += event.nbytes()
            most = max(most, held)
        return most

    return measure
