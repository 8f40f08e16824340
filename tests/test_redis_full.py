"""The Redis store on a server without memory (``noeviction``): it refuses to store, and lets sessions be
ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.redis_contract import OPERATIONS, new_prefix
from support.redis_servers import Standalone, new_server, programs

from wsgisession.errors import StoreError
from wsgisession.stores.redis import RedisStore

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


REFUSED = {
    name: operation for name, operation in OPERATIONS.items() if name.startswith(("create", "replace"))
}
ENDING = [OPERATIONS[name] for name in ("delete", "delete, expected", "clear")]
ALLOWED: dict[str, Callable[[RedisStore, str, bytes], Any]] = {
    **{name: operation for name, operation in OPERATIONS.items() if name not in REFUSED},
    "touch, shorter": lambda store, key, old: store.touch(key, 5) and store.load(key)[1] < 6,  # type: ignore[index]
}


@pytest.mark.parametrize("write", REFUSED.values(), ids=REFUSED.keys())
def test_what_needs_memory_is_refused(full: tuple[RedisStore, str, bytes], write: Callable[..., Any]) -> None:
    """A StoreError that says what to do, and nobody is logged out by it."""
    store, key, payload = full
    with pytest.raises(StoreError, match=r"out of memory \(OOM\) and refuses to write; raise its maxmemory"):
        write(store, key, payload)
    assert (store.load(key) or (None,))[0] == payload


@pytest.mark.parametrize("operation", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_needs_none_works(full: tuple[RedisStore, str, bytes], operation: Callable[..., Any]) -> None:
    """Sessions can be read, listed, ended and given less time, by which memory becomes free."""
    store, key, payload = full
    assert operation(store, key, payload)
    assert (store.load(key) is None) is (operation in ENDING)
