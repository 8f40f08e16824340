"""What a StoreError of the Redis store says: the cause, and never a password, a host, a user or a payload."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import redis_servers
from support.redis_contract import new_prefix
from support.redis_fixtures import server
from support.redis_servers import Standalone, free_port, shared_one_node_cluster, shared_redis

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.stores.redis_errors import explain, no_longer_master, timed_out
from wsgisession.testing import new_key, new_payload

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))

FIXTURES = (server,)  # by this name pytest finds it here

KEY = new_key()
kept_open: list[Any] = []
SECRETS = ("swordfish", "captain", "harbour")


def limited(server: Standalone, *rules: str, keys: str = "*") -> str:
    """Return a URL for a user with these rights."""
    server.user("captain", *rules, keys=keys, password="swordfish")
    return f"redis://captain:swordfish@127.0.0.1:{server.port}"


def crowded(server: Standalone) -> str:
    kept_open.append(server.client())
    kept_open[-1].config_set("maxclients", 1)
    return f"redis://127.0.0.1:{server.port}"


def with_password(server: Standalone, url: str) -> str:
    with server.client() as admin:
        admin.config_set("requirepass", "another")
    return url.format(port=server.port)


def with_a_foreign_key(server: Standalone, name: str) -> str:
    with server.client() as admin:
        admin.hset(name, "not", "ours")
    return f"redis://127.0.0.1:{server.port}"


REAL: dict[str, tuple[Callable[[Standalone], str], str]] = {
    "refused": (
        lambda server: f"redis://captain:swordfish@127.0.0.1:{free_port()}",
        "connection refused: no server listens",
    ),
    "refused, TLS": (lambda server: f"rediss://127.0.0.1:{free_port()}", "connection refused"),
    "unknown host": (
        lambda server: "redis://captain:swordfish@harbour.invalid",
        "unknown host: its name has no address",
    ),
    "no such socket": (lambda server: "redis+unix:///nowhere/harbour.sock", "there is no such socket file"),
    "wrong password": (
        lambda server: with_password(server, "redis://:swordfish@127.0.0.1:{port}"),
        "wrong user name or password",
    ),
    "wrong user": (
        lambda server: f"redis://captain:swordfish@127.0.0.1:{server.port}",
        "wrong user name or password",
    ),
    "no password": (
        lambda server: with_password(server, "redis://127.0.0.1:{port}"),
        "the server wants a password",
    ),
    "needless password": (
        lambda server: f"redis://:swordfish@127.0.0.1:{server.port}?protocol=2",
        "the server has no password, but was",
    ),
    "no such database": (lambda server: f"redis://127.0.0.1:{server.port}/99", "no such database"),
    "no scripts": (
        lambda server: limited(server, "+@all", "-evalsha"),
        "no permission for a command that the store needs",
    ),
    "no commands in scripts": (
        lambda server: limited(server, "+@all", "-set"),
        "no permission for a command",
    ),
    "other keys": (
        lambda server: limited(server, "+@all", keys="other:*"),
        "no permission for keys with this prefix",
    ),
    "too many clients": (crowded, "the server has too many clients; raise its maxclients"),
    "no TLS there": (
        lambda server: f"rediss://captain:swordfish@127.0.0.1:{chatterbox()}",
        "TLS failed: this port speaks no TLS",
    ),
    "no Cluster": (
        lambda server: f"redis+cluster://127.0.0.1:{server.port}",
        "belongs to no Cluster; write redis://",
    ),
    "no Redis": (lambda server: f"redis://127.0.0.1:{chatterbox()}", "the reply is not Redis' protocol"),
    "foreign record": (
        lambda server: with_a_foreign_key(server, f"wsgisession:{KEY}"),
        "holds something of another kind (WRONGTYPE)",
    ),
    "foreign index": (
        lambda server: with_a_foreign_key(server, "wsgisession:owner:captain"),
        "holds something of another kind (WRONGTYPE)",
    ),
    "hangs up": (
        lambda server: f"redis://127.0.0.1:{chatterbox(b'')}",
        "the server closed the connection; if this port wants TLS",
    ),
}


def chatterbox(answer: bytes = b"HTTP/1.1 400 Bad Request\r\n\r\n") -> int:
    """Return the port of a listener that answers each of a few connections so, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            for _ in range(8):
                connection = listener.accept()[0]
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def use(url: str) -> None:
    """Make a store and write with it."""
    store = from_url(url)
    try:
        store.create(KEY, b"swordfish", 60, "captain")
    finally:
        store.close()


