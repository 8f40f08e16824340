"""The PostgreSQL store and what goes wrong on the way: lost replies, servers that went away, every wait bounded."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support import postgres_server
from support.postgres_fixtures import name, pool, proxy, store, through, url
from support.postgres_server import backends, created, execute, failing, kill, until, waiting
from support.proxy import Proxy

from wsgisession.errors import StoreError
from wsgisession.stores import postgres_pipeline
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.stores.postgres_pipeline import Pipeline
from wsgisession.testing import new_key, new_payload

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
FIXTURES = name, pool, proxy, store, url  # by these names pytest finds them here


# Lost replies

OPERATIONS = {
    "load": (lambda store, key, old: (store.load(key) or (None,))[0] == old, True),
    "create": (lambda store, key, old: store.create(new_key(), new_payload(), 60), True),
    "replace": (lambda store, key, old: store.replace(key, old, b"next", 60, "ada"), True),
    "touch": (lambda store, key, old: store.touch(key, 90), True),
    "delete": (lambda store, key, old: (store.delete(key), store.load(key)), (False, None)),
    "keys": (lambda store, key, old: list(store.keys()) == [key], True),
    "owned_by": (lambda store, key, old: list(store.owned_by("ada")) == [key], True),
    "purge": (lambda store, key, old: store.purge(), 0),
}


@pytest.mark.parametrize(("operation", "expected"), OPERATIONS.values(), ids=OPERATIONS.keys())
def test_a_lost_reply_is_made_good(
    proxy: Proxy, name: str, url: str, operation: Callable[[Any, str, bytes], Any], expected: Any
) -> None:
    """Where a reply is lost the operation is repeated, and answers as if it had been carried out once.

    Only ``delete`` cannot know whether the record it does not find any more was its own doing; it is gone.
    """
    store = PostgresStore(through(proxy, url), table=name)
    key, payload = created(store, 60, "ada")
    proxy.eat = 1
    assert operation(store, key, payload) == expected
    assert (proxy.eat, proxy.connections) == (0, 2)
    store.close()


def test_two_lost_replies_are_an_error(proxy: Proxy, name: str, url: str) -> None:
    """Where the repetition fails too it is a StoreError, and the next operation works."""
    store = PostgresStore(through(proxy, url), table=name)
    key, _ = created(store)
    with waiting(store, name, 1):
        store.load(key)
    proxy.eat = 2
    with pytest.raises(StoreError, match="the connection broke") as raised:
        store.touch(key, 60)
    assert "swordfish" not in f"{raised.value} {raised.value.__cause__}"
    assert store.touch(key, 60) is True
    store.close()


# Servers that went away


@pytest.mark.parametrize("count", [1, 4])
def test_connections_that_died_idle_are_not_used(store: PostgresStore, name: str, count: int) -> None:
    """After the server ended every connection the next operation opens another one, at the first try."""
    with waiting(store, name, count):
        before = backends(name)
    assert len(before) >= count  # one more where another thread has taken the one that was opened
    kill(name)
    key, _ = created(store)
    assert store.load(key) is not None
    assert len(backends(name)) == 1 and not set(backends(name)) & set(before)


def test_a_pools_connections_that_died_idle_are_not_used(pool: Any, name: str) -> None:
    """The caller's pool is given back what is dead, and replaces it."""
    store = PostgresStore(pool, table=name)
    key, _ = created(store)
    kill(name)
    assert store.load(key) is not None
    assert pool.get_stats()["pool_size"] == 1


def test_a_connection_that_is_dead_on_arrival_is_an_error_in_time(name: str, url: str) -> None:
    """Connections that break as soon as they are made are a StoreError within the timeout."""

    def connect() -> Any:
        connection = connector(url)()
        execute("SELECT pg_terminate_backend(%s, 5000)", connection.info.backend_pid)
        return connection

    store = PostgresStore(connect, table=name, timeout=0.2)
    with pytest.raises(StoreError, match="PostgreSQL: no connection"):
        store.load(new_key())


def test_a_server_that_was_demoted_is_left(store: PostgresStore, name: str) -> None:
    """A server that says it may only be read now is left for a new connection, which may lead to its successor."""
    key, _ = created(store)
    failing(name, "25006", 1)
    before = backends(name)
    assert store.touch(key, 60) is True
    until(lambda: not set(backends(name)) & set(before))


def test_a_connection_that_breaks_while_a_failure_is_cleared_away(
    proxy: Proxy, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback whose reply is lost costs the connection and hides nothing."""
    store = PostgresStore(through(proxy, url), table=name)
    execute(f"CREATE TABLE {name} (key text)")
    settle = Pipeline.settle

    def disturbed(*args: Any) -> bool:
        proxy.eat = 1
        return settle(*args)

    monkeypatch.setattr(Pipeline, "settle", disturbed)
    with pytest.raises(StoreError, match='column "payload" does not exist'):
        store.load(new_key())
    store.close()


def test_the_wait_for_an_interrupted_transaction_is_short(
    proxy: Proxy, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the server does not say how it ended, the exception goes on all the same, and the next operation works."""
    store = PostgresStore(through(proxy, url), table=name)
    key, payload = created(store)
    ready, left = postgres_pipeline._ready, [1]

    def interrupt(*arguments: Any) -> bool:
        if left:
            left.pop()
            raise KeyboardInterrupt
        return ready(*arguments)

    monkeypatch.setattr(postgres_pipeline, "_ready", interrupt)
    monkeypatch.setattr(postgres_pipeline, "FAREWELL", 0.01)
    proxy.mute = True
    with pytest.raises(KeyboardInterrupt):
        store.load(new_key())
    proxy.mute = False
    assert (store.load(key) or (None,))[0] == payload
    store.close()


def test_a_large_payload_goes_both_ways(store: PostgresStore) -> None:
    """A payload larger than every buffer on the way."""
    key, payload = new_key(), bytes(range(256)) * 40_000
    assert store.create(key, payload, 60) is True
    assert store.replace(key, payload, payload[::-1], 60) is True
    assert (store.load(key) or (b"", 0))[0] == payload[::-1]


def test_a_connection_that_breaks_between_the_look_and_the_use(
    store: PostgresStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that cannot even be written to any more costs a repetition on another one."""
    key, payload = created(store)
    alive = Pipeline.alive
    broken: list[socket.socket] = []

    def breaks(pipeline: Pipeline, connection: Any) -> bool:
        verdict = alive(pipeline, connection)
        if not broken:
            broken.append(socket.socket(fileno=os.dup(connection.pgconn.socket)))
            broken[0].shutdown(socket.SHUT_RDWR)
            broken[0].close()
        return verdict

    monkeypatch.setattr(Pipeline, "alive", breaks)
    assert (store.load(key) or (None,))[0] == payload
    assert broken


REPLIES = {
    "no message of PostgreSQL's": b"Z\0\0\0\1",
    "the end of somebody else's transaction": b"Z\0\0\0\5I",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_that_makes_no_sense_costs_the_connection(
    proxy: Proxy, name: str, url: str, reply: bytes
) -> None:
    """A reply to something else ends the connection; the operation is repeated on another one."""
    store = PostgresStore(through(proxy, url), table=name)
    key, payload = created(store)
    proxy.garble = reply
    assert (store.load(key) or (None,))[0] == payload
    assert proxy.connections == 2
    store.close()
