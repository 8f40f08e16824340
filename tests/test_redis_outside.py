"""The Redis store and what comes from outside: exceptions at any point, other users of its thread or its
client, close().
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from support import redis_servers
from support.breadth import breadth
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import each_operation, name_of, new_prefix
from support.redis_servers import after_sending, shared_one_node_cluster, shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import Outside, Steps, new_key, new_payload, together

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))


def one_server(port: int) -> RedisStore:
    return RedisStore(shared_redis().client(port=port), new_prefix(), owns_client=True)


def one_server_with_a_queue(port: int) -> RedisStore:
    import redis

    pool = redis.BlockingConnectionPool(port=port, max_connections=2, timeout=1, socket_timeout=5)
    return RedisStore(redis.Redis.from_pool(pool), new_prefix())


def a_cluster(port: int) -> RedisStore:
    import redis

    node = redis.cluster.ClusterNode("127.0.0.1", shared_one_node_cluster().port)
    client = redis.RedisCluster(
        startup_nodes=[node], socket_timeout=5, address_remap=lambda place: ("127.0.0.1", port)
    )
    return RedisStore(client, new_prefix(), owns_client=True)


CLIENTS = {"a server": one_server, "a queue": one_server_with_a_queue, "a Cluster": a_cluster}


@pytest.fixture(params=CLIENTS.values(), ids=CLIENTS.keys())
def far(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, RedisStore]]:
    """A store whose replies can be delayed on the way."""
    target = shared_one_node_cluster().port if request.param is a_cluster else shared_redis().port
    with Proxy(target) as proxy:
        store = request.param(proxy.port)
        store.load(new_key())
        yield proxy, store
        proxy.delay = 0.0
        store.close()


def assert_answers_fit(store: RedisStore, key: str, payload: bytes) -> None:
    """Check that each answer is the one to its own question."""
    fresh = new_payload()
    assert (store.load(key) or (None,))[0] == payload
    assert store.load(new_key()) is None
    assert store.replace(key, new_payload(), new_payload(), 60) is False
    assert store.create(key, new_payload(), 60) is False
    assert store.replace(key, payload, fresh, 60, "eve") is True
    assert store.touch(new_key(), 60) is False
    assert store.create(new_key(), new_payload(), 60) is True
    assert store.delete(new_key()) is False
    assert list(store.owned_by("eve")) == [key]
    assert list(store.owned_by("nobody")) == []
    assert [found and found[0] for found in store.load_many([new_key(), key])] == [None, fresh]
    assert store.delete(key, fresh) is True


# Replies


@each_operation
def test_nobody_gets_the_reply_to_a_request_that_was_interrupted(
    far: tuple[Proxy, RedisStore], operation: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was interrupted between sending and reading: each next answer is to its own question."""
    proxy, store = far
    mine, yours = created(store, 60, "ada"), created(store, 60, "eve")
    left = after_sending(monkeypatch)
    proxy.delay = 0.02
    with pytest.raises(Outside):
        operation(store, *mine)
    assert left() == 0
    # A reply that was left behind would be this one's.
    assert (store.load(yours[0]) or (None,))[0] == yours[1]
    proxy.delay = 0.0
    assert_answers_fit(store, *yours)


