"""What the Redis store asks of a server: one Lua script, and replies that say what they answer.

Redis runs a script without anything in between, so compare-and-swap needs no lock, and no answer ever comes from a replica
or from a client-side cache. It is one script rather than twelve: after a flush of the server's scripts one reload is
enough, and in a pipeline of index and record the server knows either both or neither. Every command uses a single key, so a
Cluster may put each key on another node.

A reply begins with the command's own token. Nothing else in Redis' protocol ties a reply to its command but their order on
the connection. An exception from outside (a signal handler's, gevent's Timeout) between sending and reading breaks the
order, and whoever uses the connection next would get another visitor's session.

A full Redis (``noeviction``) refuses what needs memory. It refuses nothing of ``touch`` and ``delete``: those use no
command that Redis marks as ``denyoom``.

Knows nothing of connections, clients, or what a payload says.
"""

from __future__ import annotations

from hashlib import sha1
from itertools import count
from random import SystemRandom
from typing import Any, NamedTuple

# The time stands still while a script runs. Redis 6.2 has all it uses. A number of Redis' is a float in Lua, which ".." writes
# with 14 digits: enough for the milliseconds of three thousand years.
SCRIPT = b"""\
local operation, token, key = ARGV[1], ARGV[2], KEYS[1]

if operation == 'load' then
  local payload = redis.call('GET', key)
  return payload and token .. ' ' .. redis.call('PTTL', key) .. ' ' .. payload or token
elseif operation == 'create' then
  if redis.call('SET', key, ARGV[3], 'PX', ARGV[4], 'NX') then return token .. ' 1' end
  -- The live payload is the new one: this command was carried out before, and its reply was lost.
  return redis.call('GET', key) == ARGV[3] and token .. ' 1' or token .. ' 0'
elseif operation == 'replace' then
  local payload = redis.call('GET', key)
  if payload == ARGV[5] then
    if ARGV[4] == '' then redis.call('SET', key, ARGV[3], 'KEEPTTL') else redis.call('SET', key, ARGV[3], 'PX', ARGV[4]) end
    return token .. ' 1'
  end
  return payload == ARGV[3] and token .. ' 1' or token .. ' 0'
elseif operation == 'touch' then
  if ARGV[4] and redis.call('GET', key) ~= ARGV[4] then return token .. ' 0' end
  return token .. ' ' .. redis.call('PEXPIRE', key, ARGV[3])
elseif operation == 'delete' then
  if ARGV[3] and redis.call('GET', key) ~= ARGV[3] then return token .. ' 0' end
  return token .. ' ' .. redis.call('DEL', key)
elseif operation == 'exists' then
  return token .. ' ' .. redis.call('EXISTS', key)
elseif operation == 'meet' then
  -- Forbidden by an ACL, it is an error, which is no string.
  local info = redis.pcall('INFO', 'cluster')
  return token .. (type(info) == 'string' and string.find(info, 'cluster_enabled:1', 1, true) and ' 1' or ' 0')
elseif operation == 'scan' then
  local page = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[4], 'COUNT', ARGV[5])
  return {token, page[1], page[2]}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if operation == 'owned' then
  return {token, redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf')}
end
-- Only ever later (GT): of a replace and a touch at the same time either may be the last to reach the record.
redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
redis.call('ZADD', key, 'GT', string.format('%.0f', now + ARGV[4]), ARGV[3])
redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
return token
"""
DIGEST = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

# No two commands of a process share one, and none is likely to turn up in what is no reply to ours. Nobody has to guess it.
_tokens = count(SystemRandom().getrandbits(48))


class Command(NamedTuple):
    """One run of the script.

    Attributes:
        name: the key that it uses, as Redis knows it; empty if it is about all keys of one server.
        token: what the reply will begin with.
        words: what is sent, in bytes, which redis-py encodes fastest.
    """

    name: bytes
    token: bytes
    words: tuple[Any, ...]

    def in_full(self) -> tuple[Any, ...]:
        """Return what to send to a server that does not know the script (any more)."""
        return ("EVAL", SCRIPT, *self.words[2:])

    def read(self, reply: Any) -> list[Any]:
        """Return the parts of a reply; the first is the token.

        Raises:
            ForeignReply: it answers another command.
            Exception: it is an error, as pipelines return them.
        """
        if isinstance(reply, Exception):
            raise reply
        parts = reply.split(b" ", 2) if type(reply) is bytes else reply
        if type(parts) is not list or not parts or parts[0] != self.token:
            raise ForeignReply("the reply answers another command")
        return parts


class ForeignReply(Exception):
    """What came back answers another command."""


def on_key(operation: bytes, name: bytes, *values: Any) -> Command:
    """Return the command that does this to one key."""
    token = b"%x" % next(_tokens)
    return Command(name, token, ("EVALSHA", DIGEST, b"1", name, operation, token, *values))


def on_server(operation: bytes, *values: Any) -> Command:
    """Return the command that asks one server about all its keys."""
    token = b"%x" % next(_tokens)
    return Command(b"", token, ("EVALSHA", DIGEST, b"0", operation, token, *values))
