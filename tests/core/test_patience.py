"""One thread watches whatever may take too long."""

import os
import threading
import time

import pytest

from amiss.core.patience import patience


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "amiss-patience"]


def test_what_ends_in_time_is_left_alone_and_what_does_not_is_stopped_once() -> None:
    stopped: list[str] = []
    with patience(0.05, lambda: stopped.append("outer")), patience(60, lambda: stopped.append("inner")):
        time.sleep(0.4)
    with patience(0.2, lambda: stopped.append("quick")):
        pass
    time.sleep(0.4)
    assert stopped == ["outer"]


def test_many_at_once_share_a_thread() -> None:
    stopped: list[int] = []

    def wait(number: int) -> None:
        with patience(0.1 if number % 2 else 60, lambda: stopped.append(number)):
            time.sleep(0.5)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert len(watchers()) == 1
    for thread in threads:
        thread.join()
    assert sorted(stopped) == list(range(1, 20, 2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_copy_of_the_process_has_its_own() -> None:
    with patience(60, lambda: None):
        child = os.fork()
        if child == 0:
            late: list[int] = []
            with patience(0.05, lambda: late.append(1)):
                time.sleep(0.4)
            os._exit(0 if late == [1] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_error_inside_goes_through() -> None:
    with pytest.raises(KeyError), patience(60, lambda: None):
        raise KeyError
