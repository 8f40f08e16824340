"""The PostgreSQL store's table: who creates it, what a conflict does, how listings and purges go about it."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from support import postgres_server
from support.docs import titled
from support.postgres_server import created, execute, failing, hurry, shared_postgres, until

from wsgisession.errors import StoreError
from wsgisession.stores import postgres, postgres_table, postgres_wire
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_key, new_payload, together

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
numbers = itertools.count()

Make = Callable[..., PostgresStore]


@pytest.fixture
def make() -> Iterator[Make]:
    """A function that makes a store on this test's own table."""
    table = f"table_{next(numbers)}"
    stores: list[PostgresStore] = []

    def make_store(connect: Any = None, **options: Any) -> PostgresStore:
        stores.append(
            PostgresStore(connect or connector(shared_postgres().url), **{"table": table, **options})
        )
        return stores[-1]

    yield make_store
    for store in stores:
        store.close()


def table_of(store: PostgresStore) -> str:
    return store.ddl[0].split('"')[1]


@pytest.fixture
def role() -> Iterator[Callable[[], Any]]:
    """Connects as a role that may use what it was granted, and create nothing."""
    execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    execute("REVOKE CREATE ON SCHEMA public FROM public")
    yield connector(shared_postgres().url.replace("wsgisession:swordfish", "reader:reader"))
    execute("DROP OWNED BY reader")
    execute("DROP ROLE reader")


def test_first_users_at_once_share_one_table(make: Make) -> None:
    """Any number of stores may meet a missing table at the same time; all of them work at once."""
    stores = [make() for _ in range(6)]
    keys = [new_key() for _ in stores]
    jobs: list[Callable[[], bool]] = [
        partial(store.create, key, b"payload", 60) for store, key in zip(stores, keys, strict=True)
    ]
    assert together(jobs) == [True] * 6
    assert sorted(stores[0].keys()) == sorted(keys)


def test_the_indexes_are_used(make: Make) -> None:
    """Looking up a key, an owner's keys and the dead are index scans, not scans of the table."""
    import psycopg

    store = make()
    created(store)
    table = table_of(store)
    names = [
        row[0] for row in execute("SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1", table)
    ]
    assert names == [f"{table}_expires", f"{table}_owner", f"{table}_pkey"]
    with psycopg.connect(shared_postgres().url) as connection:
        connection.execute("SET enable_seqscan = off")
        sql = postgres_table.Table(table)
        for index, statement_ in (("pkey", sql.load), ("owner", sql.owned_by), ("expires", sql.purge)):
            statement = statement_.sql.decode().replace("$1", "'a'").replace("$2", "'ada'")
            plan = str(connection.execute(f"EXPLAIN {statement}").fetchall())
            assert f"{table}_{index}" in plan and "Seq Scan" not in plan


def test_a_role_that_may_not_create_uses_the_table(make: Make, role: Callable[[], Any]) -> None:
    """Where the table exists, the right to read and write it is enough for every operation."""
    table = table_of(store := make())
    store.purge()
    execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO reader")
    theirs = make(role)
    key, payload = created(theirs, 60, "ada")
    assert theirs.replace(key, payload, b"next", 60, "ada") is True
    assert theirs.touch(key, 60) is True
    assert [*theirs.keys(), *theirs.owned_by("ada")] == [key, key]
    assert theirs.delete(key) is True
    assert theirs.purge() == 0


def test_a_role_that_may_not_create_gets_a_clear_error(make: Make, role: Callable[[], Any]) -> None:
    """A missing table that may not be created is a StoreError with the server's words, for reads too."""
    store = make(role)
    with pytest.raises(StoreError, match="permission denied for schema public"):
        store.load(new_key())


def test_a_table_in_a_schema(make: Make) -> None:
    """``schema.name`` is a table in that schema."""
    execute("CREATE SCHEMA IF NOT EXISTS web")
    store = make(table="web.Sessions")
    key, _ = created(store)
    assert execute('SELECT key FROM web."Sessions"') == [(key,)]
    execute("DROP SCHEMA web CASCADE")


