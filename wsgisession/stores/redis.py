"""Sessions in Redis or Valkey, for any number of machines: standalone, Sentinel or Cluster.

Every record is one key. Its value is the payload, and its expiry is the key's own, set in the same command. An owner's
index is a sorted set of record keys, in another key. The score says when an entry may be dropped: a minute after its
record, by the server's clock. The index is written before the record, and times in it only move later. So it may name
too many keys, and never too few.

Knows nothing of ids, cookies, HTTP, or what a payload says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from inspect import iscoroutinefunction
from itertools import compress
from typing import Any
from urllib.parse import quote

from wsgisession.stores.redis_script import NAME, Command, Do, call, loaded
from wsgisession.stores.redis_transport import PAGE, transport

# Milliseconds. Each node of a Cluster has its own clock: with this margin a listing loses no live record.
MARGIN = 60_000


class RedisStore:
    """Keeps sessions in Redis 6.2 or later, or Valkey, through a redis-py client.

    A load is one round trip, and so is a write. An owner's index is written in the same round trip, except on a
    Cluster. Give the client finite timeouts. One that is made from a URL has them. An ACL of ``~prefix*`` is enough,
    with ``+evalsha +eval +get +set +pttl +exists +pexpire +pexpireat +del +scan +time +zadd +zrange +zrangebyscore
    +zremrangebyscore``. If Redis may evict keys, sessions end early: set ``maxmemory-policy noeviction``. ``client``
    and ``prefix`` can be read afterwards.

    Args:
        client: a ``redis.Redis`` (also from ``Sentinel.master_for``) or ``redis.RedisCluster``, without
            ``decode_responses``. It is safe in forked processes: each process opens its own connections.
        prefix: what every key begins with. No other program may use keys that begin with it.
        owns_client: whether ``close`` closes the client too.
        listed_for: for how many seconds an owner's listing names a record at least. Use it if another program moves the
            expiry of records. Usually a listing names a record until a minute after it ends.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
    """

    def __init__(
        self,
        client: Any,
        prefix: str = "wsgisession:",
        *,
        owns_client: bool = False,
        listed_for: float = 0.0,
    ) -> None:
        _check(client, prefix)
        self.client = client
        self._owns_client = owns_client
        self._listed_for = listed_for
        self.prefix = prefix
        self._prefix = prefix.encode()
        self._index = self._prefix + b"owner:"
        self._transport = transport(client, owned=owns_client)

    def load(self, key: str) -> tuple[bytes, float] | None:
        found = self._transport.run(call(Do.LOAD, [self._name(key)]))
        return (found[2], float(found[1]) / 1000) if found else None

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        """Return what ``load`` would return for each key, in this order: one round trip per 1,000 keys and server."""
        found: list[tuple[bytes, float] | None] = []
        for page in _cut([self._name(key) for key in keys], PAGE):
            commands = [call(Do.LOAD_MANY, names) for names in _cut(page, self._transport.together)]
            for parts in self._transport.run_all(commands):
                found += loaded(parts)
        return found

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        name = self._name(key)
        return self._write(call(Do.CREATE, [name], payload, _milliseconds(ttl)), ttl, owner)

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        name = self._name(key)
        if ttl is None:
            return bool(self._transport.run(call(Do.REPLACE, [name], payload, b"", expected)))
        return self._write(call(Do.REPLACE, [name], payload, _milliseconds(ttl), expected), ttl, owner)

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        compared = () if expected is None else (expected,)
        return self._write(call(Do.TOUCH, [self._name(key)], _milliseconds(ttl), *compared), ttl, owner)

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Remove a record. Also False if this command removed it, and redis-py repeated the command after a lost reply."""
        compared = () if expected is None else (expected,)
        return bool(self._transport.run(call(Do.DELETE, [self._name(key)], *compared)))

    def owned_by(self, owner: str) -> Iterator[str]:
        names = self._transport.run(call(Do.OWNED, [self._owner(owner)]))[1]
        # Members of the index outlive their records, so dead and deleted ones are left out.
        alive = self._in_pages(Do.EXISTS, names)
        yield from (self._key(name) for name in compress(names, alive))

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records. A key may come twice if Redis halves its table meanwhile (see SCAN)."""
        for names in self._names():
            yield from map(self._key, names)

    def count(self) -> int:
        """Return how many live records there are; a key that SCAN shows twice counts twice."""
        return sum(map(len, self._names()))

    def clear(self) -> int:
        """Remove all records and return how many. The owners' listings expire by themselves: they may name new records
        by now.
        """
        return sum(sum(self._in_pages(Do.DELETE, names)) for names in self._names())

    def purge(self) -> int:
        """Return 0: Redis itself removes expired records."""
        return 0

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence for each thing. An ACL has to allow ``+info`` for it.

        With ``+config|get`` it also finds a Redis that saves nothing to disk.
        """
        if self.client.get_connection_kwargs().get("socket_timeout") is None:
            yield (
                "the client has no socket_timeout: if Redis hangs, every request hangs; make it with"
                " socket_timeout=2"
            )
        for server in self._transport.servers():
            yield from self._transport.calls.run(list, findings(server, time.time()))

    def settings(self) -> dict[str, str]:
        """Return the server's version, and the settings that decide whether it keeps its keys. For a Cluster: those of
        the first node, and the number of nodes.
        """
        servers = self._transport.servers()
        nodes = {"nodes": str(len(servers))} if len(servers) > 1 else {}
        found: dict[str, str] = self._transport.calls.run(_settings, servers[0])
        return found | nodes

    def close(self) -> None:
        """Close the connections if the client is this store's own (made from a URL). A later operation connects again.

        Connections in use are closed at the end of their operation.
        """
        if self._owns_client:
            self._transport.calls.run(self._transport.calls.renew)

    def _name(self, key: str) -> bytes:
        if key.startswith("owner:"):
            # No key that somebody passes can reach an owner's index: no index has a space after the colon.
            key = f"owner: {key}"
        return self._prefix + key.encode("utf-8", "surrogatepass")

    def _key(self, name: bytes) -> str:
        return name[len(self._prefix) :].decode(errors="replace")

    def _owner(self, owner: str) -> bytes:
        # Quoted, because braces would let owners choose the Cluster's node.
        return self._index + quote(owner, safe="@:", errors="surrogatepass").encode()

    def _write(self, write: Command, ttl: float, owner: str | None) -> bool:
        """Carry out a write that sets an expiry; the owner's index is written first."""
        if owner is None:
            return bool(self._transport.run(write))
        due = _milliseconds(max(ttl, self._listed_for)) + MARGIN
        listing = call(Do.LIST, [self._owner(owner)], write[NAME], due)
        return bool(self._transport.run_in_order((listing, write))[1])

    def _names(self) -> Iterator[list[bytes]]:
        """Yield the names of all records, page by page."""
        pattern = re.sub(rb"[*?\[\]\\]", rb"\\\g<0>", self._prefix) + b"*"
        for page in self._transport.scan(pattern):
            yield [name for name in page if not name.startswith(self._index)]

    def _in_pages(self, operation: int, names: Sequence[bytes]) -> Iterator[Any]:
        """Yield the answer to an operation for each of these names."""
        for page in _cut(names, PAGE):
            yield from self._transport.run_all([call(operation, [name]) for name in page])


