"""Transactions on PostgreSQL: on which connection, how often, and for how long.

If a connection broke, the transaction is repeated on another one. If it lost to another transaction, it is repeated a
few times. If the server does not answer, the caller waits for the whole time-out once. After that nobody waits until
the server answers again (see ``outage``).

Knows nothing of sessions, keys, expiries or tables, and not how commands are sent on a connection.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.outage import Outage
from wsgisession.stores.postgres_cause import SILENCE, cause, is_the_pools
from wsgisession.stores.postgres_pipeline import Command, Pipeline, Statement
from wsgisession.stores.postgres_pool import Held, Lent, NoAnswer, Own, connect_like, is_pool

GRACE = 1.0  # seconds to wait for a silent server after the server's own timeout
# Seconds for the server, and as many more, if it did not answer last time: a trial must be short.
TRIAL = 0.25
REPEATS = 6  # how often a transaction that lost to another one is tried
PAUSE = 0.004  # seconds; the longest pause after the first try, doubled with each

CONFLICT = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
# The server was demoted while we were connected: "read-only transaction", "read-write mode during recovery".
DEMOTED = frozenset({"25006", "0A000"})


class Failed(StoreError):
    """A transaction was not carried out, or nobody knows. ``code``: the server's SQLSTATE; None if it sent none."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class Transactions:
    """Runs statements, each in a READ COMMITTED transaction of its own, from any thread of any process.

    A connection never crosses a fork. Sources are kept by process id, so a child begins without one. The parent's
    sources stay referenced and untouched. (psycopg itself closes no connection that was made in another process.)

    Args:
        connect: a psycopg_pool.ConnectionPool, or a callable that opens a psycopg connection.
        timeout: seconds for one transaction, everything included; one second more if the server does not answer.

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
        self._error = psycopg.Error
        self._ready = psycopg.pq.TransactionStatus.IDLE
        self._pipeline = Pipeline(psycopg)
        self._outage = Outage()
        self._timeout = timeout
        self._connect = connect
        if is_pool(connect):
            self._connect = lambda: connect_like(connect)
            self._sources: dict[int, Own | Lent] = {os.getpid(): Lent(connect, self._ready)}
        elif callable(connect):
            self._sources = {}
        else:
            what = "a psycopg_pool.ConnectionPool or a callable that returns a new psycopg connection"
            raise TypeError(f"connect must be {what}, not {type(connect).__name__}")

    def _source(self) -> Own | Lent:
        process = os.getpid()
        source = self._sources.get(process)
        # setdefault is atomic. A lock could be held by another thread when this process is forked.
        return source or self._sources.setdefault(process, Own(self._connect, self._ready))

    def run(self, begin: Statement, *commands: Command) -> Any:
        """Run the commands in one transaction and return the result (a ``PGresult``) of the last.

        If the connection breaks, the transaction is run once more on another one. Nobody knows whether the first run
        was carried out, but each of our statements can be repeated. If the server says that it lost to another
        transaction, it is run a few times more.

        Raises:
            Failed: the server answered with an error.
            StoreError: no connection, or no answer, in time.
        """
        now, trial = time.monotonic(), self._outage.lasts
        patience, grace = (min(TRIAL, self._timeout), TRIAL) if trial else (self._timeout, GRACE)
        if not self._outage.admits(now):
            raise StoreError(
                "PostgreSQL: it did not answer in time a moment ago; one request a second tries again"
            )
        try:
            return self._persist(begin, commands, now + patience, grace)
        except NoAnswer:
            # A trial is short. The next one comes a second after this one began. So when the server is back, it is
            # noticed within two seconds.
            self._outage.silent(now if trial else time.monotonic())
            raise

    def _persist(self, begin: Statement, commands: tuple[Command, ...], deadline: float, grace: float) -> Any:
        source = self._source()
        conflicts = losses = 0
        while True:
            held = self._take(source, deadline)
            usable = False
            try:
                result = self._pipeline.transact(held.connection, begin, commands, deadline, grace)
                usable = True
                self._outage.answered()
                return result
            except self._error as caught:
                error = caught
                usable = error.sqlstate not in DEMOTED and self._pipeline.settle(
                    held.connection, error, deadline + grace
                )
            finally:
                if not usable:
                    held.connection.pgconn.finish()
                source.give(held)
            if error.sqlstate is not None:
                self._outage.answered()
            conflict = error.sqlstate in CONFLICT
            conflicts, losses = conflicts + conflict, losses + (not usable)
            again = conflicts < REPEATS if conflict else not usable and losses < 2
            if not again or time.monotonic() >= deadline:
                raise Failed(f"PostgreSQL: {_reason(error)}", error.sqlstate) from error
            if conflict:
                time.sleep(random.random() * PAUSE * 2**conflicts)

    def _take(self, source: Own | Lent, deadline: float) -> Held:
        """Return a connection that works. Connections that broke while they were idle are dropped."""
        while True:
            try:
                held = source.take(deadline)
            except self._error as error:
                # The engine's own message can contain a password, so it stays in the cause.
                message = f"PostgreSQL: no connection: {(words := cause(error))}"
                if words == SILENCE:
                    raise NoAnswer(message) from error
                if not is_the_pools(error):
                    self._outage.answered()
                raise StoreError(message) from error
            if self._pipeline.alive(held.connection):
                return held
            held.connection.pgconn.finish()
            source.give(held)

    def close(self) -> None:
        """Close the connections of this process. A later operation connects again."""
        source = self._sources.get(os.getpid())
        if source is not None:
            source.close()


def _reason(error: Any) -> str:
    """Say what went wrong without showing a value: the server's first line, or our own words."""
    if error.sqlstate is None:
        return f"the connection broke: {cause(error)}"
    return f"{error.diag.message_primary} (SQLSTATE {error.sqlstate})"
