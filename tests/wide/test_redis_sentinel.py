"""The Redis store behind real sentinels: one master, one replica, failovers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support import redis_servers
from support.load import Load
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import RedisContract, answers, new_prefix, use_everything
from support.redis_servers import SERVICE, RedisSentinel, after_sending, new_sentinel, until

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import Outside, new_payload

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing())),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisSentinel]:
    """Servers that nobody stops."""
    servers = new_sentinel()
    yield servers
    servers.close()


@pytest.fixture
def private() -> Iterator[RedisSentinel]:
    """Servers that a test may stop."""
    servers = new_sentinel()
    yield servers
    servers.close()


class TestSentinel(RedisContract):
    """A client as a caller would make it."""

    @pytest.fixture(autouse=True)
    def take_servers(self, shared: RedisSentinel) -> None:
        self.servers = shared

    def connect(self) -> Any:
        import redis

        hosts = [("127.0.0.1", sentinel.port) for sentinel in self.servers.sentinels]
        return redis.Sentinel(hosts, socket_timeout=5).master_for(SERVICE)


def master(servers: RedisSentinel) -> Any:
    """Return the server that the sentinels name now."""
    with servers.sentinels[0].client() as client:
        port = int(client.sentinel_master(SERVICE)["port"])
    return next(server for server in (servers.master, servers.replica) if server.port == port)


def follows(server: Any) -> bool:
    """Whether a server has become a replica in step."""
    with server.client() as client:
        found = client.info("replication")
    return bool(found["role"] == "slave" and found["master_link_status"] == "up")


@pytest.mark.alone
def test_sessions_go_on_when_the_master_dies(private: RedisSentinel) -> None:
    """A master killed under load: errors in bounded time, then its replica serves; the old one comes back as
    a replica.
    """
    store = from_url(f"{private.url}?socket_timeout=1&socket_connect_timeout=1")
    load = Load(store, 4, "ada")
    load.progresses()
    private.master.stop(signal.SIGKILL)
    load.suffers()
    load.progresses()
    assert master(private) is private.replica
    private.master.start()
    until(lambda: follows(private.master), "the old master follows")
    load.progresses()
    print(load.finish())
    assert load.slowest < 20
    use_everything(RedisStore(store.client, new_prefix()))  # type: ignore[attr-defined]
    store.close()


CAREFUL = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")


@pytest.mark.alone
@pytest.mark.parametrize("options", [(), CAREFUL], ids=["defaults", "min-replicas-to-write 1"])
def test_a_planned_failover_leaves_nobody_behind(options: tuple[str, ...]) -> None:
    """``SENTINEL FAILOVER``: the old master is alive, yet every connection moves on to the new one without a
    restart.

    The sentinels tell the old master some ten seconds later. With Redis' defaults it acknowledges writes
    until then, and forgets them; told to write only where a replica follows, it refuses them at once, and the
    store looks for the new one.
    """
    servers = new_sentinel(*options)
    try:
        store = from_url(servers.url)
        load = Load(store, 4, "ada")
        load.progresses()
        servers.sentinels[0].client().execute_command("SENTINEL FAILOVER", SERVICE)
        until(lambda: master(servers) is servers.replica and follows(servers.master), "the failover")
        load.progresses()
        print(load.finish())
        assert load.slowest < 20
        assert sum(load.lost) < max(sum(load.written) / 100, 9) or not options
        store.close()
    finally:
        servers.close()


@pytest.mark.alone
def test_without_sentinels_open_connections_go_on(private: RedisSentinel) -> None:
    """Sentinels are asked when a connection is opened; while all are down who needs a new one gets a
    StoreError.
    """
    store, late = (from_url(f"{private.url}?socket_timeout=1") for _ in range(2))
    key, payload = created(store, 60, "ada")
    for sentinel in private.sentinels:
        sentinel.stop()
    assert (store.load(key) or (None,))[0] == payload
    with pytest.raises(StoreError, match="no sentinel that answers knows a master of this service") as raised:
        late.load(key)
    assert len(str(raised.value)) < 300
    private.sentinels[1].start()
    until(lambda: late.load(key) or True, "a sentinel answers")
    assert (late.load(key) or (None,))[0] == payload
    for one in (store, late):
        one.close()


@pytest.mark.alone
def test_sessions_go_on_when_the_master_hangs(private: RedisSentinel) -> None:
    """A master stopped by SIGSTOP: one time-out, errors at once, then its replica serves; the old one wakes
    up as a replica.
    """
    store = from_url(f"{private.url}?socket_timeout=0.3&socket_connect_timeout=0.3")
    key, payload = created(store, 600)
    until(lambda: private.replica.client().exists(f"wsgisession:{key}"), "the replica has it")
    private.master.signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match="no answer in time"):
        store.load(key)
    with pytest.raises(StoreError, match="not answer in time a moment ago"):
        store.load(key)
    until(lambda: answers(store, key, payload), "the replica serves")
    private.master.signal(signal.SIGCONT)
    until(lambda: follows(private.master), "the old master follows")
    assert answers(store, key, payload)
    store.close()


def test_nobody_gets_the_reply_to_a_request_that_was_interrupted(
    shared: RedisSentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py leaves such a connection in its pool here; the store neither uses it nor believes what it
    says.
    """
    store = from_url(f"{shared.url}?prefix={new_prefix()}")
    (mine, _), (yours, payload) = created(store, 60), created(store, 60)
    for _ in range(3):
        with monkeypatch.context() as patched, pytest.raises(Outside):
            after_sending(patched)
            store.load(mine)
        assert (store.load(yours) or (None,))[0] == payload
        assert store.replace(yours, b"no", new_payload(), 60) is False
    store.close()


def test_a_reply_that_comes_too_late_is_nobodys(shared: RedisSentinel) -> None:
    """After a time-out redis-py keeps the connection here, with the reply still to come: it is dropped."""
    with Proxy(shared.master.port) as proxy:
        client = redis_of(shared, proxy)
        store = RedisStore(client, new_prefix())
        (mine, _), (yours, payload) = created(store, 60), created(store, 60)
        proxy.delay = 0.4
        with pytest.raises(StoreError, match="no answer in time"):
            store.load(mine)
        proxy.delay = 0.0
        until(lambda: answers(store, yours, payload), "the store tries again")
        client.close()


def redis_of(servers: RedisSentinel, proxy: Proxy) -> Any:
    """Return a client for the master, by way of a proxy."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    hosts = [("127.0.0.1", sentinel.port) for sentinel in servers.sentinels]
    sentinel = redis.Sentinel(hosts, socket_timeout=5)
    sentinel.discover_master = lambda service: ("127.0.0.1", proxy.port)  # type: ignore[method-assign]
    retry = Retry(NoBackoff(), 0, (redis.ConnectionError,))
    return sentinel.master_for(SERVICE, socket_timeout=0.2, retry=retry)
