"""Sends commands to one Redis server or to the nodes of a Cluster, and returns what their replies say.

Knows nothing of records, owners, or what a command is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.stores.redis_calls import Calls, Line
from wsgisession.stores.redis_errors import CLUSTER, timed_out
from wsgisession.stores.redis_script import NAME, TOKEN, Command, Do, call
from wsgisession.stores.redis_short import Way, way

PAGE = 1000  # keys that SCAN looks at in one step, and keys that one pipeline is about
TOGETHER = 100  # keys that one server reads before it serves other clients: a fifth of a millisecond


def transport(client: Any, *, owned: bool) -> ToServer | ToCluster:
    """Return the way to the servers of a redis-py client; ``owned``: nobody else uses this client."""
    return ToCluster(client) if hasattr(client, "keyslot") else ToServer(client, owned)


class ToServer:
    """The way to one server, or to the master that sentinels name. Every error on it is a StoreError."""

    together = TOGETHER  # keys that one command may have

    def __init__(self, client: Any, owned: bool) -> None:
        self._client = client
        self._owned = owned
        self._met: dict[None, Way] = {}  # the way, as soon as the server is known
        self.calls = Calls(self._pools)
        self._line = Line(self.calls)

    def run(self, command: Command) -> Any:
        """Return what the reply to one command says: a bool or a list of parts."""
        return self.calls.run(self._one, command)

    def run_in_order(self, commands: Sequence[Command]) -> list[Any]:
        """Carry out commands in this order, in one round trip."""
        return self.calls.run(self._all, commands)  # type: ignore[no-any-return]

    run_all = run_in_order

    def scan(self, pattern: bytes) -> Iterator[list[bytes]]:
        """Yield the names of all keys that match, page by page."""
        return _scan(self.run, pattern)

    def servers(self) -> list[Any]:
        """Return a ``redis.Redis`` for each server that has keys."""
        self.calls.run(self._prepare)
        return [self._client]

    def _one(self, command: Command) -> Any:
        execute, _ = self._met.get(None) or self._meet()
        return self._line.exchange(command, self._client, execute)

    def _all(self, commands: Sequence[Command]) -> list[Any]:
        self._prepare()
        return self._line.pipelined(commands, self._client, self._one)

    def _prepare(self) -> None:
        """Let the client itself use its pool: it finds all connections there."""
        if not self._met:
            self._meet()
        self._give_back()

    def _meet(self) -> Way:
        """Refuse a single node of a Cluster: only a part of the sessions would work there."""
        question = call(Do.MEET, ())
        if not self._met and self._line.exchange(question, self._client, self._client.execute_command):
            raise StoreError(f"Redis: {CLUSTER}")
        # setdefault is atomic: if two threads come here at once, connections that a second way keeps would be lost.
        return self._met.setdefault(None, way(self._client, owned=self._owned))

    def _give_back(self) -> None:
        for _, give_back in tuple(self._met.values()):
            give_back()

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
        by_node: dict[str, tuple[Any, list[Command]]] = {}
        for command in commands:
            node = self._node(command[NAME])
            by_node.setdefault(node.name, (node, []))[1].append(command)
        found: dict[int, Any] = {}
        for node, its_own in by_node.values():
            client = self._client.get_redis_connection(node)
            answers = self._line(node).pipelined(its_own, client, self._one, self._passing)
            found.update(zip((command[TOKEN] for command in its_own), answers, strict=True))
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
        _, cursor, names = run(call(Do.SCAN, (), cursor, pattern, PAGE))
        yield names
        if cursor == b"0":
            return
