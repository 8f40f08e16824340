"""What an operator should know and change about a Redis server that keeps sessions.

Knows nothing of sessions, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def findings(server: Any, now: float) -> Iterator[str]:
    """Yield what is wrong with one server.

    Args:
        server: a ``redis.Redis``.
        now: POSIX seconds, by this machine.
    """
    from redis.exceptions import ResponseError

    try:
        saves = server.config_get("save").get("save")
    except ResponseError:  # an ACL or the host of the server forbids it: the answer is not known
        saves = None
    info = server.info()
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < (6, 2):
        yield f"Redis {version} is too old: 6.2 is needed"
    policy = info.get("maxmemory_policy")
    if policy not in (None, "noeviction") and info.get("maxmemory"):
        yield (
            f"maxmemory-policy is {policy}: a full Redis ends sessions early, and 'log out everywhere' may"
            " miss sessions; set maxmemory-policy noeviction"
        )
    if saves == "" and not info.get("aof_enabled"):
        yield "Redis saves nothing to disk: a restart logs everybody out; set appendonly yes"
    if "server_time_usec" in info and abs(skew := info["server_time_usec"] / 1e6 - now) > 5:
        yield f"the clocks of Redis and of this machine are {abs(skew):.0f} s apart; synchronize them (NTP)"


def settings(server: Any) -> dict[str, str]:
    """Return the version of one server, and the settings that decide whether it keeps its keys.

    Args:
        server: a ``redis.Redis``.
    """
    info = server.info()
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    limit = f"{info['maxmemory_human']}, {info['maxmemory_policy']}" if info.get("maxmemory") else "no limit"
    found = {
        "server": f"{name} {info.get('valkey_version', info['redis_version'])}",
        "mode": info.get("redis_mode"),
        "memory used": info.get("used_memory_human"),
        "maxmemory": limit,
        "appendonly": "yes" if info.get("aof_enabled") else "no",
        "replicas": info.get("connected_slaves"),
        "clients": info.get("connected_clients"),
    }
    return {name: str(value) for name, value in found.items() if value is not None}
