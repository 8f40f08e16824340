"""The SQLite file is another one: removed, replaced or moved under the running store, in one process and in
several.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import multiprocessing
import os
import runpy
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.breadth import breadth
from support.children import run_program
from support.sqlite_files import Held, ask, backup, connections_here, intact, open_here, restore

from wsgisession.errors import StoreError
from wsgisession.stores import sqlite_file, sqlite_pool
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.testing import LONG, PATIENCE, Outside, Steps, in_child, new_key, new_payload

OLD, NEW, COPY = "o" * 43, "n" * 43, "c" * 43


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    return tmp_path / "room" / "sessions.db"


@pytest.fixture
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation looks whether the file is another one, instead of one a second."""
    monkeypatch.setattr(sqlite_pool, "LOOK", 0.0)


@pytest.fixture
def store(path: Path, looks_always: None) -> Iterator[SQLiteStore]:
    """A store in use, with a record that is in the log only."""
    store = SQLiteStore(path, timeout=0.1)
    assert store.create(OLD, b"old", LONG)
    yield store
    store.close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A backup of another day, one file, with one record."""
    store = SQLiteStore(tmp_path / "other.db")
    assert store.create(COPY, b"copy", LONG, "ada")
    backup(tmp_path / "other.db", tmp_path / "copy.db")
    store.close()
    return tmp_path / "copy.db"


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The store errors in the log."""
    return [record.getMessage() for record in caplog.records if record.event == "store error"]  # type: ignore[attr-defined]


