"""Real Redis servers that live as long as the tests that need them: alone, as a Cluster, and watched by
sentinels.

They listen on free ports of the loopback interface, keep their files in temporary directories, and do not save to disk
by themselves. If there is no Redis, Valkey is used. If there are both, the contract runs on both.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support import ran_on

from wsgisession.testing import Outside

START = 20.0  # seconds until a server that does not answer counts as broken
SLOTS = 16384
NODE_TIMEOUT = 1000  # milliseconds until a Cluster, or a sentinel, takes a silent node for dead
SERVICE = "sessions"


def missing_client() -> str | None:
    """Say that there is no client library here; None if there is one."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return "redis-py is not installed (pip install redis)"
    return None


def missing() -> str | None:
    """Say why there can be no server here; None if there can be one."""
    if (reason := missing_client()) is not None:
        return reason
    return None if _program() else "no Redis server is installed (Debian: apt-get install redis-server)"


def programs() -> list[str]:
    """Return the servers there are to test with; if there is none, the one whose absence the tests will
    complain of. ``REDIS_SERVER=valkey-server`` names the only one.
    """
    if chosen := os.environ.get("REDIS_SERVER"):
        return [chosen]
    return [name for name in ("redis-server", "valkey-server") if shutil.which(name)] or ["redis-server"]


def _program() -> str | None:
    return shutil.which(programs()[0])


def free_port() -> int:
    """Return a port that nobody listens on, and neither on the one 10000 above it, which a Cluster's nodes
    use as well.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            return port


def until(condition: Callable[[], Any], what: str, patience: float = START) -> None:
    """Wait until a server has come so far."""
    from redis.exceptions import RedisError

    deadline = time.monotonic() + patience
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        assert time.monotonic() < deadline, f"{what}: not after {patience:g} s"
        time.sleep(0.01)


class RedisServer:
    """One server in the foreground, in a directory of its own."""

    def __init__(self, *options: str, program: str | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="wsgisession-redis-"))
        self.port = free_port()
        self._command = [program or _program() or "redis-server", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server, again on the same port, and wait until it answers."""
        common = ["--port", str(self.port), "--bind", "127.0.0.1"]
        common += ["--dir", str(self.home), "--loglevel", "warning"]
        with open(self.home / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command + common, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home
            )
        with self.client() as client:
            until(client.ping, f"redis-server on port {self.port}: {(self.home / 'log').read_text()}")
            ran_on.add_redis(client.info("server"))

    def client(self, **options: Any) -> Any:
        """Return a new client, of the impatient kind that waits for nothing."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return redis.Redis(
            **{"port": self.port, "socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        )

    def user(self, name: str, *commands: str, keys: str = "*", password: str = "any") -> None:
        """Make a user who has these rights and no others."""
        with self.client() as admin:
            admin.acl_setuser(
                name, enabled=True, reset=True, passwords=[f"+{password}"], keys=[keys], commands=commands
            )

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the server, or with SIGKILL let it crash; what it held is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START)
            self._process = None

    def signal(self, number: int) -> None:
        """Send the server a signal, for example SIGSTOP or SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """End the server and remove its directory."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


class Standalone(RedisServer):
    """A server that forgets everything when it ends."""

    def __init__(self, *options: str, program: str | None = None) -> None:
        super().__init__("--save", "", "--appendonly", "no", *options, program=program)


class OneNodeCluster(Standalone):
    """A Cluster of a single node: quickly there, and enough where nothing fails over."""

    def __init__(self) -> None:
        super().__init__("--cluster-enabled", "yes")
        with self.client() as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
            until(lambda: _info(client)["cluster_state"] == "ok", "the Cluster forms")

    @property
    def url(self) -> str:
        """Where a store finds it."""
        return f"redis+cluster://127.0.0.1:{self.port}"


class RedisCluster:
    """Three masters, each with one replica."""

    def __init__(self) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT))
        # A replica may be elected even if it has been without its master for long: the tests kill and start quickly.
        options += ("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
        self.nodes = [Standalone(*options) for _ in range(6)]
        self.masters, self.replicas = self.nodes[:3], self.nodes[3:]
        clients = [node.client() for node in self.nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for number, client in enumerate(clients[:3]):
            client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS * number // 3, SLOTS * (number + 1) // 3))
        for node in self.nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port)
        until(
            lambda: all(_info(client)["cluster_known_nodes"] == "6" for client in clients),
            "the Cluster meets",
        )
        for master, replica in zip(clients[:3], clients[3:], strict=True):
            replica.execute_command("CLUSTER REPLICATE", master.execute_command("CLUSTER MYID"))
        until(self.is_whole, "the Cluster forms")

    def is_whole(self) -> bool:
        """Whether every slot has a master that has a replica, as all nodes see it."""
        clients = [node.client() for node in self.nodes]
        roles = [client.info("replication") for client in clients]
        masters = [role for role in roles if role["role"] == "master"]
        return (
            all(_info(client)["cluster_state"] == "ok" for client in clients)
            and [role.get("connected_slaves") for role in masters] == [1, 1, 1]
            and all(role["master_link_status"] == "up" for role in roles if role["role"] == "slave")
        )

    @property
    def url(self) -> str:
        """Where a store finds it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self, **options: Any) -> Any:
        """Return a new client."""
        import redis

        nodes = [redis.cluster.ClusterNode("127.0.0.1", node.port) for node in self.nodes]
        return redis.RedisCluster(startup_nodes=nodes, **{"socket_timeout": 5, **options})

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()


