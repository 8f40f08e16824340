"""Sessions in Redis or Valkey, for any number of machines: standalone, Sentinel or Cluster.

Every record is one key with its payload as the value and its expiry as the key's own, set in one command. Every command
uses a single key, so a Cluster may put each key on another node. What an operation needs to know and to change is one Lua
script, which Redis runs without anything in between; so its answers never come from a replica or a client-side cache either.

An owner's index is a sorted set of record keys in another key, scored by when each may be dropped: a minute after its
record, by the server's clock. It is written before the record and only ever extended, so it may name too many keys and
never too few.

Knows nothing of ids, cookies, HTTP, or what a payload says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha1
from inspect import iscoroutinefunction
from itertools import compress
from typing import Any
from urllib.parse import quote

from wsgisession.errors import StoreError
from wsgisession.stores.fork import guard as gate

# Milliseconds. The nodes of a Cluster have clocks of their own: the margin keeps a listing from losing a living record.
MARGIN = 60_000
PAGE = 1000  # keys that SCAN looks at in one step, and that one pipeline asks for

# One script rather than five: a flush of the server's scripts then costs one reload, and in a pipeline of index and record
# the server knows either both or neither. The time stands still while a script runs. Redis 6.2 has all it uses. A touch and a
# delete go the same way because redis-py's clients for Clusters fail to find the node of other commands once they were closed.
SCRIPT = b"""\
local operation, key = ARGV[1], KEYS[1]

if operation == 'load' then
  local payload = redis.call('GET', key)
  return payload and {payload, redis.call('PTTL', key)}
elseif operation == 'create' then
  if redis.call('SET', key, ARGV[2], 'PX', ARGV[3], 'NX') then return 1 end
  -- The live payload is the new one: this command was carried out before, and its reply was lost.
  return redis.call('GET', key) == ARGV[2] and 1 or 0
elseif operation == 'replace' then
  local payload = redis.call('GET', key)
  if payload == ARGV[4] then
    redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
    return 1
  end
  return payload == ARGV[2] and 1 or 0
elseif operation == 'touch' then
  return redis.call('PEXPIRE', key, ARGV[2])
elseif operation == 'delete' then
  return redis.call('DEL', key)
elseif operation == 'exists' then
  return redis.call('EXISTS', key)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if operation == 'owned' then
  return redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf')
