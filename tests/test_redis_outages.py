"""The Redis store and what goes wrong on the way: lost replies, servers that went away or fell silent, every
wait bounded.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import OPERATIONS, each_operation, new_prefix
from support.redis_fixtures import proxy, server
from support.redis_servers import Standalone, free_port, shared_redis
from support.web import Site

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.fork import guard
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import new_key, new_payload, together

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))
FIXTURES = proxy, server  # by these names pytest finds them here

Make = Callable[[int], RedisStore]


def from_a_url(port: int) -> RedisStore:
    store = from_url(f"redis://127.0.0.1:{port}?prefix={new_prefix()}")
    assert isinstance(store, RedisStore)
    return store


def with_defaults(port: int) -> RedisStore:
    import redis

    return RedisStore(redis.Redis(port=port), new_prefix(), owns_client=True)


def without_repetition(port: int) -> RedisStore:
    return RedisStore(shared_redis().client(port=port), new_prefix(), owns_client=True)


REPEATING = {"from a URL": from_a_url, "redis-py's defaults": with_defaults}


# Lost replies


@pytest.mark.parametrize("make", REPEATING.values(), ids=REPEATING.keys())
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_lost_reply_is_made_good(proxy: Proxy, make: Make, name: str) -> None:
    """redis-py sends the command again, and the answer is as if it had been carried out once.

    Only ``delete`` cannot know whether the record it does not find any more was its own doing; it is gone.
    """
    store = make(proxy.port)
    key, payload = created(store, 60, "ada")
    proxy.eat = 1
    assert OPERATIONS[name](store, key, payload) is (not name.startswith("delete"))
    assert (proxy.eat, proxy.connections) == (0, 2)
    assert (store.load(key) is None) is name.startswith(("delete", "clear"))
    store.close()


@each_operation
def test_without_repetition_a_lost_reply_is_an_error(proxy: Proxy, operation: Callable[..., Any]) -> None:
    """A client that repeats nothing leaves a StoreError, and the next operation works."""
    store = without_repetition(proxy.port)
    record = created(store, 60, "ada")
    proxy.eat = 1
    with pytest.raises(StoreError, match="Redis: .*Error"):
        operation(store, *record)
    assert proxy.eat == 0
    assert created(store, 60, "ada")
    store.close()


@pytest.mark.parametrize("make", REPEATING.values(), ids=REPEATING.keys())
@pytest.mark.parametrize("owner", [None, "ada"])
def test_requests_apply_nothing_twice(proxy: Proxy, make: Make, owner: str | None) -> None:
    """Every reply to a write is lost once: appended items are there once, an atomic counter is exact, nobody
    is lost.
    """
    store = make(proxy.port)
    site = Site(store)
    cookie = site.start({"list": [], "count": 0}, owner)

    def handler(number: int, session: Any) -> None:
        session["list"].append(number)
        proxy.eat = 1
        assert session.save() is True

        def count_up(session: Any) -> None:
            session["count"] += 1
            proxy.eat = 1

        session.atomic(count_up)
        proxy.eat = 1
        session[str(number)] = True

    for number in range(3):
        site.request(partial(handler, number), cookie)
        assert proxy.eat == 0
    assert site.read(cookie) == {"list": [0, 1, 2], "count": 3, "0": True, "1": True, "2": True}
    store.close()


# Servers that went away


@each_operation
def test_an_outage_is_an_error_and_ends(server: Standalone, operation: Callable[..., Any]) -> None:
    """Without a server every operation is a StoreError; with one again the same store works, at the first
    try.
    """
    store = without_repetition(server.port)
    key, payload = created(store, 60, "ada")
    server.stop()
    with pytest.raises(StoreError, match="connection refused|closed the connection"):
        operation(store, key, payload)
    server.start()
    assert store.load(key) is None
    assert operation(store, *created(store, 60, "ada"))
    store.close()


def is_replica(admin: Any) -> None:
    admin.replicaof("127.0.0.1", free_port())


def lost_replicas(admin: Any) -> None:
    admin.config_set("min-replicas-to-write", 1)


def queue(**options: Any) -> Any:
    """Return a pool whose connections wait in a queue."""
    import redis

    return redis.BlockingConnectionPool(**options)


def older_queue(**options: Any) -> Any:
    """Return the pool that it was before redis-py 7: it closes all of its connections, or none."""
    import redis

    class Older(redis.BlockingConnectionPool):
        ending = False

        def disconnect(self) -> None:
            assert self.ending, "this closes what is in use"
            super().disconnect()

    return Older(**options)


def plain_pool(**options: Any) -> Any:
    import redis

    return redis.ConnectionPool(**options)


@pytest.mark.parametrize("happens", [is_replica, lost_replicas], ids=["READONLY", "NOREPLICAS"])
@pytest.mark.parametrize("make", [plain_pool, queue, older_queue])
def test_a_server_that_may_be_master_no_longer_is_left(
    proxy: Proxy, server: Standalone, make: Callable[..., Any], happens: Callable[[Any], None]
) -> None:
    """A server that refuses writes is a StoreError once; then its address may lead to the new master."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    proxy.target = ("127.0.0.1", server.port)
    pool = make(port=proxy.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))
    store = RedisStore(redis.Redis(connection_pool=pool), new_prefix())
    busy = pool.get_connection()
    created(store)
    with server.client() as admin:
        happens(admin)
    proxy.target = ("127.0.0.1", shared_redis().port)
    with pytest.raises(StoreError, match="refuses to write"):
        store.create(new_key(), new_payload(), 60)
    assert store.create(new_key(), new_payload(), 60) is True
    busy.send_command("PING")  # nothing else was cut off
    assert busy.read_response() == b"PONG"
    pool.release(busy)
    pool.ending = True
    pool.disconnect()


# Every wait is bounded


def in_time(call: Callable[[], Any], words: str) -> None:
    """Check that a call fails, and long before anybody would give up on it."""
    start = time.monotonic()
    with pytest.raises(StoreError, match=words):
        call()
    assert time.monotonic() - start < 10


def test_a_server_that_never_speaks_is_an_error_in_time() -> None:
    """A listener that takes connections and says nothing is a StoreError too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = from_url(f"redis://127.0.0.1:{listener.getsockname()[1]}?socket_timeout=0.1")
        in_time(lambda: store.load(new_key()), "no answer in time")
        store.close()


def test_a_host_that_takes_no_connection_is_an_error_in_time() -> None:
    """Where packets vanish, connecting ends after the URL's timeout."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        store = from_url(f"redis://127.0.0.1:{port}?socket_connect_timeout=0.1")
        in_time(lambda: store.load(new_key()), "no answer in time")
        for filler in fillers:
            filler.close()
        store.close()


@each_operation
def test_no_fork_falls_into_an_operation(
    operation: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While redis-py is at work, this thread holds the lock that a fork waits for."""
    store = without_repetition(shared_redis().port)
    record = created(store, 60, "ada")
    get_connection, lock = store.client.connection_pool.get_connection, guard.own.lock
    free: list[bool] = []

    def noted(*args: Any, **options: Any) -> Any:
        free.extend(together([partial(lock.acquire, blocking=False)]))
        return get_connection(*args, **options)

    monkeypatch.setattr(store.client.connection_pool, "get_connection", noted)
    operation(store, *record)
    assert free and not any(free)
    store.close()


def test_what_is_no_failure_of_the_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is a bug, and no StoreError."""
    with shared_redis().client() as client:
        store = RedisStore(client, new_prefix())

        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(client, "execute_command", fail)
        with pytest.raises(ZeroDivisionError):
            store.load(new_key())
