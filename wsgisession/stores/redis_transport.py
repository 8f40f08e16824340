"""Sends commands to one Redis server or to the nodes of a Cluster, and returns what their replies say.

Knows nothing of records, owners, or what a command is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from wsgisession.errors import StoreError
from wsgisession.stores.fork import guard
from wsgisession.stores.redis_calls import Calls, Line
from wsgisession.stores.redis_errors import CLUSTER, timed_out
from wsgisession.stores.redis_script import MEET, NAME, SCAN, TOKEN, Command, on_server
from wsgisession.stores.redis_short import Way, way

PAGE = 1000  # keys that SCAN looks at in one step, and keys that one pipeline is about
TOGETHER = 100  # keys that one server reads before it serves other clients: a fifth of a millisecond


class Transport(Protocol):
    """The way to the keys. Every error on it is a StoreError."""

    calls: Calls
    together: int  # keys that one command may have

    def run(self, command: Command) -> Any:
        """Return what the reply to one command says: a bool or a list of parts."""

    def run_in_order(self, commands: Sequence[Command]) -> list[Any]:
        """Carry out commands in this order; in one round trip if there is only one server."""

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Carry out commands in any order, in one round trip for each server."""

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """Yield the names of all keys that match, page by page."""

    def servers(self) -> list[Any]:
        """Return a ``redis.Redis`` for each server that has keys."""


def transport(client: Any, *, owned: bool) -> Transport:
    """Return the way to the servers of a redis-py client; ``owned``: nobody else uses this client."""
    return ToCluster(client) if hasattr(client, "keyslot") else ToServer(client, owned)


class ToServer:
    """The way to one server, or to the master that sentinels name."""

    together = TOGETHER

    def __init__(self, client: Any, owned: bool) -> None:
        self._client = client
        self._owned = owned
        self._execute: Callable[..., Any] = client.execute_command
        self._give_back: Callable[[], None] = lambda: None
        self._way: dict[None, Way] = {}
        self.calls = Calls(self._pools)
        self._line = Line(self.calls)
        self._met = self._is_usual = False

    def run(self, command: Command) -> Any:
        # The same as ``calls.run(self._one, command)``. After a wait for the network each call costs 0.3 us.
        if self._is_usual:
            with guard.own.lock:
                try:
                    return self._line.exchange(command, self._client, self._execute)
                except BaseException as error:
                    self.calls.failed(error)
                    raise
        return self.calls.run(self._one, command)

    def run_in_order(self, commands: Sequence[Command]) -> list[Any]:
        return self.calls.run(self._all, commands)  # type: ignore[no-any-return]

    run_all = run_in_order

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        return _scan(self.run, pattern)

    def servers(self) -> list[Any]:
        self.calls.run(self._prepare)
        return [self._client]

    def _one(self, command: Command) -> Any:
        self._meet()
        return self._line.exchange(command, self._client, self._execute)

    def _all(self, commands: Sequence[Command]) -> list[Any]:
        self._prepare()
        replies = self._line.pipelined(commands, self._client)
        unsettled = (self.calls.unknown_script,)
        return [
            self._line.settled(*turn, self._one, unsettled) for turn in zip(commands, replies, strict=True)
        ]

    def _prepare(self) -> None:
        """Let the client itself use its pool: it finds all connections there."""
        self._meet()
        self._give_back()

    def _meet(self) -> None:
        """Refuse a single node of a Cluster: only a part of the sessions would work there."""
        if self._met:
            return
        if self._line.exchange(on_server(MEET), self._client, self._execute):
            raise StoreError(f"Redis: {CLUSTER}")
        # setdefault is atomic: if two threads come here at once, connections that a second way keeps would be lost.
        self._execute, self._give_back = self._way.setdefault(None, way(self._client, owned=self._owned))
        self._is_usual = self.calls.reentrant
        self._met = True

    def _pools(self) -> list[Any]:
        self._give_back()
        pool = self._client.connection_pool
        sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
        return [pool, *(sentinel.connection_pool for sentinel in sentinels)]


