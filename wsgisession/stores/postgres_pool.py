"""Where a store's PostgreSQL connections come from: the caller's pool, or a small one of the store's own.

Knows nothing of forks, transactions or tables: each of these belongs to one process, and is asked to lend connections.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from threading import Lock, Semaphore
from typing import Any, Protocol

from wsgisession.errors import StoreError

SIZE = 10  # connections that a store without the caller's pool has at most; PostgreSQL allows 100 in all by default
IDLE = 180.0  # seconds; firewalls and load balancers forget quiet connections after 240 or more, and say nothing


class Source(Protocol):
    """Where connections come from. A connection that was finished is given back like any other."""

    def take(self, deadline: float) -> Any: ...
    def give(self, connection: Any) -> None: ...
    def close(self) -> None: ...


class Lent:
    """The caller's psycopg pool, which replaces a finished connection by itself."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def take(self, deadline: float) -> Any:
        return self._pool.getconn(timeout=max(deadline - time.monotonic(), 0.001))

    def give(self, connection: Any) -> None:
        self._pool.putconn(connection)

    def close(self) -> None:
        """Do nothing: the pool is the caller's."""


class Own:
    """A small pool over a callable that connects, last in first out.

    Raises, from ``take``:
        StoreError: all connections were in use until the deadline.
        TypeError: the callable returned no psycopg connection, or one that it had returned before.
    """

    def __init__(self, connect: Callable[[], Any], ready: int) -> None:
        self._connect = connect
        self._ready = ready  # the status of a connection outside a transaction
        self._free = Semaphore(SIZE)
        self._guard = Lock()
        self._idle: list[tuple[float, Any]] = []  # the longest idle first
        self._ours: set[int] = set()

    def take(self, deadline: float) -> Any:
        if not self._free.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise StoreError(f"PostgreSQL: all {SIZE} connections of this store are in use")
        try:
            self._close_idle(time.monotonic() - IDLE)
            with self._guard:
                connection = self._idle.pop()[1] if self._idle else None
            return connection or self._open()
        except BaseException:
            self._free.release()
            raise

    def _open(self) -> Any:
        connection = self._connect()
        if not hasattr(connection, "pgconn"):
            raise TypeError(f"connect must return a psycopg 3 connection, not {type(connection).__name__}")
        if id(connection) in self._ours:
            raise TypeError("connect must open a new connection with each call: one cannot serve two threads")
        if connection.pgconn.transaction_status != self._ready:
            connection.commit()  # what the callable has set, SET search_path, say, and not committed
        self._ours.add(id(connection))
        return connection

    def give(self, connection: Any) -> None:
        if connection.closed:
            self._ours.discard(id(connection))
        else:
            with self._guard:
                self._idle.append((time.monotonic(), connection))
        self._free.release()

    def close(self) -> None:
        """Close what is idle. A later operation connects again."""
        self._close_idle(math.inf)

    def _close_idle(self, before: float) -> None:
        """Close what was last used before a moment (``time.monotonic``)."""
        with self._guard:
            old = [connection for since, connection in self._idle if since < before]
            del self._idle[: len(old)]
        for connection in old:
            self._ours.discard(id(connection))
            connection.close()


def is_pool(connect: Any) -> bool:
    """Whether this is a psycopg_pool pool, and not one of psycopg2's or an asynchronous one."""
    named = all(hasattr(connect, name) for name in ("getconn", "putconn", "conninfo", "connection_class"))
    return named and not inspect.iscoroutinefunction(connect.getconn)


def connect_like(pool: Any) -> Any:
    """Open a connection as a pool would, without touching the pool: it was made in another process."""
    conninfo = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
    kwargs = pool.kwargs() if callable(pool.kwargs) else pool.kwargs
    connection = pool.connection_class.connect(conninfo, **(kwargs or {}))
    configure = getattr(pool, "_configure", None)
    if configure is not None:
        configure(connection)
    return connection
