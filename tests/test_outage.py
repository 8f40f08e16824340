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

SCRIPTS: dict[str, list[tuple[str, float, bool]]] = {
    "no outage": [("asks", 0.0, True), ("asks", 0.0, True), ("asks", 0.1, True)],
    "a second for nobody": [
        ("silent", 5.0, False),
        ("asks", 5.0, False),
        ("asks", 5.5, False),
        ("asks", 5.999, False),
    ],
    "then one": [("silent", 5.0, False), ("asks", 6.0, True), ("asks", 6.0, False), ("asks", 6.999, False)],
    "one in each second": [
        ("silent", 0.0, False),
        ("asks", 1.9, True),
        ("asks", 2.0, True),
        ("asks", 2.1, False),
    ],
    "seconds that nobody used": [
        ("silent", 0.0, False),
        ("asks", 1.0, True),
        ("asks", 60.0, True),
        ("asks", 60.9, False),
    ],
    "the attempt failed": [
        ("silent", 0.0, False),
        ("asks", 1.0, True),
        ("silent", 3.0, False),
        ("asks", 3.9, False),
    ],
    "and the next": [
        ("silent", 0.0, False),
        ("asks", 1.0, True),
        ("silent", 3.0, False),
        ("asks", 4.0, True),
    ],
    "the attempt was interrupted": [("silent", 0.0, False), ("asks", 1.0, True), ("asks", 2.0, True)],
    "an answer": [("silent", 0.0, False), ("asks", 1.0, True), ("answered", 1.1, False), ("asks", 1.2, True)],
    "an answer that came late": [("silent", 0.0, False), ("answered", 0.1, False), ("asks", 0.2, True)],
    "again": [("silent", 0.0, False), ("answered", 0.5, False), ("silent", 0.6, False), ("asks", 1.5, False)],
    "two gave up at the same time": [("silent", 0.0, False), ("silent", 0.5, False), ("asks", 1.4, False)],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_who_may_ask(script: list[tuple[str, float, bool]]) -> None:
    """After a time-out nobody for a second, then one in each second, until there is an answer."""
    outage = Outage()
    for event, now, admitted in script:
        match event:
            case "asks":
                assert outage.admits(now) is admitted, (event, now)
            case "silent":
                outage.silent(now)
            case "answered":
                outage.answered()


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
