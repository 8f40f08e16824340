"""Sessions in one SQLite file: one machine, any number of processes, and they survive a restart.

Nothing but the standard library. Each operation is one statement in a transaction of its own, in WAL mode, so readers
and the writer never wait for each other. The table is walked in the order of its rows to find the dead: an index on the
expiry would cost every write more (15 µs) than all the rest of this module.

Expiries are milliseconds by the machine's wall clock: the file is shared by processes and outlives them and the boot.
A clock that is set wrong shifts the end of the sessions by as much, until their next write sets it anew.

Not for network file systems: WAL needs memory that all the processes share (https://www.sqlite.org/wal.html).

Knows nothing of ids, cookies, HTTP, or what a payload says.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.sqlite_pool import Connection, Pool

APPLICATION = 0x77736573  # "wses": the file is ours, and no other program's
VERSION = 1  # of the table
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
# Bytes that the write-ahead log keeps after a burst. It holds 4 MB before SQLite copies it back.
WAL_KEPT = 16 * 2**20
# Milliseconds. What ends further away is damage, not an expiry: such a row is dead, so nothing lives forever.
HORIZON = 200 * 365 * 86_400_000
LONGEST = HORIZON // 2
# Every so many writes, look at so many rows and delete the dead among them: 2 to 5 µs per write. The quotient, 4, lets
# dead rows be about an eighth of the file, whatever the number of sessions.
SWEEP_EVERY, SWEEP_ROWS = 16, 64
# Rows that purge looks at, and at most deletes, in one go: 1 ms, or 10 to 20 with payloads of 10 KB.
PURGE_ROWS = 128
PAGE = 500

_SCHEMA = (
    # A table with rowids: without them SQLite 3.40 needs three times the space and time for payloads of 1 KB. The payload
    # comes last: a walk over the expiries does not read its overflow pages.
    "CREATE TABLE IF NOT EXISTS sessions"
    " (key TEXT NOT NULL PRIMARY KEY, expires INTEGER NOT NULL, owner TEXT, payload BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (owner, key) WHERE owner IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
# Plain question marks: numbered ones make Python 3.12.0 to 3.12.3 warn.
_LIVE = f"expires > ? AND expires <= ? + {HORIZON}"
_LOAD = f"SELECT payload, expires FROM sessions WHERE key = ? AND {_LIVE}"
_CREATE = (
    "INSERT INTO sessions (payload, expires, owner, key) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    f" SET payload = excluded.payload, expires = excluded.expires, owner = excluded.owner WHERE NOT ({_LIVE})"
)
# Only where the owner stays: assigning the column, even the same owner, rewrites its index entry (8 to 25 µs).
_REPLACE = f"UPDATE sessions SET payload = ?, expires = ? WHERE key = ? AND {_LIVE} AND payload = ? AND owner IS ?"
_REPLACE_AND_OWNER = f"UPDATE sessions SET payload = ?, expires = ?, owner = ? WHERE key = ? AND {_LIVE} AND payload = ?"
_TOUCH = f"UPDATE sessions SET expires = ? WHERE key = ? AND {_LIVE}"
_DELETE = f"DELETE FROM sessions WHERE key = ? AND {_LIVE}"
_OWNED_BY = f"SELECT key FROM sessions WHERE owner = ? AND key > ? AND {_LIVE} ORDER BY key LIMIT {PAGE}"
_KEYS = f"SELECT rowid, key, {_LIVE} FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT {PAGE}"
_LOOK = (
    f"SELECT max(row), total(NOT ({_LIVE})) FROM"
    " (SELECT rowid AS row, expires FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?)"
)
_REMOVE = f"DELETE FROM sessions WHERE rowid > ? AND rowid <= ? AND NOT ({_LIVE})"

# How to read an answer: functions of a cursor, at the speed of C.
_one: Callable[[sqlite3.Cursor], Any] = methodcaller("fetchone")
_all: Callable[[sqlite3.Cursor], list[Any]] = methodcaller("fetchall")
_count: Callable[[sqlite3.Cursor], int] = attrgetter("rowcount")


class SQLiteStore:
    """Keeps sessions in a SQLite database file of their own, which it creates, with mode 0600, where there is none.

    The constructor tries reading and writing, so a store that was built works, and leaves no connection open: a server
    may build it before it forks its workers.

    Args:
        path: the file. A relative one is resolved at once.
        synchronous: SQLite's own setting. With "NORMAL" a crash of the program loses nothing and a power cut may lose
            the last moments, logouts included; "FULL" waits for the disk with every write (ten times as long).
        timeout: seconds that an operation waits for other writers before it is a ``StoreError``.
        clock: POSIX seconds; the same in all processes.

    Raises:
        StoreError: the file cannot be opened or written, is no database, or belongs to something else. It is never
            emptied or replaced.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "NORMAL",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError("path must be a str or a path of str")
        if name in ("", ":memory:") or "\0" in name:
            raise ValueError(f"{name!r} is no file that connections could share; for memory use MemoryStore()")
        if not isinstance(synchronous, str) or synchronous.upper() not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be a finite number of seconds above 0, not {timeout!r}")
        self.path = os.path.abspath(name)
        self._clock = clock
        self._pool = Pool(f"SQLite {self.path}", partial(_connect, self.path, synchronous.upper()), timeout)
        self._run = self._pool.run
        self._writes = itertools.count(random.randrange(SWEEP_EVERY))
        self._swept: int | None = None  # the row up to which dead ones were looked for
        # Not __del__: this also runs at exit, where closing the last connection copies the log back into the file.
        weakref.finalize(self, self._pool.close)
        try:
            self.delete("")
        finally:
            self._pool.close()

    def load(self, key: str) -> tuple[bytes, float] | None:
        now = int(self._clock() * 1000)
        row = self._run(_LOAD, (key, now, now), _one)
        return None if row is None else (row[0], (row[1] - now) / 1000)

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        now = int(self._clock() * 1000)
        if self._write(_CREATE, (payload, now + _milliseconds(ttl), owner, key, now, now)):
            return True
        return self._payload(key, now) == payload  # carried out before, and its reply was lost

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        now = int(self._clock() * 1000)
        expires = now + _milliseconds(ttl)
        if self._write(_REPLACE, (payload, expires, key, now, now, expected, owner)):
            return True
        found = self._payload(key, now)
        if found == expected:
            return self._write(_REPLACE_AND_OWNER, (payload, expires, owner, key, now, now, expected))
        return found == payload  # carried out before, and its reply was lost

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        now = int(self._clock() * 1000)
        return self._write(_TOUCH, (now + _milliseconds(ttl), key, now, now))

    def delete(self, key: str) -> bool:
        now = int(self._clock() * 1000)
        return self._run(_DELETE, (key, now, now), _count) == 1

    def owned_by(self, owner: str) -> Iterator[str]:
        """Yield the keys of the owner's live records. Between two pages nothing is held, so no reader grows the log."""
        last = ""
        while True:
            now = int(self._clock() * 1000)
            page = self._run(_OWNED_BY, (owner, last, now, now), _all)
            for (last,) in page:
                yield last
            if len(page) < PAGE:
                return

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records, in pages like ``owned_by``."""
        row = 0
        while True:
            now = int(self._clock() * 1000)
            page = self._run(_KEYS, (now, now, row), _all)
            for _, key, live in page:
                if live:
                    yield key
            if len(page) < PAGE:
                return
            row = page[-1][0]

    def purge(self) -> int:
        """Walk the table once and remove the dead, a page at a time; between two pages writers have their turn."""
        removed, row = 0, 0
        while True:
            last, dead = self._remove(row, PURGE_ROWS)
            if last is None:
                return removed
            removed, row = removed + dead, last
            if dead:
                time.sleep(0.002)

    def close(self) -> None:
        """Close the connections, after the operations in progress. A later operation opens new ones."""
        self._pool.close()

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence each."""
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm"):
            mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0
            if mode & 0o077:
                yield f"{path} has mode {mode:04o}: other users of this machine can open it; chmod 600"
                return  # SQLite gives the files beside it the same mode

    def _write(self, sql: str, values: tuple[Any, ...]) -> bool:
        changed = self._run(sql, values, _count) == 1
        if not next(self._writes) % SWEEP_EVERY:
            self._sweep()
        return changed

    def _payload(self, key: str, now: int) -> bytes | None:
        row = self._run(_LOAD, (key, now, now), _one)
        return None if row is None else row[0]

    def _sweep(self) -> None:
        """Remove the dead among the next few rows, if that needs no waiting. Whatever fails, the write stands."""
        try:
            if self._swept is None:
                # Anywhere: processes that live for one request would all look at the same oldest rows.
                (rows,) = self._run("SELECT max(rowid) FROM sessions", (), _one)
                self._swept = random.randrange(rows or 1)
            self._swept, _ = self._remove(self._swept, SWEEP_ROWS, timeout=0)
            self._swept = self._swept or 0
        except StoreError:
            pass  # The next operation meets the same error and reports it; a busy database is swept later.

    def _remove(self, row: int, rows: int, timeout: float | None = None) -> tuple[int | None, int]:
        """Remove the dead among the rows after one; return the last row looked at (None: there was none), and how many."""
        now = int(self._clock() * 1000)
        last, dead = self._run(_LOOK, (now, now, row, rows), _one, timeout)
        if dead:
            dead = self._run(_REMOVE, (row, last, now, now), _count, timeout)
        return last, int(dead)


