"""Stores from URLs, for configuration files and command lines. Every client made here has finite timeouts.

A URL may contain a password. So no message repeats a part of a URL that can contain one, and no exception that repeats
such a part is chained.

Knows how to make each store, and not what the store does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from wsgisession.errors import StoreError
from wsgisession.stores.base import Store
from wsgisession.stores.memory import MemoryStore
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.stores.redis import RedisStore
from wsgisession.stores.redis_errors import explain
from wsgisession.stores.sqlite import SQLiteStore

# Seconds for each attempt; the number of attempts after the first; seconds that may pass between two. The URL may set
# others.
TIMEOUTS = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
RETRIES, CLUSTER_RETRIES, LONGEST_PAUSE = 1, 4, 0.5
REDIS_PORT, SENTINEL_PORT = 6379, 26379

# Parameters for Redis, besides ?prefix=. redis-py knows their types. Another one could be a typing mistake, or make a
# client that does not work here (for example decode_responses).
PARAMETERS = set(
    "client_name health_check_interval max_connections protocol"
    " socket_connect_timeout socket_keepalive socket_timeout".split()
)
TLS_PARAMETERS = set(
    "ssl_ca_certs ssl_ca_path ssl_cert_reqs ssl_certfile"
    " ssl_check_hostname ssl_ciphers ssl_keyfile ssl_password".split()
)
CERT_REQS = ("required", "optional", "none")

# RFC 3986, appendix B. Since Python 3.14 the standard library's urlsplit allows brackets only around the first of
# several hosts.
URL = re.compile(r"(?P<scheme>[^:/?#]+):(//(?P<netloc>[^/?#]*))?(?P<path>[^?#]*)(\?(?P<query>[^#]*))?")
HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


class _Bad(Exception):
    """The URL is wrong. The message says how, and repeats no part of the URL."""


class Parts(NamedTuple):
    """The parts of a URL as they were written; only the parameters are decoded. ``place``: all behind the scheme."""

    scheme: str
    place: str
    user: str
    hosts: str
    path: str
    parameters: dict[str, str]


def from_url(url: str, *, create: bool = True) -> Store:
    """Make the store that a URL describes.

    ``?prefix=`` is that of ``RedisStore``. All other parameters go to redis-py's connections
    (``?socket_timeout=1``) or to PostgreSQL's client. In user names and passwords, write everything except letters,
    digits and ``-._~`` as ``%XX``. A Redis Cluster is asked for its nodes at once. The other servers do not have to run
    yet.

    Args:
        url: ``memory:``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``redis://``, ``rediss://``,
            ``redis+unix:///path/to.sock[?db=0]``, ``redis+cluster://host:port[,host:port]``,
            ``redis+sentinel://[user:pass@]host:port[,host:port]/service[/db]`` or ``postgresql://``.
        create: True: make a SQLite file or a PostgreSQL table that is missing. False: it is a StoreError.

    Raises:
        TypeError, ValueError: this is no URL of a store; the message says what to write and shows no password.
        ModuleNotFoundError: the client library is missing; the message says what to install.
        StoreError: the SQLite file or the Redis Cluster cannot be opened.
    """
    if not isinstance(url, str):
        raise TypeError(f"a store's URL must be a str, not {type(url).__name__}")
    scheme, colon, _ = url.partition(":")
    make, form = SCHEMES.get(scheme.lower() + colon, (None, ""))
    if make is None:
        raise ValueError(
            "no store has a URL like this; write one of: " + ", ".join(form for _, form in SCHEMES.values())
        )
    try:
        return make(_split(url), create)
    except _Bad as error:
        message = f"bad store URL: {error}; write {form}"
    except ValueError as error:
        message = str(error)
    # Not in the handlers, so that nothing is chained.
    raise ValueError(message)


def _split(url: str) -> Parts:
    if not url.isprintable():
        raise _Bad("it contains a line break or another character that cannot be printed")
    match = URL.fullmatch(url)
    if match is None:
        raise _Bad("a '#' in it must be written %23")
    scheme, netloc, path, query = match.group("scheme", "netloc", "path", "query")
    scheme, query = scheme.lower(), query or ""
    if netloc is None and path and scheme != "memory":
        raise _Bad("the scheme is followed by ://")
    user, _, hosts = (netloc or "").rpartition("@")
    if "@" in user:
        raise _Bad("it has two '@' before its path; an '@' in a user name or password must be written %40")
    if "[" in user or "]" in user:
        raise _Bad("'[' and ']' in a user name or password must be written %5B and %5D")
    if netloc and "@" in path + query:
        # An unquoted slash or question mark in a password ends the host part too early.
        raise _Bad("'@', '/' and '?' in a user name, password or parameter must be written %40, %2F and %3F")
    given = parse_qsl(query, keep_blank_values=True)
    parameters = dict(given)
    if len(parameters) < len(given):
        raise _Bad("a parameter is there twice")
    if "" in parameters.values():
        raise _Bad("a parameter has no value")
    return Parts(scheme, url[len(scheme) + 1 :], user, hosts, path, parameters)


def _memory(parts: Parts, create: bool) -> Store:
    if parts.place not in ("", "//"):
        raise _Bad("memory has neither a place nor parameters")
    return MemoryStore()


def _sqlite(parts: Parts, create: bool) -> Store:
    if "?" in parts.place:
        raise _Bad("a SQLite file takes no parameters, and a '?' in its name must be written %3F")
    if parts.user or parts.hosts or not parts.path.startswith("/") or parts.path == "/":
        raise _Bad("three slashes come before the file")
    return SQLiteStore(unquote(parts.path[1:]), create=create)


def _postgres(parts: Parts, create: bool) -> Store:
    if "prefix" in parts.parameters:
        raise _Bad("PostgreSQL has no prefix")
    return PostgresStore(connector(f"postgresql://{parts.place.removeprefix('//')}"), create=create)


def _redis(parts: Parts, create: bool) -> Store:
    host, port = _hosts(parts, REDIS_PORT)[0]
    address = {"host": host, "port": port, **_database(parts.path.removeprefix("/"))}
    return _store(parts, lambda redis, options: redis.Redis(**address | options))


def _unix(parts: Parts, create: bool) -> Store:
    if parts.hosts or parts.path in ("", "/"):
        raise _Bad("it names the socket's file, and no host")
    address = {"unix_socket_path": unquote(parts.path), **_database(parts.parameters.pop("db", ""))}
    return _store(parts, lambda redis, options: redis.Redis(**address | options))


def _sentinel(parts: Parts, create: bool) -> Store:
    hosts = _hosts(parts, SENTINEL_PORT, several=True)
    service, _, number = parts.path.removeprefix("/").partition("/")
    if not service:
        raise _Bad("the service's name is missing")
    database = _database(number)

    def connect(redis: Any, options: dict[str, Any]) -> Any:
        # User and password are for the Redis servers. The sentinels are asked without them.
        shared = {
            name: value for name, value in options.items() if name.startswith(("socket_", "ssl", "retry"))
        }
        return redis.Sentinel(hosts, sentinel_kwargs=shared).master_for(
            unquote(service), **{**database, **options}
        )

    return _store(parts, connect)


def _cluster(parts: Parts, create: bool) -> Store:
    hosts = _hosts(parts, REDIS_PORT, several=True)
    if parts.path not in ("", "/"):
        raise _Bad("a Cluster has a single database")

    def connect(redis: Any, options: dict[str, Any]) -> Any:
        nodes = [redis.cluster.ClusterNode(*host) for host in hosts]
        options["retry"].update_retries(CLUSTER_RETRIES)
        try:
            return redis.RedisCluster(startup_nodes=nodes, **options)
        except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
            raise StoreError(explain(error)) from error

    return _store(parts, connect)


def _store(parts: Parts, connect: Callable[[Any, dict[str, Any]], Any]) -> Store:
    """Make a RedisStore with a client of its own."""
    try:
        import redis
    except ImportError as error:
        message = "a redis:// URL needs redis-py (the extra wsgisession[redis]): pip install redis"
        raise ModuleNotFoundError(message, name="redis") from error
    prefix, options = _options(redis, parts)
    return RedisStore(connect(redis, options), **prefix, owns_client=True)


def _options(redis: Any, parts: Parts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the parameters of a URL say to RedisStore, and to redis-py's clients."""
    given = parts.parameters
    prefix: dict[str, Any] = {"prefix": given.pop("prefix")} if "prefix" in given else {}
    tls = parts.scheme.startswith("rediss")
    unknown = given.keys() - PARAMETERS - TLS_PARAMETERS
    if unknown:
        # Do not name them: they may be the part of a password after a question mark.
        known = sorted(PARAMETERS | TLS_PARAMETERS if tls else PARAMETERS)
        raise _Bad(f"an unknown parameter; those there are: prefix, {', '.join(known)}")
    if not tls and given.keys() & TLS_PARAMETERS:
        raise _Bad("ssl_ parameters belong to a scheme that begins with rediss")
    # Do not repeat after a time-out: if a server hangs, every request would wait twice as long.
    retry = redis.retry.Retry(
        redis.backoff.EqualJitterBackoff(LONGEST_PAUSE, 0.05), RETRIES, (redis.ConnectionError,)
    )
    options = {**TIMEOUTS, "retry": retry, **({"ssl": True} if tls else {})}
    for name, text in zip(("username", "password"), parts.user.split(":", 1), strict=False):
        if text:
            options[name] = unquote(text)
    try:
        options |= redis.connection.parse_url("redis://?" + urlencode(given))
    except ValueError:
        raise _Bad("a parameter's value is not of the right type") from None
    if not all(0 < options[name] < math.inf for name in TIMEOUTS):
        raise _Bad("a timeout is a number of seconds above 0")
    if options.get("max_connections", 1) < 1:
        raise _Bad("max_connections is a number above 0")
    if str(options.get("protocol", 2)) not in ("2", "3"):
        raise _Bad("protocol is 2 or 3")
    if "protocol" in options:
        options["protocol"] = int(options["protocol"])  # with redis-py 6.0 it is still a text
    if options.get("ssl_cert_reqs", "none") not in CERT_REQS:
        raise _Bad(f"ssl_cert_reqs is one of {', '.join(CERT_REQS)}")
    return prefix, options