@pytest.mark.parametrize(("prepare", "words"), REAL.values(), ids=REAL.keys())
def test_the_cause_is_said(server: Standalone, prepare: Callable[[Standalone], str], words: str) -> None:
    """Each says what happened, in one line, and shows neither password nor user, host or payload.

    The engine's error is chained, and nowhere in the chain is a password or a payload.
    """
    with pytest.raises(StoreError) as raised:
        use(prepare(server))
    assert words in str(raised.value)
    assert raised.value.__cause__ is not None
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 250
    assert not any(secret in str(raised.value) for secret in (*SECRETS, "127.0.0.1", "nowhere"))
    seen: BaseException | None = raised.value
    while seen is not None:
        assert "swordfish" not in f"{seen!r} {seen}"
        seen = seen.__cause__ or seen.__context__


def test_a_pool_without_a_free_connection_is_named() -> None:
    """What the client itself refuses is no fault of the server's."""
    with shared_redis().client(max_connections=1) as client:
        store = RedisStore(client, new_prefix())
        held = client.connection_pool.get_connection()
        with pytest.raises(
            StoreError, match="every connection of the client's pool is in use; raise max_connections"
        ):
            store.load(new_key())
        client.connection_pool.release(held)
        assert store.load(new_key()) is None


# A Cluster behind a client for one server

CLUSTER = r"this server belongs to a Cluster; write redis\+cluster://…, or pass a redis\.RedisCluster"


@pytest.mark.parametrize("number", range(4))
def test_a_node_of_a_cluster_is_told_from_a_server(number: int) -> None:
    """The first answer says what to write, for any key, also for those that this node has; nothing was
    stored.
    """
    cluster = shared_one_node_cluster()
    store = from_url(f"redis://127.0.0.1:{cluster.port}?prefix={new_prefix()}")
    for operation in (
        lambda: store.load(new_key()),
        lambda: store.create(new_key(), new_payload(), 60, "ada"),
        lambda: list(store.keys()),
        lambda: list(store.diagnose()),  # type: ignore[attr-defined]
    ):
        with pytest.raises(StoreError, match=CLUSTER):
            operation()
    with cluster.client() as client:
        assert list(client.scan_iter(match=f"{store.prefix}*")) == []  # type: ignore[attr-defined]
    store.close()


def test_a_database_of_a_cluster_is_told() -> None:
    """A number after the address of a Cluster's node is refused by the server already.

    Valkey 9 can have more than one database in a Cluster; it says that this one is not there.
    """
    with pytest.raises(StoreError, match=f"{CLUSTER}|no such database"):
        use(f"redis://127.0.0.1:{shared_one_node_cluster().port}/1")


# What no test can bring a real server to say, as redis-py from 6 to 8 passes it on


def error(name: str, text: str) -> Exception:
    """Return redis-py's exception of that name."""
    import redis.exceptions
    import redis.sentinel

    kind = getattr(redis.exceptions, name, None) or getattr(redis.sentinel, name)
    found: Exception = kind(text)
    return found