def test_a_table_in_partitions(make: Make) -> None:
    """The table that the page on stores makes for a hundred million sessions: each operation, and nothing to complain about."""
    store = make()
    table = table_of(store)
    execute(titled("docs/how-to/stores.md", "partitions").replace("wsgisession", table))
    dead = [created(store, 0.001, "ada")[0] for _ in range(3)]
    live = {created(store, 60, "ada")[0]: "ada" for _ in range(40)}
    key, payload = created(store, 60, "bob")
    fresh = new_payload()
    assert store.create(key, fresh, 60) is False
    assert store.replace(key, payload, fresh, None) is True and store.touch(key, 90, None, fresh) is True
    assert (store.load(key) or (None,))[0] == fresh
    assert set(store.keys()) == {*live, key} and set(store.owned_by("ada")) == set(live)
    assert [one is None for one in store.load_many([key, *dead])] == [False, True, True, True]
    assert (store.count(), store.purge(), list(store.diagnose())) == (41, 3, [])
    assert store.delete(key) is True and store.clear() == 40


def test_a_table_of_another_shape_is_an_error(make: Make) -> None:
    """A table that is none of ours is a StoreError, and is left as it is."""
    store = make()
    execute(f"CREATE TABLE {table_of(store)} (key text)")
    with pytest.raises(StoreError, match='column "payload" does not exist'):
        store.load(new_key())


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_conflict_is_tried_again(make: Make, code: str) -> None:
    """A transaction that the server rolled back in favour of another is repeated."""
    store = make()
    store.purge()  # creates the table
    failing(table_of(store), code, 2)
    key, payload = created(store)
    assert store.replace(key, payload, b"next", 60) is True


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_conflict_that_stays_is_a_lost_swap(make: Make, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """replace: False if each try was rolled back; create and touch are no swaps: StoreError."""
    monkeypatch.setattr(postgres_wire, "PAUSE", 0.0)
    store = make()
    key, payload = created(store)
    failing(table_of(store), code, 999)
    assert store.replace(key, payload, b"next", 60) is False
    for operation in (partial(store.touch, key, 60), partial(store.create, new_key(), b"x", 60)):
        with pytest.raises(StoreError, match=code):
            operation()
    assert (store.load(key) or (None,))[0] == payload


def test_another_error_of_replace_goes_on(make: Make) -> None:
    """An error that is no conflict is a StoreError from replace too, with the engine's chained."""
    store = make()
    key, payload = created(store)
    failing(table_of(store), "P0001", 999)
    with pytest.raises(StoreError, match=r"made to fail \(SQLSTATE P0001\)") as raised:
        store.replace(key, payload, b"next", 60)
    assert type(raised.value.__cause__).__name__ == "RaiseException"


def test_an_error_puts_no_session_into_the_servers_log(make: Make) -> None:
    """PostgreSQL logs the statement that failed; the values of ours are not part of it."""
    store = make()
    store.purge()  # creates the table
    failing(table_of(store), "P0001", 999)
    with pytest.raises(StoreError):
        store.create(new_key(), b"sesame-7041-8275-9044", 60, "owner-7041-8275-9044")
    log = shared_postgres().log()
    assert f'INSERT INTO "{table_of(store)}"' in log
    assert "7041-8275-9044" not in log and b"sesame-7041-8275-9044".hex() not in log


def test_a_repeated_replace_that_had_to_wait_is_true(make: Make) -> None:
    """replace, twice at once with the same payload, both waiting for a lock: both say that it is there."""
    import psycopg

    store = make()
    key, payload = created(store)
    fresh = new_payload()
    with psycopg.connect(shared_postgres().url) as holder, ThreadPoolExecutor() as pool:
        holder.execute(f"SELECT 1 FROM {table_of(store)} FOR UPDATE")
        answers = [pool.submit(store.replace, key, payload, fresh, 60) for _ in range(2)]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: execute(waiting) == [(2,)])
        holder.rollback()
    assert [answer.result() for answer in answers] == [True, True]
    assert (store.load(key) or (None,))[0] == fresh


