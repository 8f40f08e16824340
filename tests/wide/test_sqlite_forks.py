"""SQLite and processes: forks in the middle of writes, servers that fork after loading, many that start at
once.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.children import in_children
from support.demo_process import Process
from support.load import Load
from support.sqlite_files import Held, connections_here, intact
from support.web import SECRET

from wsgisession.errors import StoreError
from wsgisession.stores import sqlite_file, sqlite_pool
from wsgisession.stores.fork import GRACE, guard
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.stores.sqlite_pool import _Shelf
from wsgisession.testing import LONG, in_child, new_key, new_payload

pytestmark = [pytest.mark.wide, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]

PATIENCE = 30.0
ROUNDS = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, timeout=PATIENCE)
    yield store
    store.close()


def test_a_fork_while_threads_write_and_the_parent_closes(store: SQLiteStore, path: Path) -> None:
    """The parent closes its connections while children serve: what anyone was told is written is there."""
    load = Load(store, 3)
    end = threading.Event()

    def close() -> None:
        while not end.wait(0.001):
            store.close()

    closer = threading.Thread(target=close, daemon=True)
    closer.start()
    expected: dict[str, bytes] = {}
    try:
        for _ in range(ROUNDS):
            records = {new_key(): new_payload() for _ in range(100)}
            assert in_child(
                lambda records=records: all(store.create(*record, LONG) for record in records.items())
            )
            expected |= records
    finally:
        end.set()
        closer.join(PATIENCE)
        load.finish()
    assert all(load.written) and not any(load.errors) and not any(load.lost)
    assert {key: (store.load(key) or ())[:1] for key in expected} == {
        key: (payload,) for key, payload in expected.items()
    }
    store.close()
    assert intact(path)


def test_a_fork_waits_for_a_statement_in_progress(store: SQLiteStore) -> None:
    """It ends first, so that no connection is in use on both sides."""
    held = Held(store)
    threading.Timer(0.02, held.leave.set).start()
    key = new_key()
    assert in_child(lambda: held.leave.is_set() and store.create(key, b"child", LONG))
    assert store.delete(key) is True
    held.end()


@pytest.fixture
def impatient() -> Iterator[None]:
    """Forks that hardly wait; a guard of the process cannot be told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_grace", 0.01)
        yield


def refused(store: SQLiteStore) -> bool:
    with pytest.raises(StoreError, match="forked in the middle of an operation; start it again"):
        store.load(new_key())
    return True


def test_a_child_forked_in_the_middle_of_a_statement_refuses(store: SQLiteStore, impatient: None) -> None:
    """If a statement did not end in time the child has an error at once, never a damaged file; the parent
    goes on.
    """
    held = Held(store)
    assert in_child(lambda: refused(store))
    held.end()
    assert store.create(new_key(), b"", LONG) is True
    assert in_child(lambda: store.create(new_key(), b"", LONG))