@pytest.mark.parametrize("path", ["alone", "in a pipeline"])
def test_nobody_gets_a_reply_that_somebody_else_left_behind(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's own command on the same client was interrupted: the store does not take its reply for
    its own.
    """
    with Proxy(shared_redis().port) as proxy, shared_redis().client(port=proxy.port) as client:
        store = RedisStore(client, new_prefix())
        mine, yours = created(store, 60, "ada"), created(store, 60, "eve")
        after_sending(monkeypatch)
        proxy.delay = 0.02
        with pytest.raises(Outside):
            client.mget(name_of(store, mine[0]), "other")
        if path == "alone":
            assert store.replace(yours[0], new_payload(), new_payload(), None) is False
        else:
            assert [found and found[0] for found in store.load_many([yours[0], new_key()])] == [
                yours[1],
                None,
            ]
        assert_answers_fit(store, *yours)


ODD_REPLIES = [
    b"$2\r\nOK\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*2\r\n:1\r\n:2\r\n",
    b"+OK\r\n",
    b"$0\r\n\r\n",
]


@pytest.fixture
def garbling() -> Iterator[tuple[Proxy, RedisStore]]:
    """A store that may get other replies than the server's; connections begin without questions that need an
    answer.
    """
    with Proxy(shared_redis().port) as proxy, shared_redis().client(port=proxy.port, protocol=2) as client:
        yield proxy, RedisStore(client, new_prefix())


@pytest.mark.parametrize("reply", ODD_REPLIES, ids=repr)
def test_what_is_no_reply_of_the_script_is_asked_again(
    garbling: tuple[Proxy, RedisStore], reply: bytes
) -> None:
    """Any reply that does not name its command is dropped with its connection, and the command is sent once
    more.
    """
    proxy, store = garbling
    record = created(store, 60)
    proxy.garble = reply
    assert_answers_fit(store, *record)
    assert proxy.garble == b""


def test_replies_that_answer_nothing_are_an_error(garbling: tuple[Proxy, RedisStore]) -> None:
    """If the second reply is as odd as the first, that is a StoreError that says so."""
    proxy, store = garbling
    record = created(store, 60)
    proxy.garble, proxy.garble_all = b":1\r\n", True
    with pytest.raises(StoreError, match="a reply that belongs to another command"):
        store.load(record[0])
    proxy.garble_all = False
    assert_answers_fit(store, *record)


# Connections


# Of what is raised in a callback of the collector nobody hears.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", [one_server, one_server_with_a_queue], ids=["a pool", "a queue"])
def test_no_connection_is_lost(make: Callable[[int], RedisStore]) -> None:
    """An exception at any point inside redis-py, more often than there may be connections: all go on."""
    store = make(shared_redis().port)
    store.client.connection_pool.max_connections = 2
    key, payload = created(store, 60, "ada")

    def fail() -> None:
        raise Outside

    with inside("redis", store, 0, fail) as steps:
        store.load(key)
    for step in range(1, steps.count, max(steps.count // 60, 1)):
        with suppress(Outside), inside("redis", store, step, fail):
            store.load(key)
        assert (store.load(key) or (None,))[0] == payload
    pair = together([partial(store.load, key)] * 2)
    assert [found and found[0] for found in pair] == [payload, payload]


LOOKS: dict[str, Callable[[RedisStore], object]] = {
    "load": lambda store: store.load("key"),
    "owned_by": lambda store: list(store.owned_by("ada")),
    "settings": lambda store: store.settings(),
    "diagnose": lambda store: list(store.diagnose()),
}


@pytest.mark.both
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_the_only_connection_is_not_lost(look: Callable[[RedisStore], object]) -> None:
    """An exception at any step of the store's own code: the one connection that there may be serves the next command."""

    def fail() -> None:
        raise Outside

    for step in breadth.steps(2):
        store = one_server(shared_redis().port)
        store.client.connection_pool.max_connections = 1
        store.load("key")
        steps = Steps(store, step, fail)
        with suppress(Outside), steps:
            look(store)
        assert [store.load("key"), list(store.owned_by("ada")), store.load("key")] == [None, [], None]
        store.close()
        store.client.close()
        if steps.count < step:
            break
    assert step > 10


class inside(Steps):
    """Steps of another package than the store's."""

    def __init__(self, package: str, store: Any, step: int, act: Callable[[], object]) -> None:
        super().__init__(store, step, act)
        self.package = package


@pytest.mark.parametrize("package", ["redis", "queue", "threading"])
@pytest.mark.parametrize("make", [one_server, one_server_with_a_queue], ids=["a pool", "a queue"])
def test_code_inside_an_operation_never_waits_for_itself(
    make: Callable[[int], RedisStore], package: str
) -> None:
    """A signal handler or a finalizer that uses the store, at any point inside redis-py: an answer, or a
    StoreError.
    """
    store = make(shared_redis().port)
    key, payload = created(store, 60, "ada")
    answers: list[Any] = []

    def use() -> None:
        with suppress(StoreError):
            answers.append((store.load(key) or (None,))[0])

    def run(step: int) -> Any:
        with inside(package, store, step, use) as steps:
            return steps, (store.load(key) or (None,))[0]

    count = run(0)[0].count
    for step in range(1, count + 1, max(count // 40, 1)):
        assert together([partial(run, step)])[0][1] == payload
    assert set(answers) <= {payload}
    store.close()


def test_what_a_queue_cannot_serve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue would wait for itself: a second use on one thread is a StoreError, other threads go on."""
    store = one_server_with_a_queue(shared_redis().port)
    key, payload = created(store, 60)
    pool, seen = store.client.connection_pool, []
    get_connection = pool.get_connection

    def interrupted(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(pool, "get_connection", get_connection)
        with pytest.raises(StoreError) as raised:
            store.load(key)
        seen.append(str(raised.value))
        assert (together([partial(store.load, key)])[0] or (None,))[0] == payload
        return get_connection(*args, **options)

    monkeypatch.setattr(pool, "get_connection", interrupted)
    assert (store.load(key) or (None,))[0] == payload
    assert seen == ["Redis: this thread is using the client already, and would wait for itself"]


# close()


@pytest.mark.parametrize("kind", ["redis", "redis+cluster"])
def test_close_in_use_is_an_answer_or_a_store_error(kind: str) -> None:
    """close() while threads use the store: each gets its answer or a StoreError, and the store can be used
    again.
    """
    if kind == "redis":
        url = f"redis://127.0.0.1:{shared_redis().port}?prefix={new_prefix()}"
    else:
        url = f"{shared_one_node_cluster().url}?prefix={new_prefix()}"
    store = from_url(url)
    key, payload = created(store, 60)
    stop = threading.Event()

    def use() -> set[Any]:
        found: set[Any] = set()
        while not stop.is_set():
            with suppress(StoreError):
                found.add((store.load(key) or (None,))[0])
        return found

    def close() -> set[Any]:
        try:
            for _ in range(100):
                store.close()
                stop.wait(0.002)
        finally:
            stop.set()
        return {payload}

    assert set().union(*together([use, use, use, close])) == {payload}
    assert (store.load(key) or (None,))[0] == payload
    store.close()
