"""Fixtures for tests on a Redis server: a module that needs them imports them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.proxy import Proxy
from support.redis_contract import new_prefix
from support.redis_servers import Standalone, new_server, shared_redis

from wsgisession.stores.redis import RedisStore


@pytest.fixture
def client() -> Iterator[Any]:
    """A client that waits for nothing and repeats nothing."""
    with shared_redis().client() as client:
        yield client


@pytest.fixture
def store(client: Any) -> RedisStore:
    """A store under a prefix that no other test uses."""
    return RedisStore(client, new_prefix())


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    with Proxy(shared_redis().port) as proxy:
        yield proxy


@pytest.fixture
def server() -> Iterator[Standalone]:
    """A server that the test may set up and stop."""
    server = new_server()
    yield server
    server.close()
