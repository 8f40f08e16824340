"""The Redis store on a server without memory (``noeviction``): it refuses to store, and lets sessions be
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.redis_contract import new_prefix
from support.redis_servers import Standalone, new_server, programs

from wsgisession.errors import StoreError
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import new_key, new_payload

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))


@pytest.fixture(scope="module", params=programs())
def server(request: pytest.FixtureRequest) -> Iterator[Standalone]:
    """A server for this module alone."""
    server = new_server(request.param)
    yield server
    server.close()


@pytest.fixture(params=["knows the script", "has forgotten the script"])
def full(server: Standalone, request: pytest.FixtureRequest) -> Iterator[tuple[RedisStore, str, bytes]]:
    """A store with one record of ada's, on a server that is out of memory."""
    with server.client() as client:
        store = RedisStore(client, new_prefix())
        record = created(store, 60, "ada")
        client.config_set("maxmemory", 1)
        if "forgotten" in request.param:
            client.script_flush()
        yield store, *record
        client.config_set("maxmemory", 0)


REFUSED: dict[str, Callable[[RedisStore, str, bytes], Any]] = {
    "create": lambda store, key, old: store.create(new_key(), new_payload(), 60),
    "create, owner": lambda store, key, old: store.create(new_key(), new_payload(), 60, "ada"),
    "replace": lambda store, key, old: store.replace(key, old, new_payload(), 60),
    "replace, owner": lambda store, key, old: store.replace(key, old, new_payload(), 60, "ada"),
    "replace without a ttl": lambda store, key, old: store.replace(key, old, new_payload(), None, "ada"),
}
ALLOWED: dict[str, tuple[Callable[[RedisStore, str, bytes], Any], Any]] = {
    "delete": (lambda store, key, old: (store.delete(key), store.load(key)), (True, None)),
    "delete, expected": (lambda store, key, old: (store.delete(key, old), store.load(key)), (True, None)),
    "clear": (lambda store, key, old: (store.clear(), store.count()), (1, 0)),
    "touch, shorter": (lambda store, key, old: (store.touch(key, 5), store.load(key)[1] < 6), (True, True)),  # type: ignore[index]
    "touch, expected": (lambda store, key, old: store.touch(key, 90, None, old), True),
    "touch, owner": (lambda store, key, old: store.touch(key, 90, "ada", old), True),
    "load": (lambda store, key, old: (store.load(key) or (None,))[0] == old, True),
    "load_many": (lambda store, key, old: (store.load_many([key])[0] or (None,))[0] == old, True),
    "owned_by": (lambda store, key, old: list(store.owned_by("ada")) == [key], True),
    "keys": (lambda store, key, old: list(store.keys()) == [key], True),
    "count": (lambda store, key, old: store.count(), 1),
}


@pytest.mark.parametrize("write", REFUSED.values(), ids=REFUSED.keys())
def test_what_needs_memory_is_refused(full: tuple[RedisStore, str, bytes], write: Callable[..., Any]) -> None:
    """A StoreError that says what to do, and nobody is logged out by it."""
    store, key, payload = full
    with pytest.raises(StoreError, match=r"out of memory \(OOM\) and refuses to write; raise its maxmemory"):
        write(store, key, payload)
    assert (store.load(key) or (None,))[0] == payload


@pytest.mark.parametrize(("operation", "expected"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_needs_none_works(
    full: tuple[RedisStore, str, bytes], operation: Callable[..., Any], expected: Any
) -> None:
    """Sessions can be read, listed, ended and given less time, by which memory becomes free."""
    store, key, payload = full
    assert operation(store, key, payload) == expected


def test_ending_sessions_makes_room(server: Standalone) -> None:
    """What was refused works again once enough sessions have been ended."""
    with server.client() as client:
        store = RedisStore(client, new_prefix())
        keys = [new_key() for _ in range(200)]
        for key in keys:
            assert store.create(key, new_payload() + bytes(10_000), 60, "ada") is True
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)
        with pytest.raises(StoreError, match="OOM"):
            store.create(new_key(), new_payload(), 60)
        assert sum(map(store.delete, store.owned_by("ada"))) == 200
        assert store.create(new_key(), new_payload(), 60) is True
        client.config_set("maxmemory", 0)