SAID: dict[str, tuple[str, str, str]] = {
    "moved": ("MovedError", "123 127.0.0.1:7001", "belongs to a Cluster; write redis+cluster://"),
    "asked": ("AskError", "123 127.0.0.1:7001", "belongs to a Cluster; write redis+cluster://"),
    "crossed": (
        "ClusterCrossSlotError",
        "Keys in request don't hash to the same slot",
        "belongs to a Cluster",
    ),
    "down": (
        "ClusterDownError",
        "The cluster is down",
        "the Cluster is down: some of its slots have no server",
    ),
    "uncovered": ("SlotNotCoveredError", 'Slot "1" is not covered by the cluster.', "slots have no server"),
    "master lost": ("MasterDownError", "Link with MASTER is down", "a replica that has lost its master"),
    "loading": (
        "BusyLoadingError",
        "Redis is loading the dataset in memory",
        "has just started and still loads its data",
    ),
    # What Redis 8 and Valkey 9 say of rights; Redis 7 has other words, which the table above asks for.
    "a command, Redis 8": (
        "ResponseError",
        "ACL failure in script: User ada has no permissions to run the 'set' command script: db8d6383, on"
        " @user_script:1.",
        "no permission for a command that the store needs",
    ),
    "a key, Redis 8": (
        "NoPermissionError",
        "No permissions to access a key",
        "no permission for keys with this prefix",
    ),
    "a key in a script, Redis 8": (
        "ResponseError",
        "ACL failure in script: No permissions to access a key script: db8d6383, on @user_script:1.",
        "no permission for keys with this prefix",
    ),
    "disk": (
        "ResponseError",
        "MISCONF Redis is configured to save RDB snapshots",
        "(MISCONF) and refuses to write",
    ),
    "busy": ("ResponseError", "BUSY Redis is busy running a script", "busy with somebody's script"),
    "no replicas": ("ResponseError", "NOREPLICAS Not enough good replicas to write.", "too few replicas"),
    "demoted": ("ConnectionError", "The previous master is now a slave", "a replica and refuses to write"),
    "too old": (
        "ResponseError",
        "unknown command 'EVALSHA', with args beginning with: 'swordfish'",
        "Redis 6.2 does",
    ),
    "expired": (
        "ConnectionError",
        "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
        " certificate has expired (_ssl.c:1006).",
        "TLS failed: the server's certificate has expired",
    ),
    "other name": (
        "ConnectionError",
        "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
        " Hostname mismatch, certificate is not valid for 'harbour'. (_ssl.c:1006).",
        "for another name",
    ),
    "other address": (
        "ConnectionError",
        "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify"
        " failed: IP address mismatch, certificate is not valid for '10.0.0.1'.",
        "for another name",
    ),
    "not trusted": (
        "ConnectionError",
        "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify"
        " failed: self-signed certificate (_ssl.c:1006).",
        "does not trust the authority",
    ),
    "TLS": (
        "ConnectionError",
        "Error 1 connecting to h:1. [SSL: NO_SHARED_CIPHER] no shared cipher.",
        "TLS failed (",
    ),
    "route": ("ConnectionError", "Error 113 connecting to harbour:1. No route to host.", "No route to host"),
    "the system's time-out": (
        "ConnectionError",
        "Error 110 connecting to harbour:1. Connection timed out.",
        "no answer in time",
    ),
    "connecting": ("TimeoutError", "Timeout connecting to server", "no answer in time"),
    "reading": ("TimeoutError", "Timeout reading from harbour:1", "no answer in time"),
    "no node": (
        "RedisClusterException",
        "Redis Cluster cannot be connected. Please provide at least one reachable node:"
        " Timeout connecting to server",
        "no answer in time",
    ),
    "no sentinel": (
        "MasterNotFoundError",
        "No master found for 'harbour' : Redis<> - network:TimeoutError",
        "no sentinel has",
    ),
    "no service": (
        "MasterNotFoundError",
        "No master found for 'harbour'",
        "no sentinel that answers knows a master",
    ),
    "reset": (
        "ConnectionError",
        "Error while reading from harbour:1 : (104, 'Connection reset by peer')",
        "closed the connection",
    ),
    "forked": ("ChildDeadlockedError", "", "forked while another thread used the client"),
    "a name like a reason": (
        "NoPermissionError",
        "User Timeout has no permissions to run the 'get' command",
        "no permission",
    ),
    "anything": ("ResponseError", "ERR swordfish is not for captain", "it reports an error (ResponseError)"),
}
SILENT = {"the system's time-out", "connecting", "reading", "no node", "no sentinel"}
LEFT = {"no replicas", "demoted"}


@pytest.mark.parametrize("case", SAID)
def test_what_redis_py_passes_on_is_explained(case: str) -> None:
    """Each has its words, which repeat no part of the text that somebody chose; only a wait without an answer is a
    time-out.
    """
    name, text, words = SAID[case]
    found = error(name, text)
    assert words in explain(found)
    assert explain(found).startswith("Redis: ") and explain(found).endswith(f" ({name})")
    assert not any(secret in explain(found) for secret in (*SECRETS, "10.0.0.1", "127.0.0.1"))
    assert timed_out(found) is (case in SILENT)
    assert no_longer_master(found) is (case in LEFT)
