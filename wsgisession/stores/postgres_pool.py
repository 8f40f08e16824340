"""Where a store's PostgreSQL connections come from: the caller's pool, or a small one of the store's own.

There is no lock, and no count of the connections in use: those are the objects that exist and are not idle. So an
exception from outside (a signal handler that raises, ``gevent.Timeout``) may come between any two steps. An object that
becomes unreachable ceases to exist, and its place is free. Each step is a single operation of a built-in type. Code
that runs between two steps on the same thread (a signal handler, a finalizer) may use the pool as well.

Whatever waits for somebody else's code, such as connecting, is done in a thread of its own. No exception from outside
reaches that thread, and the caller waits only as long as it wants. A connection that arrives too late is kept for the
next caller.

Knows nothing of forks, transactions or tables. A pool belongs to one process and lends connections.
"""

from __future__ import annotations

import _thread
import inspect
import itertools
import math
import queue
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any
from weakref import WeakValueDictionary, ref

from wsgisession.errors import StoreError

SIZE = 10  # connections that a store without the caller's pool has at most; PostgreSQL allows 100 in all by default
IDLE = 180.0  # seconds; firewalls and load balancers drop quiet connections after 240 seconds or more, and do not say so
LOOK = 0.05  # seconds until a caller that waits for a connection looks again, even without a notice
SILENCE = 0.2  # after so many seconds of connecting without an answer, the server counts as silent
MARGIN = 0.5  # seconds to wait longer than the caller's pool was allowed to


class NoAnswer(StoreError):
    """The engine was asked and has not answered in time."""


class Held:
    """A connection in use by one operation, or idle; ``held`` is empty until there is one."""

    __slots__ = ("__weakref__", "held", "number", "since")

    def __init__(self, number: int = -1) -> None:
        self.number = number  # among the store's own connections; -1: the caller's pool has lent it
        self.held: list[Any] = []
        self.since = 0.0  # when it was last given back

    @property
    def connection(self) -> Any:
        return self.held[0]


class Own:
    """A small pool over a callable that connects, last in first out.

    Raises, from ``take``:
        NoAnswer: connecting takes longer than the deadline allows.
        StoreError: all connections were in use until the deadline.
        TypeError: the callable returned no psycopg connection, or one that it had returned before.
    """

    def __init__(self, connect: Callable[[], Any], ready: int) -> None:
        self._connect = connect
        self._ready = ready  # the status of a connection outside a transaction
        self._idle: list[Held] = []  # the longest idle first
        self._all: WeakValueDictionary[int, Held] = WeakValueDictionary()  # by number
        self._numbers = itertools.count()
        self._open_from = 0  # connections with a lower number are closed when they are given back
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()  # tells the callers that wait to look again

    def take(self, deadline: float) -> Held:
        asked = time.monotonic()
        self._close_idle(asked - IDLE)
        ended: list[BaseException | None] | None = None
        while True:
            try:
                return self._idle.pop()
            except IndexError:
                pass
            if ended:
                if (error := ended.pop()) is not None:
                    raise error
                ended = None
                continue  # look once more, and open another one if another thread took it
            now = time.monotonic()
            if ended is None:
                ended, asked = self._open(), now
            if now >= deadline:
                if ended is None:
                    raise StoreError(f"PostgreSQL: all {SIZE} connections of this store are in use")
                if now - asked < SILENCE:
                    raise StoreError("PostgreSQL: no connection in time")
                raise NoAnswer("PostgreSQL: no connection: the server has not answered in time")
            with suppress(queue.Empty):
                self._news.get(timeout=min(deadline - now, LOOK))

    def give(self, held: Held) -> None:
        if held.number < self._open_from:
            held.connection.close()
        if held.connection.closed:
            self._all.pop(held.number, None)
            self._tell()
        else:
            self._keep(held)

    def close(self) -> None:
        """Close what is idle, and what is in use when it is given back. A later operation connects again."""
        self._open_from = next(self._numbers)
        self._close_idle(math.inf)

    def _open(self) -> list[BaseException | None] | None:
        """Begin to open another connection, if there may be one more.

        Returns:
            the list that will hold the error, or None if it succeeds; None: there are as many as allowed.
        """
        held = Held(next(self._numbers))
        self._all[held.number] = held
        if len(self._all) > SIZE:
            return None
        ended: list[BaseException | None] = []
        # In the caller's context, because the callable may look up there where to connect to.
        _apart(copy_context().run, self._fill, held, ended)
        return ended

    def _fill(self, held: Held, ended: list[BaseException | None]) -> None:
        try:
            held.held.append(self._connected())
        except BaseException as error:  # it is raised again where the connection is waited for
            self._all.pop(held.number, None)
            ended.append(error)
            self._tell()
        else:
            self._keep(held)
            ended.append(None)

    def _connected(self) -> Any:
        connection = self._connect()
        if not hasattr(connection, "pgconn"):
            raise TypeError(f"connect must return a psycopg 3 connection, not {type(connection).__name__}")
        others = [reference() for reference in self._all.valuerefs()]
        if any(connection in other.held for other in others if other is not None):
            raise TypeError("connect must open a new connection with each call: one cannot serve two threads")
        if connection.pgconn.transaction_status != self._ready:
            connection.commit()  # the callable may have set something, for example SET search_path, without committing it
        return connection

    def _keep(self, held: Held) -> None:
        held.since = time.monotonic()
        self._idle.append(held)
        self._tell()

    def _tell(self) -> None:
        if self._news.qsize() < SIZE:  # if nobody waits, errors would pile up
            self._news.put(None)

    def _close_idle(self, before: float) -> None:
        """Close connections that were last used before this time (``time.monotonic``)."""
        with suppress(IndexError):
            while self._idle[0].since < before:
                held = self._idle.pop(0)
                self._all.pop(held.number, None)
                held.connection.close()


