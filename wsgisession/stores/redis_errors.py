"""Why Redis could not be asked, or did not do what it was asked, in words for the person who repairs it.

redis-py's own messages name hosts, users and services, quote arguments, and differ from release to release.
The messages here repeat none of these: if a URL is wrong, its password can be taken for a host, and an argument may be
    a payload. redis-py's exception is chained anyway.

Knows nothing of stores, scripts or connections.
"""

from __future__ import annotations

import errno
import os
import re
import socket

CLUSTER = "this server belongs to a Cluster; write redis+cluster://…, or pass a redis.RedisCluster"
NO_ANSWER = "no answer in time"
NO_SENTINEL = "no sentinel has answered in time"
REPLICA = "this server is a replica and refuses to write"
DESERTED = "too few replicas follow this server, so it refuses to write"

# A pattern for the name of an exception and its text, and what it means. The first match counts.
ON_THE_WAY = {
    r"mismatch": "TLS failed: the server's certificate is for another name",
    r"certificate has expired": "TLS failed: the server's certificate has expired",
    r"CERTIFICATE_VERIFY_FAILED": "TLS failed: this machine does not trust the authority of the server's"
    " certificate; pass a file with it as ssl_ca_certs",
    r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE": "TLS failed: this port speaks no TLS",
    r"\[SSL|SSL.*Error|_ssl\.c|EOF occurred": "TLS failed",
    r"MasterNotFoundError: .*Timeout": NO_SENTINEL,
    r"MasterNotFoundError": "no sentinel that answers knows a master of this service",
    r"TimeoutError: |: Timeout |[Tt]imed out": NO_ANSWER,
    r"Too many connections|No connection available": "every connection of the client's pool is in use; raise"
    " max_connections",
    r"closed by server|while reading|while writing": "the server closed the connection; if this port wants TLS,"
    " write rediss://…",
    r"InvalidResponse": "the reply is not Redis' protocol",
}
FROM_THE_SERVER = {
    r"MovedError|AskError|CrossSlot|not allowed in cluster mode": CLUSTER,
    r"Cluster mode is not enabled|cluster support disabled": "this server belongs to no Cluster; write"
    " redis://…, or pass a redis.Redis",
    r"SlotNotCovered|slots are not covered": "some of the Cluster's slots have no server",
    r"MasterDownError": "this server is a replica that has lost its master",
    r"ClusterDownError|CLUSTERDOWN": "the Cluster is down: some of its slots have no server",
    r"max number of clients": "the server has too many clients; raise its maxclients",
    r"Authentication required|NOAUTH|HELLO must be called": "the server wants a password",
    r"without any password configured|no password is set": "the server has no password, but was sent one",
    r"AuthenticationError|AuthenticationWrong": "wrong user name or password",
    r"can't access|at least one of the keys|access (one of the keys|a key)": "this user has no permission for"
    " keys with this prefix",
    r"NoPermissionError|can't run this command|no permissions to run": "this user has no permission for a command that the store"
    " needs",
    r"DB index|Invalid Database": "no such database",
    r"ReadOnlyError|READONLY|is now a slave": REPLICA,
    r"NOREPLICAS": DESERTED,
    r"BusyLoadingError": "the server has just started and still loads its data",
    r"OutOfMemoryError|OOM": "the server is out of memory (OOM) and refuses to write; raise its maxmemory",
    r"MISCONF": "the server cannot save its data to disk (MISCONF) and refuses to write",
    r"Error: BUSY": "the server is busy with somebody's script",
    r"WRONGTYPE": "a key with this prefix holds something of another kind (WRONGTYPE); no other program may"
    " use the prefix",
    r"unknown command": "the server does not know a command that the store needs; Redis 6.2 does",
    r"ForeignReply": "a reply that belongs to another command came in; it was dropped with its connection",
    r"ChildDeadlockedError": "this process was forked while another thread used the client",
}

_NUMBER = re.compile(r"\bError (-?[0-9]+) ")
_UNRESOLVED = {number for name, number in vars(socket).items() if name.startswith("EAI_")}
SYSTEM = {
    **dict.fromkeys(_UNRESOLVED, "unknown host: its name has no address"),
    errno.ECONNREFUSED: "connection refused: no server listens there",
    errno.ENOENT: "there is no such socket file",
    errno.EACCES: "this user may not open the socket file",
    errno.ETIMEDOUT: NO_ANSWER,
}


def explain(error: Exception) -> str:
    """Return the one line that a StoreError says."""
    return f"Redis: {_meaning(error)} ({type(error).__name__})"


def timed_out(error: Exception) -> bool:
    """Return whether this error ended a wait without an answer. An error that a server reports and a refused connection
    did not.
    """
    return _meaning(error) in (NO_ANSWER, NO_SENTINEL)


def no_longer_master(error: Exception) -> bool:
    """Return whether another server may be the master now: this one is a replica, or has lost its replicas."""
    return _meaning(error) in (REPLICA, DESERTED)


def _meaning(error: Exception) -> str:
    from redis.exceptions import ResponseError

    text = f"{type(error).__name__}: {error}"
    if not isinstance(error, ResponseError):
        if words := _first(ON_THE_WAY, text):
            return words
        if found := _NUMBER.search(text):
            number = int(found[1])
            return SYSTEM.get(number) or os.strerror(number)
    return _first(FROM_THE_SERVER, text) or "it reports an error"


def _first(meanings: dict[str, str], text: str) -> str | None:
    return next((words for pattern, words in meanings.items() if re.search(pattern, text)), None)
