"""The PostgreSQL store's connections: its own, a pool's, and those of a forked child."""

from __future__ import annotations

import gc
import time
from contextvars import ContextVar
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest
from support import postgres_server
from support.children import run_program
from support.postgres_fixtures import name, pool, store, url
from support.postgres_server import backends, created, execute, hurry, until, waiting

from wsgisession.errors import StoreError
from wsgisession.stores import postgres_pool, postgres_wire
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import in_child, new_key, together

pytestmark = [
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
FIXTURES = name, pool, store, url  # by these names pytest finds them here


# Pools


def test_waiting_for_the_callers_pool_is_bounded(
    pool: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that has no connection to spare is a StoreError within the timeout, and nothing is taken from it."""
    store = PostgresStore(pool, table=name, timeout=60)
    with pool.connection(), monkeypatch.context() as meanwhile:
        hurry(store, meanwhile, 0.1)
        start = time.monotonic()
        with pytest.raises(StoreError, match="the pool had none to spare in time"):
            store.load(new_key())
        assert time.monotonic() - start < 10
    assert store.load(new_key()) is None


def test_a_closed_pool_is_an_error(pool: Any, name: str) -> None:
    """A pool that the caller closed is a StoreError."""
    pool.close()
    with pytest.raises(StoreError, match=r"the pool is closed; call pool.open\(\)"):
        PostgresStore(pool, table=name).load(new_key())


def test_own_connections_are_few_and_waited_for(
    store: PostgresStore, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads share the store's connections; when all stay in use it is a StoreError within the timeout."""
    monkeypatch.setattr(postgres_pool, "SIZE", 2)
    few = PostgresStore(connector(f"{url}_few"), table=name, timeout=60)
    assert together([partial(few.load, new_key())] * 8) == [None] * 8
    assert 1 <= len(backends(f"{name}_few")) <= 2
    with waiting(few, name, 2) as answers:
        later = Thread(target=lambda: answers.append(few.load(new_key())))
        later.start()
    later.join(10)
    assert sorted(answers, key=str) == [None, True, True]
    few.close()

    impatient = PostgresStore(connector(url), table=name, timeout=60)
    with waiting(impatient, name, 2), monkeypatch.context() as meanwhile:
        hurry(impatient, meanwhile, 0.05)
        with pytest.raises(StoreError, match="all 2 connections of this store are in use"):
            impatient.load(new_key())
    assert impatient.load(new_key()) is None
    impatient.close()


def test_a_quiet_connection_is_not_trusted(
    store: PostgresStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was idle for long is closed, not used: a firewall may have forgotten it in silence."""
    before = backends(name)
    monkeypatch.setattr(postgres_pool, "IDLE", -1.0)
    assert store.load(new_key()) is None
    until(lambda: not set(backends(name)) & set(before))


def test_close_ends_own_connections_and_a_later_operation_connects_again(
    store: PostgresStore, name: str, url: str
) -> None:
    """close: the store's own connections end; the store can be used afterwards."""
    key, _ = created(store)
    store.close()
    until(lambda: backends(name) == [])
    assert store.load(key) is not None
    PostgresStore(connector(url), table=name).close()


def test_close_ends_a_connection_in_use_after_its_operation(store: PostgresStore, name: str) -> None:
    """close while another thread is in the middle of an operation: that goes on, and its connection ends then."""
    with waiting(store, name, 1) as answers:
        before = backends(name)
        store.close()
        assert backends(name) == before
    assert answers == [True]
    until(lambda: not set(backends(name)) & set(before))


def test_close_leaves_the_callers_pool_open(pool: Any, name: str) -> None:
    """close: what the caller handed in stays the caller's."""
    store = PostgresStore(pool, table=name)
    key, _ = created(store)
    store.close()
    with pool.connection() as connection:
        assert connection.execute(f"SELECT key FROM {name}").fetchone() == (key,)


@pytest.mark.usefixtures("threads")
def test_what_a_callable_has_set_stays_set(name: str, url: str) -> None:
    """A callable may set something, for example search_path, without committing it."""
    execute(f"CREATE SCHEMA IF NOT EXISTS {name}")

    def connect() -> Any:
        import psycopg

        connection = psycopg.connect(url)
        connection.execute(f"SET search_path = {name}")
        return connection

    store = PostgresStore(connect, table="inside")
    key, payload = created(store)
    assert store.replace(key, payload, b"next", 60) is True
    assert execute(f"SELECT key FROM {name}.inside") == [(key,)]
    store.close()


@pytest.fixture(params=["a thread of its own", "no more threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting happens in a thread of its own, if the system has one more to give."""
    if request.param == "no more threads":

        def refuse(*_: Any) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(postgres_pool._thread, "start_new_thread", refuse)


@pytest.mark.usefixtures("threads")
def test_a_connection_is_opened_either_way(pool: Any, name: str, url: str) -> None:
    """What connects, and what asks the caller's pool, works with and without a thread of its own."""
    store = PostgresStore(connector(url), table=name)
    assert store.load(new_key()) is None
    store.close()
    pool.resize(0, 1)
    lent = PostgresStore(pool, table=name, timeout=0.2)
    with pool.connection(), pytest.raises(StoreError, match="the pool had none to spare"):
        lent.load(new_key())


@pytest.mark.usefixtures("threads")
def test_a_callable_must_return_a_connection(pool: Any) -> None:
    """Anything else, for example a context manager, is a TypeError that says so; it costs no place among the connections."""
    store = PostgresStore(pool.connection)
    for _ in range(postgres_pool.SIZE + 1):
        with pytest.raises(TypeError, match="psycopg 3 connection, not _GeneratorContextManager"):
            store.load(new_key())


@pytest.mark.usefixtures("threads")
def test_a_callable_must_return_a_new_connection(name: str, url: str) -> None:
    """One connection for all threads would mix up their answers: a TypeError when a second one is needed."""
    connection = connector(url)()
    one = PostgresStore(lambda: connection, table=name)
    assert one.load(new_key()) is None
    with waiting(one, name, 1), pytest.raises(TypeError, match="a new connection with each call"):
        one.load(new_key())
    one.close()


def test_a_callable_finds_its_context(name: str, url: str) -> None:
    """A callable may look up where to connect to in a context variable, as Flask's ``current_app`` does."""
    where: ContextVar[str] = ContextVar("where")
    where.set(url)
    store = PostgresStore(lambda: connector(where.get())(), table=name)
    assert store.load(new_key()) is None
    store.close()


def test_connecting_takes_no_longer_than_the_operation_may(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callable that takes its time is a StoreError in time; what it connects at last is there for the next one."""
    go = Event()

    def connect() -> Any:
        go.wait(10)
        return connector(url)()

    monkeypatch.setattr(postgres_pool, "SILENCE", 0.0)
    monkeypatch.setattr(postgres_wire, "TRIAL", 60.0)
    store = PostgresStore(connect, table=name, timeout=60)
    with monkeypatch.context() as meanwhile:
        hurry(store, meanwhile, 0.25)
        with pytest.raises(StoreError, match="no connection: the server has not answered in time"):
            store.load(new_key())
    go.set()
    until(lambda: len(backends(name)) == 1)
    before = backends(name)
    until(lambda: works(store))
    assert backends(name) == before
    store.close()


def works(store: PostgresStore) -> bool:
    try:
        return store.load(new_key()) is None
    except StoreError:
        return False


def test_a_connection_that_another_thread_takes_is_opened_once_more(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that had it opened does not wait until the other one has finished."""
    own = postgres_pool.Own(connector(url), 0)
    taken: list[Any] = []
    keep = postgres_pool.Own._keep

    def overtaken(self: postgres_pool.Own, place: Any) -> None:
        keep(self, place)
        if not taken:
            taken.append(self.take(time.monotonic()))

    monkeypatch.setattr(postgres_pool.Own, "_keep", overtaken)
    held = own.take(time.monotonic() + 20)
    assert taken and held.connection is not taken[0].connection
    for one in (held, *taken):
        own.give(one)
    own.close()


# Forks


def test_a_child_neither_uses_nor_closes_its_parents_connection(store: PostgresStore, name: str) -> None:
    """A child opens a connection of its own, and the parent's survives the child, its collector and its ``close``."""
    key, _ = created(store)
    before = backends(name)

    def child() -> bool:
        worked = store.load(key) is not None and len(backends(name)) == 2
        store.close()
        gc.collect()
        return worked

    assert in_child(child)
    assert in_child(partial(lives_and_ends, store))
    assert store.load(key) is not None
    assert backends(name)[:1] == before


def lives_and_ends(store: PostgresStore) -> bool:
    store.close()
    return gc.collect() >= 0


def test_a_child_of_a_pools_owner_connects_like_the_pool(name: str, url: str) -> None:
    """Given a pool, a child opens its own connections with the pool's arguments and its ``configure``."""
    from psycopg_pool import ConnectionPool

    execute(f"CREATE SCHEMA {name}")

    def configure(connection: Any) -> None:
        connection.execute(f"SET search_path = {name}")
        connection.commit()

    kwargs = {"application_name": f"{name}_pool"}
    with ConnectionPool(url, kwargs=kwargs, configure=configure, min_size=1, max_size=1, open=False) as pool:
        store = PostgresStore(pool, table="inside")
        key, _ = created(store)
        before = backends(f"{name}_pool")
        assert in_child(lambda: store.load(key) is not None and len(backends(f"{name}_pool")) == 2)
        assert store.load(key) is not None
        assert backends(f"{name}_pool")[:1] == before
        with pool.connection() as connection:
            assert connection.info.backend_pid == before[0]


def test_a_pool_may_compute_its_arguments(name: str, url: str) -> None:
    """A pool's conninfo and kwargs may be callables, or missing, and it may configure: a child does as the pool does."""

    class Pool:
        """What psycopg_pool offers from version 3.3 on."""

        class connection_class:
            connect = staticmethod(lambda conninfo, **kwargs: (conninfo, kwargs))

        def __init__(self, conninfo: Any, kwargs: Any) -> None:
            self.conninfo, self.kwargs = conninfo, kwargs

    pool, configured = Pool("a", None), []
    assert postgres_pool.connect_like(pool) == ("a", {})
    pool._configure = configured.append  # type: ignore[attr-defined]
    assert postgres_pool.connect_like(pool) == configured[0] == ("a", {})
    assert postgres_pool.connect_like(Pool(lambda: "a", lambda: {"b": "c"})) == ("a", {"b": "c"})


def test_a_child_that_ends_like_a_program_closes_nothing(name: str, url: str) -> None:
    """The parent's connection survives a child whose interpreter is shut down, with every destructor run."""
    program = """
import os, sys
import psycopg
from wsgisession.stores.postgres import PostgresStore, connector
connections = []
def connect():
    connections.append(connector(sys.argv[1])())
    return connections[-1]
store = PostgresStore(connect, table=sys.argv[2])
store.create("key", b"payload", 60)
child = os.fork()
if child == 0:
    assert store.load("key")
    del store
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert store.load("key")
assert len(connections) == 1
store.close()
"""
    run_program(program, url, name)
