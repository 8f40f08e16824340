"""What the Redis store tells an operator to change."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from support import redis_servers
from support.redis_servers import RedisServer, shared_one_node_cluster, shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore, findings

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))


NOT_SAVED = "Redis saves nothing to disk: a restart logs everybody out; set appendonly yes"
SAVING = {
    "nothing": (("--save", ""), [NOT_SAVED]),
    "from time to time": (("--save", "3600 1"), []),
    "every write": (("--save", "", "--appendonly", "yes"), []),
}


@pytest.mark.parametrize(("options", "expected"), SAVING.values(), ids=SAVING.keys())
def test_what_a_restart_would_cost(options: tuple[str, ...], expected: list[str]) -> None:
    """A server that saves nothing to disk is told; with its defaults, and a client made from a URL, nothing
    is wrong.
    """
    server = RedisServer(*options)
    store = from_url(f"redis://127.0.0.1:{server.port}")
    assert list(store.diagnose()) == expected  # type: ignore[attr-defined]
    store.close()
    server.close()


def test_who_may_not_ask_is_told_nothing() -> None:
    """Without ``+config`` nobody knows whether a restart costs anything."""
    shared_redis().user("asks", "+@all", "-config")
    with shared_redis().client(username="asks", password="any") as client:
        assert list(RedisStore(client).diagnose()) == []


def test_every_master_of_a_cluster_is_asked() -> None:
    """Also where there is but one."""
    store = from_url(shared_one_node_cluster().url)
    assert list(store.diagnose()) == [NOT_SAVED]  # type: ignore[attr-defined]
    store.close()


def test_an_evicting_server_is_told() -> None:
    """With a limit, a policy that evicts ends sessions early and makes listings incomplete."""
    with shared_redis().client() as client:
        client.config_set("maxmemory", 2**30)
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = list(RedisStore(client).diagnose())
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
    assert found[0].startswith(
        "maxmemory-policy is allkeys-lru: a full Redis ends sessions early, and 'log out everywhere'"
    )


def test_a_client_that_waits_for_ever_is_told() -> None:
    """Without a timeout, a server that hangs would make every request hang."""
    with shared_redis().client(socket_timeout=None) as client:
        assert next(RedisStore(client).diagnose()).startswith("the client has no socket_timeout")


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
    "clock ahead": (
        {"redis_version": "7.0", "server_time_usec": (NOW + 60) * 1e6},
        ["the clocks of Redis", "are 60 s apart"],
    ),
    "clock behind": ({"redis_version": "7.0", "server_time_usec": (NOW - 60) * 1e6}, ["are 60 s apart"]),
    "clock right": ({"redis_version": "7.0", "server_time_usec": (NOW - 4) * 1e6}, []),
}


@pytest.mark.parametrize(("info", "words"), SERVERS.values(), ids=SERVERS.keys())
def test_what_a_server_says_of_itself(info: dict[str, Any], words: list[str]) -> None:
    """Its version, its eviction policy and its clock, one sentence each."""
    server = SimpleNamespace(info=lambda: info, config_get=lambda name: {})
    found = list(findings(server, NOW))
    assert len(found) == bool(words)
    assert all(word in found[0] for word in words)


def test_the_servers_clock_is_compared() -> None:
    """Where a real server's clock is a minute off, it is told."""
    with shared_redis().client() as client:
        assert any("s apart; synchronize them" in said for said in findings(client, time.time() - 60))
