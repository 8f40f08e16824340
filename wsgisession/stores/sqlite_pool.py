"""SQLite connections that no fork can corrupt, and the patience that makes a busy database an answer within a bound.

A connection that crosses a fork loses acknowledged writes: the child inherits what SQLite remembers about its file locks,
but not the locks, so that another process can remove the write-ahead log under it. Checking the process id afterwards is
too late for a thread that was inside an operation. So ``os.fork`` waits for the operations in progress, keeps new ones
waiting, closes every connection, and both sides open new ones (https://www.sqlite.org/howtocorrupt.html, 2.6).

Knows nothing of keys, payloads, expiries or tables.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from wsgisession.errors import StoreError

T = TypeVar("T")

# More threads than this at the same instant open, and close, a connection for each operation (170 µs).
KEPT = 16
# Seconds that a fork, or a close, waits for statements in progress; each is a single statement on a local file.
GRACE = 30.0
# Seconds; the longest pause before a busy database is asked again. Each pause is a random part of it: SQLite's own
# handler sleeps in fixed, growing steps, and the process that came first stays behind for seconds.
PAUSE = 0.002
# What goes away by itself. PROTOCOL is what WAL answers when it lost the race for its index too often.
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


class Forking(Exception):
    """The connections are put away because this process is being forked, or the pool closed; ask again."""


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly."""

    __slots__ = ("__weakref__",)


class _Opening:
    """Stands for a connection that is being opened."""


class _Shelf:
    """The connections opened between two forks: the idle ones, and weak references to all, those just being opened too.

    Weak, because a signal handler may raise anywhere: a connection lost that way is closed by the collector, where a
    count would be wrong for good, and each later fork would wait for it.
    """

    __slots__ = ("all", "idle", "shut")

    def __init__(self, *, shut: bool) -> None:
        self.idle: list[Connection] = []
        self.all: weakref.WeakSet[Connection | _Opening] = weakref.WeakSet()
        self.shut = shut


class Pool:
    """Lends connections to one statement at a time, last in first out; any thread, any side of a fork.

    Args:
        name: what messages call the database.
        connect: opens a connection that is ready for use.
        timeout: seconds that an operation asks a busy database again.
    """

    def __init__(self, name: str, connect: Callable[[], Connection], timeout: float) -> None:
        self._name = name
        self._connect = connect
        self._timeout = timeout
        with _guard:
            self._shelf = _Shelf(shut=_forking is not None)
            self._away: list[_Shelf] = []
            _pools.add(self)

    def run(self, sql: str, values: tuple[Any, ...], answer: Callable[[sqlite3.Cursor], T], timeout: float | None = None) -> T:
        """Execute one statement in a transaction of its own and return what ``answer`` takes from its cursor.

        Raises:
            StoreError: whatever SQLite, or opening the file, raised; ``timeout`` seconds later where it was "busy".
        """
        deadline = None
        while True:
            try:
                return self._once(sql, values, answer)
            except (sqlite3.Error, OSError, Forking) as error:
                now = time.monotonic()
                if deadline is None:
                    timeout = self._timeout if timeout is None else timeout
                    deadline = now + timeout
                if not _passes(error):
                    raise StoreError(f"{self._name}: {error}") from error
                if now >= deadline:
                    raise StoreError(f"{self._name}: still busy after {timeout:g} s: {error}") from error
            # Nothing is held here: a fork does not wait for this, and a greenlet may let another one in.
            time.sleep(min(PAUSE * random.random(), deadline - now))

    def _once(self, sql: str, values: tuple[Any, ...], answer: Callable[[sqlite3.Cursor], T]) -> T:
        shelf = self._shelf
        try:
            connection = shelf.idle.pop()
        except IndexError:
            connection = self._open(shelf)
        try:
            result = answer(connection.execute(sql, values))
        except BaseException as error:
            if _passes(error):
                shelf.idle.append(connection)
            else:
                # After anything else the file may be another one, or the statement half read: start afresh.
                self._drop(shelf, connection)
            raise
        # It goes back where it came from: whoever put that shelf away is waiting for it there.
        if len(shelf.idle) < KEPT:
            shelf.idle.append(connection)
        else:
            self._drop(shelf, connection)
        return result

    def _open(self, shelf: _Shelf) -> Connection:
        opening = _Opening()
        with _guard:
            if _crossed:
                raise StoreError(f"{self._name}: this process was forked in the middle of an operation; start it again")
            if shelf.shut:
                raise Forking("the process is being forked")
            shelf.all.add(opening)
        try:
            connection = self._connect()
            with _guard:
                shelf.all.add(connection)
            return connection
        finally:
            with _guard:
                shelf.all.discard(opening)  # now: an exception's traceback would keep it

    def _drop(self, shelf: _Shelf, connection: Connection) -> None:
        connection.close()
        with _guard:
            shelf.all.discard(connection)

    def close(self) -> None:
        """Close every connection, after the statements in progress. A later operation opens new ones."""
        if _forking == threading.get_ident():
            return  # a hook, or the collector, in the middle of a fork: all is put away, and a child has no one to wait for
        self._put_away()
        self._empty()

    def _put_away(self) -> None:
        with _guard:
            self._shelf.shut = True
            self._away.append(self._shelf)
            self._shelf = _Shelf(shut=_forking is not None)

    def _empty(self) -> None:
        """Close what was put away, waiting up to ``GRACE`` for what is in use."""
        deadline = time.monotonic() + GRACE
        for shelf in list(self._away):
            while shelf.all and time.monotonic() < deadline:
                try:
                    self._drop(shelf, shelf.idle.pop())
                except IndexError:
                    time.sleep(0.0005)
        with _guard:
            self._away = [shelf for shelf in self._away if shelf.all]

    def _reopen(self) -> None:
        with _guard:
            self._shelf = _Shelf(shut=False)


def _passes(error: BaseException) -> bool:
    """Whether the same statement may succeed a moment later; nothing of it was carried out."""
    return isinstance(error, Forking) or getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY


# Re-entrant, because the collector may close a forgotten pool while this thread is inside. Never held over a wait.
_guard = threading.RLock()
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_forking: int | None = None  # the thread that forks
# The parent's connections that were in use beyond GRACE. Never used; never closed, which would release the parent's locks.
# SQLite itself may hang in such a child, so every pool refuses.
_crossed: list[object] = []


def _before_fork() -> None:
    global _forking
    while True:
        with _guard:
            if _forking is None:
                _forking = threading.get_ident()
                pools = list(_pools)
                break
        time.sleep(0.0005)  # another thread forks
    for pool in pools:
        pool._put_away()
    for pool in pools:
        pool._empty()


def _after_in_parent() -> None:
    global _forking
    if _forking != threading.get_ident():
        return  # _before_fork was interrupted (Ctrl-C) while another thread forked
    with _guard:
        _forking = None
        for pool in list(_pools):
            pool._reopen()


def _after_in_child() -> None:
    global _forking, _guard
    _guard = threading.RLock()
    _forking = None
    for pool in list(_pools):
        for shelf in pool._away:
            _crossed.extend(shelf.all)
        pool._away = []
        pool._reopen()


# Windows has no fork, and nothing to register with.
getattr(os, "register_at_fork", lambda **hooks: None)(
    before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
