"""Transactions on PostgreSQL connections that may belong to somebody else, each in one round trip and within a bound.

Commands go out through libpq's pipeline: BEGIN with the isolation level we mean, a statement timeout for this transaction
alone, the statement, COMMIT. So nothing the caller has set on a connection matters (autocommit, isolation level, read-only,
row factories, cursors, adapters, prepared statements), and nothing is left behind on one. Values travel beside the SQL,
so that the server's log, which quotes the statement of an error, shows no session.

Knows nothing of sessions, keys, expiries or tables.
"""

from __future__ import annotations

import os
import random
import selectors
import time
from collections.abc import Sequence
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.postgres_pool import Lent, Own, Source, connect_like, is_pool

Command = tuple[bytes, Sequence[bytes | None]]

GRACE = 1.0  # seconds more than the server's own timeout that a silent server is waited for
REPEATS = 6  # tries of a transaction that lost to another one
PAUSE = 0.004  # seconds; the longest pause after the first try, doubled with each

WRITE = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
READ = b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"  # a standby can answer too
COMMIT: Command = (b"COMMIT", ())
ROLLBACK: Command = (b"ROLLBACK", ())

CONFLICT = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
# A server that was demoted while we were connected: "read-only transaction", "read-write mode during recovery".
DEMOTED = frozenset({"25006", "0A000"})


