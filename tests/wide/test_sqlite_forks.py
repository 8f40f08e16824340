"""SQLite and processes: forks in the middle of writes, servers that fork after loading, many that start at once."""

from __future__ import annotations

import multiprocessing
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.demo_process import Process
from support.web import SECRET

from wsgisession.errors import StoreError
from wsgisession.stores import sqlite_pool
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.testing import LONG, in_child, new_key, new_payload

pytestmark = [pytest.mark.wide, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]

PATIENCE = 30.0
ROUNDS = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path)
    yield store
    store.close()


def intact(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


class Writer:
    """A thread that replaces one record again and again, and knows what was acknowledged last."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store, self.key, self.payload = store, new_key(), new_payload()
        self.stop, self.errors, self.count = threading.Event(), [], 0
        assert store.create(self.key, self.payload, LONG)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                fresh = new_payload()
                assert self.store.replace(self.key, self.payload, fresh, LONG)
                self.payload, self.count = fresh, self.count + 1
        except BaseException as error:
            self.errors.append(error)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive() and self.errors == [] and self.count


class Held:
    """A thread in the middle of a statement of its own, until it is let go."""

    def __init__(self, store: SQLiteStore) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=store._run, args=("SELECT 1", (), self._wait), daemon=True)
        self.thread.start()
        assert self.inside.wait(PATIENCE)

    def _wait(self, cursor: sqlite3.Cursor) -> None:
        self.inside.set()
        self.leave.wait(PATIENCE)

    def end(self) -> None:
        self.leave.set()
        self.thread.join(PATIENCE)


def test_a_fork_while_threads_write_and_the_parent_closes(store: SQLiteStore, path: Path) -> None:
    """The parent closes its connections while children serve: what anyone was told is written is there."""
    writers = [Writer(store) for _ in range(3)]
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
            assert in_child(lambda records=records: all(store.create(*record, LONG) for record in records.items()))
            expected |= records
    finally:
        end.set()
        closer.join(PATIENCE)
        for writer in writers:
            writer.end()
    expected |= {writer.key: writer.payload for writer in writers}
    assert {key: (store.load(key) or ())[:1] for key in expected} == {key: (payload,) for key, payload in expected.items()}
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


def test_a_child_forked_in_the_middle_of_a_statement_refuses(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a statement did not end in time the child has an error at once, never a damaged file; the parent goes on."""
    monkeypatch.setattr(sqlite_pool, "GRACE", 0.01)
    held = Held(store)

    def refused() -> bool:
        with pytest.raises(StoreError, match="forked in the middle of an operation; start it again"):
            store.load(new_key())
        return True

    assert in_child(refused)
    held.end()
    assert store.create(new_key(), b"", LONG) is True
    assert in_child(lambda: store.create(new_key(), b"", LONG))


class Guarding:
    """A thread that holds the pools' lock."""

    def __init__(self) -> None:
        self.leave, inside = threading.Event(), threading.Event()

        def hold() -> None:
            with sqlite_pool._guard:
                inside.set()
                self.leave.wait(PATIENCE)

        self.thread = threading.Thread(target=hold, daemon=True)
        self.thread.start()
        assert inside.wait(PATIENCE)


def test_a_store_is_closed_in_the_middle_of_a_fork(store: SQLiteStore) -> None:
    """By a hook, or by the collector: it waits for nothing, and the store opens again after the fork."""
    store.create(new_key(), b"", LONG)
    sqlite_pool._before_fork()
    other = Guarding()  # as in a child, where that thread does not exist any more
    try:
        store.close()
        assert other.thread.is_alive(), "waited for a thread that a child would not have"
    finally:
        other.leave.set()
        sqlite_pool._after_in_parent()
    assert store.create(new_key(), b"", LONG) is True


def test_two_threads_fork_one_after_the_other(store: SQLiteStore) -> None:
    """The second waits until the first is through, and nobody but the thread that forks ends its fork."""
    sqlite_pool._before_fork()
    second = threading.Thread(target=lambda: (sqlite_pool._before_fork(), sqlite_pool._after_in_parent()), daemon=True)
    stranger = threading.Thread(target=sqlite_pool._after_in_parent, daemon=True)
    try:
        stranger.start()
        stranger.join(PATIENCE)
        assert sqlite_pool._forking == threading.get_ident()
        second.start()
        second.join(0.02)
        assert second.is_alive()
    finally:
        sqlite_pool._after_in_parent()
    second.join(PATIENCE)
    assert not second.is_alive()
    assert store.create(new_key(), b"", LONG) is True


def test_more_threads_than_connections_are_kept(store: SQLiteStore) -> None:
    """Each has a connection of its own; those above the number that is kept are closed afterwards."""
    held = [Held(store) for _ in range(sqlite_pool.KEPT + 3)]
    assert len(store._pool._shelf.all) >= len(held)
    for one in held:
        one.end()
    assert len(store._pool._shelf.idle) == len(store._pool._shelf.all) == sqlite_pool.KEPT


def _open_at(barrier: Any, path: Path) -> None:
    barrier.wait(PATIENCE)
    store = SQLiteStore(path)
    assert all(store.create(new_key(), b"", LONG) for _ in range(10))


def test_eight_processes_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Each finds a table that works, whoever made it, and all records are in one file."""
    context = multiprocessing.get_context("fork")
    for number in range(ROUNDS):
        path, barrier = tmp_path / str(number), context.Barrier(8)
        processes = [context.Process(target=_open_at, args=(barrier, path)) for _ in range(8)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
        assert [process.exitcode for process in processes] == [0] * 8
        assert len(list(SQLiteStore(path).keys())) == 80
        assert intact(path)


APPLICATION = f"""
import os, threading
from wsgisession import SessionMiddleware

def site(environ, start_response):
    session = environ["wsgisession.session"]
    views = session.atomic(lambda session: session.update(views=session.get("views", 0) + 1) or session["views"])
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
        command = ["-m", "gunicorn", "-w", "4", "-k", kind, "--bind", "127.0.0.1:0", "--graceful-timeout", "5", *options]
        super().__init__([*command, "site_that_counts:application"], cwd=folder, end=signal.SIGTERM, **env)


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize(
    ("options", "env"),
    [((), {}), (("--preload",), {}), (("--preload",), {"WRITE_WHILE_FORKING": "1"})],
    ids=["each loads", "preload", "preload, a thread writes"],
)
def test_gunicorn_counts_without_a_gap(tmp_path: Path, kind: str, options: tuple[str, ...], env: dict[str, str]) -> None:
    """120 overlapping requests of one browser to four workers: every number, once."""
    with Gunicorn(tmp_path, kind, *options, PYTHONPATH=str(Path(__file__).parents[2]), **env) as server:
        first, cookie = server.views()
        with ThreadPoolExecutor(12) as pool:
            seen = list(pool.map(lambda _: server.views(cookie)[0], range(120)))
    assert first == 1 and sorted(seen) == list(range(2, 122))
    assert intact(tmp_path / "sessions.db")
