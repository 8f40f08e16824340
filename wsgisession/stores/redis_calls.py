"""Every call into redis-py: errors get a reason, a server that hangs is left alone, and no reply is mixed up.

A fork waits until the calls in progress are over. If a server did not answer in time, nobody asks it for a second.

An exception from outside (a signal handler's, gevent's Timeout) can end redis-py's work at any point. Then the pool may
have lost the connection for ever, or the connection is in the pool with a reply that nobody has read. So the pools are
emptied, and for every reply it is checked which command it answers.

Knows nothing of what a command is for, and not which server it belongs to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, Queue
from random import random
from time import monotonic
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.fork import guard
from wsgisession.stores.outage import Outage
from wsgisession.stores.redis_errors import explain, no_longer_master, timed_out
from wsgisession.stores.redis_script import Command, ForeignReply, in_full, read

# Seconds that an attempt during an outage waits: short, because all workers of a site make such attempts. One in so
# many attempts waits as long as the client usually does, so that a server that is slow, but does not hang, is noticed.
PATIENCE = 0.2
PATIENT = 16


class Calls:
    """Runs code that calls redis-py, and puts redis-py's connections in order after an error.

    Args:
        pools: returns all pools of connections that the client has.
    """

    def __init__(self, pools: Callable[[], list[Any]]) -> None:
        from redis import __version__ as version
        from redis import exceptions

        self._pools = pools
        # The others are no RedisErrors.
        others = (exceptions.RedisClusterException, exceptions.ChildDeadlockedError, ForeignReply)
        self.troubles = (exceptions.RedisError, *others)
        self.unknown_script = exceptions.NoScriptError
        # BlockingConnectionPool, and much of redis-py before 8, waits for ever if a signal handler or a finalizer uses
        # it while the same thread is inside.
        queues = any(hasattr(pool, "queue_class") for pool in pools())
        self._reentrant = int(version.partition(".")[0]) >= 8 and not queues

    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``work`` returns. After an error that is not redis-py's, put redis-py's pools in order."""
        with guard:
            try:
                if not self._reentrant:
                    self._refuse_reentry()
                return work(*arguments)
            except self.troubles as error:
                # After a time-out, redis-py's connections through sentinels keep the reply that comes too late.
                if timed_out(error) or no_longer_master(error):
                    self.close_idle()
                raise StoreError(explain(error)) from error
            except StoreError:
                raise
            except BaseException:
                self.renew()
                raise

    def _refuse_reentry(self) -> None:
        """Raise StoreError if the stack of this thread shows that it is in the middle of another run."""
        runs, frame = 0, sys._getframe()
        while frame.f_back is not None:
            runs += frame.f_code is Calls.run.__code__
            frame = frame.f_back
        if runs > 1:
            raise StoreError("Redis: this thread is using the client already, and would wait for itself")

    def close_idle(self) -> None:
        """Close the connections that nobody uses. The next ones may lead to a new master."""
        for pool in self._pools():
            try:
                pool.disconnect(inuse_connections=False)
            except TypeError:
                # Before redis-py 7, a BlockingConnectionPool cannot tell idle connections from busy ones
                _close_queued(pool.pool)

    def renew(self) -> None:
        """Close idle connections now, busy ones when they are given back, and forget lost ones."""
        self.close_idle()
        for pool in self._pools():
            pool.reset()


class Line:
    """The commands to one server, and whether it answers."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._outage = Outage()

    def exchange(self, command: Command, client: Any, execute: Callable[..., Any]) -> Any:
        """Return what the reply to a command says.

        Args:
            client: a ``redis.Redis`` for this server.
            execute: sends a command to this server and returns the reply.
        """
        try:
            if self._outage.lasts:
                self._try(client)
            try:
                return read(command, execute(*command))
            except self._calls.unknown_script:
                return read(command, execute(*in_full(command)))
        except ForeignReply:  # it was left there after an exception from outside
            self._calls.close_idle()
            return read(command, execute(*in_full(command)))
        except self._calls.troubles as error:
            self._learn(error)
            raise

    def pipelined(
        self,
        commands: Sequence[Command],
        client: Any,
        alone: Callable[[Command], Any],
        passing: tuple[type[Exception], ...] = (),
    ) -> list[Any]:
        """Return what the replies to these commands say, in one round trip.

        Args:
            client: a ``redis.Redis`` for this server.
            alone: sends a single command, if its reply is an error or a foreign one: this sets it right, or says why not.
            passing: after these errors of the connection all commands are sent alone.
        """
        try:
            if self._outage.lasts:
                self._try(client)
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            # An error that the pipeline raises would quote the command with its payload.
            replies = pipeline.execute(raise_on_error=False)
        except self._calls.troubles as error:
            self._learn(error)
            if not isinstance(error, passing):
                raise
            replies = [error] * len(commands)
        found = []
        for command, reply in zip(commands, replies, strict=True):
            try:
                found.append(read(command, reply))
            except self._calls.troubles:
                found.append(alone(command))
        return found

    def is_silent(self) -> None:
        """Let nobody ask for a second."""
        self._outage.silent(monotonic())

    def _learn(self, error: Exception) -> None:
        if timed_out(error):
            self.is_silent()
        else:
            self._outage.answered()

    def _try(self, client: Any) -> None:
        if not self._outage.admits(monotonic()):
            raise StoreError(
                "Redis: it did not answer in time a moment ago; one request a second tries again"
            )
        _ping(client.connection_pool)
        self._outage.answered()


def _close_queued(queue: Queue[Any]) -> None:
    """Close the connections in the queue of a BlockingConnectionPool. Busy connections are not in the queue."""
    waiting = []
    with suppress(Empty):
        while True:
            waiting.append(queue.get_nowait())
    for connection in reversed(waiting):
        if connection is not None:
            connection.disconnect()
        queue.put_nowait(connection)


def _ping(pool: Any) -> None:
    """Wait a short time for any answer at all, on a connection of its own."""
    from redis.backoff import NoBackoff
    from redis.exceptions import ResponseError
    from redis.retry import Retry

    options = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
    if random() * PATIENT >= 1:
        for name in ("socket_timeout", "socket_connect_timeout"):
            options[name] = min(options.get(name) or PATIENCE, PATIENCE)
    connection = pool.connection_class(**options)
    try:
        connection.connect()
        connection.send_command("PING")
        with suppress(ResponseError):  # an ACL may forbid it
            connection.read_response()
    finally:
        connection.disconnect()
