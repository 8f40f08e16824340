"""Sessions in one SQLite file: one machine, any number of processes, and they survive a restart.

It needs only the standard library. Each operation is one statement in a transaction of its own, in WAL mode, so readers
and the writer never wait for each other. To find dead records, the table is read in the order of its rows. An index on
the expiry would cost every write more (15 µs) than all the rest of this module.

Expiries are milliseconds by the machine's wall clock, because processes share the file, and it outlives them and a
reboot. If the clock is set wrong, sessions end so much earlier or later, until their next write sets the expiry again.

Not for network file systems: WAL needs memory that all the processes share (https://www.sqlite.org/wal.html).

Knows nothing of ids, cookies, HTTP, or what a payload says.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.sqlite_file import SYNCHRONOUS, File
from wsgisession.stores.sqlite_pool import Pool

# Milliseconds. An expiry further away is damage. Such a row counts as dead, so nothing lives for ever.
HORIZON = 200 * 365 * 86_400_000
LONGEST = HORIZON // 2
# After so many writes, look at so many rows and delete the dead ones: 2 to 5 µs per write. With the quotient, 4, about
# an eighth of the file is dead rows, whatever the number of sessions.
SWEEP_EVERY, SWEEP_ROWS = 16, 64
# Rows that purge looks at in one go, and at most deletes: 1 ms, or 10 to 20 ms with payloads of 10 KB.
PURGE_ROWS = 128
# Seconds that purge and clear pause after each batch, so that others can write.
PURGE_PAUSE = 0.002
# Rows in a page of a listing and of ``load_many``, and rows that ``count`` looks at in one go (1 ms for 10,000).
PAGE, LOAD_ROWS, COUNT_ROWS = 500, 1000, 10_000

# Plain question marks: numbered ones make Python 3.12.0 to 3.12.3 warn.
_LIVE = f"expires - ? BETWEEN 1 AND {HORIZON}"
_LOAD = f"SELECT payload, expires FROM sessions WHERE key = ? AND {_LIVE}"
_CREATE = (
    "INSERT INTO sessions (payload, expires, owner, key) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    f" SET payload = excluded.payload, expires = excluded.expires, owner = excluded.owner WHERE NOT ({_LIVE})"
)
# Only if the owner stays: assigning the column, even the same owner, rewrites its index entry (8 to 25
# µs).
_REPLACE = (
    f"UPDATE sessions SET payload = ?, expires = ? WHERE key = ? AND {_LIVE} AND payload = ? AND owner IS ?"
)
_REPLACE_AND_OWNER = (
    f"UPDATE sessions SET payload = ?, expires = ?, owner = ? WHERE key = ? AND {_LIVE} AND payload = ?"
)
_REPLACE_PAYLOAD = f"UPDATE sessions SET payload = ? WHERE key = ? AND {_LIVE} AND payload = ?"
_TOUCH = f"UPDATE sessions SET expires = ? WHERE key = ? AND {_LIVE}"
_DELETE = f"DELETE FROM sessions WHERE key = ? AND {_LIVE}"
_EXPECTED = " AND payload = ?"
# The keys as one JSON array: any number of them is one parameter. A key that SQLite cannot store matches nothing.
_LOAD_MANY = (
    # Key by key, each with its place in the list. "IN" would sort them first, which takes half as long again.
    "SELECT asked.key, payload, expires FROM json_each(?) AS asked"
    f" CROSS JOIN sessions ON sessions.key = asked.value WHERE {_LIVE}"
)
# Keys are bytes, and those that are no text are left out: one that another program wrote, or a disk damaged, would keep
# all others from being read. Every text is less than every BLOB.
_OWNED_BY = (
    "SELECT CAST(key AS BLOB) FROM sessions"
    f" WHERE owner = ? AND key > CAST(? AS TEXT) AND key < x'' AND {_LIVE} ORDER BY key LIMIT {PAGE}"
)
# One row for a page: for each row, Python's module lets other threads run, which takes longer than to read a key.
_KEYS = (
    f"SELECT max(row), CAST(json_group_array(key) FILTER (WHERE key < x'' AND {_LIVE}) AS BLOB) FROM"
    " (SELECT rowid AS row, key, expires FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?)"
)
_DEAD = (
    f"SELECT max(row), total(NOT ({_LIVE})) FROM"
    " (SELECT rowid AS row, expires FROM sessions WHERE rowid > ? ORDER BY rowid LIMIT ?)"
)
_LAST = "SELECT coalesce(max(rowid), 0) FROM sessions"
_LIVING = _DEAD.replace("NOT ", "")
_REMOVE = f"DELETE FROM sessions WHERE rowid > ? AND rowid <= ? AND NOT ({_LIVE})"
_CLEAR = _REMOVE.replace("NOT ", "")
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"

# How to read an answer: functions of a cursor, at the speed of C.
_one: Callable[[sqlite3.Cursor], Any] = sqlite3.Cursor.fetchone
_all: Callable[[sqlite3.Cursor], list[Any]] = sqlite3.Cursor.fetchall
_count: Callable[[sqlite3.Cursor], int] = attrgetter("rowcount")


class SQLiteStore:
    """Keeps sessions in a SQLite file of their own. If there is no file, it creates one with mode 0600.

    The constructor tries to read and to write, so that a wrong path or a missing permission is an error there. It
    leaves no connection open: a server may build the store before it forks its workers.

    Args:
        path: the file. A relative path is resolved at once.
        create: whether a missing or empty file becomes a store; False: it is a ``StoreError``.
        synchronous: SQLite's own setting. With "NORMAL" a crash of the program loses nothing, but a power cut
            may lose the last moments, logouts too. "FULL" waits for the disk with every write, which takes ten
            times as long.
        timeout: seconds that an operation waits for other writers before it is a ``StoreError``.
        clock: POSIX seconds; the same in all processes.

    Raises:
        StoreError: the file cannot be opened or written, is no database, or belongs to something else. It is
            never emptied or replaced.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        create: bool = True,
        *,
        synchronous: str = "NORMAL",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError("path must be a str or a path of str")
        if name in ("", ":memory:") or "\0" in name:
            raise ValueError(
                f"{name!r} is not a file that connections can share; for memory use MemoryStore()"
            )
        if not isinstance(synchronous, str) or synchronous.upper() not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be a finite number of seconds above 0, not {timeout!r}")
        self.path = os.path.abspath(name)
        self._clock = clock
        self._pool = Pool(File(self.path, synchronous.upper(), create), timeout)
        self._run = self._pool.run
        self._writes = itertools.count(random.randrange(SWEEP_EVERY))
        self._swept: int | None = None  # the last row that was searched for dead ones
        # Not __del__: this also runs at exit, and closing the last connection copies the log back into the file.
        weakref.finalize(self, self._pool.close)
        try:
            self.delete("")
        finally:
            self._pool.close()

    def load(self, key: str) -> tuple[bytes, float] | None:
        now = int(self._clock() * 1000)
        try:
            row = self._run(_LOAD, (key, now), _one)
        except UnicodeEncodeError:
            return None  # a lone surrogate: no key
        if row is None:
            return None
        payload, expires = row
        if type(payload) is not bytes:
            raise _foreign(payload)
        # The middle of the millisecond, so it is never NO_EXPIRY.
        return payload, (expires - now - 0.5) / 1000

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        now = int(self._clock() * 1000)
        if self._write(_CREATE, (payload, now + _milliseconds(ttl), owner, key, now)):
            return True
        return self._payload(key) == payload  # carried out before, and its reply was lost

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        now = int(self._clock() * 1000)
        if ttl is None:
            if self._changed(_REPLACE_PAYLOAD, (payload, key, now, expected)):
                return True
        else:
            expires = now + _milliseconds(ttl)
            if self._changed(_REPLACE, (payload, expires, key, now, expected, owner)):
                return True
            if self._changed(_REPLACE_AND_OWNER, (payload, expires, owner, key, now, expected)):
                return True
        return self._payload(key) == payload  # carried out before, and its reply was lost

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        now = int(self._clock() * 1000)
        sql, more = (_TOUCH, ()) if expected is None else (_TOUCH + _EXPECTED, (expected,))
        return self._changed(sql, (now + _milliseconds(ttl), key, now, *more))

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        now = int(self._clock() * 1000)
        sql, more = (_DELETE, ()) if expected is None else (_DELETE + _EXPECTED, (expected,))
        return self._changed(sql, (key, now, *more))

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        """Return what ``load`` would return for each key, with one statement per page of 1,000."""
        found: list[tuple[bytes, float] | None] = [None] * len(keys)
        for start in range(0, len(keys), LOAD_ROWS):
            now = int(self._clock() * 1000)
            page = json.dumps(list(keys[start : start + LOAD_ROWS]))
            for place, payload, expires in self._run(_LOAD_MANY, (page, now), _all):
                if type(payload) is not bytes:
                    raise _foreign(payload)
                found[start + place] = payload, (expires - now - 0.5) / 1000
        return found

    def owned_by(self, owner: str) -> Iterator[str]:
        """Yield the keys of the owner's live records.

        Between two pages no snapshot is held, so a listing does not make the log grow.
        """
        last = b""
        while True:
            now = int(self._clock() * 1000)
            try:
                page = self._run(_OWNED_BY, (owner, last, now), _all)
            except UnicodeEncodeError:
                return  # a lone surrogate: no owner
            for (last,) in page:
                yield last.decode(errors="replace")
            if len(page) < PAGE:
                return

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records, in pages like ``owned_by``."""
        for _, page in self._pages(_KEYS, PAGE):
            yield from json.loads(page.decode(errors="replace"))

    def purge(self) -> int:
        """Walk through the table once and remove dead records, a page at a time.

        Between two pages others can write.
        """
        removed = 0
        for rows, dead in self._pages(_DEAD, PURGE_ROWS):
            if dead:
                removed += self._run(_REMOVE, rows, _count)
                time.sleep(PURGE_PAUSE)
        return removed

    def clear(self) -> int:
        """Remove all records that are there now, dead ones too, in pages like ``purge``."""
        removed = 0
        [end] = self._run(_LAST, (), _one)
        for rows, live in self._pages(_LIVING, PURGE_ROWS):
            if live:
                removed += self._run(_CLEAR, rows, _count)
            self._run(_REMOVE, rows, _count)
            time.sleep(PURGE_PAUSE)
            if rows[1] >= end:
                break
        return removed

    def count(self) -> int:
        """Count the live records, a page at a time, because a long read keeps the log from being copied back."""
        return int(sum(live for _, live in self._pages(_LIVING, COUNT_ROWS)))

    def close(self) -> None:
        """Close the connections; one in use is closed after its operation. A later operation opens new ones."""
        self._pool.close()

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence for each thing."""
        if self._pool.replaced():
            yield (
                f"{self.path} was removed or replaced while this process had it open; the next operation uses"
                " the new file"
            )
        modes = hasattr(os, "getuid")  # on Windows every file has mode 0666
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm") if modes else ():
            try:
                mode = os.stat(path).st_mode & 0o777
            except FileNotFoundError:
                continue  # the last connection that is closed, maybe another process's, removes the log
            if mode & 0o077:
                yield f"{path} has mode {mode:04o}: other users of this machine can open it; chmod 600"
                return  # SQLite gives the files beside it the same mode

    def settings(self) -> dict[str, str]:
        """Return the file, its size, and how SQLite writes it."""
        [mode] = self._run("PRAGMA journal_mode", (), _one)
        [level] = self._run("PRAGMA synchronous", (), _one)
        [count] = self._run(_SIZE, (), _one)
        size = f"{count:,} bytes"
        return {"file": self.path, "size": size, "journal_mode": mode, "synchronous": SYNCHRONOUS[level]}

    def _write(self, sql: str, values: tuple[Any, ...]) -> bool:
        changed = self._run(sql, values, _count) == 1
        if not next(self._writes) % SWEEP_EVERY:
            self._sweep()
        return changed

    def _changed(self, sql: str, values: tuple[Any, ...]) -> bool:
        try:
            return self._write(sql, values)
        except UnicodeEncodeError:
            return False  # a lone surrogate: no key

    def _payload(self, key: str) -> bytes | None:
        found = self.load(key)
        return found and found[0]

    def _pages(self, sql: str, size: int) -> Iterator[tuple[tuple[int, int, int], Any]]:
        """Walk through the table in the order of its rows.

        Yields:
            For each page: after which row it begins, its last row, and the time, as the statements that remove want
            them; and what ``sql`` found there.
        """
        row = 0
        while True:
            now = int(self._clock() * 1000)
            last, found = self._run(sql, (now, row, size), _one)
            if last is None:
                return
            yield (row, last, now), found
            row = last

    def _sweep(self) -> None:
        """Remove dead records among the next few rows, if this needs no waiting.

        If this fails, the write before it is still done.
        """
        try:
            if self._swept is None:
                # Begin anywhere. Otherwise processes that live for one request would all look at the same oldest rows.
                [rows] = self._run(_LAST, (), _one)
                self._swept = random.randrange(rows or 1)
            row, now = self._swept, int(self._clock() * 1000)
            last, dead = self._run(_DEAD, (now, row, SWEEP_ROWS), _one, 0)
            if dead:
                self._run(_REMOVE, (row, last, now), _count, 0)
            self._swept = last or 0
        except StoreError:
            pass  # The next operation finds the same error and reports it; a busy database is swept later.


def _foreign(payload: object) -> StoreError:
    """Return the error for a payload that no store wrote: SQLite takes any type in any column."""
    kind = type(payload).__name__
    return StoreError(
        f"a payload in the table is {kind}, not a BLOB: another program wrote it; delete(key) ends it"
    )


def _milliseconds(ttl: float) -> int:
    return max(1, round(min(ttl * 1000, LONGEST)))
