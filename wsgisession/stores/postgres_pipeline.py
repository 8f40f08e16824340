"""One transaction in one round trip, within a time limit, on a connection that may belong to somebody else.

Commands are sent through libpq's pipeline: BEGIN with our isolation level, a time limit for this transaction alone, the
statement, COMMIT. So the caller's settings of a connection do not matter (autocommit, isolation level, read-only,
time-outs, row factories, cursors, adapters). Only a few prepared statements are left on the connection. Values are sent
beside the SQL. So the server's log, which quotes the statement of an error, shows no session.

A statement with a name is prepared once on each connection. Then the server does not parse and plan it again, which
saves more than half of its time (39 instead of 92 µs for a read). This works only if a connection always leads to the
same server process. Behind a pooler such as PgBouncer it does not. The first transaction on a connection finds out: a
pooler gives the client another process id than the server's. If somebody discards the prepared statements, the server
says so. From then on the connection is used without them.

Knows nothing of sessions, of where connections come from, or of when to try again.
"""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from wsgisession.stores.postgres_pool import NoAnswer


class Statement(NamedTuple):
    """SQL with $1, $2, …, and the name under which it is prepared; without a name it never is."""

    sql: bytes
    name: bytes = b""


Command = tuple[Statement, Sequence[bytes | None]]

FAREWELL = 0.25  # seconds to wait, after an exception from outside, until the server ends what it was doing


def named(sql: bytes) -> Statement:
    """Return a statement with a name that no other text has."""
    return Statement(sql, b"wsgisession_" + hashlib.sha256(sql).hexdigest()[:16].encode())


