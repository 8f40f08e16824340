"""SQLite connections that a fork does not corrupt, and a bounded wait for a database that is busy.

A connection that crosses a fork loses acknowledged writes. The child inherits what SQLite remembers about its file
locks, but not the locks. So another process can remove the write-ahead log while the child uses it. If a thread was
inside an operation, it is too late to check the process id afterwards. So a fork waits for the operations in progress,
closes every connection, and both sides open new ones (https://www.sqlite.org/howtocorrupt.html, 2.6).

The connections to one file are on one shelf. If the path leads to another file, the whole shelf is put away. A
connection in use is closed by the operation that uses it.

Knows nothing of keys, payloads, expiries or tables.
"""

from __future__ import annotations

import logging
import math
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from wsgisession.errors import StoreError
from wsgisession.log import event
from wsgisession.stores.fork import guard
from wsgisession.stores.sqlite_file import Again, Connection, File, Place

T = TypeVar("T")

# If more threads than this work at the same moment, the others open and close a connection for each operation (170 µs).
KEPT = 16
# Seconds between two checks whether the path still leads to the file that is open. A check costs 10 µs.
LOOK = 1.0
# Seconds; the longest pause before a busy database is asked again. Each pause is a random part of it. SQLite's own
# handler sleeps in fixed, growing steps; with it, the process that came first can wait for seconds.
PAUSE = 0.002
# Errors that go away by themselves. WAL reports PROTOCOL if it lost the race for its index too often.
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}

REPLACED = (
    "was removed or replaced while it was in use. What was written to the old file in the last second is"
    " lost. The new file is used from now on. To restore a backup, use sqlite3's .restore: it replaces no file"
)


class _Shelf:
    """The idle connections to one file, each with a cursor: a new cursor for every statement costs 0.15 µs."""

    __slots__ = ("due", "idle", "place")

    def __init__(self) -> None:
        self.idle: list[sqlite3.Cursor] = []
        self.place: Place | None = None  # known as soon as the first connection is open
        self.due = math.inf  # when to look at the place again, by the monotonic clock

    def clear(self) -> None:
        """Close the idle connections."""
        with suppress(IndexError):
            while True:
                self.idle.pop().connection.close()


