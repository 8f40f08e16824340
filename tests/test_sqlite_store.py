"""The SQLite store: the contract, its arguments, its file, the clock, errors, and how the dead leave."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.sqlite_files import ask, connections_here, full_disk, locked, traced

from wsgisession.errors import StoreError
from wsgisession.stores import sqlite, sqlite_file
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.testing import LONG, BulkStoreContract, in_child, new_key, new_payload

YEAR = 365 * 86400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def regular_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sweep comes with the sixteenth write, not with any, and begins with the first row."""
    monkeypatch.setattr("random.randrange", lambda stop: 1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that stores built in this test execute."""
    seen: list[str] = []
    monkeypatch.setattr(sqlite_file, "Connection", traced(seen))
    return seen


@pytest.fixture
def store(path: Path, clock: Clock, regular_sweeps: None) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, timeout=0.05, clock=clock)
    yield store
    store.close()


def left(seconds: float) -> Any:
    """What load says is left: kept to the millisecond."""
    return pytest.approx(seconds, abs=0.001)


class TestContract(BulkStoreContract):
    """Every clause, on a clock that is told the time."""

    owners_exactly = True

    @pytest.fixture(autouse=True)
    def place(self, path: Path, clock: Clock) -> None:
        self.path, self.clock = path, clock

    def make_store(self) -> SQLiteStore:
        return SQLiteStore(self.path, clock=self.clock)

    def reopen(self, store: Any) -> SQLiteStore:
        return SQLiteStore(self.path, clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def put_no_bytes(self, store: Any, key: str) -> bool:
        ask(self.path, "UPDATE sessions SET payload = CAST(payload AS TEXT) WHERE key = ?", key)
        return True


class TestArguments:
    @pytest.mark.parametrize("path", ["", ":memory:", "a\0b"], ids=["empty", "memory", "NUL"])
    def test_a_path_that_is_no_shared_file_is_refused(self, path: str) -> None:
        """Each connection would have a database of its own: a ValueError that names MemoryStore."""
        with pytest.raises(ValueError, match=r"MemoryStore\(\)"):
            SQLiteStore(path)

    @pytest.mark.parametrize("path", [b"sessions.db", None, 3], ids=repr)
    def test_a_path_is_text(self, path: Any) -> None:
        """A path that is neither a str nor a path of str is a TypeError."""
        with pytest.raises(TypeError):
            SQLiteStore(path)

    @pytest.mark.parametrize("value", ["", "normal; DROP TABLE sessions", "5", None, 1], ids=repr)
    def test_an_unknown_synchronous_is_refused(self, path: Path, value: Any) -> None:
        """A ValueError that lists the settings, before any file is made."""
        with pytest.raises(ValueError, match="OFF, NORMAL, FULL, EXTRA"):
            SQLiteStore(path, synchronous=value)
        assert not path.exists()

    @pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")], ids=repr)
    def test_an_endless_timeout_is_refused(self, path: Path, value: float) -> None:
        """Every wait is bounded."""
        with pytest.raises(ValueError, match="timeout must be a finite number of seconds above 0"):
            SQLiteStore(path, timeout=value)

    @pytest.mark.parametrize("value", ["off", "NORMAL", "Full", "EXTRA"])
    def test_synchronous_reaches_every_connection(self, path: Path, value: str) -> None:
        """The setting, in any letter case, is what SQLite uses."""
        store = SQLiteStore(path, synchronous=value)
        assert store.settings()["synchronous"] == value.upper()
        store.close()

    def test_a_relative_path_is_resolved_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that changes its directory later keeps its sessions."""
        monkeypatch.chdir(tmp_path)
        store = SQLiteStore("sessions.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert store.create(new_key(), b"", LONG) is True
        assert os.listdir() == []
        store.close()

    @pytest.mark.parametrize(
        "name", ["with space", "percent%20", "q?mode=ro", "#1", "file:x.db", "ü"], ids=str
    )
    def test_a_path_is_no_uri(self, tmp_path: Path, name: str) -> None:
        """The file has exactly the name that was given."""
        SQLiteStore(tmp_path / name).close()
        assert os.listdir(tmp_path) == [name]


class TestCreate:
    @pytest.mark.parametrize("make", [lambda path: None, Path.touch], ids=["missing", "empty"])
    def test_with_create_false_nothing_is_made(
        self, tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing or empty file is a StoreError when the store is built; it names the whole path and stays
        as it is.
        """
        monkeypatch.chdir(tmp_path)
        make(Path("sessions.db"))
        before = os.listdir()
        with pytest.raises(StoreError, match=f"{tmp_path}/sessions.db: .*create=False"):
            SQLiteStore("sessions.db", create=False)
        assert os.listdir() == before and not any(os.path.getsize(name) for name in before)

    def test_a_link_to_a_file_that_is_not_there_yet(self, path: Path) -> None:
        """The file is made where the link leads to, readable for nobody else."""
        link = path.with_name("link.db")
        link.symlink_to(path)
        SQLiteStore(link).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


class TestFile:
    @pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
    def test_only_the_owner_may_read_the_files(self, path: Path, umask: int) -> None:
        """The database and the files beside it have mode 0600 whatever the umask."""
        before = os.umask(umask)
        try:
            store = SQLiteStore(path)
            store.create(new_key(), b"secret", LONG)
            modes = {
                name: stat.S_IMODE(os.stat(path.parent / name).st_mode) for name in os.listdir(path.parent)
            }
            assert modes == dict.fromkeys(["sessions.db", "sessions.db-wal", "sessions.db-shm"], 0o600)
            store.close()
        finally:
            os.umask(before)

    def test_a_file_that_is_there_keeps_its_mode(self, path: Path) -> None:
        """If somebody made the empty file before, its mode stays."""
        path.touch()
        path.chmod(0o640)
        SQLiteStore(path).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_a_new_store_holds_no_connection(self, path: Path) -> None:
        """So that a server may build it before it forks, even one that forks without telling Python."""
        SQLiteStore(path)
        assert connections_here(path) == 0
        assert os.listdir(path.parent) == ["sessions.db"]

    def test_close_leaves_one_file(self, store: SQLiteStore, path: Path) -> None:
        """Closing the last connection copies the log back."""
        store.create(new_key(), b"", LONG)
        assert len(os.listdir(path.parent)) == 3
        store.close()
        assert os.listdir(path.parent) == ["sessions.db"]
        assert store.count() == 1  # a later operation opens it again

    @pytest.mark.filterwarnings("error")
    def test_a_forgotten_store_closes_its_connections(self, path: Path) -> None:
        """Without a reference left, the log is copied back and nothing warns."""
        store = SQLiteStore(path)
        store.create(new_key(), b"", LONG)
        del store
        assert os.listdir(path.parent) == ["sessions.db"]

    def test_sessions_survive_a_restart(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """Another process finds payload and time as they were."""
        key, payload = new_key(), new_payload()
        store.create(key, payload, 60.0)
        store.close()
        clock.advance(10)
        assert SQLiteStore(path, clock=clock).load(key) == (payload, left(50.0))

    def test_the_journal_is_a_log_again_after_a_restore(self, path: Path) -> None:
        """A file that a tool set to another journal mode is used in WAL mode all the same."""
        SQLiteStore(path).close()
        ask(path, "PRAGMA journal_mode = DELETE")
        SQLiteStore(path).close()
        assert ask(path, "PRAGMA journal_mode") == [("wal",)]

    def test_every_operation_finds_its_row_by_an_index(
        self, path: Path, seen: list[str], regular_sweeps: None
    ) -> None:
        """No statement of a request walks the table, and the lists need no sorting."""
        store, (key, *payloads) = SQLiteStore(path), (new_key(), *(new_payload() for _ in range(4)))
        store.create(key, payloads[0], LONG)
        seen.clear()
        assert store.load_many([key]) != [None]
        (many,) = seen
        assert store.load(key)
        assert store.replace(key, payloads[0], payloads[1], LONG)
        assert store.replace(key, payloads[1], payloads[2], LONG, "ada")
        assert store.replace(key, payloads[2], payloads[3], None)
        assert store.touch(key, LONG) and list(store.owned_by("ada")) and store.delete(key)
        store.close()
        assert any(row[3].startswith("SEARCH sessions") for row in ask(path, f"EXPLAIN QUERY PLAN {many}"))
        plans = [ask(path, f"EXPLAIN QUERY PLAN {statement}") for statement in seen[1:8]]
        assert [[row[3].split()[0] for row in plan] for plan in plans] == [["SEARCH"]] * 7


class TestClock:
    def test_a_stepped_clock_shifts_the_end_and_a_write_sets_it_anew(
        self, store: SQLiteStore, clock: Clock
    ) -> None:
        """A clock that was set back an hour adds it to what is left; the next write or touch gives the time
        it says.
        """
        key, payload = new_key(), new_payload()
        store.create(key, payload, 600.0)
        clock.advance(-3600)
        assert store.load(key) == (payload, left(4200.0))
        store.touch(key, 600.0)
        assert store.load(key) == (payload, left(600.0))
        clock.advance(300)
        assert store.load(key) == (payload, left(300.0))

    @pytest.mark.parametrize("ttl", [float("inf"), 1e300, 1e12], ids=str)
    def test_an_extreme_time_is_a_hundred_years(self, store: SQLiteStore, clock: Clock, ttl: float) -> None:
        """Nothing overflows, and nothing lives forever."""
        key, payload = new_key(), new_payload()
        assert store.create(key, payload, ttl) is True
        assert store.load(key) == (payload, left(100 * YEAR))
        clock.advance(100 * YEAR)
        assert store.load(key) is None

    def test_a_time_below_a_millisecond_is_one(self, store: SQLiteStore) -> None:
        """A positive time is never nothing."""
        key = new_key()
        assert store.create(key, b"", 1e-9) is True
        assert store.load(key) == (b"", left(0.001))

    @pytest.mark.parametrize("expires", [2**62, -(2**62), "soon", b"\xff", 1e300], ids=repr)
    def test_a_damaged_expiry_is_dead(self, store: SQLiteStore, path: Path, expires: Any) -> None:
        """An expiry that no write of ours can have made is not immortal: the record is none, and is
        removed.
        """
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG, "ada")
        ask(path, "UPDATE sessions SET expires = ?", expires)
        assert store.load(key) is None
        assert [*store.keys(), *store.owned_by("ada")] == []
        assert (store.replace(key, payload, b"", LONG), store.touch(key, LONG), store.delete(key)) == (
            False,
        ) * 3
        assert store.purge() == 1
        assert ask(path, "SELECT * FROM sessions") == []

    def test_the_default_clock_is_the_wall_clock(self, path: Path) -> None:
        """Expiries are POSIX milliseconds, so that they mean the same to all processes and after a
        restart.
        """
        store = SQLiteStore(path)
        store.create(new_key(), b"", 60)
        ((expires,),) = ask(path, "SELECT expires FROM sessions")
        assert abs(expires - (time.time() + 60) * 1000) < 5000
        store.close()


class TestListing:
    def test_lists_go_on_past_a_page(self, store: SQLiteStore) -> None:
        """keys and owned_by name every record, each once, however many there are."""
        keys = [f"{number:043}" for number in range(2 * sqlite.PAGE)]
        for key in keys:
            store.create(key, b"", LONG, "ada")
        assert sorted(store.keys()) == keys
        assert sorted(store.owned_by("ada")) == keys

    @pytest.mark.parametrize(
        "listing", [SQLiteStore.keys, lambda store: store.owned_by("ada")], ids=["keys", "owned_by"]
    )
    def test_a_list_holds_nothing_between_two_keys(
        self, store: SQLiteStore, path: Path, listing: Callable[[SQLiteStore], Iterator[str]]
    ) -> None:
        """A list left half way keeps neither a connection nor the log: the checkpoint gets to its end."""
        for _ in range(3):
            store.create(new_key(), b"", LONG, "ada")
        keys = listing(store)
        next(keys)
        assert connections_here(path) == 1
        store.create(new_key(), b"", LONG, "ada")
        ((blocked, logged, copied),) = ask(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        assert (blocked, logged, copied) == (0, 0, 0)
        assert len(list(keys)) >= 2


class TestTheDead:
    def test_normal_writes_remove_the_dead(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """Without purge, writes remove dead rows, at any place in the file."""
        for _ in range(200):
            store.create(new_key(), new_payload(), 60)
        clock.advance(60)
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG)
        for _ in range(200):
            payload, before = new_payload(), payload
            assert store.replace(key, before, payload, LONG)
        assert ask(path, "SELECT key FROM sessions") == [(key,)]

    def test_a_sweep_is_small(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """No write removes more than a batch: one pays for a few, none for all."""
        for _ in range(300):
            store.create(new_key(), new_payload(), 60)
        clock.advance(60)
        key = new_key()
        store.create(key, b"", LONG)
        left = [len(ask(path, "SELECT key FROM sessions"))]
        for _ in range(40):
            store.touch(key, LONG)
            left.append(len(ask(path, "SELECT key FROM sessions")))
        steps = [before - after for before, after in zip(left, left[1:], strict=False)]
        assert 0 < max(steps) <= sqlite.SWEEP_ROWS
        assert sum(step > 0 for step in steps) <= 3

    def test_a_sweep_that_fails_does_not_fail_the_write(
        self, store: SQLiteStore, path: Path, clock: Clock
    ) -> None:
        """The write was acknowledged by the engine; whatever the sweep meets is left to the next one."""
        dead = new_key()
        assert store.create(new_key(), b"", LONG) and store.create(dead, b"", 1)
        clock.advance(1)
        ask(path, "CREATE TRIGGER no BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END")
        assert [store.create(new_key(), b"", LONG) for _ in range(20)] == [True] * 20
        ask(path, "DROP TRIGGER no")
        assert (dead,) in ask(path, "SELECT key FROM sessions")
        assert [store.create(new_key(), b"", LONG) for _ in range(16)] == [True] * 16
        assert (dead,) not in ask(path, "SELECT key FROM sessions")

    def test_a_sweep_waits_for_nobody(self, path: Path, clock: Clock, regular_sweeps: None) -> None:
        """If another process is writing, the sweep is put off, within no time."""
        store = SQLiteStore(path, timeout=30, clock=clock)
        store.create(new_key(), b"", 1)
        clock.advance(1)
        with locked(path):
            start = time.monotonic()
            store._sweep()  # with a write it would come after the write, which waits
            assert time.monotonic() - start < 5
        assert len(ask(path, "SELECT key FROM sessions")) == 1
        store._sweep()
        assert ask(path, "SELECT key FROM sessions") == []
        store.close()

    def test_clear_takes_the_dead_along(self, store: SQLiteStore, path: Path, clock: Clock) -> None:
        """clear counts live records only, and leaves no row of an ended one in the file."""
        for _ in range(3):
            store.create(new_key(), b"", 1)
        clock.advance(1)
        assert store.clear() == 0
        assert ask(path, "SELECT key FROM sessions") == []

    @pytest.mark.parametrize("name", ["purge", "clear"])
    def test_writers_have_their_turn_between_two_batches(
        self, name: str, store: SQLiteStore, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many there are, no more than a batch goes at once, and nothing is held while others
        write.
        """
        for number in range(3 * sqlite.PURGE_ROWS):
            store.create(new_key(), b"", LONG if name == "clear" or number % 2 else 60, "ada")
        clock.advance(60)
        left = [len(ask(path, "SELECT key FROM sessions"))]
        other = SQLiteStore(path, timeout=0.001, clock=clock)

        def pause(seconds: float) -> None:
            assert other.create(new_key(), b"", LONG) is True
            left.append(len(ask(path, "SELECT key FROM sessions")))

        monkeypatch.setattr(sqlite.time, "sleep", pause)
        assert getattr(store, name)() >= 3 * sqlite.PURGE_ROWS // 2
        steps = [before - after for before, after in zip(left, left[1:], strict=False)]
        assert len(steps) >= 3 and max(steps) <= sqlite.PURGE_ROWS
        other.close()


STATEMENTS: dict[str, tuple[Callable[[Any, str, bytes], object], list[str]]] = {
    "load": (lambda store, key, payload: store.load(key), ["SELECT"]),
    "create": (lambda store, key, payload: store.create(new_key(), b"", LONG), ["INSERT"]),
    "replace": (lambda store, key, payload: store.replace(key, payload, b"new", LONG, "ada"), ["UPDATE"]),
    "replace, no ttl": (lambda store, key, payload: store.replace(key, payload, b"new", None), ["UPDATE"]),
    "touch": (lambda store, key, payload: store.touch(key, LONG), ["UPDATE"]),
    "touch, expected": (lambda store, key, payload: store.touch(key, LONG, "ada", payload), ["UPDATE"]),
    "delete": (lambda store, key, payload: store.delete(key), ["DELETE"]),
    "delete, expected": (lambda store, key, payload: store.delete(key, payload), ["DELETE"]),
    "load_many, a page": (lambda store, key, payload: store.load_many([key] * 1000), ["SELECT"]),
    "load_many, a page and one": (
        lambda store, key, payload: store.load_many([key] * 1001),
        ["SELECT"] * 2,
    ),
}


class TestStatements:
    @pytest.mark.parametrize(("operation", "statements"), STATEMENTS.values(), ids=STATEMENTS.keys())
    def test_an_operation_is_one_statement(
        self,
        operation: Callable[[Any, str, bytes], object],
        statements: list[str],
        seen: list[str],
        store: SQLiteStore,
    ) -> None:
        """No transaction is opened around it, and nothing else is asked."""
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG, "ada")
        seen.clear()
        assert operation(store, key, payload)
        assert [statement.split()[0] for statement in seen] == statements

    def test_a_replace_without_a_ttl_assigns_the_payload_alone(
        self, seen: list[str], store: SQLiteStore
    ) -> None:
        """Neither the expiry nor the owner is written, so no index is touched."""
        store.create("k", b"old", LONG, "ada")
        seen.clear()
        assert store.replace("k", b"old", b"new", None, "ada") is True
        assert seen[0].startswith("UPDATE sessions SET payload = x'6e6577' WHERE")


WRITES: dict[str, Callable[[SQLiteStore, str, bytes], object]] = {
    "create": lambda store, key, payload: store.create(new_key(), new_payload(), LONG),
    "replace": lambda store, key, payload: store.replace(key, payload, new_payload(), LONG),
    "touch": lambda store, key, payload: store.touch(key, LONG),
    "delete": lambda store, key, payload: store.delete(key),
}


class TestErrors:
    @pytest.mark.parametrize(
        "make", [lambda path: path / "missing" / "sessions.db", lambda path: path], ids=["missing", "is one"]
    )
    def test_a_path_that_is_no_file(self, tmp_path: Path, make: Callable[[Path], Path]) -> None:
        """A missing directory, or a directory, is a StoreError that names the path, with the cause."""
        with pytest.raises(StoreError, match=str(tmp_path)) as caught:
            SQLiteStore(make(tmp_path))
        assert isinstance(caught.value.__cause__, (OSError, sqlite3.Error))
        assert os.listdir(tmp_path) == []

    def test_a_file_that_is_no_database_is_left_alone(self, path: Path) -> None:
        """A StoreError, never a wipe."""
        text = b"my diary. " * 1000
        path.write_bytes(text)
        with pytest.raises(StoreError, match="file is not a database"):
            SQLiteStore(path)
        assert path.read_bytes() == text

    @pytest.mark.parametrize(
        "sql",
        ["CREATE TABLE customers (name)", "PRAGMA user_version = 7", "PRAGMA application_id = 42"],
        ids=["table", "user_version", "application_id"],
    )
    def test_another_programs_database_is_left_alone(self, path: Path, sql: str) -> None:
        """Its version numbers and its journal mode are its own: a StoreError that says to use another
        file.
        """
        ask(path, sql)
        ask(path, "PRAGMA journal_mode = DELETE")
        before = path.read_bytes()
        with pytest.raises(
            StoreError, match="another program's database; give the sessions one of their own"
        ):
            SQLiteStore(path)
        assert path.read_bytes() == before

    def test_a_file_of_another_encoding_is_refused(self, path: Path) -> None:
        """Listings would miss its keys, so it is an error that says what to do."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA encoding = 'UTF-16'")
            connection.execute("CREATE TABLE t (a)")
            connection.execute("DROP TABLE t")
        with pytest.raises(StoreError, match="text is UTF-16.*not UTF-8; give the sessions a new file"):
            SQLiteStore(path)

    @pytest.mark.parametrize("key", ["x'6bff'", "CAST(x'6bff' AS TEXT)"], ids=["a BLOB", "no UTF-8"])
    def test_a_key_that_is_no_text_hides_no_other(self, store: SQLiteStore, path: Path, key: str) -> None:
        """Listings name all that another program, or a damaged disk, left alone, and they end."""
        keys = [f"k{number:03}" for number in range(sqlite.PAGE - 1)]
        for one in keys:
            store.create(one, b"p", LONG, "ada")
        ask(path, f"INSERT INTO sessions SELECT {key}, expires, owner, payload FROM sessions LIMIT 1")
        store.create("l", b"p", LONG, "ada")
        for listing in (store.keys(), store.owned_by("ada")):
            named = list(islice(listing, 2 * sqlite.PAGE))
            assert [one for one in named if store.load(one)] == [*keys, "l"]
            assert len(store.load_many(named)) == len(named) <= sqlite.PAGE + 1

    def test_a_later_table_is_left_alone(self, path: Path) -> None:
        """What a later release made is not touched by this one."""
        SQLiteStore(path).close()
        ask(path, "PRAGMA user_version = 2")
        with pytest.raises(StoreError, match=r"later wsgisession \(table version 2; this one knows 1\)"):
            SQLiteStore(path)

    def test_a_file_system_without_wal(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where SQLite falls back to another journal, silently, the store does not."""

        class Elsewhere(sqlite_file.Connection):
            def execute(self, sql: str, *values: Any) -> Any:
                return super().execute(sql.replace("journal_mode = WAL", "journal_mode = DELETE"), *values)

        monkeypatch.setattr(sqlite_file, "Connection", Elsewhere)
        with pytest.raises(StoreError, match="no write-ahead log .*local disk"):
            SQLiteStore(path)

    def test_a_read_only_file(self, tmp_path: Path) -> None:
        """A StoreError when the store is built, not with the first login."""
        room = tmp_path / "room"
        room.mkdir()
        path = room / "sessions.db"
        SQLiteStore(path).close()
        path.chmod(0o444)
        room.chmod(0o777)
        assert in_child(partial(_refused_as_nobody, tmp_path, path))

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
    def test_a_locked_database_is_an_error_in_time(
        self, store: SQLiteStore, path: Path, write: Callable[[SQLiteStore, str, bytes], object]
    ) -> None:
        """No answer at all, and above all no True, while somebody else keeps the lock; afterwards it
        works.
        """
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG)
        with locked(path):
            start = time.monotonic()
            with pytest.raises(StoreError, match="still busy after 0.05 s: database is locked"):
                write(store, key, payload)
            assert 0.05 <= time.monotonic() - start < 5
            assert store.load(key) == (payload, left(LONG))
        assert write(store, key, payload) is True

    def test_a_database_that_somebody_has_for_himself(self, store: SQLiteStore, path: Path) -> None:
        """Opening, too, is an error in time, and works once the file is free."""
        store.create(new_key(), b"", LONG)
        store.close()
        with locked(path, "EXCLUSIVE"):
            for attempt in (store.purge, lambda: SQLiteStore(path, timeout=0.05)):
                with pytest.raises(StoreError, match="still busy"):
                    attempt()
        assert store.purge() == 0

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
    def test_a_full_disk_is_an_error_and_passes(
        self, store: SQLiteStore, path: Path, write: Callable[[SQLiteStore, str, bytes], object]
    ) -> None:
        """A write that found no room never looks like a success; with room again the same store works."""
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG)
        store.close()
        with full_disk(path):
            with pytest.raises(StoreError) as caught:
                for _ in range(100):
                    write(store, key, payload)
                    store.touch(key, LONG)
                    assert store.load(key) is not None, (
                        "the delete of a full disk was acknowledged, and came true"
                    )
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert store.load(key) == (payload, left(LONG)) or write is not WRITES["delete"]
        assert store.create(new_key(), b"", LONG) is True
        assert ask(path, "PRAGMA integrity_check") == [("ok",)]

    def test_a_damaged_file_is_an_error_until_it_is_mended(self, store: SQLiteStore, path: Path) -> None:
        """Damage is reported by each operation that meets it, the file is left as it is, and a copy put back
        works.
        """
        key, payload = new_key(), new_payload()
        store.create(key, payload, LONG)
        store.close()
        shutil.copy(path, str(path) + ".good")
        path.write_bytes(b"\xff" * path.stat().st_size)
        for _ in range(2):
            with pytest.raises(StoreError, match="not a database"):
                store.load(key)
        os.replace(str(path) + ".good", path)
        assert store.load(key) == (payload, left(LONG))

    def test_a_connection_that_failed_is_not_used_again(self, store: SQLiteStore, path: Path) -> None:
        """After an error other than "busy" the connection is closed and the next operation opens one."""
        store.create(new_key(), b"", LONG)
        ask(path, "ALTER TABLE sessions RENAME TO mislaid")
        with pytest.raises(StoreError, match="no such table"):
            store.load(new_key())
        assert connections_here(path) == 0
        ask(path, "ALTER TABLE mislaid RENAME TO sessions")
        assert store.load(new_key()) is None

    def test_an_operation_that_fails_after_the_store_was_closed(self, store: SQLiteStore, path: Path) -> None:
        """It leaves no connection behind, and the store works."""

        class Key:
            def __conform__(self, protocol: object) -> object:
                store.close()
                return object()

        store.create(new_key(), b"", LONG)
        with pytest.raises(StoreError):
            store.load(Key())  # type: ignore[arg-type]
        assert connections_here(path) == 0
        assert store.load(new_key()) is None

    def test_our_own_mistakes_are_no_outage(self, store: SQLiteStore) -> None:
        """An exception that is not the engine's goes on as it is."""
        with pytest.raises(UnicodeEncodeError):
            store.create(new_key(), b"", LONG, "\ud800")


def _refused_as_nobody(top: Path, path: Path) -> bool:
    """Whether a store on the file is refused, and nothing written, for a user who may only read it."""
    if os.geteuid() == 0:
        for parent in [top, *top.parents][:4]:
            if parent.stat().st_uid == 0 and parent != Path("/tmp"):
                parent.chmod(0o755)
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    with pytest.raises(StoreError, match="readonly database"):
        SQLiteStore(path)
    return True


def test_what_interrupts_the_opening_of_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler or a finalizer that uses the store just then gets an error; the operation itself goes on."""
    store, connect, told = SQLiteStore(tmp_path / "sessions.db"), sqlite_file.File.connect, []

    def interrupted(self: sqlite_file.File) -> Any:
        with pytest.raises(StoreError, match="interrupts the opening of a file"):
            store.load(new_key())
        told.append(True)
        return connect(self)

    monkeypatch.setattr(sqlite_file.File, "connect", interrupted)
    assert store.load(new_key()) is None and told == [True]
    store.close()