def _hosts(parts: Parts, default: int, *, several: bool = False) -> list[tuple[str, int]]:
    """Return hosts and ports. If the URL names none: the one on this machine."""
    found = []
    for place in (parts.hosts or "localhost").split(","):
        match = HOST.fullmatch(place)
        if match is None or not 0 < int(match["port"] or default) < 65536:
            raise _Bad("a host must be a name or an address, with a port from 1 to 65535")
        found.append((match["host"].strip("[]"), int(match["port"] or default)))
    if len(found) > 1 and not several:
        raise _Bad("only redis+cluster:// and redis+sentinel:// have several hosts")
    return found


def _database(number: str) -> dict[str, int]:
    if number and not (number.isascii() and number.isdigit()):
        raise _Bad("the database is a number")
    return {"db": int(number)} if number else {}


_SEVERAL, _ONE = "//[user:password@]host:port[,host:port]", "//[user:password@]host[:port]"
SCHEMES: dict[str, tuple[Callable[[Parts, bool], Store], str]] = {
    "memory:": (_memory, "memory:"),
    "sqlite:": (_sqlite, "sqlite:///relative.db or sqlite:////absolute.db"),
    "redis:": (_redis, f"redis:{_ONE}[/db]"),
    "rediss:": (_redis, f"rediss:{_ONE}[/db]"),
    "redis+unix:": (_unix, "redis+unix://[user:password@]/path/to.sock[?db=0]"),
    "redis+cluster:": (_cluster, f"redis+cluster:{_SEVERAL}"),
    "rediss+cluster:": (_cluster, f"rediss+cluster:{_SEVERAL}"),
    "redis+sentinel:": (_sentinel, f"redis+sentinel:{_SEVERAL}/service[/db]"),
    "rediss+sentinel:": (_sentinel, f"rediss+sentinel:{_SEVERAL}/service[/db]"),
    "postgresql:": (_postgres, f"postgresql:{_ONE}/database"),
    "postgres:": (_postgres, f"postgres:{_ONE}/database"),
}