def _milliseconds(ttl: float) -> int:
    return max(1, round(min(ttl * 1000, LONGEST)))


_creating = threading.Lock()


def _create(path: str) -> None:
    """Create the file with mode 0600, whatever the umask; SQLite gives the same to the files beside it.

    Under a lock that every connecting thread passes: closing a descriptor drops all locks that this process has on a file
    (https://www.sqlite.org/howtocorrupt.html, 2.2), those of a connection another thread just opened, too.
    """
    with _creating:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        os.chmod(path, 0o600)  # a umask may have taken bits away


def _connect(path: str, synchronous: str) -> Connection:
    _create(path)
    # timeout=0: the pool waits, not SQLite. isolation_level=None: each statement commits itself.
    connection = Connection(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute("BEGIN")  # one look at all three: another process may be creating the table
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if application == APPLICATION and version > VERSION:
        raise sqlite3.DatabaseError(
            f"the file was made by a later wsgisession (table version {version}; this one knows {VERSION})"
        )
    if application != APPLICATION and (application or version or tables):
        raise sqlite3.DatabaseError("the file is another program's database; give the sessions one of their own")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.NotSupportedError(
            f"the file system has no write-ahead log (journal mode {mode!r}); put the file on a local disk"
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}")
    if application != APPLICATION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