end
-- Only ever later (GT): of a replace and a touch at the same time either may be the last to reach the record.
redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
redis.call('ZADD', key, 'GT', string.format('%.0f', now + ARGV[3]), ARGV[2])
redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
"""
DIGEST = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

Command = tuple[Any, ...]


class RedisStore:
    """Keeps sessions in Redis 6.2 or later, or Valkey, through a redis-py client, which stays the caller's.

    A load is one round trip, a write one more; with an owner, index and record share it, except on a Cluster, where they
    are on different nodes. Give the client finite timeouts; from a URL it has them. An ACL of ``~prefix*`` suffices, with
    ``+evalsha +eval +get +set +pttl +exists +pexpire +pexpireat +del +scan +time +zadd +zrange +zrangebyscore
    +zremrangebyscore``. Where Redis may evict keys, sessions end early: set ``maxmemory-policy noeviction``.

    Args:
        client: a ``redis.Redis`` (also from ``Sentinel.master_for``) or ``redis.RedisCluster``, without
            ``decode_responses``. Safe in forked processes: each opens connections of its own.
        prefix: what every key begins with. No other program may use keys that begin with it.
        owns_client: whether ``close`` closes the client too.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
    """

    def __init__(self, client: Any, prefix: str = "wsgisession:", *, owns_client: bool = False) -> None:
        _check(client, prefix)
        from redis import exceptions

        self._client = client
        self._owns_client = owns_client
        self._cluster = hasattr(client, "keyslot")
        self._prefix = prefix.encode()
        self._index = self._prefix + b"owner:"
        self._unknown_script = exceptions.NoScriptError
        self._read_only = exceptions.ReadOnlyError
        # The last two are not RedisErrors.
        self._errors = (exceptions.RedisError, exceptions.RedisClusterException, exceptions.ChildDeadlockedError)

    def load(self, key: str) -> tuple[bytes, float] | None:
        found = self._send(self._script(b"load", self._name(key)))
        # -1 is a key without an expiry, which somebody else must have taken away: due at once, so it gets one again.
        return None if found is None else (found[0], max(found[1], 0) / 1000)

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        name = self._name(key)
        return bool(self._send(*self._listed(name, ttl, owner), self._script(b"create", name, payload, _milliseconds(ttl))))

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        name = self._name(key)
        swap = self._script(b"replace", name, payload, _milliseconds(ttl), expected)
        return bool(self._send(*self._listed(name, ttl, owner), swap))

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        name = self._name(key)
        return bool(self._send(*self._listed(name, ttl, owner), self._script(b"touch", name, _milliseconds(ttl))))

    def delete(self, key: str) -> bool:
        """Remove a record. False where there was no live one, or none any more when redis-py had to repeat the command."""
        return bool(self._send(self._script(b"delete", self._name(key))))

    def owned_by(self, owner: str) -> Iterator[str]:
        names = self._send(self._script(b"owned", self._owner(owner)))
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            # Members outlive their records: of the dead and deleted nothing is said.
            alive = self._send_all([self._script(b"exists", name) for name in page])
            yield from (self._key(name) for name in compress(page, alive))

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records; one may come twice where Redis halves its table meanwhile (see SCAN)."""
        pattern = re.sub(rb"[*?\[\]\\]", rb"\\\g<0>", self._prefix) + b"*"
        names = self._client.scan_iter(match=pattern, count=PAGE)
        while True:
            with self._engine():
                name = next(names, None)
            if name is None:
                return
            if not name.startswith(self._index):
                yield self._key(name)

    def purge(self) -> int:
        """Return 0: Redis itself removes what has expired."""
        return 0

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence each. An ACL has to allow ``+info`` for it."""
        if self._client.get_connection_kwargs().get("socket_timeout") is None:
            yield "the client has no socket_timeout: where Redis hangs, every request hangs; make it with socket_timeout=2"
        with self._engine():
            found = self._client.info(**({"target_nodes": "primaries"} if self._cluster else {}))
        now = time.time()
        for node in [found] if "redis_version" in found else found.values():  # by node, where a Cluster has several
            yield from _findings(node, now)

    def close(self) -> None:
        """Close the connections, if the client is this store's own (made from a URL). A later operation connects again."""
        if self._owns_client:
            sentinels = getattr(getattr(self._client, "connection_pool", None), "sentinel_manager", None)
            with self._engine():
                for client in (self._client, *getattr(sentinels, "sentinels", ())):
                    client.close()

    def _name(self, key: str) -> bytes:
        return self._prefix + key.encode()

    def _key(self, name: bytes) -> str:
        return name[len(self._prefix) :].decode(errors="replace")

    def _owner(self, owner: str) -> bytes:
        # Quoted, because braces would let owners choose the Cluster's node.
        return self._index + quote(owner, safe="@:", errors="surrogatepass").encode()

    def _script(self, operation: bytes, name: bytes, *values: Any) -> Command:
        return ("EVALSHA", DIGEST, 1, name, operation, *values)  # as bytes: redis-py encodes each argument by itself

    def _listed(self, name: bytes, ttl: float, owner: str | None) -> list[Command]:
        """Return what to send before a record of this owner is written."""
        if owner is None:
            return []
        return [self._script(b"list", self._owner(owner), name, _milliseconds(ttl) + MARGIN)]

    def _send(self, *commands: Command) -> Any:
        """Carry out commands in this order and return the reply to the last."""
        if len(commands) > 1:
            return self._send_all(commands)[-1]
        with gate:  # the usual case without ``_engine`` and lists: code is slow after each wait for the network
            try:
                return self._send_one(commands[0])
            except self._errors as error:
                raise self._failed(error) from error

    def _send_all(self, commands: Sequence[Command]) -> list[Any]:
        """Carry out commands in this order, in one round trip where that is possible, and return their replies.

        A pipeline of redis-py's for Clusters takes no scripts, and would keep no order between nodes.
        """
        with self._engine():
            if self._cluster or len(commands) == 1:
                return [self._send_one(command) for command in commands]
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            # Raised by the pipeline, an error would quote the command, payload and all.
            replies = pipeline.execute(raise_on_error=False)
            return [self._settle(*turn) for turn in zip(commands, replies, strict=True)]

    def _send_one(self, command: Command) -> Any:
        try:
            return self._client.execute_command(*command)
        except self._unknown_script as error:
            return self._settle(command, error)

    def _settle(self, command: Command, reply: Any) -> Any:
        """Send a command again with the script's source, where the server does not know it (any more)."""
        if isinstance(reply, self._unknown_script):
            return self._client.execute_command("EVAL", SCRIPT, *command[2:])
        if isinstance(reply, Exception):
            raise reply
        return reply

    @contextmanager
    def _engine(self) -> Iterator[None]:
        """Turn what Redis and its client raise into a StoreError, and keep forks out."""
        with gate:
            try:
                yield
            except self._errors as error:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        self._leave_master(error)
        # Shortened: where sentinels are down, redis-py's message shows its clients in full.
        return StoreError(f"Redis: {type(error).__name__}: {str(error)[:200]}")

    def _leave_master(self, error: Exception) -> None:
        """Drop the idle connections to a master that is none any more, or has lost its replicas to a new one.

        New connections may lead to the new master by now. Redis 6 reports what happens in a script as an error of the
        script's, with the code in its text.
        """
        text = str(error)
        if (isinstance(error, self._read_only) or "READONLY" in text or "NOREPLICAS" in text) and not self._cluster:
            with suppress(TypeError):  # BlockingConnectionPool could not tell idle connections from busy ones in redis-py 6
                self._client.connection_pool.disconnect(inuse_connections=False)


