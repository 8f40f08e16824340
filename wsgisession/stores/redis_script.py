"""What the Redis store sends to a server: one Lua script, whose replies say which command they answer.

Redis runs nothing else during a script, so compare-and-swap needs no lock. A script's answer never comes from a replica
or from a client-side cache. There is one script instead of twelve. So after a flush of the server's scripts one reload
is enough, and in a pipeline of index and record the server knows the script of both or of neither. Every command uses a
single key, so a Cluster may put each key on another node. Only ``Do.LOAD_MANY`` takes several keys, if one server has
them all.

A reply contains the command's own token. In Redis' protocol only the order on the connection says which reply belongs
to which command. An exception from outside (a signal handler's, gevent's Timeout) between sending and reading breaks
this order. Without a token, the next user of the connection would get another visitor's session.

A full Redis (``noeviction``) refuses commands that need memory. It does not refuse ``touch`` and ``delete``, because
they use no command that Redis marks as ``denyoom``.

Knows nothing of connections, clients, or what a payload says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import count
from random import SystemRandom
from typing import Any


class Do:
    """What the script can do."""

    LOAD, CREATE, REPLACE, TOUCH, DELETE, EXISTS, MEET, SCAN, OWNED, LIST, LOAD_MANY = range(11)


# In Lua a number of Redis is a float. ".." writes it with 14 digits: enough for the milliseconds of three thousand
# years. The time does not move while a script runs. Redis 6.2 has everything that the script uses.
SCRIPT = b"""\
local load, create, replace, touch, delete, exists, meet, scan, owned, list = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
local load_many = 10
local token, key = ARGV[#ARGV], KEYS[1]
local operation = token % 16

local function answer(number)
  return token * 2 + number  -- redis-py reads a number 4 us faster than any other kind of reply
end

local function left(name)
  -- 0 is the last millisecond. -1 is a key without an expiry: another program has removed it. Both are alive. A
  -- key without an expiry has 0.001 s. No other key has that, because the last two milliseconds are half of one.
  local left = redis.call('PTTL', name)
  return left < 0 and 1 or left > 1 and left or 0.5
end

if operation == load then
  local payload = redis.call('GET', key)
  if not payload then return answer(0) end
  return token .. ' ' .. left(key) .. ' ' .. payload
elseif operation == load_many then
  -- All payloads in one string: redis-py needs more time to read the parts of a reply than Redis to make them.
  local facts, payloads = {}, {}
  for place, name in ipairs(KEYS) do
    local payload = redis.call('GET', name)
    facts[place] = payload and #payload .. ' ' .. left(name) or '- -'
    payloads[place] = payload or ''
  end
  return {token, table.concat(facts, ' '), table.concat(payloads)}
elseif operation == create then
  if redis.call('SET', key, ARGV[1], 'PX', ARGV[2], 'NX') then return answer(1) end
  -- The live payload is the new one: this command was carried out before, and its reply was lost.
  return answer(redis.call('GET', key) == ARGV[1] and 1 or 0)
elseif operation == replace then
  local payload = redis.call('GET', key)
  if payload ~= ARGV[3] then
    return answer(payload == ARGV[1] and 1 or 0)
  elseif ARGV[2] == '' then
    redis.call('SET', key, ARGV[1], 'KEEPTTL')
  else
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
  end
  return answer(1)
elseif operation == touch then
  if #ARGV == 3 and redis.call('GET', key) ~= ARGV[2] then return answer(0) end
  return answer(redis.call('PEXPIRE', key, ARGV[1]))
elseif operation == delete then
  if #ARGV == 2 and redis.call('GET', key) ~= ARGV[1] then return answer(0) end
  return answer(redis.call('DEL', key))
elseif operation == exists then
  return answer(redis.call('EXISTS', key))
elseif operation == meet then
  -- If an ACL forbids INFO, the result is an error, and no string.
  local info = redis.pcall('INFO', 'cluster')
  return answer(type(info) == 'string' and string.find(info, 'cluster_enabled:1', 1, true) and 1 or 0)
elseif operation == scan then
  local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
  return {token, page[1], page[2]}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if operation == owned then
  return {token, redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf')}
end
-- Only later, never earlier (GT): if a replace and a touch come at the same time, either may reach the record last.
redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
redis.call('ZADD', key, 'GT', string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('PEXPIREAT', key, redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
return answer(1)
"""
DIGEST = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

Command = tuple[Any, ...]  # the arguments of redis-py's execute_command
NAME, TOKEN = 3, -1  # their places in a command

# A token is a serial number with the operation in its last four bits: this saves an argument, which takes 1 us. No two
# commands of a process have the same token, and a foreign reply is not likely to contain one. It need not be secret.
# Twice a token is still a whole number for Lua.
_serials = count(SystemRandom().getrandbits(44) << 4, 1 << 4)


class ForeignReply(Exception):
    """A reply belongs to another command."""


def call(operation: int, names: Sequence[bytes], *values: Any) -> Command:
    """Return the command that does this to the keys of these names; without names, to a whole server."""
    return ("EVALSHA", DIGEST, len(names), *names, *values, next(_serials) + operation)


def in_full(command: Command) -> Command:
    """Return the same command for a server that does not know the script (any more)."""
    return ("EVAL", SCRIPT, *command[2:])


def read(command: Command, reply: Any) -> Any:
    """Return what the reply to a command says: a bool, or a list whose first part is the token.

    Raises:
        ForeignReply: it answers another command.
        Exception: the reply is this error, as pipelines return them.
    """
    token = command[TOKEN]
    kind = type(reply)
    if kind is int:
        said = reply - 2 * token
        if said == 1 or said == 0:
            return said == 1
    elif kind is bytes:
        parts = reply.split(b" ", 2)
        if parts[0] == b"%d" % token:
            return parts
    elif kind is list:
        if reply[:1] == [b"%d" % token]:
            return reply
    elif isinstance(reply, Exception):
        raise reply
    raise ForeignReply("it answers another command")


def loaded(parts: list[bytes]) -> Iterator[tuple[bytes, float] | None]:
    """Yield what a reply to ``Do.LOAD_MANY`` says of each key: payload and seconds left."""
    _, facts, payloads = parts
    numbers = facts.split()
    start = 0
    for size, left in zip(numbers[::2], numbers[1::2], strict=True):
        if size == b"-":
            yield None
        else:
            end = start + int(size)
            yield payloads[start:end], float(left) / 1000
            start = end