class Failed(StoreError):
    """A transaction was not carried out, or nobody knows; ``code`` is the server's SQLSTATE, None where it said nothing."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class Transactions:
    """Runs statements, each in a READ COMMITTED transaction of its own, from any thread of any process.

    A connection never crosses a fork: sources are kept by process id, so a child begins without one, and the parent's stay
    referenced and untouched. (psycopg, for its part, closes no connection made in another process.)

    Args:
        connect: a psycopg_pool.ConnectionPool, or a callable that opens a psycopg connection.
        timeout: seconds for one transaction, everything included; a server that has stopped answering costs one more.

    Raises:
        ModuleNotFoundError: psycopg is not installed.
        TypeError: ``connect`` is neither.
    """

    def __init__(self, connect: Any, timeout: float) -> None:
        try:
            import psycopg
            import psycopg.pq
        except ImportError as error:
            message = "PostgresStore needs psycopg 3 (the extra wsgisession[postgres]): pip install 'psycopg[binary,pool]'"
            raise ModuleNotFoundError(message, name="psycopg") from error
        self._psycopg = psycopg
        self._lost = psycopg.pq.ConnStatus.BAD
        self._idle = psycopg.pq.TransactionStatus.IDLE
        self._failed = psycopg.pq.ExecStatus.FATAL_ERROR
        self._synced = psycopg.pq.ExecStatus.PIPELINE_SYNC
        self._timeout = timeout
        self._connect = connect
        if is_pool(connect):
            self._connect = lambda: connect_like(connect)
            self._sources: dict[int, Source] = {os.getpid(): Lent(connect)}
        elif callable(connect):
            self._sources = {}
        else:
            what = "a psycopg_pool.ConnectionPool or a callable that returns a new psycopg connection"
            raise TypeError(f"connect must be {what}, not {type(connect).__name__}")

    def _source(self) -> Source:
        process = os.getpid()
        source = self._sources.get(process)
        # setdefault is atomic; a lock could have been held by another thread when this process was forked.
        return source or self._sources.setdefault(process, Own(self._connect, self._idle))

    def run(self, begin: bytes, *commands: Command) -> Any:
        """Run the commands in one transaction and return the result (a ``PGresult``) of the last.

        Where the connection breaks it is run once more on another one, though nobody knows whether it was carried out:
        each of our statements can be repeated. Where the server says that it lost to another transaction, it is run a
        few times more.

        Raises:
            Failed: the server answered with an error.
            StoreError: no connection, or no answer, in time.
        """
        deadline = time.monotonic() + self._timeout
        source = self._source()
        conflicts = losses = 0
        while True:
            connection = self._take(source, deadline)
            usable = False
            try:
                result = self._transact(connection.pgconn, begin, commands, deadline)
                usable = True
                return result
            except self._psycopg.Error as caught:
                error = caught
                usable = error.sqlstate not in DEMOTED and self._settle(connection.pgconn, deadline)
            finally:
                if not usable:
                    connection.pgconn.finish()
                source.give(connection)
            conflict = error.sqlstate in CONFLICT
            conflicts, losses = conflicts + conflict, losses + (not usable)
            again = conflicts < REPEATS if conflict else not usable and losses < 2
            if not again or time.monotonic() >= deadline:
                raise Failed(f"PostgreSQL: {_reason(error)}", error.sqlstate) from error
            if conflict:
                time.sleep(random.random() * PAUSE * 2**conflicts)

    def _take(self, source: Source, deadline: float) -> Any:
        """Return a connection that is alive: those that broke while they were idle are dropped."""
        while True:
            try:
                connection = source.take(deadline)
            except self._psycopg.Error as error:
                # libpq's own words can name the host and, for a malformed URL, the password: they stay in the cause.
                raise StoreError(f"PostgreSQL: no connection ({type(error).__name__})") from error
            if self._alive(connection.pgconn):
                return connection
            connection.pgconn.finish()
            source.give(connection)
            if time.monotonic() >= deadline:
                raise StoreError("PostgreSQL: no connection that works")

    def _alive(self, pgconn: Any) -> bool:
        """Whether an idle connection still is one: the server's last words and the end of the stream are there to read."""
        try:
            pgconn.consume_input()
            pgconn.consume_input()
        except self._psycopg.Error:
            return False
        return bool(pgconn.transaction_status == self._idle)

    def _transact(self, pgconn: Any, begin: bytes, commands: Sequence[Command], deadline: float) -> Any:
        left = max(1, round((deadline - time.monotonic()) * 1000))
        limit = b"SET LOCAL statement_timeout = %d" % left
        return self._exchange(pgconn, [(begin, ()), (limit, ()), *commands, COMMIT], deadline)[-2]

    def _settle(self, pgconn: Any, deadline: float) -> bool:
        """End a transaction that failed; False where the connection is of no more use."""
        if pgconn.status == self._lost or pgconn.pipeline_status:
            return False
        try:
            self._exchange(pgconn, [ROLLBACK], deadline)
        except self._psycopg.Error:
            return False
        return True

    def _exchange(self, pgconn: Any, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands all at once and return their results; the first one's error, if one failed, after the last."""
        deadline += GRACE
        pgconn.enter_pipeline_mode()
        for sql, values in commands:
            pgconn.send_query_params(sql, values, None, [1] * len(values), 1)
        pgconn.pipeline_sync()
        while pgconn.flush():
            self._wait(pgconn, selectors.EVENT_READ | selectors.EVENT_WRITE, deadline)
            pgconn.consume_input()
        results: list[Any] = []
        error = None
        while True:
            while pgconn.is_busy():
                self._wait(pgconn, selectors.EVENT_READ, deadline)
                pgconn.consume_input()
            result = pgconn.get_result()  # None between the commands
            status = None if result is None else result.status
            if status == self._synced:
                break
            if status == self._failed and error is None:
                error = self._psycopg.errors.error_from_result(result)
            if pgconn.status == self._lost:
                raise error or self._psycopg.OperationalError("the connection is lost")
            if result is not None:
                results.append(result)
        pgconn.exit_pipeline_mode()
        if error is not None:
            raise error
        return results

    def _wait(self, pgconn: Any, events: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pgconn.socket, events)
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise self._psycopg.OperationalError(f"the server has not answered within {self._timeout + GRACE:g} s")

    def close(self) -> None:
        """Close what this process has opened. A later operation connects again."""
        source = self._sources.get(os.getpid())
        if source is not None:
            source.close()


def _reason(error: Any) -> str:
    """Say what went wrong in words that show no value: the server's first line, or the error's name."""
    if error.sqlstate is None:
        return f"the connection failed ({type(error).__name__})"
    return f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