def _milliseconds(ttl: float) -> int:
    return max(round(ttl * 1000), 1)


def _findings(info: dict[str, Any], now: float) -> Iterator[str]:
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < (6, 2):
        yield f"Redis {version} is too old: 6.2 is needed"
    policy = info.get("maxmemory_policy")
    if policy not in (None, "noeviction") and info.get("maxmemory"):
        yield f"maxmemory-policy is {policy}: a full Redis ends sessions early; set maxmemory-policy noeviction"
    if "server_time_usec" in info and abs(skew := info["server_time_usec"] / 1e6 - now) > 5:
        yield f"the clocks of Redis and of this machine are {abs(skew):.0f} s apart; synchronize them (NTP)"


def _check(client: Any, prefix: str) -> None:
    """Refuse what would work only at first sight."""
    command = getattr(client, "execute_command", None)
    # A class, or a pipeline, which only collects commands, would pass for a client.
    if command is None or not hasattr(client, "get_encoder") or isinstance(client, type) or hasattr(client, "command_stack"):
        raise TypeError("client must be a redis-py client such as redis.Redis(); for a URL there is stores.from_url")
    if iscoroutinefunction(command):
        raise TypeError("client is an asynchronous one; pass a redis.Redis or redis.RedisCluster")
    if client.get_encoder().decode_responses:
        raise ValueError("payloads are bytes: pass a client of its own, made without decode_responses=True")
    if getattr(client, "connection", None) is not None:
        raise ValueError("one connection cannot serve several threads: pass a client made without single_connection_client")
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str such as 'wsgisession:', not {type(prefix).__name__}")
    if not prefix or "{" in prefix or "}" in prefix:
        raise ValueError("prefix must not be empty or have braces (all keys would be on one Cluster node): pass 'myapp:', say")
