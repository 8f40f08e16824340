"""How the PostgreSQL store's statements travel: prepared if the connection allows it, whatever the caller has set on it."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import postgres_server
from support.postgres_fixtures import name, pool, url
from support.postgres_server import created, execute, shared_pgbouncer, until

from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.stores.postgres_table import Table
from wsgisession.testing import new_key, new_payload

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
FIXTURES = name, pool, url  # by these names pytest finds them here
NAMES = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'wsgisession%'"


@pytest.fixture
def store(pool: Any, name: str) -> PostgresStore:
    """A store on the caller's pool, its table and one record made, its connection used before."""
    store = PostgresStore(pool, table=name)
    created(store)
    return store


def ask(pool: Any, sql: str) -> list[Any]:
    """Run a statement on the pool's only connection."""
    with pool.connection() as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def use(store: PostgresStore) -> None:
    """Do everything that requests do."""
    key, payload = created(store, 60, "ada")
    assert (store.load(key) or (None,))[0] == payload
    second, third = new_payload(), new_payload()
    assert store.replace(key, payload, second, None, "ada") is True
    assert store.replace(key, second, third, 60, "bob") is True
    assert store.touch(key, 90) is True
    assert store.touch(key, 90, "bob", third) is True
    assert store.delete(key, second) is False
    assert store.delete(key, third) is True
    assert store.delete(key) is False


def test_what_requests_do_is_prepared(pool: Any, store: PostgresStore) -> None:
    """On a direct connection each statement is prepared once, under a name of ours, and nothing that runs rarely is."""
    use(store)
    names = {name for (name,) in ask(pool, NAMES)}
    assert len(names) == 12  # two kinds of BEGIN, the limits, COMMIT, and the eight statements on a record
    use(store)
    list(store.keys()), store.purge(), store.count(), store.load_many([new_key()])
    assert {name for (name,) in ask(pool, NAMES)} == names


def test_each_use_after_the_first_is_parsed_no_more(pool: Any, store: PostgresStore, name: str) -> None:
    """The server counts a prepared statement's plans: they are used again."""
    for _ in range(9):
        store.load(new_key())
    name = Table(name).load.name.decode()
    counted = f"SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name = '{name}'"
    assert ask(pool, counted) == [(9,)]


LOSSES: dict[str, Callable[[Table], str]] = {
    "discarded": lambda sql: "DISCARD ALL",
    "deallocated": lambda sql: "DEALLOCATE ALL",
    "of another type": lambda sql: f"ALTER TABLE {sql.name} ALTER COLUMN payload TYPE payload",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_statement_that_is_no_longer_prepared(
    pool: Any, store: PostgresStore, name: str, loss: Callable[[Table], str]
) -> None:
    """If somebody discards the prepared statements, or changes the table, no caller notices."""
    execute("DROP DOMAIN IF EXISTS payload CASCADE")
    execute("CREATE DOMAIN payload AS bytea")
    use(store)
    pool_connection = pool.getconn()
    pool_connection.autocommit = True
    pool_connection.execute(loss(Table(name)))
    pool_connection.autocommit = False
    pool.putconn(pool_connection)
    use(store)
    assert not pool.get_stats().get("returns_bad")


def test_a_name_that_is_taken(pool: Any, store: PostgresStore, name: str) -> None:
    """A statement that was prepared under our name by somebody else is left alone."""
    statement = Table(name).touch
    ask(pool, f"PREPARE {statement.name.decode()} AS SELECT 1")
    use(store)
    assert ask(pool, f"EXECUTE {statement.name.decode()}") == [(1,)]


def test_a_missing_table_is_no_reason_to_prepare_nothing(pool: Any, store: PostgresStore, name: str) -> None:
    """After an error other than of the statement's name, statements are prepared as before."""
    use(store)
    execute(f"DROP TABLE {name}")
    use(store)
    assert len(ask(pool, NAMES)) == 12


def test_nothing_is_prepared_behind_pgbouncer(name: str, url: str) -> None:
    """Where the server's process may be another one for each transaction, statements go without a name."""
    store = PostgresStore(connector(f"{shared_pgbouncer().url}"), table=name)
    for _ in range(3):
        use(store)
    direct = connector(shared_pgbouncer().url)()
    assert direct.execute(NAMES).fetchall() == []
    direct.close()
    store.close()


def test_a_short_lock_timeout_of_the_callers(name: str, url: str) -> None:
    """A caller's lock_timeout of a millisecond does not end a wait of ours: on a new connection or a known one."""
    import psycopg

    store = PostgresStore(connector(f"{url}&options=-c%20lock_timeout%3D1"), table=name)
    key, payload = created(store)
    answers: list[bool] = []

    def replace(old: bytes, new: bytes) -> None:
        answers.append(store.replace(key, old, new, None))

    for _ in range(3):
        fresh = new_payload()
        with psycopg.connect(url) as holder:
            holder.execute(f"SELECT 1 FROM {name} FOR UPDATE")
            thread = threading.Thread(target=replace, args=(payload, fresh))
            thread.start()
            until(lambda: execute("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
            holder.rollback()
        thread.join(10)
        payload = fresh
    assert answers == [True] * 3
    store.close()


def test_the_callers_pipeline_mode(name: str, url: str) -> None:
    """A connection that comes in libpq's pipeline mode works, and goes back in it."""
    from psycopg_pool import ConnectionPool

    def configure(connection: Any) -> None:
        connection.pgconn.enter_pipeline_mode()

    with ConnectionPool(url, configure=configure, min_size=1, max_size=1, open=True) as pool:
        store = PostgresStore(pool, table=name)
        use(store)
        use(store)
        connection = pool.getconn()
        assert connection.pgconn.pipeline_status
        connection.pgconn.exit_pipeline_mode()
        pool.putconn(connection)


def test_a_plain_write_is_a_hot_update(name: str, url: str) -> None:
    """A write that does not move the expiry touches no index: on a table of ours from the first one on."""
    store = PostgresStore(connector(url), table=name)
    records = dict(created(store, 60, "ada") for _ in range(50))
    for key, payload in records.items():
        assert store.replace(key, payload, new_payload(), None, "ada") is True
    store.close()
    assert updates(name) == (50, 50)


def test_a_plain_write_on_a_table_of_version_1(name: str, url: str) -> None:
    """A table made without a fill factor is used as it is; its writes are HOT once its pages have room."""
    store = PostgresStore(connector(url), table=name)
    for statement in store.ddl:
        execute(statement.replace("WITH (fillfactor = 70)", ""))
    records = dict(created(store, 60, "ada") for _ in range(200))
    for _ in range(2):
        for key, payload in records.items():
            records[key] = new_payload(b"x" * 200)
            assert store.replace(key, payload, records[key], None, "ada") is True
    store.close()
    made, hot = updates(name)
    assert made == 400 and hot > 200
    assert execute(f"SELECT reloptions FROM pg_class WHERE relname = '{name}'") == [(None,)]


def updates(table: str) -> tuple[int, int]:
    """Return how many updates a table has seen, and how many of them were HOT, when the server has counted them."""
    sql = f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{table}'"
    until(lambda: execute(sql)[0][0] > 0)
    return tuple(execute(sql)[0])  # type: ignore[return-value]


def test_a_system_without_poll(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no poll(), eventlet takes it away: select() does."""
    monkeypatch.delattr(select, "poll")
    use(store)
    key, payload = new_key(), bytes(range(256)) * 20_000
    assert store.create(key, payload, 60) is True
    assert (store.load(key) or (b"",))[0] == payload
