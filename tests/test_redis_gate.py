"""The gate: a fork never falls into the middle of an operation, and never waits for ever."""

from __future__ import annotations

import os
import runpy
import threading
import time
from collections.abc import Callable

import pytest

from wsgisession.stores import redis_gate
from wsgisession.stores.redis_gate import Gate, gate
from wsgisession.testing import PATIENCE, in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_fork_waits_for_operations_in_progress() -> None:
    """A lock that an operation holds, as those of a connection pool, is free again in the child."""
    lock, inside = threading.Lock(), threading.Event()

    def operation() -> None:
        with gate, lock:
            inside.set()
            until(lambda: gate._forking)

    thread = in_thread(operation)
    inside.wait(PATIENCE)
    assert in_child(lambda: lock.acquire(timeout=1))
    thread.join(PATIENCE)
    assert gate._inside == 0


def test_operations_wait_while_the_process_forks() -> None:
    """None begins before every fork under way is done."""
    gate = Gate()
    gate.shut()
    gate.shut()
    entered = threading.Event()

    def operation() -> None:
        with gate:
            entered.set()

    thread = in_thread(operation)
    for _ in range(2):
        until(lambda: gate._turn._waiters)  # type: ignore[attr-defined]
        assert not entered.is_set()
        gate.open()
    thread.join(PATIENCE)
    assert entered.is_set()


def test_a_child_starts_afresh() -> None:
    """Where another thread was inside, or waited, nobody is in the child: its operations begin at once."""
    gate = Gate(grace=0.01)
    gate.__enter__()
    gate.shut()
    gate.reset()
    with gate:
        pass
    assert (gate._inside, gate._forking) == (0, 0)


def test_a_fork_does_not_wait_for_ever() -> None:
    """An operation that hangs, for want of a timeout, holds a fork up for the grace and no longer."""
    gate = Gate(grace=0.02)
    with gate:
        gate.shut()
        gate.open()


def test_an_error_leaves_the_gate() -> None:
    """An operation that raises is over."""
    with pytest.raises(ZeroDivisionError), gate:
        raise ZeroDivisionError
    assert gate._inside == 0


def test_the_wait_of_a_fork_is_bounded() -> None:
    """By more than the timeouts of a client made from a URL, and by less than anybody's patience."""
    assert 4 < redis_gate.GRACE <= 30


def test_a_system_without_fork_needs_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes are not forked, as on Windows, the gate lets everything through."""
    monkeypatch.delattr(os, "register_at_fork")
    with runpy.run_path(redis_gate.__file__)["gate"]:
        pass
