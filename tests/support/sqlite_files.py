"""SQLite files from outside: past the store, as another program or an operator would.

Knows nothing of sessions.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.stores.sqlite_file import Connection
from wsgisession.testing import PATIENCE, new_key


def ask(path: str | os.PathLike[str], sql: str, *values: Any) -> Any:
    """Execute one statement on a file; return its rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql, values).fetchall()


def intact(path: str | os.PathLike[str]) -> bool:
    """Whether SQLite finds no damage."""
    return bool(ask(path, "PRAGMA integrity_check") == [("ok",)])


def backup(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
    """Copy a database that is in use, as ``.backup`` of the sqlite3 shell does."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def restore(copy: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write a copy into a database that is in use, as ``.restore`` of the sqlite3 shell does."""
    backup(copy, path)


def open_here(path: str | os.PathLike[str]) -> int:
    """How many descriptors this process has on files whose path begins like this, removed ones too."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(one).startswith(os.path.realpath(path))
        except FileNotFoundError:  # that of the listing itself
            pass
    return found


def connections_here(path: str | os.PathLike[str]) -> int:
    """How many connections this process has to a database: each has a descriptor of its own on the log."""
    return open_here(f"{os.path.realpath(path)}-wal")


@contextmanager
def locked(path: str | os.PathLike[str], how: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the write lock, or with "EXCLUSIVE" in another locking mode everything, as a foreign program would."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if how == "EXCLUSIVE":
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE sessions SET owner = owner")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


@contextmanager
def full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """No file may grow past half of what the database has now, as on a full disk; what is there can be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def traced(seen: list[str]) -> type[Connection]:
    """Return a kind of connection that notes what is executed, to stand in ``sqlite_file`` for the usual kind."""

    class Traced(Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.set_trace_callback(seen.append)

    return Traced


class Held:
    """A thread in the middle of a statement of its own, until it is let go: its key is only told then."""

    def __init__(self, store: SQLiteStore) -> None:
        self.inside, self.leave, self.found = threading.Event(), threading.Event(), []
        self.thread = threading.Thread(target=lambda: self.found.append(store.load(self)), daemon=True)  # type: ignore[arg-type]
        self.thread.start()
        assert self.inside.wait(PATIENCE)

    def __conform__(self, protocol: object) -> str:
        self.inside.set()
        self.leave.wait(PATIENCE)
        return new_key()

    def end(self) -> None:
        self.leave.set()
        self.thread.join(PATIENCE)
        assert self.found == [None]
