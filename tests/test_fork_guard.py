"""The fork guard: a fork never falls into the middle of an operation, and nobody ever waits for
themselves.
"""

from __future__ import annotations

import gc
import os
import runpy
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from support.children import run_program

from wsgisession.stores import fork
from wsgisession.stores.fork import Guard, guard
from wsgisession.testing import PATIENCE, Outside, Steps, in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


class Inside:
    """A thread in the middle of an operation, until it is let go."""

    def __init__(self, guard: Guard) -> None:
        self.leave, self.entered = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(guard,), daemon=True)
        self.thread.start()

    def _run(self, guard: Guard) -> None:
        with guard:
            self.entered.set()
            self.leave.wait(PATIENCE)

    def end(self) -> None:
        self.leave.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture
def quiet() -> Iterator[list[bool]]:
    """What the process's guard said before each fork: whether all operations had ended."""
    seen: list[bool] = []
    guard.before_fork.append(seen.append)
    yield seen
    guard.before_fork.remove(seen.append)


def test_a_fork_waits_for_operations_in_progress(quiet: list[bool]) -> None:
    """A lock that an operation holds, as those of a connection pool, is free again in the child."""
    lock, inside = threading.Lock(), threading.Event()

    def operation() -> None:
        with guard, lock:
            inside.set()
            time.sleep(0.05)

    thread = threading.Thread(target=operation, daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    assert in_child(lambda: lock.acquire(timeout=1))
    thread.join(PATIENCE)
    assert quiet == [True]


@pytest.mark.parametrize("used_before", [False, True], ids=["its first operation", "a later one"])
def test_operations_wait_while_the_process_forks(used_before: bool) -> None:
    """None begins before the fork under way is done."""
    guard = Guard()
    used, go, entered = threading.Event(), threading.Event(), threading.Event()

    def operation() -> None:
        if used_before:
            with guard:
                pass
        used.set()
        go.wait(PATIENCE)
        with guard:
            entered.set()

    thread = threading.Thread(target=operation, daemon=True)
    thread.start()
    assert used.wait(PATIENCE)
    guard.shut()
    go.set()
    assert not entered.wait(0.05)
    guard.open()
    thread.join(PATIENCE)
    assert entered.is_set()


def test_two_threads_fork_one_after_the_other() -> None:
    """The second waits until the first is through, and a thread that does not fork ends nobody's fork."""
    guard = Guard()
    shut = threading.Event()

    def fork() -> None:
        guard.shut()
        shut.set()
        guard.open()

    guard.shut()
    stranger = threading.Thread(target=guard.open, daemon=True)
    stranger.start()
    stranger.join(PATIENCE)
    second = threading.Thread(target=fork, daemon=True)
    second.start()
    assert not shut.wait(0.05)
    assert guard.forking
    guard.open()
    second.join(PATIENCE)
    assert shut.is_set() and not guard.forking


def test_a_child_starts_afresh() -> None:
    """If another thread was inside, or waited, nobody is in the child: operations begin at once, on any
    thread.
    """
    inside = Inside(guard)
    assert inside.entered.wait(PATIENCE)

    def works() -> bool:
        with guard:
            pass
        other = Inside(guard)
        other.end()
        return other.entered.is_set() and all_quiet(guard)

    with pytest.MonkeyPatch.context() as patch:
        # The only way to a guard of the process that does not wait ten seconds.
        patch.setattr(guard, "_grace", 0.02)
        assert in_child(works)
    inside.end()


def test_a_fork_does_not_wait_for_ever() -> None:
    """An operation that hangs, because it has no timeout, holds a fork up for the grace and no longer; hooks
    are told.
    """
    guard = Guard(grace=0.02)
    quiet: list[bool] = []
    guard.before_fork.append(quiet.append)
    inside = Inside(guard)
    assert inside.entered.wait(PATIENCE)
    guard.shut()
    guard.open()
    inside.end()
    guard.shut()
    guard.open()
    assert quiet == [False, True]


def test_the_wait_of_a_fork_is_bounded() -> None:
    """By more than the timeouts of a client made from a URL, and by less than anybody's patience."""
    assert 4 < fork.GRACE <= 30


def test_an_error_leaves_the_guard() -> None:
    """An operation that raises is over."""
    guard = Guard(grace=0)
    with pytest.raises(ZeroDivisionError), guard:
        raise ZeroDivisionError
    assert all_quiet(guard)


def all_quiet(guard: Guard) -> bool:
    """Whether a fork would find nobody inside, without waiting."""
    quiet: list[bool] = []
    guard.before_fork.append(quiet.append)
    guard.shut()
    guard.open()
    guard.before_fork.remove(quiet.append)
    return quiet == [True]


WAYS: dict[str, Callable[[Guard], AbstractContextManager[object]]] = {
    "with guard": lambda guard: guard,
    "with guard.own.lock": lambda guard: guard.own.lock,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("used_before", [False, True], ids=["its first operation", "a later one"])
def test_an_exception_at_any_step_leaves_nobody_inside(
    way: Callable[[Guard], AbstractContextManager[object]], used_before: bool
) -> None:
    """A signal handler may raise at any step of Python code: the next fork does not wait, operations go on."""

    def fail() -> None:
        raise Outside

    def operation(guard: Guard, step: int, counts: list[int]) -> None:
        if used_before:
            with guard:
                pass
        steps = Steps(guard, step, fail)  # type: ignore[arg-type]
        try:
            with steps, way(guard):
                pass
        except Outside:
            pass
        counts.append(steps.count)
        with way(guard):
            pass

    step, counts = 0, [0]
    while counts[-1] == step:  # until an operation has no such step
        step += 1
        guard = Guard(grace=0)
        thread = threading.Thread(target=operation, args=(guard, step, counts), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive() and all_quiet(guard), step
    assert step > (2 if used_before and way is WAYS["with guard"] else 0)


def test_a_thread_whose_first_operation_was_interrupted_by_another_is_known() -> None:
    """A finalizer may use a store at any step: the next fork still waits for this thread."""

    def use() -> None:
        with guard:
            pass

    def operation() -> None:
        steps = Steps(guard, step, use)  # type: ignore[arg-type]
        with steps, guard:
            pass
        counts.append(steps.count)
        with guard:
            entered.set()
            leave.wait(PATIENCE)

    step, counts = 0, [0]
    while step <= counts[-1]:  # until an operation has no such step
        step += 1
        guard, entered, leave = Guard(grace=0), threading.Event(), threading.Event()
        thread = threading.Thread(target=operation, daemon=True)
        thread.start()
        assert entered.wait(PATIENCE) and not all_quiet(guard), step
        leave.set()
        thread.join(PATIENCE)
    assert step > 2


def test_what_runs_inside_an_operation_may_begin_another() -> None:
    """A finalizer or a signal handler on the same thread does not wait, not even if a fork waits for that
    thread.
    """
    guard = Guard()
    inner = threading.Event()
    inside = Inside(guard)
    assert inside.entered.wait(PATIENCE)
    waiting = threading.Thread(target=lambda: (guard.shut(), guard.open()), daemon=True)

    def wait() -> None:
        with guard:
            waiting.start()
            time.sleep(0.02)
            with guard:
                inner.set()

    operation = threading.Thread(target=wait, daemon=True)
    operation.start()
    operation.join(PATIENCE)
    inside.end()
    waiting.join(PATIENCE)
    assert inner.is_set() and not waiting.is_alive()


def test_an_operation_in_the_middle_of_a_fork(quiet: list[bool]) -> None:
    """The thread that forks runs a finalizer, or a hook of the application: its operations do not wait."""
    seen: list[bool] = []

    def operation(_: object = None) -> None:
        with guard:
            seen.append(guard.forking)

    guard.before_fork.append(operation)
    try:
        assert in_child(lambda: seen == [True] and not guard.forking)
    finally:
        guard.before_fork.remove(operation)


def test_a_fork_in_the_middle_of_an_operation_of_its_own_thread(quiet: list[bool]) -> None:
    """A signal handler forks: it does not wait for the operation that it interrupts, and hooks are told that
    it goes on.
    """
    start = time.monotonic()
    with guard:
        assert in_child(lambda: guard.forking is False)
    assert in_child(lambda: True)
    assert quiet == [False, True] and time.monotonic() - start < fork.GRACE


SIGNALS_AND_FORKS = """
import os, runpy, signal, sys, threading, time

guard = runpy.run_path(sys.argv[1])["guard"]
sys.unraisablehook = lambda unraisable: None
count, hits, armed, parent = 0, 0, False, os.getpid()

class Outside(BaseException):
    pass

def work():
    global count
    while True:
        with guard:
            count += 1

def handler(number, frame):
    global hits
    if armed:
        hits += 1
        raise Outside

threading.Thread(target=work, daemon=True).start()
signal.signal(signal.SIGALRM, handler)
for number in range(60):
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + number % 50 * 5e-5)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        armed = False
    except Outside:
        armed = False
    if os.getpid() != parent:
        os._exit(0)
    reached, deadline = count, time.monotonic() + 20
    while count <= reached:
        assert time.monotonic() < deadline, "the thread waits for ever"
        time.sleep(0)
quiet = []
guard.before_fork.append(quiet.append)
guard.shut()
assert hits and quiet == [True], (hits, quiet)
os._exit(0)
"""


def test_a_signal_that_raises_in_the_middle_of_a_fork() -> None:
    """Python forks all the same, and may skip a hook: other threads go on after each such fork, and forks are
    quiet again.
    """
    run_program(SIGNALS_AND_FORKS, fork.__file__, timeout=100)


def test_a_hook_that_is_interrupted_is_run_again() -> None:
    """The exception goes on, and the fork still finds everything put away."""
    calls: list[bool] = []

    def interrupted(quiet: bool) -> None:
        calls.append(quiet)
        if len(calls) == 1:
            raise Outside

    guard.before_fork.append(interrupted)
    try:
        with pytest.raises(Outside):
            fork._before_fork()
    finally:
        guard.open()
        guard.before_fork.remove(interrupted)
    assert calls == [True, True]


def test_threads_that_ended_are_forgotten() -> None:
    """A thread for every request leaves nothing behind."""
    guard = Guard()

    def references() -> int:
        gc.collect()
        return sum(type(one) is weakref.ref and one() is None for one in gc.get_objects())

    before = references()
    for _ in range(300):
        Inside(guard).end()
    assert references() - before < 50


def test_the_lock_of_a_thread_is_its_only_attribute() -> None:
    """A slip is an AttributeError."""
    with pytest.raises(AttributeError, match="clock"):
        Guard().own.clock  # noqa: B018


def test_a_system_without_fork_needs_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where processes are not forked, as on Windows, the guard lets everything through."""
    monkeypatch.delattr(os, "register_at_fork")
    with runpy.run_path(fork.__file__)["guard"]:
        pass
