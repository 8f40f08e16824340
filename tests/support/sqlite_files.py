"""SQLite files from outside: past the store, as another program or an operator would.

Knows nothing of sessions.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


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