def _cut(names: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _milliseconds(ttl: float) -> int:
    return max(round(ttl * 1000), 1)


def _check(client: Any, prefix: str) -> None:
    """Refuse a client or a prefix that would only seem to work."""
    command = getattr(client, "execute_command", None)
    # A class looks like a client, and so does a pipeline, which only collects commands.
    if (
        command is None
        or not hasattr(client, "get_encoder")
        or isinstance(client, type)
        or hasattr(client, "command_stack")
    ):
        raise TypeError(
            "client must be a redis-py client such as redis.Redis(); for a URL there is stores.from_url"
        )
    if iscoroutinefunction(command):
        raise TypeError("client is an asynchronous one; pass a redis.Redis or redis.RedisCluster")
    if client.get_encoder().decode_responses:
        raise ValueError("payloads are bytes: pass a client of its own, made without decode_responses=True")
    if getattr(client, "connection", None) is not None:
        raise ValueError(
            "one connection cannot serve several threads: pass a client made without single_connection_client"
        )
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str such as 'wsgisession:', not {type(prefix).__name__}")
    if not prefix or "{" in prefix or "}" in prefix:
        raise ValueError(
            "prefix must not be empty or have braces (all keys would be on one Cluster node); pass one like"
            " 'myapp:'"
        )


def findings(server: Any, now: float) -> Iterator[str]:
    """Yield what is wrong with one server (a ``redis.Redis``). ``now``: POSIX seconds, by this machine."""
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


def _settings(server: Any) -> dict[str, str]:
    """Return the version of one server, and the settings that decide whether it keeps its keys."""
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
