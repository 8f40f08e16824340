"""The short way to one Redis server: who takes it, what becomes of its connections, and who still sees every command."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created, until
from support.redis_contract import new_prefix
from support.redis_fixtures import client
from support.redis_servers import shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import redis_transport
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import together

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))
FIXTURES = (client,)  # by this name pytest finds it here


@pytest.fixture(params=[False, True], ids=["the caller's client", "the store's client"])
def store(request: pytest.FixtureRequest, client: Any) -> RedisStore:
    """A store that shares its client, or owns it."""
    return RedisStore(client, new_prefix(), owns_client=request.param)


def connections(client: Any) -> int:
    """Return how many connections to the server the client has."""
    name = client.connection_pool.connection_kwargs["client_name"]
    with shared_redis().client() as admin:
        return sum(one["name"] == name for one in admin.client_list())


@pytest.fixture
def named(client: Any) -> Any:
    """A client whose connections the server can tell from others."""
    client.connection_pool.connection_kwargs["client_name"] = f"short-{new_prefix()}{os.getpid()}"
    return client


def test_the_usual_client_is_passed_by(
    store: RedisStore, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first operation a plain redis.Redis lends its connections, and its own way of a command is not taken."""
    key, payload = created(store)

    def longer(*args: Any, **options: Any) -> None:
        raise AssertionError("the long way")

    monkeypatch.setattr(client, "parse_response", longer)
    fresh = payload + b"fresh"
    assert store.replace(key, payload, fresh, None) is True
    assert (store.load(key) or (None,))[0] == fresh
    assert store.delete(key) is True


class Around:
    """What wrapt puts around a method, for OpenTelemetry and others."""

    def __init__(self, method: Callable[..., Any], seen: list[Any]) -> None:
        self.method, self.seen = method, seen

    def __get__(self, client: Any, kind: Any) -> Callable[..., Any]:
        def execute(*args: Any, **options: Any) -> Any:
            self.seen.append(args[0])
            return self.method(client, *args, **options)

        return execute


def in_place(method: Callable[..., Any], seen: list[Any]) -> Callable[..., Any]:
    """What Sentry puts in the method's place."""

    def execute(client: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return method(client, *args, **options)

    return execute


@pytest.mark.parametrize("watch", [Around, in_place], ids=["around it", "in its place"])
def test_who_looks_on_sees_every_command(
    client: Any, monkeypatch: pytest.MonkeyPatch, watch: Callable[..., Any]
) -> None:
    """If something was put around ``execute_command``, each command goes through it, as before."""
    import redis

    seen: list[Any] = []
    monkeypatch.setattr(redis.Redis, "execute_command", watch(redis.Redis.execute_command, seen))
    store = RedisStore(client, new_prefix(), owns_client=True)
    key, payload = created(store)
    seen.clear()
    assert (store.load(key) or (None,))[0] == payload
    assert seen == ["EVALSHA"]


def test_a_client_of_another_kind_goes_its_own_way(client: Any) -> None:
    """A subclass of redis.Redis may do anything in ``execute_command``, so it is asked."""
    import redis

    seen: list[Any] = []

    class Own(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            seen.append(args[0])
            return super().execute_command(*args, **options)

    store = RedisStore(Own(port=shared_redis().port), new_prefix(), owns_client=True)
    key, _ = created(store)
    seen.clear()
    assert store.delete(key) is True
    assert seen == ["EVALSHA"]
    store.close()


def test_one_connection_is_enough(named: Any) -> None:
    """Reads, writes with an owner and listings take turns on one connection, also if there may be only one."""
    named.connection_pool.max_connections = 1
    store = RedisStore(named, new_prefix(), owns_client=True)
    for _ in range(3):
        key, payload = created(store, 60, "ada")
        assert list(store.diagnose()) is not None
        assert (store.load(key) or (None,))[0] == payload
        assert "server" in store.settings()
        assert list(store.owned_by("ada")) == [key]
        assert store.delete(key) is True
    assert connections(named) == 1
    store.close()


def test_first_operations_at_once_share_one_way(named: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that both find the way to a server lose no connection: one is still enough."""
    named.connection_pool.max_connections = 1
    store = RedisStore(named, new_prefix(), owns_client=True)
    real = redis_transport.call

    def second_thread(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(redis_transport, "call", real)
        together([partial(store.load, "key")])
        return real(*args, **options)

    monkeypatch.setattr(redis_transport, "call", second_thread)
    assert store.load("key") is None
    assert connections(named) == 1
    store.close()


def test_a_connection_that_the_server_closed_is_replaced(named: Any) -> None:
    """A connection that was closed while nobody used it is noticed before it is used: nothing has to be repeated."""
    store = RedisStore(named, new_prefix(), owns_client=True)
    key, payload = created(store)
    assert store.load(key) is not None
    name = named.connection_pool.connection_kwargs["client_name"]
    with shared_redis().client() as admin:
        for one in admin.client_list():
            if one["name"] == name:
                admin.client_kill(one["addr"])
    assert (store.load(key) or (None,))[0] == payload
    assert connections(named) == 1
    store.close()


def test_close_in_the_middle_of_a_command(named: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """close() in another thread while a command is on its way: its connection is not kept either."""
    from redis.connection import AbstractConnection

    store = RedisStore(named, new_prefix(), owns_client=True)
    key, payload = created(store)
    real = AbstractConnection.read_response

    def closing(self: Any, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(AbstractConnection, "read_response", real)
        together([store.close])
        return real(self, *args, **options)

    monkeypatch.setattr(AbstractConnection, "read_response", closing)
    assert (store.load(key) or (None,))[0] == payload
    until(lambda: connections(named) == 0)
    assert (store.load(key) or (None,))[0] == payload
    store.close()
    until(lambda: connections(named) == 0)


def test_an_error_of_the_server_costs_no_connection(store: RedisStore, named: Any) -> None:
    """After an error that the server reports, the connection serves the next command."""
    key, payload = created(store)
    other, _ = created(store)
    with shared_redis().client() as admin:
        [name] = list(admin.scan_iter(f"*{other}"))
        admin.delete(name)
        admin.lpush(name, "no payload")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.load(other)
    assert (store.load(key) or (None,))[0] == payload
    assert connections(named) == 1
    assert store.delete(other) is True
