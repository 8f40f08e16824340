"""The file of a SQLite store: makes and opens it, and checks whether the path still leads to it.

SQLite finds the two files beside a database, ``-wal`` and ``-shm``, by their names alone. If a database is
removed or replaced while programs have it open, the old file's log lies beside the new file. A program that
opens the new file then applies the log of another database to it (https://www.sqlite.org/howtocorrupt.html, 1.4 and
2.4). So before a process that has the old file open uses the new one, it removes the old file's log and index.

Knows nothing of keys, payloads, threads, or who waits for whom.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from contextlib import closing, suppress
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows, where nobody can remove or replace an open file
    fcntl = None

APPLICATION = 0x77736573  # "wses": the file is ours, and no other program's
VERSION = 1  # of the table
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
# Bytes that the write-ahead log may keep after many writes. SQLite copies it back after 4 MB.
WAL_KEPT = 16 * 2**20
# Seconds to wait for another process that removes an old file's log, which takes microseconds.
LOCK_TIMEOUT = 1.0

_SCHEMA = (
    # A table with rowids: without them SQLite 3.40 needs three times the space and time for payloads of 1 KB. The
    # payload is the last column, so that reading the expiries does not read its overflow pages.
    "CREATE TABLE IF NOT EXISTS sessions"
    " (key TEXT NOT NULL PRIMARY KEY, expires INTEGER NOT NULL, owner TEXT, payload BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sessions_owner ON sessions (owner, key) WHERE owner IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)

Identity = tuple[int, int]  # device and inode


class Again(Exception):
    """It is not possible at this moment. Nothing was done, and the same may succeed a moment later."""


class Place(NamedTuple):
    """Where a path leads to, and which files are there (None: no file). If two are equal, no file was replaced."""

    real: str
    database: Identity | None
    log: Identity | None
    shared: Identity | None  # the WAL index


class Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, knows which files it has open, and has one cursor."""

    place: Place
    closed: bool
    only: weakref.ref[sqlite3.Cursor]

    def close(self) -> None:
        if not self.closed:
            # The cursor first: it has the last statement, and SQLite closes nothing before all statements are gone. A
            # thread that waits for its next try may still have the cursor.
            cursor = self.only()
            if cursor is not None:
                cursor.close()
            super().close()
            self.closed = True


class File:
    """One database file.

    Args:
        path: absolute; it may be a symbolic link.
        synchronous: SQLite's setting, in capitals.
        create: whether a file that is missing or empty becomes a store.
    """

    def __init__(self, path: str, synchronous: str, create: bool) -> None:
        self.path = path
        self._synchronous = synchronous
        self._create = create

    def place(self) -> Place:
        """Look where the path leads to now, with four system calls."""
        real = os.path.realpath(self.path)
        return Place(real, _identity(real), _identity(f"{real}-wal"), _identity(f"{real}-shm"))

    def connect(self) -> tuple[Connection, sqlite3.Cursor]:
        """Open a connection that is ready for use, and its cursor.

        The caller makes sure that no other thread connects meanwhile. Making the file closes a descriptor, and that
        drops all locks that this process has on the file, also those of a new connection
        (https://www.sqlite.org/howtocorrupt.html, 2.2).

        Raises:
            OSError, sqlite3.Error: this file cannot be used, or it is busy.
            Again: the file was replaced meanwhile.
        """
        if self._create:
            _make(os.path.realpath(self.path))
        before = self.place()
        if not self._create and (before.database is None or not os.path.getsize(before.real)):
            what = "there is no such file" if before.database is None else "the file is empty"
            raise sqlite3.OperationalError(f"{what}, and with create=False none is made; check the path")
        # A URI, so that SQLite does not make a file, which others could read. timeout=0: the pool waits, not SQLite.
        # isolation_level=None: each statement commits itself.
        connection = sqlite3.connect(
            f"{Path(self.path).as_uri()}?mode=rw",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        cursor = connection.cursor()
        connection.only, connection.closed = weakref.ref(cursor), False
        try:
            _prepare(connection, self._synchronous)
            connection.place = self.place()
            if connection.place[:2] != before[:2]:
                raise Again("the file was replaced while it was opened")
        except BaseException:
            connection.close()
            raise
        return connection, cursor

    def leave(self, old: Place) -> None:
        """Remove the log and the index of a file that is not at its place any more, because nobody may use them.

        Call this only while a connection has the old file open: so long, the system does not give the numbers of its
        files to other files. It takes a lock that all processes share. Without it, one process could look, another one
        could remove the log and open the new file, and then the first one would remove the new file's log. The lock is
        on the directory, so it leaves no file behind.

        Raises:
            OSError: the directory is not accessible.
            Again: another process has the lock.
        """
        if fcntl is None:
            return
        # All in one function, and the list itself opens the directory: an exception from outside, at any step, must not
        # leave the descriptor open, because it holds the lock.
        opened: list[int] = []
        try:
            opened.extend(map(os.open, (os.path.dirname(old.real),), (os.O_RDONLY,)))
            _lock(opened[0])
            if _identity(old.real) != old.database:
                for name, own in ((f"{old.real}-wal", old.log), (f"{old.real}-shm", old.shared)):
                    if own is not None and _identity(name) == own:
                        with suppress(FileNotFoundError):
                            os.unlink(name)
        except FileNotFoundError:
            pass  # the whole directory was removed
        finally:
            for descriptor in opened:
                os.close(descriptor)


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _lock(descriptor: int) -> None:
    """Lock a directory among processes, until the descriptor is closed."""
    assert fcntl is not None
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Again("another process has the lock of its directory") from None
        time.sleep(0.001)


def _make(path: str) -> None:
    """Create the file with mode 0600, whatever the umask; SQLite gives the same to the files beside it.

    It is complete from the beginning: SQLite deletes the log that it finds beside a database without pages. If a new file
    is removed while it is opened, that is the log of another file, which another process has made meanwhile.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return
    try:
        image = _image()
        if os.write(descriptor, image) < len(image):  # the disk is full; SQLite will say so
            os.truncate(descriptor, 0)
    finally:
        os.close(descriptor)
    os.chmod(path, 0o600)  # a umask may have taken bits away


def _image() -> bytes:
    """Return a database that has the table, and no session."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
        return connection.serialize()


def _prepare(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute("BEGIN")  # one snapshot for all three: another process may be creating the table
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if application == APPLICATION and version > VERSION:
        raise sqlite3.DatabaseError(
            f"the file was made by a later wsgisession (table version {version}; this one knows {VERSION})"
        )
    if application != APPLICATION and (application or version or tables):
        raise sqlite3.DatabaseError(
            "the file is another program's database; give the sessions one of their own"
        )
    (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    if encoding != "UTF-8":  # listings read keys as the bytes they are
        raise sqlite3.DatabaseError(f"the file's text is {encoding}, not UTF-8; give the sessions a new file")
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
    # A read opens the log and its index, if nothing has opened them yet.
    connection.execute("PRAGMA user_version").fetchone()