class RedisSentinel:
    """One master with one replica, watched by three sentinels."""

    def __init__(self, *options: str) -> None:
        options = ("--repl-diskless-sync-delay", "0", *options)
        self.master = Standalone(*options)
        self.replica = Standalone("--replicaof", f"127.0.0.1 {self.master.port}", *options)
        self.sentinels = [self._sentinel() for _ in range(3)]
        until(self.is_whole, "the sentinels agree")

    def _sentinel(self) -> RedisServer:
        home = Path(tempfile.mkdtemp(prefix="wsgisession-sentinel-"))
        settings = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        (home / "sentinel.conf").write_text("\n".join(settings) + "\n")
        sentinel = RedisServer(str(home / "sentinel.conf"), "--sentinel")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        return sentinel

    def is_whole(self) -> bool:
        """Whether each sentinel knows the others and a replica that is in step."""
        for sentinel in self.sentinels:
            state = sentinel.client().sentinel_master(SERVICE)
            if state["num-other-sentinels"] != 2 or state["num-slaves"] != 1:
                return False
        return bool(self.replica.client().info("replication")["master_link_status"] == "up")

    @property
    def url(self) -> str:
        """Where a store finds it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def close(self) -> None:
        """End all servers."""
        for server in (*self.sentinels, self.replica, self.master):
            server.close()


def _info(client: Any) -> dict[str, str]:
    found: dict[str, str] = client.cluster("INFO")
    return found


@cache
def shared_redis(program: str | None = None) -> Standalone:
    """Return this run's standalone server, started when it is first asked for; skip the test where there can
    be none.
    """
    return until_exit(_or_skip(lambda: Standalone(program=program)))


@cache
def shared_cluster() -> RedisCluster:
    """Return this run's Cluster; it is started when it is first needed."""
    return until_exit(_or_skip(RedisCluster))


def new_server(program: str | None = None) -> Standalone:
    """Return a server for one test alone, which closes it; skip the test if there can be none."""
    server: Standalone = _or_skip(lambda: Standalone(program=program))
    return server


@cache
def shared_one_node_cluster() -> OneNodeCluster:
    """Return this run's Cluster of one node; it is started when it is first needed."""
    return until_exit(_or_skip(OneNodeCluster))


def new_cluster() -> RedisCluster:
    """Return a Cluster for one test alone, which closes it; skip the test if there can be none."""
    cluster: RedisCluster = _or_skip(RedisCluster)
    return cluster


def new_sentinel(*options: str) -> RedisSentinel:
    """Return a master, its replica and their sentinels for one test alone, which closes them; skip it if there can be none."""
    sentinel: RedisSentinel = _or_skip(lambda: RedisSentinel(*options))
    return sentinel


def _or_skip(make: Callable[[], Any]) -> Any:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    return make()


def until_exit(server: Any) -> Any:
    """Close a server when this process, and no fork of it, ends."""
    process = os.getpid()
    atexit.register(lambda: server.close() if os.getpid() == process else None)
    return server


def after_sending(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let an exception from outside strike once, when a command has been sent and before its reply is read.

    Returns:
        What says how often it may still strike.
    """
    from redis.connection import AbstractConnection

    real, left = AbstractConnection.send_packed_command, [1]

    def send(self: Any, *args: Any, **options: Any) -> None:
        real(self, *args, **options)
        if left[0]:
            left[0] -= 1
            raise Outside

    monkeypatch.setattr(AbstractConnection, "send_packed_command", send)
    return lambda: left[0]
