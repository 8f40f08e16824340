"""Sessions in PostgreSQL: one table, one statement per operation, the server's clock.

Every operation is one READ COMMITTED transaction. If an UPDATE had to wait for another one, PostgreSQL then reads the
row again. Under REPEATABLE READ it would raise 40001 instead.

This module does not know what a payload means, how commands reach a server, or who else uses its connections.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.postgres_pipeline import READ, WRITE, Command, Statement
from wsgisession.stores.postgres_table import Table
from wsgisession.stores.postgres_wire import CONFLICT, Failed, Transactions

FOREVER = 1000 * 365.25 * 86400  # seconds; a timestamp ends in the year 294276
# Seconds that a timeout may have; the server and the system count milliseconds in 32 bits
LONGEST = 2_000_000
MISSING = "42P01"  # undefined_table
PORT = re.compile(r"[0-9]{1,5}")  # the client knows no other digits

# Bounds for a connection made from a URL, if the URL has none: seconds, tcp_user_timeout in milliseconds.
PATIENCE = {"connect_timeout": "5", "keepalives_idle": "60", "tcp_user_timeout": "10000"}


class PostgresStore:
    """Sessions on any number of machines that already run PostgreSQL (13 or later), directly or through PgBouncer.

    If the table and its two indexes are missing, the store creates them. If its role may not do that, the owner of the
    database can run the statements in ``ddl``. Dead records stay in the table until ``purge()``. Times are the server's
    wall clock. After a restart of the server, broken connections are noticed before they are used, and replaced.

    A connection from the caller's pool is used for one transaction, in one round trip, and is given back unchanged. A
    pool belongs to the process that made it. In a forked child the store opens its own connections, in the same way as
    the pool.

    Args:
        connect: a ``psycopg_pool.ConnectionPool``, or a function that opens a new psycopg connection with each call. The
            store keeps up to ten such connections. It may call the function in a thread of its own.
        table: the table's name. Write ``schema.name`` if it is not found along the ``search_path``.
        timeout: seconds that one operation may take, all waiting for a connection and for locks included. After that it
            is a ``StoreError``. If the server does not answer at all, the operation takes one second more. From then on
            the server is asked once a second, for half a second, until it answers.
        create: False: if the table is missing, the first operation is a ``StoreError``.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
        ModuleNotFoundError: psycopg is not installed.
    """

    def __init__(
        self, connect: Any, *, table: str = "wsgisession", timeout: float = 5.0, create: bool = True
    ) -> None:
        self._sql = Table(table)
        self.ddl = self._sql.ddl
        if not 0 < timeout <= LONGEST:
            raise ValueError(f"timeout must be seconds above 0 and at most {LONGEST:,}, not {timeout!r}")
        self._transactions = Transactions(connect, timeout)
        self._creates = create

    def load(self, key: str) -> tuple[bytes, float] | None:
        if not _possible(key):
            return None
        result = self._run(READ, self._sql.load, key.encode())
        return _live(result, 0, 0) if result.ntuples else None

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        """Load records, up to a thousand in one statement.

        Returns:
            payload and seconds left of each, in the order of the keys; None for a key that has no live record.
        """
        page = self._sql.page
        found: dict[str, tuple[bytes, float] | None] = {}
        possible = [key.encode() for key in keys if _possible(key)]
        for start in range(0, len(possible), page):
            result = self._run(READ, self._sql.load_many, _array(possible[start : start + page]))
            for row in range(result.ntuples):
                found[result.get_value(row, 0).decode()] = _live(result, row, 1)
        return [found.get(key) for key in keys]

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        if not _possible(key):
            raise StoreError("PostgreSQL: a key must be ASCII without NUL")
        return self._changed(self._sql.create, key, payload, _interval(ttl), _name(owner))

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        try:
            if ttl is None:
                return self._changed(self._sql.replace, key, expected, payload)
            return self._changed(self._sql.replace_all, key, expected, payload, _interval(ttl), _name(owner))
        except Failed as error:
            if error.code in CONFLICT:
                return False  # each time another transaction was first
            raise

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        if expected is None:
            return self._changed(self._sql.touch, key, _interval(ttl))
        return self._changed(self._sql.touch_if, key, _interval(ttl), expected)

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Remove a record, with ``expected`` only that payload. False if there was none, so a repetition is False too."""
        if expected is None:
            return self._changed(self._sql.delete, key)
        return self._changed(self._sql.delete_if, key, expected)

    def owned_by(self, owner: str) -> Iterator[str]:
        return self._named(self._sql.owned_by, _name(owner))

    def keys(self) -> Iterator[str]:
        return self._named(self._sql.keys)

    def _named(self, statement: Statement, *values: bytes | None) -> Iterator[str]:
        for page in self._pages(statement, *values):
            for key in page:
                yield key.decode()

    def _pages(self, statement: Statement, *values: bytes | None) -> Iterator[list[bytes]]:
        """Yield keys in order. Between two pages no connection and no snapshot is held."""
        last, count = b"", self._sql.page
        while count == self._sql.page:
            result = self._run(READ, statement, last, *values)
            count = result.ntuples
            if count:
                yield (page := [result.get_value(row, 0) for row in range(count)])
                last = page[-1]

    def purge(self) -> int:
        """Remove dead records, a thousand per transaction, and return how many. Rows that others have locked are left."""
        total, count = 0, self._sql.page
        while count == self._sql.page:
            count = self._run(WRITE, self._sql.purge).command_tuples
            total += count
        return total

    def count(self) -> int:
        """Return how many live records there are, counted page by page while others read and write."""
        total, last, seen = 0, b"", self._sql.counted
        while seen == self._sql.counted:
            result = self._run(READ, self._sql.count, last)
            seen, last = _number(result, 0), result.get_value(0, 2)
            total += _number(result, 1)
        return total

    def clear(self) -> int:
        """Remove all records, a thousand per transaction, and return how many were live. New ones may stay."""
        pages = self._pages(self._sql.all_keys)
        return sum(_number(self._run(WRITE, self._sql.clear, _array(page)), 0) for page in pages)

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence for each thing."""
        result = self._run(READ, self._sql.diagnose)
        clock, version, dead, indexes = (_number(result, column) for column in range(4))
        if abs(skew := clock / 1e6 - time.time()) > 5:
            yield f"the clocks of PostgreSQL and of this machine are {abs(skew):.0f} s apart; synchronize them (NTP)"
        if version < 130000:
            yield f"PostgreSQL {version // 10000} is too old: 13 is needed"
        if dead > 10000:
            yield "more than 10,000 expired sessions are still in the table; run purge every hour, for example from cron"
        if indexes < 3:
            yield "the table lacks an index, so listings or purge are slow; run the statements in PostgresStore.ddl"

    def settings(self) -> dict[str, str]:
        """Return the server's version, the settings that matter, and the table's size with its indexes."""
        result = self._run(READ, self._sql.settings)
        names = "server", "synchronous_commit", "max_connections", "autovacuum", "table"
        values = [result.get_value(0, column).decode() for column in range(len(names))]
        return dict(zip(names, [f"PostgreSQL {values[0]}", *values[1:]], strict=True))

    def close(self) -> None:
        """Close the connections that this store opened; one in use is closed after its operation.

        The caller's pool stays open. A later operation connects again.
        """
        self._transactions.close()

    def _changed(self, statement: Statement, key: str, *values: bytes | None) -> bool:
        return _possible(key) and bool(self._run(WRITE, statement, key.encode(), *values).command_tuples == 1)

    def _run(self, begin: Statement, statement: Statement, *values: bytes | None) -> Any:
        command: Command = (statement, values)
        try:
            return self._transactions.run(begin, command)
        except Failed as error:
            if error.code != MISSING:
                raise
            if not self._creates:
                what = f"there is no table {self._sql.name}; run the statements in PostgresStore.ddl"
                raise StoreError(f"PostgreSQL: {what}, or use a store with create=True once") from error
        self._transactions.run(WRITE, *((made, ()) for made in self._sql.make))
        return self._transactions.run(begin, command)


def connector(url: str) -> Callable[[], Any]:
    """Return a callable that connects to a ``postgresql://`` URL. Every wait is bounded.

    Raises:
        ValueError: it is no such URL. The message does not repeat it, because it may contain a password.
        ModuleNotFoundError: psycopg is not installed.
    """
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        message = "a postgresql:// URL needs psycopg 3 (the extra wsgisession[postgres]): pip install 'psycopg[binary,pool]'"
        raise ModuleNotFoundError(message, name="psycopg") from error
    try:
        given = conninfo_to_dict(url)
        # The client looks at the ports when it connects.
        ports = [port for port in str(given.get("port", "")).split(",") if port]
        if not all(PORT.fullmatch(port) and 0 < int(port) < 65536 for port in ports):
            raise ValueError("a port in a postgresql:// URL is a number from 1 to 65535")
        conninfo = make_conninfo("", **PATIENCE | given)
    except psycopg.ProgrammingError:
        message = "this is no URL that PostgreSQL's client understands; write postgresql://user:password@host:5432/database"
        raise ValueError(message) from None
    return lambda: psycopg.connect(conninfo, autocommit=True)


def _possible(key: str) -> bool:
    """Whether a record can have this key, whatever encoding the database and the client have."""
    return key.isascii() and "\0" not in key


def _live(result: Any, row: int, column: int) -> tuple[bytes, float] | None:
    """Return payload and seconds left from two columns; None if no time is left."""
    left = int.from_bytes(result.get_value(row, column + 1), signed=True)
    return (result.get_value(row, column), left / 1e6) if left > 0 else None


def _number(result: Any, column: int) -> int:
    return int.from_bytes(result.get_value(0, column), signed=True)


def _array(texts: list[bytes]) -> bytes:
    """Return a text[] in PostgreSQL's binary form: dimensions, no NULLs, the type's oid, length, lower bound; the items."""
    head = b"".join(number.to_bytes(4) for number in (1, 0, 25, len(texts), 1))
    return head + b"".join(len(text).to_bytes(4) + text for text in texts)


def _interval(ttl: float) -> bytes:
    """Return seconds as whole microseconds, a PostgreSQL int8."""
    return round(min(ttl, FOREVER) * 1e6).to_bytes(8, signed=True)


def _name(owner: str | None) -> bytes | None:
    return None if owner is None else owner.encode("utf-8", "surrogatepass")
