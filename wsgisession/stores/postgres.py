"""Sessions in PostgreSQL: one table, one statement per operation, the server's clock.

Every operation is one READ COMMITTED transaction, in which an UPDATE that waited for another one looks at the row again as
it is then: under REPEATABLE READ it would raise 40001 instead. ``clock_timestamp()`` is used because ``now()`` stands still
in a transaction.

This module does not know what a payload means, how commands reach a server, or who else uses its connections.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

from wsgisession.stores.postgres_wire import CONFLICT, READ, WRITE, Failed, Transactions

PAGE = 1000  # keys read, or dead records deleted, in one transaction
FOREVER = 1000 * 365.25 * 86400  # seconds; a timestamp ends in the year 294276
MISSING = "42P01"  # undefined_table

# Bounds for a connection made from a URL, where the URL has none: seconds, tcp_user_timeout in milliseconds.
PATIENCE = {"connect_timeout": "5", "keepalives_idle": "60", "tcp_user_timeout": "10000"}

# PostgreSQL cuts identifiers at 63 bytes; the names of the indexes are longer by 8.
NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,54}\.)?[A-Za-z_][A-Za-z0-9_]{0,54}")

# owner is bytea: any name can be stored and compared whatever the database's encoding and collation.
CREATE_TABLE = """\
CREATE TABLE IF NOT EXISTS {table} (
    key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL, expires timestamptz NOT NULL, owner bytea)"""
CREATE_EXPIRES = "CREATE INDEX IF NOT EXISTS {expires} ON {table} (expires)"
CREATE_OWNER = "CREATE INDEX IF NOT EXISTS {owner} ON {table} (owner, key) WHERE owner IS NOT NULL"

LOAD = "SELECT payload, (extract(epoch FROM expires - clock_timestamp()) * 1000000)::int8 FROM {table} WHERE key = $1"

# A command that is repeated after its reply was lost meets its own payload: it matches, and changes nothing.
CREATE = """\
INSERT INTO {table} AS held (key, payload, expires, owner)
VALUES ($1, $2, clock_timestamp() + $3::int8 * interval '1 microsecond', $4)
ON CONFLICT (key) DO UPDATE SET payload = EXCLUDED.payload, owner = EXCLUDED.owner,
    expires = CASE WHEN held.expires > clock_timestamp() THEN held.expires ELSE EXCLUDED.expires END
WHERE held.expires <= clock_timestamp() OR held.payload = EXCLUDED.payload"""

# One statement: a look at the new payload in a second one, or in a WITH, would see another moment than the swap.
REPLACE = """\
UPDATE {table} SET payload = $3, owner = $5,
    expires = CASE WHEN payload = $3 THEN expires ELSE clock_timestamp() + $4::int8 * interval '1 microsecond' END
