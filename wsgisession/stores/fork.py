"""Keeps a fork from happening during a store's operation. One guard for all stores of a process.

The child has only the thread that forked. A lock that another thread held stays locked there for ever, and what that
thread was changing is half changed. So ``os.fork`` waits until the operations in progress are over, and new ones wait
until the fork is done. Two stores need it: redis-py has locks of its own, and a SQLite connection must not cross a fork
at all.

Every thread has a lock of its own and holds it during an operation; a fork takes the locks of all other
threads. A lock is taken and released in C, where no signal handler runs. So an exception from outside cannot leave a
lock taken. (A count of the threads inside could stay wrong.) The locks are reentrant, so code that runs in the middle
of an operation on the same thread (a signal handler, a finalizer) never waits for itself. A fork never waits for its
own thread.

Knows nothing of engines, connections or sessions.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

# Seconds that a fork waits. A client without timeouts must not keep a process from forking for ever.
GRACE = 10.0


class _Own(threading.local):
    """Has the lock of the current thread, made when it is first used."""

    __slots__ = ("_enroll",)  # a slot is the same for all threads
    lock: Any

    def __init__(self, enroll: Callable[[Any], None]) -> None:
        self._enroll = enroll

    def __getattr__(self, name: str) -> Any:
        if name != "lock":
            raise AttributeError(name)
        lock = threading.RLock()
        self._enroll(lock)  # first, so that a fork knows every lock that a thread uses
        # This is another lock if code that interrupted this method has made one.
        return self.__dict__.setdefault("lock", lock)


class Guard:
    """Lets any number of operations through at once (``with guard:``), and none while the process forks.

    Args:
        grace: seconds that a fork waits for the operations in progress.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        # The locks of all threads; without callbacks, because an exception could skip one.
        self._locks: list[weakref.ref[Any]] = []
        # Held during a fork: no thread gets a lock of its own, and no other one forks.
        self._registry = threading.RLock()
        self._forker: int | None = None
        self._process = os.getpid()
        self.own = _Own(self._enroll)
        """``with guard.own.lock:`` does the same as ``with guard:`` in 0.2 instead of 0.3 µs."""
        self.before_fork: list[Callable[[bool], None]] = []
        """Called before the fork, when the operations have ended.

        The argument is False if an operation of another thread did not end in time, or if this thread itself is inside
        one, because a signal handler or a finalizer forks.
        """
        self.in_child: list[Callable[[], None]] = []
        """Called in the child, before anything else can use a store."""

    # As properties: ``with`` gets both methods first and calls them then, so no Python code runs after the
    # lock is taken and before the block begins, and none between the end of the block and the release.
    @property
    def __enter__(self) -> Any:
        return self.own.lock.__enter__

    @property
    def __exit__(self) -> Any:
        return self.own.lock.__exit__

    @property
    def forking(self) -> bool:
        """True if this thread is in the middle of a fork: both processes would have what it opens now."""
        return self._forker == threading.get_ident()

    def shut(self) -> None:
        """Keep new operations waiting, and wait for those of other threads, but not longer than the grace."""
        deadline = time.monotonic() + self._grace
        quiet = not _held(self.own.lock)
        quiet &= self._registry.acquire(timeout=self._grace)  # first: from now on no lock is added
        for lock in self._others():
            quiet &= lock.acquire(timeout=max(deadline - time.monotonic(), 0))
        self._forker = threading.get_ident()
        for call in self.before_fork:
            call(quiet)

    def open(self) -> None:
        """Let the waiting operations through. Does nothing on a thread that has not shut the guard."""
        if self.forking:
            self._forker = None
        for lock in (*self._others(), self._registry):
            _release(lock)

    def reset(self) -> None:
        """Begin again, in a child, which has only this thread."""
        if self._process == os.getpid():
            return
        self._registry = threading.RLock()
        self._forker = None
        self._locks = [weakref.ref(self.own.lock)]
        for call in self.in_child:
            call()
        self._process = os.getpid()

    def _enroll(self, lock: Any) -> None:
        with self._registry:
            # First added, then cleared up in place: code that uses a store in between adds its lock to the same list.
            self._locks.append(weakref.ref(lock))
            for ended in [ref for ref in self._locks if ref() is None]:
                with suppress(ValueError):  # that code has removed it already
                    self._locks.remove(ended)

    def _others(self) -> Iterator[Any]:
        """Yield the locks of the other threads."""
        own = self.own.__dict__.get("lock")
        for ref in self._locks:
            lock = ref()
            if lock is not None and lock is not own:
                yield lock


def _held(lock: Any) -> bool:
    """Whether this thread holds a lock. Only a condition can tell."""
    try:
        threading.Condition(lock).notify()
    except RuntimeError:
        return False
    return True


def _release(lock: Any) -> None:
    """Release a lock as often as this thread has taken it.

    The lock itself knows how often, whatever was interrupted before.
    """
    while True:
        try:
            lock.release()
        except RuntimeError:
            return


guard = Guard()
"""The guard of this process. A hook cannot be unregistered, so all stores share it."""


def _before_fork() -> None:
    try:
        guard.shut()
    except BaseException:
        # A signal handler raised. Python prints such an exception and forks anyway, so the guard must be shut.
        guard.shut()
        raise


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=guard.open, after_in_child=guard.reset)
    # Once more: a signal that came during the fork is handled as soon as Python code runs again, which is
    # here. If its handler raises, the hook that was about to begin is skipped. Both do nothing the second
    # time.
    os.register_at_fork(after_in_parent=guard.open, after_in_child=guard.reset)
