"""A PostgreSQL that does not answer: one time-out, then nobody waits for it but one operation a second, and briefly."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import postgres_server
from support.postgres_fixtures import beside, name, proxy, through, url
from support.postgres_server import created, execute, free_port, hurry, shared_postgres, until
from support.proxy import Proxy

from wsgisession.errors import StoreError
from wsgisession.stores import outage, postgres_pool, postgres_wire
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_key

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
FIXTURES = name, proxy, url  # by these names pytest finds them here
NOT_ASKED = "it did not answer in time a moment ago; one request a second tries again"
SILENT = "the server has not answered in time"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with shorter times."""
    monkeypatch.setattr(postgres_wire, "GRACE", 0.1)
    monkeypatch.setattr(postgres_wire, "TRIAL", 0.05)


@pytest.fixture(params=["own", "pool"])
def connect(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Any]:
    """What the store is given: a callable, or a pool of two connections."""
    if request.param == "own":
        yield through(proxy, shared_postgres().url)
        return
    from psycopg_pool import ConnectionPool

    with ConnectionPool(beside(shared_postgres().url, proxy.port), min_size=2, max_size=2, open=True) as pool:
        pool.wait(10)
        yield pool
        proxy.cut()  # whatever a worker of the pool still waits for ends now, instead of the pool's patience