def remove_the_directory(path: Path, copy: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


def rename_over_in_a_new_directory(path: Path, copy: Path) -> None:
    path.parent.rename(path.parent.with_name("before"))
    path.parent.mkdir()
    os.replace(copy, path)


def with_a_log_of_its_own(path: Path, copy: Path) -> None:
    """The copy of a database that was killed: its record is in its log only."""
    room = copy.parent / "killed"
    room.mkdir()
    script = "import os, sys; from wsgisession.stores import SQLiteStore; s = SQLiteStore(sys.argv[1])"
    script += f"; s.create({COPY!r}, b'copy', 3600.0, 'ada'); os._exit(0)"
    run_program(script, str(room / path.name))
    for name in (f"{path.name}-wal", f"{path.name}-shm", path.name):
        os.replace(room / name, path.parent / name)


EMPTY: dict[str, Callable[[Path, Path], object]] = {
    "removed": lambda path, copy: path.unlink(),
    "all removed": lambda path, copy: [name.unlink() for name in path.parent.iterdir()],
    "moved away": lambda path, copy: path.rename(path.with_suffix(".away")),
    "the directory too": remove_the_directory,
}
COPIED: dict[str, Callable[[Path, Path], object]] = {
    "renamed over": lambda path, copy: os.replace(copy, path),
    "in a new directory": rename_over_in_a_new_directory,
    "with a log of its own": with_a_log_of_its_own,
}
WAYS = EMPTY | COPIED


@pytest.mark.parametrize("way", WAYS)
def test_the_new_file_is_used(
    way: str, store: SQLiteStore, path: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One error in the log names the file; what is read is the new file's, and what is written is in it, for
    everybody.
    """
    WAYS[way](path, copy)
    assert store.load(OLD) is None
    assert (store.load(COPY) or (None,))[0] == (b"copy" if way in COPIED else None)
    assert store.create(NEW, b"new", LONG) is True
    assert sorted(ask(path, "SELECT key FROM sessions")) == [(COPY,)] * (way in COPIED) + [(NEW,)]
    [message] = told(caplog)
    assert str(path) in message and "replaced" in message and ".restore" in message
    store.close()
    assert set(os.listdir(path.parent)) - {"sessions.away"} == {"sessions.db"}
    assert intact(path)


def test_a_restored_file_is_the_same_file(
    store: SQLiteStore, path: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """.restore, as the docs advise, writes the copy into the file in use: nothing is lost on the way, nothing
    logged.
    """
    restore(copy, path)
    assert store.load(OLD) is None and store.load(COPY) is not None
    assert store.replace(COPY, b"copy", b"changed", LONG) is True
    assert ask(path, "SELECT payload FROM sessions") == [(b"changed",)]
    assert told(caplog) == []


def test_looks_are_a_second_apart(path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second the old file may still answer; then it is noticed.

    A look is not paid for by every operation.
    """
    now = 1000.0
    monkeypatch.setattr(sqlite_pool, "monotonic", lambda: now)
    store = SQLiteStore(path)
    store.create(OLD, b"old", LONG)
    os.replace(copy, path)
    now += 0.99
    assert store.load(OLD) is not None
    now += 0.02
    assert store.load(OLD) is None and store.load(COPY) is not None
    store.close()


def test_the_old_log_is_never_applied_to_the_new_file(store: SQLiteStore, path: Path, copy: Path) -> None:
    """Data that was only in the old file's log does not come back in the new file, for any program that opens it."""
    for number in range(50):
        store.create(new_key(), new_payload() * number, LONG, "bob")
    os.replace(copy, path)
    assert os.path.getsize(f"{path}-wal") > 10_000
    store.load(COPY)
    assert ask(path, "SELECT key FROM sessions") == [(COPY,)]
    assert intact(path)


def test_a_store_that_is_closed_leaves_nothing_of_the_old_file(path: Path, copy: Path) -> None:
    """A server that is stopped right after the file was replaced: the next one finds the copy, not a
    mixture.
    """
    store = SQLiteStore(path)
    store.create(OLD, b"old", LONG)
    os.replace(copy, path)
    store.close()
    assert os.listdir(path.parent) == ["sessions.db"]
    assert ask(path, "SELECT key FROM sessions") == [(COPY,)]


def test_a_fork_leaves_nothing_of_the_old_file(
    store: SQLiteStore, path: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that forks right after the file was replaced: parent and child find the copy, and both say
    so.
    """
    os.replace(copy, path)
    assert in_child(
        lambda: store.load(COPY) is not None and store.load(OLD) is None and len(told(caplog)) == 1
    )
    assert store.load(COPY) is not None and len(told(caplog)) == 1
    assert ask(path, "SELECT key FROM sessions") == [(COPY,)]


def test_files_of_others_stay(store: SQLiteStore, path: Path, copy: Path) -> None:
    """Only what was the old file's own is removed: a log that came with the new file, and other files, are
    kept.
    """
    os.replace(copy, path)
    os.unlink(f"{path}-wal")
    Path(f"{path}-wal").write_bytes(b"")
    kept = os.stat(f"{path}-wal").st_ino
    Path(f"{path}-notes").touch()
    shown: list[int] = []
    connect = sqlite_file.File.connect

    def seen(self: Any) -> Any:
        shown.append(os.stat(f"{path}-wal").st_ino)
        return connect(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file.File, "connect", seen)
        assert store.load(COPY) is not None
    assert shown == [kept] and Path(f"{path}-notes").exists()


def test_a_file_that_came_back_keeps_its_log(store: SQLiteStore, path: Path) -> None:
    """Moved away and back before anybody looked: it is the same file, nothing is removed, nothing lost."""
    path.rename(path.with_suffix(".away"))
    path.with_suffix(".away").rename(path)
    assert store.load(OLD) is not None
    store.close()
    assert ask(path, "SELECT key FROM sessions") == [(OLD,)]


def test_a_link_that_leads_elsewhere(
    tmp_path: Path, path: Path, copy: Path, looks_always: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A symbolic link is followed.

    If it is set to another file, that one is used, and the first keeps its log.
    """
    link = tmp_path / "current.db"
    link.symlink_to(path)
    store = SQLiteStore(link)
    store.create(OLD, b"old", LONG)
    (tmp_path / "next.db").symlink_to(copy)
    os.replace(tmp_path / "next.db", link)
    assert store.load(COPY) is not None and len(told(caplog)) == 1
    assert ask(path, "SELECT key FROM sessions") == [(OLD,)]
    store.close()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_that_was_removed(
    suffix: str, store: SQLiteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody tidied up: that is noticed too, and what was written before is not lost."""
    os.unlink(f"{path}{suffix}")
    assert store.load(OLD) is not None
    assert len(told(caplog)) == 1
    assert store.create(NEW, b"new", LONG) is True
    assert sorted(ask(path, "SELECT key FROM sessions")) == [(NEW,), (OLD,)]
    assert intact(path)


def test_without_the_directory_it_is_an_error_until_it_is_back(store: SQLiteStore, path: Path) -> None:
    """A StoreError that names the path; with the directory there is a file again."""
    shutil.rmtree(path.parent)
    for _ in range(2):
        with pytest.raises(StoreError, match=str(path)):
            store.load(OLD)
    path.parent.mkdir()
    assert store.create(NEW, b"new", LONG) is True
    assert ask(path, "SELECT key FROM sessions") == [(NEW,)]


def test_with_create_false_no_file_is_made(path: Path, copy: Path, looks_always: None) -> None:
    """A file that is removed later is a StoreError as well, until somebody puts one there."""
    SQLiteStore(path).close()
    store = SQLiteStore(path, create=False)
    store.create(OLD, b"old", LONG)
    path.unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match=f"{path}: there is no such file"):
            store.load(OLD)
    assert os.listdir(path.parent) == []
    os.replace(copy, path)
    assert store.load(COPY) is not None
    store.close()


def test_another_programs_file_is_left_alone(store: SQLiteStore, path: Path) -> None:
    """What was put there and is no store is an error, and stays as it is."""
    ask(path.with_name("shop.db"), "CREATE TABLE customers (name)")
    os.replace(path.with_name("shop.db"), path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        store.load(OLD)
    assert path.read_bytes() == before


def test_a_connection_in_use_is_closed_by_its_operation(store: SQLiteStore, path: Path, copy: Path) -> None:
    """Another thread is in the middle of a statement when the file is replaced: afterwards nothing of the old
    one is open.
    """
    held = Held(store)
    os.replace(copy, path)
    assert store.load(COPY) is not None
    assert connections_here(path) == 2
    held.end()
    store.close()
    assert open_here(path) == 0


def test_the_lock_of_another_process_is_waited_for(
    store: SQLiteStore, path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process at a time removes what the old file left; a wait too long is a StoreError, and passes."""
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 0.01)
    os.replace(copy, path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process has the lock"):
            store.load(COPY)
        threading.Timer(0.03, fcntl.flock, (descriptor, fcntl.LOCK_UN)).start()
        monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", PATIENCE)
        assert store.load(COPY) is not None
    finally:
        os.close(descriptor)
    assert ask(path, "SELECT key FROM sessions") == [(COPY,)]


def test_a_close_does_not_fail_on_the_lock(
    store: SQLiteStore, path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the lock is taken, close gives the connections back all the same."""
    monkeypatch.setattr(sqlite_file, "LOCK_TIMEOUT", 0.0)
    os.replace(copy, path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        store.close()
    finally:
        os.close(descriptor)
    assert open_here(path) == 0


def test_a_file_that_is_replaced_while_it_is_opened(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that leads nowhere is dropped, and the operation asks again."""
    store = SQLiteStore(path)
    prepare = sqlite_file._prepare

    def replaced(connection: sqlite3.Connection, synchronous: str) -> None:
        monkeypatch.setattr(sqlite_file, "_prepare", prepare)
        prepare(connection, synchronous)
        os.replace(copy, path)
        for suffix in ("-wal", "-shm"):
            os.unlink(f"{path}{suffix}")

    monkeypatch.setattr(sqlite_file, "_prepare", replaced)
    assert store.load(COPY) is not None
    assert connections_here(path) == 1
    store.close()


def test_a_second_connection_to_a_file_that_was_just_replaced(
    store: SQLiteStore, path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look and the opening are two steps; if the file is replaced in between, the operation asks
    again.
    """
    connect = sqlite_file.File.connect

    class Key:
        """Two operations on one thread at a time: the inner one needs a second connection."""

        def __conform__(self, protocol: object) -> str:
            monkeypatch.setattr(sqlite_file.File, "connect", replaced)
            assert store.load(COPY) is not None
            return OLD

    def replaced(self: Any) -> Any:
        monkeypatch.setattr(sqlite_file.File, "connect", connect)
        for suffix in ("-wal", "-shm"):
            os.unlink(f"{path}{suffix}")
        os.replace(copy, path)
        return connect(self)

    assert store.load(Key()) is not None  # type: ignore[arg-type]
    assert store.load(OLD) is None and store.load(COPY) is not None


def test_without_a_connection_nothing_is_removed(
    store: SQLiteStore, path: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the connections were lost, the numbers of the old file's log may be another file's by now."""
    for one in gc.get_objects():
        if isinstance(one, sqlite_file.Connection):
            one.close()
    path.rename(path.with_suffix(".away"))
    os.replace(copy, path)
    log = Path(f"{path}-wal")
    log.touch()
    removed: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file.File, "leave", lambda self, place: removed.append(place))
        assert store.load(COPY) is not None
    assert removed == [] and len(told(caplog)) == 1


def test_a_new_file_that_is_removed_while_it_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that somebody else makes in its place keeps its log, and is intact."""
    connect, others = sqlite3.connect, []

    def opened(place: str, **options: Any) -> sqlite3.Connection:
        connection = connect(place, **options)
        if "uri" in options:
            path.unlink()
            others.append(connect(path, isolation_level=None))
            others[0].execute("PRAGMA journal_mode = WAL")
            others[0].execute("CREATE TABLE others (number)")
        return connection

    monkeypatch.setattr(sqlite3, "connect", opened)
    with pytest.raises(StoreError, match="another program's database"):
        SQLiteStore(path)
    assert os.path.exists(f"{path}-wal")
    others[0].execute("INSERT INTO others VALUES (1)")
    others[0].close()
    assert intact(path)


def test_a_new_file_for_which_there_was_no_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no damaged one: as soon as there is room, it becomes a store."""
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: len(data) // 2)
        store = SQLiteStore(path)
    assert store.create(NEW, b"new", LONG) and intact(path)
    store.close()


def test_diagnose_tells(store: SQLiteStore, path: Path, copy: Path) -> None:
    """What the running process has open is not what the path leads to."""
    assert list(store.diagnose()) == []
    os.replace(copy, path)
    path.chmod(0o600)
    [sentence] = store.diagnose()
    assert str(path) in sentence and "replaced" in sentence


@pytest.mark.both
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_at_any_step_of_noticing(path: Path, looks_always: None, copy: Path) -> None:
    """It passes through. The next operation uses the new file, and nobody holds the lock of the directory."""

    def fail() -> None:
        raise Outside

    errors: list[BaseException] = []  # a traceback that somebody keeps must not keep the lock
    for step in breadth.steps(3):
        room = path.with_name(f"{step}")
        room.mkdir()
        store = SQLiteStore(room / path.name, timeout=5)
        assert store.create(OLD, b"old", LONG)
        os.replace(shutil.copy(copy, room / "copy"), room / path.name)
        steps = Steps(store, step, fail)
        try:
            with steps:
                store.load(COPY)
        except Outside as error:
            errors.append(error)
        descriptor = os.open(room, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        assert store.load(COPY) is not None and store.load(OLD) is None
        store.close()
        if steps.count < step:
            break
    assert step > 100


def test_settings_of_a_file_that_was_removed_just_now(path: Path) -> None:
    """Until the removal is noticed, the size is that of the file that is open."""
    store = SQLiteStore(path)
    store.load(OLD)
    path.unlink()
    assert store.settings()["size"].endswith(" bytes")
    store.close()


def test_diagnose_without_a_log(store: SQLiteStore) -> None:
    """The last connection of all processes removes the log and the index when it is closed."""
    store.close()
    assert list(store.diagnose()) == []


def test_a_system_without_these_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is no fcntl, and a file in use can be neither removed nor replaced: nothing is
    removed.
    """
    monkeypatch.setitem(sys.modules, "fcntl", None)
    module = runpy.run_path(sqlite_file.__file__)
    file = module["File"](str(path), "NORMAL", True)
    connection, _ = file.connect()
    with closing(connection):
        os.unlink(path)
        file.leave(connection.place)
        assert sorted(os.listdir(path.parent)) == ["sessions.db-shm", "sessions.db-wal"]


class Worker:
    """A process of its own with a store on the file, which does what it is told and hands on what it
    logged.
    """

    def __init__(self, path: Path, look: float = 0.0) -> None:
        self.pipe, there = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(there, str(path), look), daemon=True
        )
        self.process.start()
        assert self.ask("ready") == []

    def ask(self, method: str, *arguments: Any) -> Any:
        self.pipe.send((method, arguments))
        assert self.pipe.poll(PATIENCE)
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(("end", ()))
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0


def _work(pipe: Any, path: str, look: float) -> None:
    sqlite_pool.LOOK = look
    store = SQLiteStore(path)
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("wsgisession").addHandler(handler)
    while True:
        method, arguments = pipe.recv()
        if method == "end":
            store.close()
            return
        pipe.send(logged if method in ("ready", "logged") else getattr(store, method)(*arguments))


@pytest.fixture
def workers(path: Path) -> Iterator[list[Worker]]:
    workers = [Worker(path) for _ in range(2)]
    yield workers
    for worker in workers:
        worker.end()


@pytest.mark.parametrize("way", ["removed", "renamed over"])
def test_a_process_that_notices_later_removes_nothing_of_the_new_file(
    way: str, workers: list[Worker], path: Path, copy: Path
) -> None:
    """The first process has written to the new file when the second one finds out: both see everything, in
    one file.
    """
    first, second = workers
    assert first.ask("create", OLD, b"old", LONG) is True
    assert second.ask("load", OLD)[0] == b"old"
    WAYS[way](path, copy)
    assert first.ask("create", NEW, b"first", LONG) is True
    log = os.stat(f"{path}-wal").st_ino
    assert second.ask("load", NEW)[0] == b"first"
    assert os.stat(f"{path}-wal").st_ino == log
    assert second.ask("replace", NEW, b"first", b"second", LONG) is True
    assert first.ask("load", NEW)[0] == b"second" and first.ask("load", OLD) is None
    assert [len(worker.ask("logged")) for worker in workers] == [1, 1]
    assert ask(path, "SELECT payload FROM sessions WHERE key = ?", NEW) == [(b"second",)]
    assert intact(path)


def test_a_process_that_ends_late_removes_nothing_of_the_new_file(
    workers: list[Worker], path: Path, copy: Path
) -> None:
    """The last one to close the old file does not take the new file's log along."""
    first, second = workers
    second.ask("create", OLD, b"old", LONG)
    first.ask("load", OLD)
    os.replace(copy, path)
    first.ask("create", NEW, b"new", LONG)
    log = os.stat(f"{path}-wal").st_ino
    second.ask("close")
    assert os.stat(f"{path}-wal").st_ino == log
    assert first.ask("load", NEW)[0] == b"new"
    assert sorted(ask(path, "SELECT key FROM sessions")) == [(COPY,), (NEW,)]