class Lent:
    """The caller's psycopg pool, which replaces a finished connection by itself.

    If nobody gave a loan back, it ceases to exist, and then its connection goes back to the pool closed. Code that runs
    in the middle of an operation, on the same thread (a signal handler, a finalizer), must not wait for the connection
    that this operation holds. It gets one of a few others, opened in the same way as the pool opens its own.
    """

    def __init__(self, pool: Any, ready: int) -> None:
        self._pool = pool
        self._spare = Own(lambda: connect_like(pool), ready)
        self._loans: dict[int, ref[Held]] = {}  # by thread

    def take(self, deadline: float) -> Held:
        thread = _thread.get_ident()
        if thread in self._loans:
            return self._spare.take(deadline)
        loan = Held()
        self._loans[thread] = ref(loan, partial(self._forsaken, thread, loan.held))
        left = max(deadline - time.monotonic(), 0.001)
        done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        if self._pool.get_stats().get("pool_available"):
            _borrow(loan, self._pool, left, done)
        else:
            # psycopg_pool loses a connection for ever if gevent.Timeout or Ctrl-C interrupts a thread that waits for
            # one. So only a thread of our own waits there.
            _apart(_borrow, loan, self._pool, left, done)
        try:
            error = done.get(timeout=left + MARGIN)
        except queue.Empty:
            raise StoreError("PostgreSQL: no connection: the pool does not answer") from None
        if error is None:
            return loan
        if not loan.held:
            self._loans.pop(thread, None)
        try:
            raise error
        finally:
            del error  # its traceback refers to this call

    def give(self, held: Held) -> None:
        if held.number >= 0:
            return self._spare.give(held)
        try:
            self._pool.putconn(held.connection)
        except BaseException:
            # Is it back in the pool? This attribute is the pool's mark of a connection that is lent.
            if getattr(held.connection, "_pool", None) is not self._pool:
                held.held.clear()
            raise
        held.held.clear()
        self._loans.pop(_thread.get_ident(), None)

    def close(self) -> None:
        """Leave the pool open, because it is the caller's. Close what the store itself opened."""
        self._spare.close()

    def _forsaken(self, thread: int, held: list[Any], loan: ref[Held]) -> None:
        self._loans.pop(thread, None)
        for connection in held:
            connection.pgconn.finish()  # nobody knows what it was doing
            self._pool.putconn(connection)


def _apart(function: Callable[..., object], *arguments: object) -> None:
    """Call a function in a thread of its own, if one more can be started: no exception from outside reaches it there."""
    try:
        # One step. An exception in the middle of threading.Thread.start leaves a thread that ends with a KeyError.
        _thread.start_new_thread(function, arguments)
    except RuntimeError:  # the interpreter is shutting down, or a limit is reached
        function(*arguments)


def _borrow(loan: Held, pool: Any, timeout: float, done: queue.SimpleQueue[BaseException | None]) -> None:
    try:
        # The list itself asks the pool, so no exception from outside can come between getting the connection and
        # holding it.
        loan.held.extend(map(pool.getconn, (timeout,)))
    except BaseException as error:  # it is raised again where the connection is waited for
        done.put(error)
    else:
        done.put(None)


def is_pool(connect: Any) -> bool:
    """Whether this is a pool of psycopg_pool, and neither psycopg2's nor an asynchronous one."""
    named = all(hasattr(connect, name) for name in ("getconn", "putconn", "conninfo", "connection_class"))
    return named and not inspect.iscoroutinefunction(connect.getconn)


def connect_like(pool: Any) -> Any:
    """Open a connection as a pool would, without the pool itself, which may have been made in another process."""
    conninfo = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
    kwargs = pool.kwargs() if callable(pool.kwargs) else pool.kwargs
    connection = pool.connection_class.connect(conninfo, **(kwargs or {}))
    configure = getattr(pool, "_configure", None)
    if configure is not None:
        configure(connection)
    return connection