def test_a_child_forked_while_a_thread_connects_refuses(
    store: SQLiteStore, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that thread has locked stays locked, neither for the fork nor in the child."""
    inside, leave = threading.Event(), threading.Event()
    prepare = sqlite_file._prepare

    def slow(connection: sqlite3.Connection, synchronous: str) -> None:
        prepare(connection, synchronous)
        inside.set()
        leave.wait(PATIENCE)

    held = Held(store)
    monkeypatch.setattr(sqlite_file, "_prepare", slow)
    thread = threading.Thread(target=store.load, args=(new_key(),), daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    monkeypatch.setattr(sqlite_file, "_prepare", prepare)
    assert in_child(lambda: refused(store))
    leave.set()
    thread.join(PATIENCE)
    held.end()
    assert store.create(new_key(), b"", LONG) is True


def test_a_fork_while_a_thread_waits_for_its_next_try(store: SQLiteStore, path: Path) -> None:
    """Another program writes, so a thread asks again and again: it has no connection meanwhile."""
    store.create(new_key(), b"", LONG)
    seen: list[int] = []
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=store.create, args=(new_key(), b"", LONG), daemon=True)

    def hook(quiet: bool) -> None:
        seen.append(connections_here(path))

    guard.before_fork.append(hook)
    try:
        thread.start()
        for _ in range(20):
            guard.shut()
            guard.open()
    finally:
        guard.before_fork.remove(hook)
        other.execute("ROLLBACK")
        other.close()
        thread.join(PATIENCE)
    assert seen == [1] * 20, "more than the other program's"


def test_a_store_is_used_and_closed_in_the_middle_of_a_fork(store: SQLiteStore, path: Path) -> None:
    """By a hook, or by the collector: it waits for nothing, has its answer, and no connection is on both
    sides.
    """
    key = new_key()
    seen: list[object] = []

    def hook(quiet: bool) -> None:
        seen[:] = [quiet, store.create(key, b"", LONG), store.load(key) is not None, connections_here(path)]
        store.close()

    guard.before_fork.append(hook)
    try:
        assert in_child(lambda: seen == [True, True, True, 0] and store.load(key) is not None)
    finally:
        guard.before_fork.remove(hook)
    assert store.delete(key) is True


@pytest.mark.parametrize("operation", ["load", "replace", "delete"])
def test_a_fork_in_the_middle_of_a_statement_of_its_own_thread(
    operation: str, store: SQLiteStore, path: Path
) -> None:
    """A signal handler or a finalizer forks: no wait; the operation has its answer, and only that child
    refuses.
    """
    key, payload = new_key(), new_payload()
    store.create(key, payload, LONG)
    forks: list[bool] = []

    class Forking:
        def __conform__(self, protocol: object) -> str:
            forks.append(in_child(lambda: refused(store)))
            return key

    arguments = {"load": (), "replace": (payload, new_payload(), LONG), "delete": ()}[operation]
    start = time.monotonic()
    answer = getattr(store, operation)(Forking(), *arguments)
    assert forks == [True] and (answer[0] == payload if operation == "load" else answer is True)
    assert time.monotonic() - start < GRACE
    assert in_child(lambda: store.create(new_key(), b"", LONG))
    store.close()
    assert intact(path)


def test_a_connection_that_an_exception_lost_does_not_cross_a_fork(store: SQLiteStore, path: Path) -> None:
    """A traceback that somebody keeps may keep a connection alive: it is closed, and the child works."""
    # This is what an exception between two steps would leave behind.
    connection = store._pool._connect(_Shelf()).idle[0].connection
    assert in_child(lambda: store.create(new_key(), b"", LONG))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_more_threads_than_connections_are_kept(store: SQLiteStore, path: Path) -> None:
    """Each has a connection of its own; those above the number that is kept are closed afterwards."""
    held = [Held(store) for _ in range(sqlite_pool.KEPT + 3)]
    assert connections_here(path) == len(held)
    for one in held:
        one.end()
    assert connections_here(path) == sqlite_pool.KEPT


def test_a_store_that_is_closed_while_it_is_used(store: SQLiteStore, path: Path) -> None:
    """close does not wait: what is in use is closed by its operation, which has its answer."""
    held = Held(store)
    store.close()
    assert connections_here(path) == 1
    held.end()
    assert connections_here(path) == 0


def test_eight_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Each finds a table that works, and all records are in one file."""
    for number in range(ROUNDS):
        path = tmp_path / str(number)

        def open_and_write(path: Path = path) -> None:
            store = SQLiteStore(path)
            assert all(store.create(new_key(), b"", LONG) for _ in range(10))

        assert in_children([open_and_write] * 8) == [0] * 8
        assert len(list(SQLiteStore(path).keys())) == 80
        assert intact(path)


APPLICATION = f"""
import os, threading
from wsgisession import SessionMiddleware

def count(session):
    session["views"] = session.get("views", 0) + 1
    return session["views"]

def site(environ, start_response):
    session = environ["wsgisession.session"]
    views = session.atomic(count)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{os.getpid()}} {{views}}".encode()]

application = SessionMiddleware(site, secret={SECRET!r}, store="sqlite:///sessions.db")
application.manager.issue({{"made": "while the application was loaded"}})

def write():
    while True:
        application.manager.issue({{"made": "by a thread"}})

if os.environ.get("WRITE_WHILE_FORKING"):
    threading.Thread(target=write, daemon=True).start()
"""


class Gunicorn(Process):
    """``gunicorn -w 4 --preload`` with the application above."""

    said = re.compile(r"Listening at: (http://\S+:\d+) ")

    def __init__(self, folder: Path, kind: str, *options: str, **env: str) -> None:
        (folder / "site_that_counts.py").write_text(APPLICATION)
        command = f"-m gunicorn -w 4 -k {kind} --bind 127.0.0.1:0 --graceful-timeout 5".split()
        arguments = [*command, *options, "site_that_counts:application"]
        super().__init__(arguments, cwd=folder, end=signal.SIGTERM, **env)


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize(
    ("options", "env"),
    [((), {}), (("--preload",), {}), (("--preload",), {"WRITE_WHILE_FORKING": "1"})],
    ids=["each loads", "preload", "preload, a thread writes"],
)
def test_gunicorn_counts_without_a_gap(
    tmp_path: Path, kind: str, options: tuple[str, ...], env: dict[str, str]
) -> None:
    """120 overlapping requests of one browser to four workers: every number, once."""
    with Gunicorn(tmp_path, kind, *options, PYTHONPATH=str(Path(__file__).parents[2]), **env) as server:
        first, cookie = server.views()
        with ThreadPoolExecutor(12) as pool:
            seen = list(pool.map(lambda _: server.views(cookie)[0], range(120)))
    assert first == 1 and sorted(seen) == list(range(2, 122))
    assert intact(tmp_path / "sessions.db")
