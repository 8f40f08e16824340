"""What the Redis store tells an operator to change."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support import redis_servers
from support.redis_servers import shared_one_node_cluster, shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.stores.redis_findings import _findings

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))


def test_nothing_is_wrong() -> None:
    """A server with its defaults, and a client made from a URL."""
    store = from_url(f"redis://127.0.0.1:{shared_redis().port}")
    assert list(store.diagnose()) == []  # type: ignore[attr-defined]
    store.close()


def test_nothing_is_wrong_on_a_cluster() -> None:
    """Each master is asked, also where there is but one."""
    store = from_url(shared_one_node_cluster().url)
    assert list(store.diagnose()) == []  # type: ignore[attr-defined]
    store.close()


def test_a_client_that_waits_for_ever_is_told() -> None:
    """Without a timeout a server that hangs would hold up every request."""
    with shared_redis().client(socket_timeout=None) as client:
        assert [line.split(":")[0] for line in RedisStore(client).diagnose()] == ["the client has no socket_timeout"]


def test_no_server_is_an_error() -> None:
    """A StoreError, as with any other operation."""
    with pytest.raises(StoreError):
        list(from_url(f"redis://127.0.0.1:{redis_servers.free_port()}").diagnose())  # type: ignore[attr-defined]


NOW = 1_764_018_000.0
SERVERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "fine": ({"redis_version": "6.2.0", "maxmemory_policy": "noeviction", "maxmemory": 1}, []),
    "no limit": ({"redis_version": "10.0.1", "maxmemory_policy": "allkeys-lru", "maxmemory": 0}, []),
    "says nothing": ({"redis_version": "7.2.4"}, []),
    "too old": ({"redis_version": "6.0.16"}, ["Redis 6.0.16 is too old: 6.2 is needed"]),
    "evicts": (
        {"redis_version": "7.0", "maxmemory_policy": "volatile-ttl", "maxmemory": 1},
        ["maxmemory-policy is volatile-ttl"],
    ),
    "clock ahead": ({"redis_version": "7.0", "server_time_usec": (NOW + 60) * 1e6}, ["the clocks of Redis", "are 60 s apart"]),
    "clock behind": ({"redis_version": "7.0", "server_time_usec": (NOW - 60) * 1e6}, ["are 60 s apart"]),
    "clock right": ({"redis_version": "7.0", "server_time_usec": (NOW - 4) * 1e6}, []),
}


@pytest.mark.parametrize(("info", "words"), SERVERS.values(), ids=SERVERS.keys())
def test_what_a_server_says_of_itself(info: dict[str, Any], words: list[str]) -> None:
    """Its version, its eviction policy and its clock, one sentence each."""
    found = list(_findings(info, NOW))
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


def test_the_servers_clock_is_compared() -> None:
    """With the real time of a real server there is nothing to say."""
    with shared_redis().client() as client:
        assert list(_findings(client.info(), time.time())) == []