def test_after_a_time_out_nobody_waits(
    proxy: Proxy, connect: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first operation waits for its time-out; the next fail at once, and nothing is sent, until the pause is over."""
    monkeypatch.setattr(outage, "PAUSE", 3600.0)
    store = PostgresStore(connect, table=name, timeout=60)
    key, _ = created(store)
    hurry(store, monkeypatch)
    proxy.mute = True
    start = time.monotonic()
    with pytest.raises(StoreError, match=SILENT):
        store.load(key)
    assert 0.3 < time.monotonic() - start < 10
    proxy.mute = False
    trips = proxy.round_trips
    for _ in range(3):
        with pytest.raises(StoreError, match=NOT_ASKED):
            store.load(key)
    assert proxy.round_trips == trips
    store.close()


def test_then_one_tries_and_an_answer_ends_it(
    proxy: Proxy, connect: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause one operation tries, for a fraction of the time-out; as soon as one is answered all is as before."""
    monkeypatch.setattr(outage, "PAUSE", 0.1)
    store = PostgresStore(connect, table=name, timeout=60)
    key, _ = created(store)
    proxy.mute = True
    hurry(store, monkeypatch)
    with pytest.raises(StoreError, match=SILENT):
        store.load(key)
    hurry(store, monkeypatch, 60)  # a try must not take as long as that
    time.sleep(0.1)
    start = time.monotonic()
    with pytest.raises(StoreError):
        store.load(key)
    assert time.monotonic() - start < 10
    proxy.mute = False

    def answered() -> bool:
        try:
            return store.load(key) is not None
        except StoreError:
            return False

    until(answered)
    assert all(answered() for _ in range(20))
    store.close()


def test_a_second_between_tries_begins_with_the_try(
    proxy: Proxy, connect: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try that fails delays the next one by no more than the pause, however long the try itself has taken."""
    told: list[float] = []
    silent = outage.Outage.silent

    def noted(self: outage.Outage, now: float) -> None:
        told.append(now)
        silent(self, now)

    monkeypatch.setattr(outage.Outage, "silent", noted)
    monkeypatch.setattr(outage, "PAUSE", 0.001)
    monkeypatch.setattr(postgres_wire, "TRIAL", 0.3)
    store = PostgresStore(connect, table=name, timeout=60)
    key, _ = created(store)
    hurry(store, monkeypatch, 0.31)
    proxy.mute = True
    begun, ended = time.monotonic(), []
    for _ in range(2):
        with pytest.raises(StoreError, match=SILENT):
            store.load(key)
        ended.append(time.monotonic())
        time.sleep(0.002)
    assert told[0] >= begun + 0.3 and told[1] <= ended[1] - 0.3
    store.close()


def test_connecting_in_vain_is_a_time_out_too(
    proxy: Proxy, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes connections and does not speak is not asked again at once."""
    monkeypatch.setattr(outage, "PAUSE", 3600.0)
    monkeypatch.setattr(postgres_pool, "SILENCE", 0.0)
    store = PostgresStore(through(proxy, url), table=name, timeout=0.25)
    proxy.mute = True
    with pytest.raises(StoreError, match=SILENT):
        store.load(new_key())
    with pytest.raises(StoreError, match=NOT_ASKED):
        store.load(new_key())


def test_what_the_client_library_calls_a_time_out_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """connect_timeout, when it is shorter than the operation's."""
    import psycopg

    monkeypatch.setattr(outage, "PAUSE", 3600.0)

    def connect() -> Any:
        raise psycopg.errors.ConnectionTimeout("connection timeout expired")

    store = PostgresStore(connect, table=name)
    with pytest.raises(StoreError, match=SILENT):
        store.load(new_key())
    with pytest.raises(StoreError, match=NOT_ASKED):
        store.load(new_key())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[PostgresStore]:
    """A store that would not ask again for an hour."""
    monkeypatch.setattr(postgres_wire, "GRACE", 10.0)
    monkeypatch.setattr(outage, "PAUSE", 3600.0)
    store = PostgresStore(connector(shared_postgres().url), table=name, timeout=60)
    store.purge()
    yield store
    hurry(store, monkeypatch, 60)
    assert store.load(new_key()) is None
    store.close()


def test_a_lock_is_no_time_out_of_the_server(
    patient: PostgresStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait for a row ends with the server's own report: the next operation asks as usual."""
    key, _ = created(patient)
    hurry(patient, monkeypatch)
    with connector(shared_postgres().url)() as holder, holder.transaction():
        holder.execute(f"SELECT 1 FROM {name} FOR UPDATE")
        with pytest.raises(StoreError, match="statement timeout"):
            patient.touch(key, 60)


def test_an_error_is_no_time_out_of_the_server(patient: PostgresStore, name: str) -> None:
    """Whatever the server answers is an answer."""
    execute(f"ALTER TABLE {name} RENAME payload TO other")
    with pytest.raises(StoreError, match="does not exist"):
        patient.load(new_key())
    execute(f"ALTER TABLE {name} RENAME other TO payload")


def test_a_refusal_is_no_time_out_of_the_server(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down refuses the connection: as soon as it is there again, it is asked."""
    monkeypatch.setattr(outage, "PAUSE", 3600.0)
    ports = [free_port(), shared_postgres().port]
    store = PostgresStore(lambda: connector(beside(url, ports.pop(0)))(), table=name)
    with pytest.raises(StoreError, match="the connection was refused"):
        store.load(new_key())
    assert store.load(new_key()) is None
    store.close()


def test_a_wait_for_the_callers_pool_is_no_time_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application itself may hold all of its connections: that says nothing about the server."""
    from psycopg_pool import ConnectionPool

    monkeypatch.setattr(outage, "PAUSE", 3600.0)
    with ConnectionPool(shared_postgres().url, min_size=1, max_size=1, open=True) as pool:
        store = PostgresStore(pool, table=name, timeout=60)
        hurry(store, monkeypatch)
        with pool.connection(), pytest.raises(StoreError, match="the pool had none to spare"):
            store.load(new_key())
        hurry(store, monkeypatch, 60)
        assert store.load(new_key()) is None


def test_a_refusal_ends_the_silence(
    proxy: Proxy, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that refuses the connection has answered: from then on everybody asks, and gets the reason."""
    monkeypatch.setattr(outage, "PAUSE", 0.05)
    store = PostgresStore(through(proxy, url), table=name, timeout=60)
    created(store)
    hurry(store, monkeypatch)
    proxy.mute = True
    with pytest.raises(StoreError, match=SILENT):
        store.load(new_key())
    hurry(store, monkeypatch, 60)
    monkeypatch.setattr(postgres_wire, "TRIAL", 60.0)
    proxy.__exit__(None, None, None)
    time.sleep(0.06)
    for _ in range(3):
        with pytest.raises(StoreError, match="the connection was refused"):
            store.load(new_key())