class Pool:
    """Lends connections for one statement at a time, last in first out, to any thread on both sides of a fork.

    Args:
        file: what the connections lead to.
        timeout: for how many seconds an operation asks a busy database again.
    """

    def __init__(self, file: File, timeout: float) -> None:
        self._file = file
        self._name = f"SQLite {file.path}"
        self._timeout = timeout
        self._shelf = _Shelf()
        # All connections, also those in use. The references are weak, because a signal handler may raise anywhere: a
        # connection that is lost in this way is closed by the collector. They have no callbacks, because an exception
        # could skip one.
        self._all: list[weakref.ref[Connection]] = []
        self._untold: list[str] = []  # not logged yet; logged when no lock is held
        _pools.add(self)

    def run(
        self,
        sql: str,
        values: tuple[Any, ...],
        answer: Callable[[sqlite3.Cursor], T],
        timeout: float | None = None,
    ) -> T:
        """Execute one statement in a transaction of its own. Return what ``answer`` takes from its cursor.

        Raises:
            StoreError: whatever SQLite, or opening the file, raised; ``timeout`` seconds later if it was
                "busy".
        """
        deadline = None
        while True:
            try:
                with _own.lock:
                    shelf = self._shelf
                    if monotonic() >= shelf.due:
                        shelf = self._look(shelf)
                    while True:
                        try:
                            cursor = shelf.idle.pop()
                            break
                        except IndexError:
                            shelf = self._connect(shelf)
                    try:
                        result = answer(cursor.execute(sql, values))
                    except BaseException as error:
                        self._fail(error, shelf, cursor)
                        raise
                    shelf.idle.append(cursor)
                    if shelf is not self._shelf:
                        shelf.clear()
                    return result
            except (sqlite3.Error, OSError, Again) as error:
                if deadline is None:
                    timeout = self._timeout if timeout is None else timeout
                    deadline = monotonic() + timeout
                self._pause(error, deadline, timeout)

    def close(self) -> None:
        """Close the connections; one in use is closed by the operation that uses it.

        A later operation opens new ones.
        """
        with guard:
            self._put_away(self._shelf)
        self._tell()

    def replaced(self) -> bool:
        """Whether the path leads to other files than those that are open."""
        return self._replaced(self._shelf)

    def before_fork(self, quiet: bool) -> None:
        """Close every connection. If a thread is still inside, connections in use stay open."""
        shelf = self._shelf
        if quiet:
            self._put_away(shelf)
            for connection in self._open():
                connection.close()  # an exception lost it, and a traceback keeps it alive
        else:
            self._shelf = _Shelf()
            shelf.clear()

    def in_child(self) -> list[Connection]:
        """Begin without any connection.

        Return those of the parent that were in use. Nobody may use or close them.
        """
        found, self._all, self._shelf = self._open(), [], _Shelf()
        return found

    def _pause(self, error: BaseException, deadline: float, timeout: float | None) -> None:
        """Wait a moment before the next try.

        No lock is held here. So no fork waits, and a greenlet may let another one run.
        """
        self._tell()
        if not _passes(error):
            raise StoreError(f"{self._name}: {error}") from error
        left = deadline - monotonic()
        if left <= 0:
            raise StoreError(f"{self._name}: still busy after {timeout:g} s: {error}") from error
        time.sleep(min(PAUSE * random.random(), left))

    def _fail(self, error: BaseException, shelf: _Shelf, cursor: sqlite3.Cursor) -> None:
        """Keep a connection if nothing was done. After any other error begin again: the file may be another one."""
        if _passes(error) or isinstance(error, UnicodeEncodeError):
            shelf.idle.append(cursor)
            if shelf is not self._shelf:
                shelf.clear()
        else:
            self._put_away(shelf)
            cursor.connection.close()

    def _connect(self, shelf: _Shelf) -> _Shelf:
        """Open a connection, and return the shelf on which it is."""
        if shelf.place is not None:
            shelf = self._look(shelf)  # the new file must not be opened with the old file's log
        if self._untold:
            raise Again("the file was replaced")  # log this before the new file is used
        with _turn:
            if _connecting.locked():
                raise StoreError(
                    f"{self._name}: this code interrupts the opening of a file on its own thread; try later"
                )
            with _connecting:
                if _crossed:
                    raise StoreError(
                        f"{self._name}: this process was forked in the middle of an operation; start it again"
                    )
                connection, cursor = self._file.connect()
                found = self._open()
                self._all = [weakref.ref(one) for one in (*found, connection)]
                if guard.forking or len(found) >= KEPT:
                    shelf = _Shelf()  # not the pool's shelf, so the connection is closed after use
                elif shelf.place is not None and self._differs(connection.place, shelf):
                    connection.close()
                    raise Again("the file was replaced while it was opened")
                shelf.place, shelf.due = connection.place, monotonic() + LOOK
                shelf.idle.append(cursor)
        return shelf

    def _look(self, shelf: _Shelf) -> _Shelf:
        """Check that the path leads to the files that are open. If it does not, put them away.

        Returns:
            The shelf to use.
        """
        with _turn:
            if self._shelf is shelf:
                if self._replaced(shelf):
                    self._leave(shelf)
                    self._shelf = _Shelf()
                else:
                    shelf.due = monotonic() + LOOK
        if self._shelf is not shelf:
            shelf.clear()
        return self._shelf

    def _put_away(self, shelf: _Shelf) -> None:
        """Close idle connections. If the file was replaced, remove its log and index from beside the new one."""
        try:
            # If this is not possible, the connections are closed anyway.
            with suppress(OSError, Again):
                self._look(shelf)
        finally:
            if self._shelf is shelf:
                self._shelf = _Shelf()
            shelf.clear()

    def _replaced(self, shelf: _Shelf) -> bool:
        return shelf.place is not None and self._differs(self._file.place(), shelf)

    def _differs(self, place: Place, shelf: _Shelf) -> bool:
        """Whether a place differs from a shelf's.

        The log and the index count only while a connection is open: then nobody may make new ones.
        """
        return place != shelf.place if self._pinned(shelf) else place[:2] != (shelf.place or place)[:2]

    def _leave(self, shelf: _Shelf) -> None:
        """Remove the log and the index of an old file.

        Not if no connection is open: the system may have given the numbers of these files to others.
        """
        if shelf.place is not None and self._pinned(shelf):
            self._file.leave(shelf.place)
        self._untold.append(f"{self._file.path} {REPLACED}")

    def _pinned(self, shelf: _Shelf) -> bool:
        return any(connection.place == shelf.place for connection in self._open())

    def _open(self) -> list[Connection]:
        return [found for ref in self._all if (found := ref()) is not None and not found.closed]

    def _tell(self) -> None:
        with suppress(IndexError):
            while True:
                event(logging.ERROR, "store error", self._untold.pop(), key=None)


def _passes(error: BaseException) -> bool:
    """Whether the same statement may succeed a moment later. Nothing was carried out."""
    return isinstance(error, Again) or getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY


# Held while a connection is opened or files are put away, so that one thread at a time does either.
# Reentrant, because the collector may close a forgotten pool meanwhile. A thread that finds the second lock taken has
# taken it itself.
_turn = threading.RLock()
_connecting = threading.Lock()
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
# The parent's connections that were in use after the grace. Nobody uses them. Nobody closes them, because that would
# release the parent's locks. SQLite itself may hang in such a child, so every pool refuses to work.
_crossed: list[Connection] = []


def _before_fork(quiet: bool) -> None:
    for pool in list(_pools):
        pool.before_fork(quiet)


def _in_child() -> None:
    global _connecting, _turn
    _turn, _connecting = threading.RLock(), threading.Lock()
    for pool in list(_pools):
        _crossed.extend(pool.in_child())


_own = guard.own
guard.before_fork.append(_before_fork)
guard.in_child.append(_in_child)
