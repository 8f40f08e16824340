"""The Redis store and what goes wrong on the way: lost replies, servers that went away or fell silent, every
wait bounded.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import index_of, name_of, new_prefix
from support.redis_servers import Standalone, free_port, new_server, shared_redis, until
from support.web import Site

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.fork import guard
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import in_child, new_key, new_payload, together

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))

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


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    with Proxy(shared_redis().port) as proxy:
        yield proxy


@pytest.fixture
def server() -> Iterator[Standalone]:
    """A server that the test may stop."""
    server = new_server()
    yield server
    server.close()


OPERATIONS: dict[str, tuple[Callable[[Any, str, bytes], Any], Any]] = {
    "load": (lambda store, key, old: (store.load(key) or (None,))[0] == old, True),
    "create": (lambda store, key, old: store.create(new_key(), new_payload(), 60), True),
    "create, owner": (lambda store, key, old: store.create(new_key(), new_payload(), 60, "bob"), True),
    "replace": (lambda store, key, old: store.replace(key, old, new_payload(), 60), True),
    "replace, owner": (lambda store, key, old: store.replace(key, old, new_payload(), 60, "ada"), True),
    "touch": (lambda store, key, old: store.touch(key, 90), True),
    "touch, owner": (lambda store, key, old: store.touch(key, 90, "ada"), True),
    "delete": (lambda store, key, old: (store.delete(key), store.load(key)), (False, None)),
    "keys": (lambda store, key, old: list(store.keys()) == [key], True),
    "owned_by": (lambda store, key, old: list(store.owned_by("ada")) == [key], True),
}
every_operation = pytest.mark.parametrize(
    ("operation", "expected"), OPERATIONS.values(), ids=OPERATIONS.keys()
)


# Lost replies


@pytest.mark.parametrize("make", REPEATING.values(), ids=REPEATING.keys())
@every_operation
def test_a_lost_reply_is_made_good(
    proxy: Proxy, make: Make, operation: Callable[..., Any], expected: Any
) -> None:
    """redis-py sends the command again, and the answer is as if it had been carried out once.

    Only ``delete`` cannot know whether the record it does not find any more was its own doing; it is gone.
    """
    store = make(proxy.port)
    key, payload = created(store, 60, "ada")
    proxy.eat = 1
    assert operation(store, key, payload) == expected
    assert (proxy.eat, proxy.connections) == (0, 2)
    store.close()


@every_operation
def test_without_repetition_a_lost_reply_is_an_error(
    proxy: Proxy, operation: Callable[..., Any], expected: Any
) -> None:
    """A client that repeats nothing leaves a StoreError, and the next operation works."""
    store = without_repetition(proxy.port)
    record = created(store, 60, "ada")
    proxy.eat = 1
    with pytest.raises(StoreError, match="Redis: .*Error"):
        operation(store, *record)
    assert proxy.eat == 0
    assert created(store, 60, "ada")
    store.close()


@pytest.mark.parametrize("owner", [None, "ada"])
def test_a_repeated_create_or_replace_is_applied_once(proxy: Proxy, owner: str | None) -> None:
    """The same call again after a lost reply is True and changes nothing; after somebody else's write it is
    False.
    """
    store = without_repetition(proxy.port)
    key, first, second = new_key(), new_payload(), new_payload()
    for call in (
        partial(store.create, key, first, 60, owner),
        partial(store.replace, key, first, second, 60, owner),
    ):
        proxy.eat = 1
        with pytest.raises(StoreError):
            call()
        assert call() is True
    assert store.replace(key, second, new_payload(), 60, owner) is True
    assert store.replace(key, first, second, 60, owner) is False
    assert store.create(key, first, 60, owner) is False
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


def test_a_login_survives_lost_replies(proxy: Proxy) -> None:
    """A login whose every reply is lost once leaves one live session, the one the cookie leads to."""
    store = from_a_url(proxy.port)
    site = Site(store)
    cookie = site.start({"cart": [1]})

    def log_in(session: Any) -> None:
        assert session["cart"] == [1]
        session.owner = "ada"
        proxy.eat = 1

    answer = site.request(log_in, cookie)
    assert site.read(answer.cookie) == {"cart": [1]}
    assert site.read(cookie) == {}
    assert len(site.live()) == 1
    store.close()


def test_save_again_after_an_error_appends_once(proxy: Proxy) -> None:
    """An application that tries save() again after a StoreError has its items once."""
    store = without_repetition(proxy.port)
    site = Site(store)
    cookie = site.start({"list": []})

    def handler(session: Any) -> None:
        session["list"].append("a")
        proxy.eat = 1
        with pytest.raises(StoreError):
            session.save()
        session["list"].append("b")
        assert session.save() is True

    site.request(handler, cookie)
    assert site.read(cookie) == {"list": ["a", "b"]}
    store.close()


def test_an_interrupted_operation_costs_its_connection(proxy: Proxy) -> None:
    """Ctrl-C while an answer is awaited: the next command does not get that answer, and a fork need not wait."""
    store = without_repetition(proxy.port)
    key, payload = created(store)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def interrupter() -> None:
        until(lambda: proxy.round_trips, "the request reaches the server")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        proxy.round_trips, proxy.mute = 0, True
        thread = threading.Thread(target=interrupter)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            store.load(new_key())
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    proxy.mute = False
    assert (store.load(key) or (None,))[0] == payload
    start = time.monotonic()
    assert in_child(lambda: True)
    assert time.monotonic() - start < 5
    store.close()


# Servers that went away


@every_operation
def test_an_outage_is_an_error_and_ends(
    server: Standalone, operation: Callable[..., Any], expected: Any
) -> None:
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
    assert operation(store, *created(store, 60, "ada")) in (expected, (True, None))
    store.close()


VISITS: dict[str, Callable[[Any], Any]] = {
    "read": lambda session: session.get("a"),
    "write": lambda session: session.__setitem__("a", 2),
    "login": lambda session: setattr(session, "owner", "ada"),
    "logout": lambda session: session.destroy(),
}


@pytest.mark.parametrize("visit", VISITS.values(), ids=VISITS.keys())
def test_requests_during_an_outage(server: Standalone, visit: Callable[[Any], Any]) -> None:
    """Who touches the session fails, and gets no empty one; others notice nothing; then all is as before."""
    store = from_a_url(server.port)
    site = Site(store)
    cookie = site.start({"a": 1})
    server.stop()
    with pytest.raises(StoreError):
        site.request(visit, cookie)
    assert site.request(lambda session: "fine", cookie).headers == [("Content-Type", "text/plain")]
    server.start()
    cookie = site.start({"a": 3})
    assert site.read(cookie) == {"a": 3}
    site.request(visit, cookie)
    store.close()


def test_idle_connections_that_were_cut_are_not_used(proxy: Proxy) -> None:
    """A firewall that drops idle connections costs a reconnect, no error."""
    store = without_repetition(proxy.port)
    key, payload = created(store)
    for _ in range(3):
        proxy.cut()
        assert (store.load(key) or (None,))[0] == payload
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


def test_a_server_that_does_not_answer_is_an_error_in_time(proxy: Proxy) -> None:
    """A server that has stopped answering is a StoreError after the URL's timeout; its connection is not used
    again.
    """
    store = from_url(f"redis://127.0.0.1:{proxy.port}?socket_timeout=1&prefix={new_prefix()}")
    key, payload = created(store)
    proxy.mute = True
    in_time(lambda: store.load(key), "no answer in time")
    in_time(lambda: store.replace(key, payload, new_payload(), 60, "ada"), "not answer in time")
    store.close()


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


# What errors say


def wrong_password(server: Standalone) -> Callable[[], Any]:
    client = server.client(username="default", password="swordfish")
    with server.client() as admin:
        admin.config_set("requirepass", "another")
    return partial(RedisStore(client, new_prefix()).load, new_key())


def foreign_index(server: Standalone) -> Callable[[], Any]:
    store = RedisStore(server.client(), new_prefix())
    server.client().set(index_of(store, "ada"), "no sorted set")
    return partial(store.create, new_key(), b"swordfish", 60, "ada")


def foreign_record(server: Standalone) -> Callable[[], Any]:
    store = RedisStore(server.client(), new_prefix())
    key = new_key()
    server.client().lpush(name_of(store, key), "no string")
    return partial(store.replace, key, b"swordfish", b"swordfish 2", 60)


def nobody_there(server: Standalone) -> Callable[[], Any]:
    server.stop()
    return partial(
        from_url(f"redis://ada:swordfish@127.0.0.1:{server.port}").create, new_key(), b"swordfish", 60, "ada"
    )


TROUBLES = {
    "wrong password": (wrong_password, "AuthenticationError"),
    "foreign index": (foreign_index, "WRONGTYPE"),
    "foreign record": (foreign_record, "WRONGTYPE"),
    "nobody there": (nobody_there, "ConnectionError"),
}


@pytest.mark.parametrize(("prepare", "words"), TROUBLES.values(), ids=TROUBLES.keys())
def test_errors_show_no_secret(
    server: Standalone, prepare: Callable[[Standalone], Callable[[], Any]], words: str
) -> None:
    """The engine's error is chained, and nowhere in the chain is a password or a payload."""
    call = prepare(server)
    with pytest.raises(StoreError, match=words) as raised:
        call()
    assert raised.value.__cause__ is not None
    seen: BaseException | None = raised.value
    while seen is not None:
        assert "swordfish" not in f"{seen!r} {seen}"
        seen = seen.__cause__ or seen.__context__
    messages = "".join(traceback.format_exception_only(raised.value))
    assert "swordfish" not in messages


@every_operation
def test_no_fork_falls_into_an_operation(
    operation: Callable[..., Any], expected: Any, monkeypatch: pytest.MonkeyPatch
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
