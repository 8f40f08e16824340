"""The PostgreSQL store and exceptions that come from outside, at every line of it: nothing is lost, nothing is mixed up."""

from __future__ import annotations

import gc
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any

import pytest
from support import postgres_server
from support.breadth import breadth
from support.lines import Lines
from support.postgres_fixtures import name, url
from support.postgres_server import backends, created, until, waiting

from wsgisession.errors import StoreError
from wsgisession.stores import postgres_pipeline, postgres_pool, postgres_wire
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import Outside, new_key, new_payload, together

pytestmark = [
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
FIXTURES = name, url  # by these names pytest finds them here
FILES = [module.__file__ for module in (postgres_pool, postgres_pipeline, postgres_wire)]
SIZE = 2


@pytest.fixture(params=["own", "pool"])
def store(
    request: pytest.FixtureRequest, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresStore]:
    """A store that has two connections, its own ones or a pool's."""
    from psycopg_pool import ConnectionPool

    monkeypatch.setattr(postgres_pool, "SIZE", SIZE)
    if request.param == "own":
        store = PostgresStore(connector(url), table=name, timeout=20)
        yield store
        store.close()
        return
    with ConnectionPool(url, min_size=SIZE, max_size=SIZE, open=True) as pool:
        store = PostgresStore(pool, table=name, timeout=20)
        yield store
        store.close()


OPERATIONS: dict[str, Callable[[PostgresStore, str, bytes], object]] = {
    "load": lambda store, key, payload: store.load(key),
    "replace": lambda store, key, payload: store.replace(key, payload, payload + b"next", None),
    "an error": lambda store, key, payload: store.create(
        key + "k" * 9000 + str(random.random()) * 500, payload, 60
    ),
}


@pytest.mark.both
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_an_exception_at_any_line(
    store: PostgresStore, name: str, operation: Callable[[PostgresStore, str, bytes], object]
) -> None:
    """It goes through; the next operation gets its own answer, and all connections are there in the end, no more."""
    mine = created(store)
    for line in breadth.steps(8):
        key, payload = created(store)
        lines = Lines(*FILES, at=line)
        with suppress(Outside, StoreError), lines:
            operation(store, key, payload)
        assert (store.load(mine[0]) or (None,))[0] == mine[1]
        assert (store.load(key) or (None,))[0] in (payload, payload + b"next")
        assert store.delete(key) is True
        if lines.count < line:
            break
    assert line > 40
    gc.collect()
    with waiting(store, name, SIZE):
        assert len(backends(name)) <= SIZE + 1  # what runs inside an operation on a pool has one of its own


@pytest.mark.both
def test_an_exception_while_connecting(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any line of the first operation on a new store: the connection that was being opened is there for the next one."""
    monkeypatch.setattr(postgres_pool, "SIZE", SIZE)

    def interrupted(line: int) -> int:
        store = PostgresStore(connector(url), table=name, timeout=20)
        lines = Lines(*FILES, at=line)
        with suppress(Outside), lines:
            store.load(new_key())
        assert store.load(new_key()) is None
        store.close()
        return lines.count

    for line in breadth.steps(9):
        # In a thread of its own: where a tracer raises at the end of an ``except``, CPython goes on handling that
        # exception, and keeps the frame and its connection, as long as the thread lives.
        if together([partial(interrupted, line)])[0] < line:
            break
    assert line > 60
    until(lambda: gc.collect() >= 0 and not backends(name))


@pytest.mark.both
def test_signals_at_random_moments(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that raises, hundreds of times: each write was carried out or not, and no connection is lost."""
    monkeypatch.setattr(postgres_pool, "SIZE", SIZE)
    store = PostgresStore(connector(url), table=name, timeout=20)
    key, payload = created(store)
    armed = False

    def handler(*_: object) -> None:
        if armed:
            raise Outside

    before = signal.signal(signal.SIGALRM, handler)
    try:
        end = time.monotonic() + breadth.much(0.4, 2)
        while time.monotonic() < end:
            fresh = new_payload()
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, random.random() * 0.002 + 1e-6)
                assert store.replace(key, payload, fresh, None) is True
            except Outside:
                pass
            finally:
                armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
            found = store.load(key)
            assert found is not None and found[0] in (payload, fresh)
            payload = found[0]
    finally:
        signal.signal(signal.SIGALRM, before)
    gc.collect()
    with waiting(store, name, SIZE):
        assert len(backends(name)) == SIZE
    store.close()


@pytest.mark.parametrize("size", [1, SIZE])
def test_an_operation_inside_another(name: str, url: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler, or a finalizer, that uses the store while its thread holds a pool's last connection: an answer."""
    from psycopg_pool import ConnectionPool

    configured: list[Any] = []
    with ConnectionPool(url, configure=configured.append, min_size=size, max_size=size, open=True) as pool:
        pool.wait(20)
        store = PostgresStore(pool, table=name, timeout=20)
        key, payload = created(store)
        inner: list[Any] = []
        ready = postgres_pipeline._ready

        def look(*args: Any) -> bool:
            if not inner:
                inner.append(None)
                inner.append(store.load(key))
            return ready(*args)

        monkeypatch.setattr(postgres_pipeline, "_ready", look)
        assert (store.load(key) or (None,))[0] == payload
        assert inner[1][0] == payload
        assert len(configured) == size + 1
        store.close()
        until(lambda: len(backends(name)) == size)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_exception_while_a_connection_goes_back(
    name: str, url: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is in the pool already or not yet: it is there for the next one, once, and there is no other."""
    from psycopg_pool import ConnectionPool

    with ConnectionPool(url, min_size=1, max_size=1, open=True) as pool:
        store = PostgresStore(pool, table=name, timeout=20)
        key, payload = created(store)
        back = pool.putconn

        def interrupted(connection: Any) -> None:
            monkeypatch.setattr(pool, "putconn", back)
            if moment == "after":
                back(connection)
            raise Outside

        monkeypatch.setattr(pool, "putconn", interrupted)
        with pytest.raises(Outside):
            store.load(key)
        for _ in range(3):
            assert (store.load(key) or (None,))[0] == payload
        store.close()
        until(lambda: len(backends(name)) == 1)
        assert pool.get_stats()["pool_size"] == 1


def test_a_pool_that_does_not_answer(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool's own check that never ends is a StoreError in time; the connection goes back when it ends after all."""
    from psycopg_pool import ConnectionPool

    monkeypatch.setattr(postgres_pool, "MARGIN", 0.05)
    go = Event()
    checked: list[bool] = []

    def check(connection: Any) -> None:
        checked.append(go.wait(20))

    with ConnectionPool(url, check=check, min_size=0, max_size=1, open=True) as pool:
        store = PostgresStore(pool, table=name, timeout=1)  # to connect may take most of it
        with pytest.raises(StoreError, match="the pool does not answer"):
            store.load(new_key())
        go.set()
        patient = PostgresStore(pool, table=name, timeout=10)
        assert patient.load(new_key()) is None
        assert all(checked)
        store.close()
