"""What becomes of operations on an engine that does not answer: none for a second, then one a second, until
it answers.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable

import pytest

from wsgisession.stores.outage import Outage
from wsgisession.testing import in_child, together

SCRIPTS: dict[str, list[tuple[str, float]]] = {
    "no outage": [("asks", 0.0), ("asks", 0.0), ("asks", 0.1)],
    "a second for nobody": [("silent", 5.0), ("waits", 5.0), ("waits", 5.5), ("waits", 5.999)],
    "then one": [("silent", 5.0), ("asks", 6.0), ("waits", 6.0), ("waits", 6.999)],
    "one in each second": [("silent", 0.0), ("asks", 1.9), ("asks", 2.0), ("waits", 2.1)],
    "seconds that nobody used": [("silent", 0.0), ("asks", 1.0), ("asks", 60.0), ("waits", 60.9)],
    "the attempt failed": [("silent", 0.0), ("asks", 1.0), ("silent", 3.0), ("waits", 3.9)],
    "and the next": [("silent", 0.0), ("asks", 1.0), ("silent", 3.0), ("asks", 4.0)],
    "the attempt was interrupted": [("silent", 0.0), ("asks", 1.0), ("asks", 2.0)],
    "an answer": [("silent", 0.0), ("asks", 1.0), ("answered", 1.1), ("asks", 1.2)],
    "an answer that came late": [("silent", 0.0), ("answered", 0.1), ("asks", 0.2)],
    "again": [("silent", 0.0), ("answered", 0.5), ("silent", 0.6), ("waits", 1.5)],
    "two gave up at the same time": [("silent", 0.0), ("silent", 0.5), ("waits", 1.4)],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_who_may_ask(script: list[tuple[str, float]]) -> None:
    """After a time-out nobody for a second, then one in each second, until there is an answer."""
    outage = Outage()
    for event, now in script:
        match event:
            case "silent":
                outage.silent(now)
            case "answered":
                outage.answered()
            case _:
                assert outage.admits(now) is (event == "asks"), (event, now)


def test_whether_it_lasts() -> None:
    """From the first time-out until the first answer."""
    outage = Outage()
    seen = [outage.lasts]
    for event in (lambda: outage.silent(1.0), lambda: outage.admits(2.0), outage.answered):
        event()
        seen.append(outage.lasts)
    assert seen == [False, True, True, False]


def test_one_thread_in_each_second() -> None:
    """Of sixteen threads that ask at the same time exactly one may try, second after second."""
    outage = Outage()
    outage.silent(0.0)

    def ask(second: int) -> Callable[[], bool]:
        return lambda: outage.admits(second + 0.5)

    for second in range(1, 50):
        assert sum(together([ask(second)] * 16)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_knows_of_the_outage_and_has_turns_of_its_own() -> None:
    """A process forked during an outage does not wait for the engine either, and may try like any other."""
    outage = Outage()
    outage.silent(0.0)
    assert outage.admits(1.0) is True
    assert in_child(lambda: (outage.admits(1.5), outage.admits(2.0)) == (False, True))
    assert outage.admits(2.0) is True


def test_a_long_outage_does_not_add_up() -> None:
    """A day of attempts, one a second, takes no more memory than the first ones."""
    outage = Outage()
    outage.silent(0.0)
    tracemalloc.start()
    try:
        assert all(outage.admits(float(second)) for second in range(1, 86_400))
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()