WHERE key = $1 AND expires > clock_timestamp() AND payload IN ($2, $3)"""

TOUCH = """\
UPDATE {table} SET expires = clock_timestamp() + $2::int8 * interval '1 microsecond'
WHERE key = $1 AND expires > clock_timestamp()"""

DELETE = "DELETE FROM {table} WHERE key = $1 AND expires > clock_timestamp()"

KEYS = "SELECT key FROM {table} WHERE key > $1 AND expires > clock_timestamp() ORDER BY key LIMIT {page}"

OWNED_BY = """\
SELECT key FROM {table} WHERE owner = $2 AND key > $1 AND expires > clock_timestamp() ORDER BY key LIMIT {page}"""

# Skipping what others hold, a batch waits for nobody; whoever wants one of its dead rows waits for one batch.
# statement_timestamp(), unlike clock_timestamp(), can be looked up in an index; it stands still for one batch only.
PURGE = """\
DELETE FROM {table} WHERE key = ANY (ARRAY(
    SELECT key FROM {table} WHERE expires <= statement_timestamp() ORDER BY expires
    LIMIT {page} FOR UPDATE SKIP LOCKED))"""

# For whoever operates it: the clock, the version, how many of the dead wait (not all of a million), and the indexes.
DIAGNOSE = """\
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8, current_setting('server_version_num')::int8,
    (SELECT count(*) FROM (SELECT 1 FROM {table} WHERE expires <= statement_timestamp() LIMIT 10001) AS dead),
    (SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass)"""


class PostgresStore:
    """Sessions on any number of machines that already run PostgreSQL (13 or later), directly or through PgBouncer.

    The table and its two indexes are created when they are found missing; where the role may not, whoever may creates
    them (``ddl`` has the statements). Dead records stay in the table until ``purge()``. Times are the server's wall clock.
    After a server restart, broken connections are noticed before they are used, and replaced.

    A connection from the caller's pool is used for one transaction, in one round trip, and goes back as it was. A pool
    belongs to the process that made it: in a forked child the store opens connections of its own, like the pool's.

    Args:
        connect: a ``psycopg_pool.ConnectionPool``; or a callable that opens a new psycopg connection with each call,
            up to ten at a time, which then are the store's. How long connecting may take (``connect_timeout``) is the
            callable's business.
        table: the table's name, ``schema.name`` where it is not found along the ``search_path``.
        timeout: seconds that one operation may take, waiting for a connection and for locks included; then it is a
            ``StoreError``. A server that has stopped answering altogether costs one second more.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
        ModuleNotFoundError: psycopg is not installed.
    """

    def __init__(self, connect: Any, *, table: str = "wsgisession", timeout: float = 5.0) -> None:
        if not NAME.fullmatch(table):
            raise ValueError(f"table must be a name or schema.name of letters, digits and _, up to 55 each, not {table!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
        self._transactions = Transactions(connect, timeout)
        short = table.rpartition(".")[2]
        names = {
            "table": ".".join(f'"{part}"' for part in table.split(".")),
            "expires": f'"{short}_expires"',
            "owner": f'"{short}_owner"',
            "page": str(PAGE),
        }

        def sql(statement: str) -> bytes:
            return statement.format_map(names).encode()

        self.ddl = [statement.format_map(names) for statement in (CREATE_TABLE, CREATE_EXPIRES, CREATE_OWNER)]
        # One worker creates the table while the others wait: IF NOT EXISTS alone is no protection against a race.
        self._lock = b"SELECT pg_advisory_xact_lock(%d)" % crc32(f"wsgisession {table}".encode())
        self._load, self._create, self._replace = sql(LOAD), sql(CREATE), sql(REPLACE)
        self._touch, self._delete, self._purge = sql(TOUCH), sql(DELETE), sql(PURGE)
        self._keys, self._owned_by = sql(KEYS), sql(OWNED_BY)
        self._diagnose = sql(DIAGNOSE)

    def load(self, key: str) -> tuple[bytes, float] | None:
        result = self._run(READ, self._load, key.encode())
        if not result.ntuples:
            return None
        left = int.from_bytes(result.get_value(0, 1), signed=True)
        return (result.get_value(0, 0), left / 1e6) if left > 0 else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        values = (key.encode(), payload, _interval(ttl), _name(owner))
        return self._changed(self._create, *values)

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        values = (key.encode(), expected, payload, _interval(ttl), _name(owner))
        try:
            return self._changed(self._replace, *values)
        except Failed as error:
            if error.code in CONFLICT:
                return False  # somebody else's transaction won, each time
            raise

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        return self._changed(self._touch, key.encode(), _interval(ttl))

    def delete(self, key: str) -> bool:
        """Remove a record. False where there was no live one, or none any more when it was repeated after a lost reply."""
        return self._changed(self._delete, key.encode())

    def owned_by(self, owner: str) -> Iterator[str]:
        return self._pages(self._owned_by, _name(owner))

    def keys(self) -> Iterator[str]:
        return self._pages(self._keys)

    def _pages(self, sql: bytes, *values: bytes | None) -> Iterator[str]:
        """Yield keys in order, page by page; between two pages nothing is held, neither connection nor snapshot."""
        last, count = b"", PAGE
        while count == PAGE:
            result = self._run(READ, sql, last, *values)
            count = result.ntuples
            for row in range(count):
                last = result.get_value(row, 0)
                yield last.decode()

    def purge(self) -> int:
        """Remove dead records, a thousand per transaction, and return how many. Rows that others hold are left."""
        total, count = 0, PAGE
        while count == PAGE:
            count = self._run(WRITE, self._purge).command_tuples
            total += count
        return total

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence each."""
        result = self._run(READ, self._diagnose)
        clock, version, dead, indexes = (int.from_bytes(result.get_value(0, column), signed=True) for column in range(4))
        if abs(skew := clock / 1e6 - time.time()) > 5:
            yield f"the clocks of PostgreSQL and of this machine are {abs(skew):.0f} s apart; synchronize them (NTP)"
        if version < 130000:
            yield f"PostgreSQL {version // 10000} is too old: 13 is needed"
        if dead > 10000:
            yield "more than 10,000 expired sessions are still in the table; run purge every hour, from cron, say"
        if indexes < 3:
            yield "the table lacks an index, so listings or purge are slow; run the statements in PostgresStore.ddl"

    def close(self) -> None:
        """Close the connections this store has opened; the caller's pool stays open. A later operation connects again."""
        self._transactions.close()

    def _changed(self, sql: bytes, *values: bytes | None) -> bool:
        return bool(self._run(WRITE, sql, *values).command_tuples == 1)

    def _run(self, begin: bytes, sql: bytes, *values: bytes | None) -> Any:
        try:
            return self._transactions.run(begin, (sql, values))
        except Failed as error:
            if error.code != MISSING:
                raise
        self._transactions.run(WRITE, (self._lock, ()), *((statement.encode(), ()) for statement in self.ddl))
        return self._transactions.run(begin, (sql, values))


def connector(url: str) -> Callable[[], Any]:
    """Return a callable that connects to a ``postgresql://`` URL, every wait of it bounded.

    Raises:
        ValueError: it is no such URL; the message does not repeat it, since it may contain a password.
        ModuleNotFoundError: psycopg is not installed.
    """
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        message = "a postgresql:// URL needs psycopg 3 (the extra wsgisession[postgres]): pip install 'psycopg[binary,pool]'"
        raise ModuleNotFoundError(message, name="psycopg") from error
    try:
        conninfo = make_conninfo(url, **{name: value for name, value in PATIENCE.items() if name not in conninfo_to_dict(url)})
    except psycopg.ProgrammingError:
        message = "this is no URL that PostgreSQL's client understands; write postgresql://user:password@host:5432/database"
        raise ValueError(message) from None
    return lambda: psycopg.connect(conninfo, autocommit=True)


def _interval(ttl: float) -> bytes:
    """Return seconds as whole microseconds, a PostgreSQL int8."""
    return round(min(ttl, FOREVER) * 1e6).to_bytes(8, signed=True)


def _name(owner: str | None) -> bytes | None:
    return None if owner is None else owner.encode("utf-8", "surrogatepass")
