"""Work in several threads comes out in order, stays bounded, and stops when it should."""

import threading
import time

import pytest

from amiss.core.errors import InputError
from amiss.core.threads import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_results_come_in_order(workers: int, count: int) -> None:
    def late(index: int) -> int:
        time.sleep(0.003 * (index % 3 == 0))
        return index

    assert list(in_order(late, count, workers)) == list(range(count))


def test_several_work_at_once_and_never_more_than_asked() -> None:
    lock, inside, most = threading.Lock(), 0, 0
    meeting = threading.Barrier(3)

    def work(index: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        if index < 3:
            meeting.wait(timeout=10)  # passes only when three are here together
        with lock:
            inside -= 1

    assert len(list(in_order(work, 30, workers=3))) == 30
    assert most == 3


def test_work_does_not_run_far_ahead_of_who_takes_it() -> None:
    begun = []
    results = in_order(lambda index: begun.append(index), 1000, workers=2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 5
    results.close()
    assert len(begun) <= 5, "nobody takes results any more"


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_out_at_its_place_and_stops_the_rest(workers: int) -> None:
    begun, seen = [], []

    def work(index: int) -> int:
        begun.append(index)
        if index == 4:
            raise InputError("no")
        return index

    with pytest.raises(InputError, match="no"):
        for result in in_order(work, 500, workers):
            seen.append(result)
    assert seen == [0, 1, 2, 3]
    assert len(begun) <= 5 + 2 * workers