WRITE = named(b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
READ = named(b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY")  # a standby can answer too
LIMITS = named(b"SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', '0', true)")
LOCKS = Statement(b"SET LOCAL lock_timeout = 0")
WHO = Statement(b"SELECT pg_backend_pid()")
COMMIT = named(b"COMMIT")
ROLLBACK = Statement(b"ROLLBACK")

# The server does not have a prepared statement (any more), has it already, or planned it for another table.
UNPREPARED = frozenset({"26000", "42P05", "0A000"})


class Pipeline:
    """Runs transactions on psycopg connections and remembers what it has prepared on each."""

    def __init__(self, psycopg: Any) -> None:
        pq = psycopg.pq
        self._error, self._operational = psycopg.Error, psycopg.OperationalError
        self._from_result = psycopg.errors.error_from_result
        self._lost = pq.ConnStatus.BAD
        self._idle, self._active = pq.TransactionStatus.IDLE, pq.TransactionStatus.ACTIVE
        self._failed, self._synced = pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_SYNC
        # The names prepared on each connection; None: this connection keeps none.
        self._prepared: WeakKeyDictionary[Any, set[bytes] | None] = WeakKeyDictionary()

    def alive(self, connection: Any) -> bool:
        """Whether an idle connection still works. If the server closed it, there is something to read."""
        pgconn = connection.pgconn
        try:
            pgconn.consume_input()
            pgconn.consume_input()
        except self._error:
            return False
        return bool(pgconn.transaction_status == self._idle)

    def transact(
        self, connection: Any, begin: Statement, commands: Sequence[Command], deadline: float, grace: float
    ) -> Any:
        """Run the commands in one transaction and return the result (a ``PGresult``) of the last.

        Args:
            deadline: when (``time.monotonic``) the server must have finished each of them.
            grace: seconds to wait after the deadline for a server that is silent.

        Raises:
            NoAnswer: the server is silent.
            psycopg.Error: the server answered with an error, or the connection broke.
        """
        limit = b"%d" % max(1, round((deadline - time.monotonic()) * 1000))
        until = deadline + grace
        last: list[Command] = [*commands, (COMMIT, ())]
        # Without preparing, SET is cheaper than set_config. A reader waits for no row.
        plain: list[Command] = [(begin, ()), (Statement(b"SET LOCAL statement_timeout = " + limit), ())]
        if begin is WRITE:
            plain.append((LOCKS, ()))
        try:
            names = self._prepared[connection]
        except KeyError:
            results = self._exchange(connection, [*plain, (WHO, ()), *last], None, until)
            direct = int.from_bytes(results[len(plain)].get_value(0, 0)) == connection.pgconn.backend_pid
            self._prepared[connection] = set() if direct else None
            return results[-2]
        if names is not None:
            try:
                return self._exchange(connection, [(begin, ()), (LIMITS, (limit,)), *last], names, until)[-2]
            except self._error as error:
                if error.sqlstate not in UNPREPARED:
                    raise
            self._prepared[connection] = None
            self._exchange(connection, [(ROLLBACK, ())], None, until)
        return self._exchange(connection, plain + last, None, until)[-2]

    def settle(self, connection: Any, error: Any, until: float) -> bool:
        """End a transaction that failed; False if the connection cannot be used any more."""
        if error.sqlstate is None or connection.pgconn.status == self._lost:
            return False
        try:
            self._exchange(connection, [(ROLLBACK, ())], None, until)
        except self._error:
            return False
        return True

    def _exchange(
        self, connection: Any, commands: Sequence[Command], names: set[bytes] | None, until: float
    ) -> list[Any]:
        """Send all commands at once and return their results. If some failed, the first error is raised after the last."""
        pgconn = connection.pgconn
        inside = pgconn.pipeline_status  # the caller's own pipeline mode
        pgconn.enter_pipeline_mode()
        ending = False
        try:
            awaited = _send(pgconn, commands, names)
            ending = True
            pgconn.pipeline_sync()
            results, error = self._receive(pgconn, awaited, set() if names is None else names, until)
        except (self._error, NoAnswer):
            raise
        except BaseException:  # from outside
            self._conclude(pgconn, ending)
            raise
        if not inside:
            pgconn.exit_pipeline_mode()
        if error is not None:
            raise error
        return results

    def _conclude(self, pgconn: Any, ending: bool) -> None:
        """Wait until an interrupted transaction is over, carried out or not, so that no part of it happens later.

        Args:
            ending: its end was sent, or was about to be sent. It must not be sent twice: if the client then leaves,
                PgBouncer 1.18 takes the first of two answers for the last one. The next client gets the second answer,
                and after that other clients' replies.
        """
        try:
            if not ending:
                pgconn.pipeline_sync()
            if pgconn.transaction_status == self._active:
                self._receive(pgconn, [], set(), time.monotonic() + FAREWELL)
        except (self._error, NoAnswer):
            pass  # nobody knows

    def _receive(
        self, pgconn: Any, awaited: list[bytes | None], names: set[bytes], until: float
    ) -> tuple[list[Any], Any]:
        """Return the results of all commands that were sent, and the first error; add prepared names to ``names``."""
        while pgconn.flush():
            self._wait(pgconn, until, writing=True)
            pgconn.consume_input()
        results: list[Any] = []
        error = None
        while True:
            while pgconn.is_busy():
                self._wait(pgconn, until, writing=False)
                pgconn.consume_input()
            result = pgconn.get_result()  # None between the commands
            status = None if result is None else result.status
            if status == self._synced:
                if awaited and error is None:
                    raise self._operational("the reply belongs to something else")
                return results, error
            if status == self._failed and error is None:
                error = self._from_result(result)
            if pgconn.status == self._lost:
                raise error or self._operational("the connection is lost")
            if result is None or error is not None or not awaited:
                continue
            name = awaited.pop()
            if name is None:
                results.append(result)
            else:
                names.add(name)

    def _wait(self, pgconn: Any, until: float, writing: bool) -> None:
        if not _ready(pgconn.socket, writing, max(until - time.monotonic(), 0)):
            raise NoAnswer("PostgreSQL: the server has not answered in time")


def _ready(socket: int, writing: bool, seconds: float) -> bool:
    """Wait until a socket can be read from, or with ``writing`` also written to; False if it takes too long."""
    if not hasattr(select, "poll"):  # Windows, eventlet
        return any(select.select([socket], [socket] if writing else [], [], seconds))
    # A selector of the module selectors costs ten times as much, and keeps its own file open until the garbage collector comes.
    poll = select.poll()
    poll.register(socket, select.POLLIN | select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _send(pgconn: Any, commands: Sequence[Command], names: set[bytes] | None) -> list[bytes | None]:
    """Send commands, but not their end. Return what each result is for, the last one first: a name (prepared) or None
    (run).
    """
    awaited: list[bytes | None] = []
    for (sql, name), given in commands:
        values = list(given)  # psycopg 3.2, in C, takes nothing else
        formats = [1] * len(values)  # binary, like the results
        if names is None or not name:
            pgconn.send_query_params(sql, values, None, formats, 1)
        else:
            if name not in names:
                pgconn.send_prepare(name, sql)
                awaited.append(name)
            pgconn.send_query_prepared(name, values, formats, 1)
        awaited.append(None)
    return awaited[::-1]