def test_a_lock_is_waited_for_within_the_timeout(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that another transaction holds is a StoreError in time, and the connection is still good."""
    import psycopg

    store = make(timeout=60)
    key, _ = created(store)
    with psycopg.connect(shared_postgres().url) as holder:
        holder.execute(f"SELECT 1 FROM {table_of(store)} FOR UPDATE")
        with monkeypatch.context() as meanwhile:
            hurry(store, meanwhile, 0.2)
            start = time.monotonic()
            with pytest.raises(StoreError, match="statement timeout"):
                store.touch(key, 60)
            assert 0.15 < time.monotonic() - start < 10
        assert store.load(key) is not None


def test_an_endless_ttl_is_cut(make: Make) -> None:
    """A time that no timestamp can hold is a thousand years."""
    store = make()
    key, _ = created(store, 1e18)
    assert (store.load(key) or (b"", 0))[1] > 999 * 365 * 86400


def test_listings_come_in_pages(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """keys and owned_by name everything however many pages it takes, and hold nothing between two of them."""
    monkeypatch.setattr(postgres_table, "PAGE", 3)
    store = make()
    for count in (0, 3, 7):
        made = sorted([created(store, 60, "ada")[0] for _ in range(count)])
        for listing in (store.keys, partial(store.owned_by, "ada")):
            named = []
            for key in listing():
                open_ = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'"
                assert execute(open_) == [(0,)]
                named.append(key)
            assert named == made
        for key in made:
            store.delete(key)


def test_purge_goes_by_batches_and_waits_for_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """purge removes all the dead, some at a time, but the row that another transaction holds at the moment."""
    import psycopg

    monkeypatch.setattr(postgres_table, "PAGE", 3)
    store = make()
    live, _ = created(store)
    dead = [created(store, 0.001)[0] for _ in range(8)]
    time.sleep(0.003)
    with psycopg.connect(shared_postgres().url) as holder:
        holder.execute(f"SELECT 1 FROM {table_of(store)} WHERE key = %s FOR UPDATE", [dead[0]])
        assert store.purge() == 7
    assert [store.purge(), store.purge()] == [1, 0]
    assert execute(f"SELECT key FROM {table_of(store)}") == [(live,)]


def test_what_can_be_no_key_is_not_created(make: Make) -> None:
    """A key that is not ASCII, or has a NUL, is a StoreError that says so; nothing is stored."""
    store = make()
    for key in ("é", "a\0b", "\ud800"):
        with pytest.raises(StoreError, match="a key must be ASCII without NUL"):
            store.create(key, b"payload", 60)
    assert list(store.keys()) == []


def test_a_sound_table_needs_no_advice(make: Make) -> None:
    """diagnose: nothing to say."""
    store = make()
    created(store)
    assert list(store.diagnose()) == []


ADVICE: dict[str, tuple[Callable[[PostgresStore, pytest.MonkeyPatch], object], str]] = {
    "clock": (
        lambda store, patch: patch.setattr(postgres, "time", SimpleNamespace(time=lambda: time.time() + 60)),
        r"are (59|60) s apart; synchronize them",
    ),
    "version": (
        lambda store, patch: patch.setattr(
            postgres_table,
            "DIAGNOSE",
            postgres_table.DIAGNOSE.replace("current_setting('server_version_num')", "120004"),
        ),
        "PostgreSQL 12 is too old",
    ),
    "dead rows": (
        lambda store, patch: execute(
            f"INSERT INTO {table_of(store)} SELECT n::text, '', now() - interval '1 s' FROM generate_series(1, 10001) AS n"
        ),
        "more than 10,000 expired sessions",
    ),
    "index": (
        lambda store, patch: execute(f"DROP INDEX {table_of(store)}_expires"),
        "lacks an index.*PostgresStore.ddl",
    ),
}


@pytest.mark.parametrize(("harm", "words"), ADVICE.values(), ids=ADVICE.keys())
def test_advice(make: Make, monkeypatch: pytest.MonkeyPatch, harm: Any, words: str) -> None:
    """diagnose: one sentence on what an operator should change."""
    store = make()
    store.purge()
    harm(store, monkeypatch)
    [advice] = make().diagnose()
    assert re.search(words, advice)
