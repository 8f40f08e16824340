"""The Redis store and a server that does not answer: one time-out, then errors at once, then one attempt a
second.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.clock import Clock
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import OPERATIONS, answers, each_operation, new_prefix
from support.redis_servers import new_server, shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import from_url, redis_calls
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import Outside, new_key, new_payload

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))

AT_ONCE = "it did not answer in time a moment ago"
IN_VAIN = "no answer in time"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which attempts are made; it stands still."""
    clock = Clock()
    monkeypatch.setattr(redis_calls, "monotonic", clock)
    return clock


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no attempt wait as long as the client would."""
    monkeypatch.setattr(redis_calls, "random", lambda: 0.99)


def silence(proxy: Proxy, user: str = "") -> Any:
    """Return a store whose server did not answer just now. For anything else it waits long."""
    store: Any = from_url(f"redis://{user}127.0.0.1:{proxy.port}?socket_timeout=30&prefix={new_prefix()}")
    store.load(new_key())
    store.close()
    options = store.client.connection_pool.connection_kwargs
    proxy.mute, options["socket_timeout"] = True, 0.1
    with pytest.raises(StoreError, match=IN_VAIN):
        store.load(new_key())
    options["socket_timeout"] = 30.0
    store.client.connection_pool.reset()
    return store


@pytest.fixture
def silent(hasty: None) -> Iterator[tuple[Proxy, Any]]:
    """A store whose server did not answer just now."""
    with Proxy(shared_redis().port) as proxy:
        store = silence(proxy)
        yield proxy, store
        store.close()


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an attempt that will be answered wait for it, however busy this machine is."""
    monkeypatch.setattr(redis_calls, "PATIENCE", 30.0)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an attempt that nobody answers wait for less than usual."""
    monkeypatch.setattr(redis_calls, "PATIENCE", 0.02)


@each_operation
def test_for_a_second_everything_fails_at_once(
    clock: Clock, silent: tuple[Proxy, Any], operation: Callable[..., Any]
) -> None:
    """After a time-out no operation so much as opens a connection for a second."""
    proxy, store = silent
    connections = proxy.connections
    for _ in range(3):
        with pytest.raises(StoreError, match=AT_ONCE):
            operation(store, new_key(), new_payload())
        clock.advance(0.33)
    assert proxy.connections == connections


@each_operation
def test_then_one_in_a_second_tries(
    clock: Clock, brief: None, silent: tuple[Proxy, Any], operation: Callable[..., Any]
) -> None:
    """The first operation of the next second tries and fails; the others fail at once, and so does the second after
    that.
    """
    proxy, store = silent
    connections = proxy.connections
    clock.advance(1.01)
    with pytest.raises(StoreError, match=IN_VAIN):
        operation(store, new_key(), new_payload())
    for _ in range(3):
        with pytest.raises(StoreError, match=AT_ONCE):
            operation(store, new_key(), new_payload())
        clock.advance(0.33)
    assert proxy.connections == connections + 1


@each_operation
def test_an_answer_ends_it(
    clock: Clock, calm: None, silent: tuple[Proxy, Any], operation: Callable[..., Any]
) -> None:
    """As soon as an attempt is answered, that operation is carried out, and all others too."""
    proxy, store = silent
    proxy.mute = False
    clock.advance(1.01)
    for work in (operation, *OPERATIONS.values()):
        work(store, new_key(), new_payload())


def test_an_attempt_is_short(clock: Clock, silent: tuple[Proxy, Any]) -> None:
    """An attempt waits for less than the client's time-outs: the workers of a site all make them."""
    _, store = silent
    clock.advance(1.01)
    start = time.monotonic()
    with pytest.raises(StoreError, match=IN_VAIN):
        store.load(new_key())
    assert time.monotonic() - start < 20


def test_a_slow_server_comes_back(
    clock: Clock, brief: None, silent: tuple[Proxy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then an attempt waits as long as the client does: a server that needs that long is back with
    it.
    """
    proxy, store = silent
    proxy.mute, proxy.delay = False, 0.1
    clock.advance(1.01)
    with pytest.raises(StoreError, match=IN_VAIN):
        store.load(new_key())
    monkeypatch.setattr(redis_calls, "random", lambda: 0.0)
    clock.advance(1.01)
    assert store.load(new_key()) is None
    assert store.load(new_key()) is None


def test_an_attempt_that_is_interrupted_blocks_nobody(
    clock: Clock, calm: None, silent: tuple[Proxy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception from outside in the middle of the attempt: the next second has one of its own."""
    proxy, store = silent
    proxy.mute = False

    def fail(*_: Any) -> None:
        raise Outside

    with monkeypatch.context() as patch:
        patch.setattr(redis_calls, "_ping", fail)
        clock.advance(1.01)
        with pytest.raises(Outside):
            store.load(new_key())
    with pytest.raises(StoreError, match=AT_ONCE):
        store.load(new_key())
    clock.advance(1.01)
    assert store.load(new_key()) is None


def test_a_user_who_may_not_ping_gets_an_answer(clock: Clock, calm: None) -> None:
    """An error that the server reports is an answer: an ACL without PING does not keep an outage going."""
    shared_redis().user("mute", "+@all", "-ping")
    with Proxy(shared_redis().port) as proxy:
        store = silence(proxy, "mute:any@")
        proxy.mute = False
        clock.advance(1.01)
        assert store.load(new_key()) is None
        store.close()


def test_a_refused_connection_is_no_outage(clock: Clock) -> None:
    """A server that is not there fails each operation with that reason, and works as soon as it is back."""
    server = new_server()
    store = from_url(f"redis://127.0.0.1:{server.port}")
    server.stop()
    for _ in range(3):
        with pytest.raises(StoreError, match="connection refused"):
            store.load(new_key())
    server.start()
    assert store.load(new_key()) is None
    store.close()
    server.close()


def test_it_ends_with_a_refused_connection(clock: Clock, silent: tuple[Proxy, Any]) -> None:
    """A server that hung and was killed: from then on the reason is that nobody is there."""
    proxy, store = silent
    proxy.__exit__(None, None, None)
    clock.advance(1.01)
    for _ in range(3):
        with pytest.raises(StoreError, match="connection refused"):
            store.load(new_key())


def test_a_time_out_is_not_repeated() -> None:
    """A client from a URL waits once: a repetition would hold the request twice as long."""
    with Proxy(shared_redis().port) as proxy:
        store = from_url(f"redis://127.0.0.1:{proxy.port}?socket_timeout=1&prefix={new_prefix()}")
        store.load(new_key())
        proxy.mute, connections = True, proxy.connections
        with pytest.raises(StoreError, match=IN_VAIN):
            store.load(new_key())
        assert proxy.connections == connections
        store.close()


def test_a_server_that_hangs_is_back_by_itself() -> None:
    """SIGSTOP and SIGCONT, with the real clock: what was there is there."""
    server = new_server()
    store = from_url(f"redis://127.0.0.1:{server.port}?socket_timeout=1")
    key, payload = created(store, 60)
    server.signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match=IN_VAIN):
        store.load(key)
    server.signal(signal.SIGCONT)
    redis_servers.until(lambda: answers(store, key, payload), "the store tries again")
    store.close()
    server.close()


def test_two_stores_have_an_outage_each(clock: Clock, silent: tuple[Proxy, Any]) -> None:
    """What one store knows of its server does not concern another store."""
    with shared_redis().client() as client:
        assert RedisStore(client, new_prefix()).load(new_key()) is None