class ToCluster:
    """The ways to the nodes of a Cluster, as redis-py knows them. Each node has its own outages."""

    together = 1  # any two keys may be on different nodes

    def __init__(self, client: Any) -> None:
        from redis import exceptions

        self._client = client
        self.calls = Calls(self._pools)
        self._lines: dict[str, Line] = {}
        self._uncovered = exceptions.SlotNotCoveredError
        self._no_node = exceptions.RedisClusterException
        # After these errors redis-py's client for Clusters asks again. It would do so after a time-out too, and one
        # command would hang several times as long. So the repetition is made here.
        self._passing = tuple(
            kind for kind in client.ERRORS_ALLOW_RETRY if kind is not exceptions.TimeoutError
        )
        # After these errors in a pipeline to one node, a command is sent again by itself.
        self._unsettled = (
            *self._passing,
            exceptions.AskError,
            exceptions.TryAgainError,
            exceptions.NoScriptError,
        )

    def run(self, command: Command) -> Any:
        return self.calls.run(self._one, command)

    def run_in_order(self, commands: Sequence[Command]) -> list[Any]:
        return [self.run(command) for command in commands]

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        return self.calls.run(self._all, commands)  # type: ignore[no-any-return]

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        for node in self._client.get_primaries():
            yield from _scan(partial(self.calls.run, self._at, node), pattern)

    def servers(self) -> list[Any]:
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

    def _at(self, node: Any, command: Command) -> Any:
        execute = partial(self._client.execute_command, target_nodes=node)
        return self._line(node).exchange(command, self._client.get_redis_connection(node), execute)

    def _one(self, command: Command) -> Any:
        repeats = self._client.retry.get_retries()
        while True:
            try:
                return self._at(self._node(command[NAME]), command)
            except self._passing as error:
                if not repeats or type(error) not in self._passing or timed_out(error):
                    raise
                repeats -= 1
            except self._no_node as error:
                if timed_out(error):  # redis-py asked all nodes for the Cluster's slots, and none answered
                    for node in self._client.get_primaries():
                        self._line(node).is_silent()
                raise

    def _all(self, commands: Sequence[Command]) -> list[Any]:
        by_node: dict[str, list[Command]] = {}
        nodes = {}
        for command in commands:
            node = self._node(command[NAME])
            nodes[node.name] = node
            by_node.setdefault(node.name, []).append(command)
        found: dict[int, Any] = {}
        for name, its_own in by_node.items():
            client, line = self._client.get_redis_connection(nodes[name]), self._line(nodes[name])
            try:
                replies = line.pipelined(its_own, client)
            except self._passing as error:
                replies = [error] * len(its_own)
            for command, reply in zip(its_own, replies, strict=True):
                found[command[TOKEN]] = line.settled(command, reply, self._one, self._unsettled)
        return [found[command[TOKEN]] for command in commands]

    def _node(self, name: bytes) -> Any:
        try:
            return self._client.get_node_from_key(name)
        except self._uncovered:  # no node served it when redis-py last asked
            self._client.nodes_manager.initialize()
            return self._client.get_node_from_key(name)

    def _line(self, node: Any) -> Line:
        return self._lines.setdefault(node.name, Line(self.calls))

    def _pools(self) -> list[Any]:
        clients = [node.redis_connection for node in self._client.get_nodes()]
        return [client.connection_pool for client in clients if client is not None]


def _scan(run: Callable[[Command], Any], pattern: bytes) -> Iterator[list[bytes]]:
    """Yield the names of one server's keys that match. While Redis halves its table, one may come twice."""
    cursor = b"0"
    while True:
        _, cursor, names = run(on_server(SCAN, cursor, pattern, PAGE))
        yield names
        if cursor == b"0":
            return
