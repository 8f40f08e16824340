"""Stores from URLs: every scheme, what is missing or wrong said in one line, no password in it, every wait
bounded.
"""

from __future__ import annotations

import itertools
import json
import runpy
import sys
import traceback
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import postgres_server, redis_servers
from support.redis_contract import new_prefix, use_everything
from support.redis_servers import free_port, shared_one_node_cluster, shared_redis
from support.web import SECRET
from webtest import TestApp as Browser

from wsgisession import MemoryStore, SessionMiddleware, StoreError
from wsgisession.stores import PostgresStore, RedisStore, SQLiteStore, Store, from_url
from wsgisession.stores import url as url_module
from wsgisession.stores.url import SCHEMES, TIMEOUTS

needs_redis = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))
needs_redis_py = pytest.mark.skipif(
    redis_servers.missing_client() is not None, reason=str(redis_servers.missing_client())
)
needs_postgres = pytest.mark.skipif(
    postgres_server.missing() is not None, reason=str(postgres_server.missing())
)
numbers = itertools.count()


# One application, whatever the store


def application(environ: Any, start_response: Any) -> list[bytes]:
    """Counts views, logs in and out, and tells what it knows."""
    session = environ["wsgisession.session"]
    match environ["PATH_INFO"]:
        case "/view":
            session["views"] = session.get("views", 0) + 1
            session.setdefault("seen", []).append({"view": session["views"]})
        case "/login":
            session.owner = "ada"
        case "/logout":
            session.destroy()
    others = len(session.siblings()) if session.owner else 0
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([session.get("views"), session.get("seen"), session.owner, others]).encode()]


def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sessions.db"


def postgres_url(tmp_path: Path) -> str:
    """Return the URL of a schema of this test's own."""
    name = f"urls_{next(numbers)}"
    postgres_server.execute(f"CREATE SCHEMA {name}")
    return f"{postgres_server.shared_postgres().url}?options=-csearch_path%3D{name}"


STORES = {
    "memory": lambda tmp_path: "memory:",
    "sqlite": sqlite_url,
    "redis": lambda tmp_path: f"redis://127.0.0.1:{shared_redis().port}?prefix={new_prefix()}",
    "redis+cluster": lambda tmp_path: f"{shared_one_node_cluster().url}?prefix={new_prefix()}",
    "postgresql": postgres_url,
}
MARKS = {"redis": needs_redis, "redis+cluster": needs_redis, "postgresql": needs_postgres}


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=MARKS.get(name, ())) for name, make in STORES.items()]
)
def test_one_application_on_every_store(make: Callable[[Path], str], tmp_path: Path) -> None:
    """The same application object does the same with each; only the URL is changed."""
    middleware = SessionMiddleware(application, secret=SECRET, store=make(tmp_path))
    browser, second = Browser(middleware), Browser(middleware)
    assert browser.get("/view").json == [1, [{"view": 1}], None, 0]
    assert browser.get("/view").json[0] == 2
    assert second.get("/view").json[0] == 1
    assert browser.get("/login").json[2] == second.get("/login").json[2] == "ada"
    assert browser.get("/").json == [2, [{"view": 1}, {"view": 2}], "ada", 1]
    assert second.get("/logout").json[0] is None
    assert browser.get("/").json[3] == 0
    assert second.get("/").json[0] is None
    middleware.manager.store.close()


# What a URL gives


def test_memory() -> None:
    """``memory:`` is a new store each time."""
    assert isinstance(from_url("memory:"), MemoryStore)
    assert isinstance(from_url("memory://"), MemoryStore)
    assert from_url("memory:") is not from_url("memory:")


FILES = {
    "relative": ("sqlite:///sessions.db", "sessions.db"),
    "in a directory": ("sqlite:///below/sessions.db", "below/sessions.db"),
    "absolute": ("sqlite:///{here}/sessions.db", "sessions.db"),
    "quoted": ("sqlite:///a%20b%3F%23%25.db", "a b?#%.db"),
    "a space": ("sqlite:///a b.db", "a b.db"),
    "capitals": ("SQLite:///Sessions.db", "Sessions.db"),
    "wide characters": ("sqlite:///\N{SNOWMAN}.db", "\N{SNOWMAN}.db"),
}


@pytest.mark.parametrize(("url", "name"), FILES.values(), ids=FILES.keys())
def test_sqlite(url: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes and a relative path, four and an absolute one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    store = from_url(url.replace("{here}", str(tmp_path)))
    assert isinstance(store, SQLiteStore)
    assert store.create("key", b"payload", 60) is True
    assert (tmp_path / name).is_file()
    store.close()


REDIS: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing": ("redis:", {"host": "localhost", "port": 6379, "db": 0, "username": None, "password": None}),
    "slashes": ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
    "a database": ("redis:///3", {"host": "localhost", "db": 3}),
    "a host": ("redis://example.com", {"host": "example.com", "port": 6379}),
    "all": (
        "redis://ada:pw@h:1234/5",
        {"host": "h", "port": 1234, "db": 5, "username": "ada", "password": "pw"},
    ),
    "a password": ("redis://:pw@h", {"username": None, "password": "pw"}),
    "a user": ("redis://ada@h", {"username": "ada", "password": None}),
    "quoted": ("redis://a%40b:p%2F%3A%23%25%40w@h", {"username": "a@b", "password": "p/:#%@w"}),
    "beyond ASCII": ("redis://ada:p\u2100w@h", {"host": "h", "password": "p\u2100w"}),
    "IPv4": ("redis://192.0.2.1:1", {"host": "192.0.2.1", "port": 1}),
    "IPv6": ("redis://[2001:db8::1]:65535/1", {"host": "2001:db8::1", "port": 65535, "db": 1}),
    "capitals": ("REDIS://H:1", {"host": "H"}),
    "a timeout": ("redis://h?socket_timeout=0.5", {"socket_timeout": 0.5, "socket_connect_timeout": 2.0}),
    "both timeouts": (
        "redis://h?socket_timeout=9&socket_connect_timeout=8",
        {"socket_timeout": 9.0, "socket_connect_timeout": 8.0},
    ),
    "a name": ("redis://h?client_name=web", {"client_name": "web"}),
    "a protocol": ("redis://h?protocol=3", {"protocol": 3}),
    "health checks": ("redis://h?health_check_interval=30", {"health_check_interval": 30}),
    "a socket": ("redis+unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0, "password": None}),
    "a socket's database": ("redis+unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}),
    "a socket, all": (
        "redis+unix://ada:p%40w@/run/a%20b.sock?socket_timeout=1&db=2",
        {"path": "/run/a b.sock", "db": 2, "username": "ada", "password": "p@w", "socket_timeout": 1.0},
    ),
    "a socket with an at sign": ("redis+unix:///run/a@b.sock", {"path": "/run/a@b.sock"}),
}


@needs_redis_py
@pytest.mark.parametrize(("url", "expected"), REDIS.values(), ids=REDIS.keys())
def test_redis(url: str, expected: dict[str, Any]) -> None:
    """Host, port or the socket's file, database, user and password are taken from their places, unquoted; redis-py's
    parameters have its types.
    """
    store = from_url(url)
    assert isinstance(store, RedisStore)
    options = store.client.connection_pool.connection_kwargs
    assert {name: options.get(name) for name in expected} == expected


@needs_redis
def test_a_unix_socket_works(tmp_path: Path) -> None:
    """A server that listens on a socket's file alone keeps sessions; if there is no file, the error says
    so.
    """
    server = redis_servers.Standalone("--unixsocket", str(tmp_path / "redis.sock"))
    store = from_url(f"redis+unix://{tmp_path}/redis.sock?db=1&prefix=unix:")
    assert isinstance(store, RedisStore)
    use_everything(store)
    server.close()
    with pytest.raises(StoreError, match="no such socket file|connection refused"):
        store.load("key")
    with pytest.raises(StoreError, match="there is no such socket file"):
        from_url(f"redis+unix://{tmp_path}/other.sock").load("key")


def sentinels_of(store: Any) -> list[tuple[str, int]]:
    """Return where the sentinels of a store are."""
    sentinels = store.client.connection_pool.sentinel_manager.sentinels
    options = [sentinel.connection_pool.connection_kwargs for sentinel in sentinels]
    assert not any(one.get("password") for one in options)
    return [(one["host"], one["port"]) for one in options]


SEVERAL_HOSTS = {
    "redis+sentinel://ada:pw@h:1,[::1]:2/s": [("h", 1), ("::1", 2)],
    "redis+sentinel://[::1]:2,h/s": [("::1", 2), ("h", 26379)],
    "redis+sentinel://[2001:db8::1],[2001:db8::2]:1/s/3": [("2001:db8::1", 26379), ("2001:db8::2", 1)],
}


@needs_redis_py
@pytest.mark.parametrize(("url", "hosts"), SEVERAL_HOSTS.items(), ids=SEVERAL_HOSTS.keys())
def test_several_hosts_with_brackets(
    url: str, hosts: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6 addresses among several hosts, on Pythons too whose own parser refuses them, as since 3.14."""

    def refuse(url: str, *_: Any, **__: Any) -> Any:
        assert "[" not in url, "Invalid IPv6 URL"
        return real(url)

    real = urllib.parse.urlsplit
    monkeypatch.setattr(urllib.parse, "urlsplit", refuse)
    monkeypatch.setattr(urllib.parse, "urlparse", refuse)
    module = runpy.run_path(url_module.__file__, run_name="wsgisession.stores.url")  # takes what is there now
    assert sentinels_of(module["from_url"](url)) == hosts


@pytest.mark.parametrize("url", ["memory:", "redis://h", "redis+unix:///s", "redis+sentinel://h/s"])
def test_create_says_nothing_to_some_stores(url: str) -> None:
    """Memory and Redis have nothing to create."""
    if url != "memory:" and (reason := redis_servers.missing_client()) is not None:
        pytest.skip(reason)
    assert type(from_url(url, create=False)) is type(from_url(url))


@needs_redis_py
@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "redis+sentinel://h/s", "rediss+sentinel://h/s"])
def test_redis_waits_are_bounded(url: str) -> None:
    """Connecting and waiting for replies is, by default, and so is the number of repetitions, with little
    between them.
    """
    pool = from_url(url).client.connection_pool  # type: ignore[attr-defined]
    sentinels = pool.sentinel_manager.sentinels if "sentinel" in url else []
    for client in (pool, *(sentinel.connection_pool for sentinel in sentinels)):
        options = client.connection_kwargs
        assert {name: options[name] for name in TIMEOUTS} == TIMEOUTS
        assert 0 < max(TIMEOUTS.values()) < 10
        assert 0 < options["retry"].get_retries() < 5
        assert max(options["retry"]._backoff.compute(attempt) for attempt in range(20)) < 1


@needs_redis_py
@pytest.mark.parametrize("url", ["rediss://h:1", "rediss+sentinel://h:1/s"])
def test_redis_with_tls(url: str) -> None:
    """A scheme that begins with ``rediss`` encrypts, checks certificate and host name, and takes redis-py's
    parameters.
    """
    pool = from_url(
        f"{url}?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
    ).client.connection_pool  # type: ignore[attr-defined]
    connection = pool.make_connection()
    assert type(connection).__name__ in ("SSLConnection", "SentinelManagedSSLConnection")
    assert (connection.ca_certs, connection.certfile, connection.keyfile) == ("/ca.pem", "/c.pem", "/k.pem")
    assert (connection.cert_reqs, connection.check_hostname) == (2, True)


@needs_redis_py
def test_redis_sentinel() -> None:
    """Several sentinels, the service's name, the database; user and password are the servers', not the
    sentinels'.
    """
    store = from_url("redis+sentinel://ada:pw@h:1,[::1]:2,g/my%20service/3?prefix=app:&max_connections=7")
    assert isinstance(store, RedisStore)
    pool = store.client.connection_pool
    assert sentinels_of(store) == [("h", 1), ("::1", 2), ("g", 26379)]
    assert (pool.service_name, pool.max_connections, store.prefix) == ("my service", 7, "app:")
    options = pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("ada", "pw", 3)
    store.close()


@needs_redis
def test_redis_cluster() -> None:
    """One reachable node of several leads to the Cluster; timeouts and repetitions are bounded there too."""
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{shared_one_node_cluster().port}"
    store = from_url(f"{url}?prefix={new_prefix()}&socket_timeout=1")
    assert isinstance(store, RedisStore)
    options = store.client.nodes_manager.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (1.0, 2.0)
    assert store.client.retry._retries == 4
    assert store.create("key", b"payload", 60, "ada") is True
    assert list(store.owned_by("ada")) == list(store.keys()) == ["key"]
    store.close()


@needs_redis
@pytest.mark.parametrize(
    ("query", "start"), [("", b"wsgisession:key"), ("?prefix=my%20app%2F", b"my app/key")], ids=str
)
def test_a_prefix(query: str, start: bytes) -> None:
    """``?prefix=`` is what every key begins with."""
    store = from_url(f"redis://127.0.0.1:{shared_redis().port}{query}")
    store.create("key", b"payload", 60)
    with shared_redis().client() as client:
        assert client.get(start) == b"payload"
    assert store.delete("key") is True
    store.close()


@needs_redis
def test_close_closes_the_stores_own_client() -> None:
    """What a URL has opened is closed with the store, and opened again when it is needed."""
    name = f"closing{next(numbers)}"

    def connections() -> int:
        with shared_redis().client() as admin:
            return sum(line["name"] == name for line in admin.client_list())

    store = from_url(f"redis://127.0.0.1:{shared_redis().port}?client_name={name}")
    store.load("key")
    assert connections() == 1
    store.close()
    redis_servers.until(lambda: connections() == 0, "the connection is closed")
    store.load("key")
    assert connections() == 1
    store.close()


@needs_postgres
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "PostgreSQL"])
def test_postgres(scheme: str) -> None:
    """``postgresql://`` and its short form, with libpq's parameters."""
    name = f"names_{next(numbers)}"
    url = postgres_server.shared_postgres().url.replace("postgresql:", f"{scheme}:")
    store = from_url(f"{url}?application_name={name}&connect_timeout=5")
    assert isinstance(store, PostgresStore)
    assert store.load("key") is None
    assert len(postgres_server.backends(name)) == 1
    store.close()


@needs_postgres
def test_postgres_from_the_environment() -> None:
    """``postgresql:`` alone leaves everything to libpq's variables."""
    assert isinstance(from_url("postgresql:"), PostgresStore)


# What is missing or wrong


EXTRAS = {
    "redis://h": (
        "redis",
        r"a redis:// URL needs redis-py \(the extra wsgisession\[redis\]\): pip install redis",
    ),
    "rediss://:coralfish@h": ("redis", r"wsgisession\[redis\]\): pip install redis"),
    "redis+cluster://h": ("redis", r"wsgisession\[redis\]\): pip install redis"),
    "redis+sentinel://u:coralfish@h/s": ("redis", r"wsgisession\[redis\]\): pip install redis"),
    "postgresql://u:coralfish@h/d": (
        "psycopg",
        r"wsgisession\[postgres\]\): pip install 'psycopg\[binary,pool\]'",
    ),
}


@pytest.mark.parametrize("url", EXTRAS)
def test_a_missing_client_library_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install, from the middleware too."""
    client, words = EXTRAS[url]
    monkeypatch.setitem(sys.modules, client, None)
    for build in (from_url, lambda url: SessionMiddleware(application, secret=SECRET, store=url)):
        with pytest.raises(ModuleNotFoundError, match=f"{words}$") as raised:
            build(url)
        assert raised.value.name == client
        assert_one_line_without_password(raised.value)


def assert_one_line_without_password(error: BaseException) -> None:
    """Check a message, and whatever a logger could print with it."""
    assert "\n" not in str(error)
    seen: BaseException | None = error
    while seen is not None:
        assert "coral" not in f"{seen!r} {seen.args}" and "fish" not in f"{seen!r} {seen.args}"
        seen = seen.__cause__ or seen.__context__
    assert "fish" not in "".join(traceback.format_exception_only(error))


UNKNOWN = "no store has a URL like this; write one of: memory:, "
PLACE = "'@', '/' and '?' in a user name"
PREFIX = "prefix must not be empty or have braces"
BAD = {
    "": UNKNOWN,
    "redis": UNKNOWN,
    "coralfish": UNKNOWN,
    "http://u:coralfish@h": UNKNOWN,
    " redis://u:coralfish@h": UNKNOWN,
    "redis+udp://u:coralfish@/socket": UNKNOWN,
    "/var/lib/coralfish.db": UNKNOWN,
    "memory:coralfish": "memory has neither a place nor parameters",
    "memory:?prefix=coralfish": "memory has neither a place nor parameters",
    "sqlite:": "three slashes come before the file; write sqlite:///relative.db or sqlite:////absolute.db",
    "sqlite:coralfish.db": "followed by ://",
    "sqlite:/coralfish.db": "followed by ://",
    "sqlite://coralfish.db": "three slashes",
    "sqlite:///": "three slashes",
    "sqlite:///coralfish.db?mode=ro": "no parameters",
    "sqlite:///coral#fish.db": "%23",
    "sqlite:///:memory:": "MemoryStore()",
    "sqlite:///a%00b": "is not a file",
    "redis:coralfish": "followed by ://",
    "redis:/coralfish@h": "followed by ://",
    "redis://u:coral/fish@h": PLACE,
    "redis://u:coral?fish@h": PLACE,
    "redis://u:coral#fish@h": "'#' in it must be written %23",
    "redis://u:coralfish@h\n": "line break",
    "redis://u:coral[fish@h": "'[' and ']' in a user name or password must be written %5B and %5D",
    "redis://u:coral]fish@h": "'[' and ']' in a user name or password must be written %5B and %5D",
    "redis://u:coralfish@[::1": "a name or an address",
    "redis://u:coral@fish@h": "two '@' before its path; an '@' in a user name or password must be",
    "redis+sentinel://u:coral@fish@h:1,g:2/s": "must be written %40",
    "postgresql://u:coral@fish@h/d": "must be written %40",
    "redis://u:coralfish@h:port": "a port from 1 to 65535",
    "redis://u:coralfish@h:0": "a port from 1 to 65535",
    "redis://u:coralfish@h:65536": "a port from 1 to 65535",
    "redis://u:coralfish@h:1:2": "a name or an address",
    "redis://u:coralfish@h h": "a name or an address",
    "redis://u:coralfish@:1": "a name or an address",
    "redis://u:coralfish@h,g": "only redis+cluster:// and redis+sentinel:// have several hosts",
    "redis://u:coralfish@h/db": "the database is a number",
    "redis://u:coralfish@h/1/2": "the database is a number",
    "redis://u:coralfish@h/\N{SUPERSCRIPT TWO}": "the database is a number",
    "redis://h?password=coralfish": "an unknown parameter; those there are: prefix, client_name, ",
    "redis://u:coralfish@h?decode_responses=true": "an unknown parameter",
    "redis://h/?socket_timeout=1&coralfish=2": "an unknown parameter",
    "redis://u:coral?coralfish=1": "a port from 1 to 65535",
    "redis://h/0?u:coralfish=1": "an unknown parameter",
    "rediss://h/?coralfish=2": "socket_timeout, ssl_ca_certs",
    "redis://h/0?prefix=x&u:coralfish@h": PLACE,
    "redis+sentinel:///6?prefix=x&user:coralfish@h": "a parameter has no value",
    "redis+unix://u:coralfish@/": "it names the socket's file, and no host; write redis+unix://",
    "redis+unix://u:coralfish@h/run/redis.sock": "it names the socket's file, and no host",
    "redis+unix:///run/redis.sock?db=coralfish": "the database is a number",
    "redis+unix:///run/redis.sock?db=1&db=2": "a parameter is there twice",
    "redis://u:coralfish@h?ssl_ca_certs=x": "belong to a scheme that begins with rediss",
    "rediss://u:coralfish@h?ssl_cert_reqs=maybe": "one of required, optional, none; write rediss://",
    "redis://u:coralfish@h?socket_timeout=soon": "not of the right type",
    "redis://u:coralfish@h?socket_timeout=0": "above 0",
    "redis://u:coralfish@h?socket_timeout=inf": "above 0",
    "redis://u:coralfish@h?socket_connect_timeout=nan": "above 0",
    "redis://u:coralfish@h?socket_timeout=": "a parameter has no value",
    "redis://u:coralfish@h?socket_timeout=1&socket_timeout=2": "a parameter is there twice",
    "redis://u:coralfish@h?max_connections=0": "above 0",
    "redis://u:coralfish@h?protocol=1": "protocol is 2 or 3",
    "redis://u:coralfish@h?prefix=": "a parameter has no value",
    "redis://u:coralfish@h?prefix={a}": PREFIX,
    "redis+cluster://u:coralfish@h/1": "a Cluster has a single database; write redis+cluster://",
    "redis+sentinel://u:coralfish@h": "the service's name is missing; write redis+sentinel://",
    "redis+sentinel://u:coralfish@h//1": "the service's name is missing",
    "redis+sentinel://u:coralfish@h/s/db": "the database is a number",
    "rediss+sentinel://u:coralfish@h,,g/s": "a name or an address",
    "postgresql:coralfish": "followed by ://",
    "postgresql://u:coral/fish@h/d": PLACE,
    "postgresql://u:coralfish@h/d?prefix=a": "PostgreSQL has no prefix; write postgresql://",
    "postgresql://u:coral%zzfish@h/d": "no URL that PostgreSQL's client understands; write postgresql://",
    "postgresql://u:coralfish@h:x/d": "a port in a postgresql:// URL is a number from 1 to 65535",
    "postgresql://u:coralfish@h:1,h:65536/d": "a port in a postgresql:// URL is a number from 1 to 65535",
    "postgresql://u:coralfish@h:\N{ARABIC-INDIC DIGIT FIVE}/d": "a port in a postgresql:// URL is a number from 1 to 65535",
    "postgresql://u:coralfish@h/d?nonsense=1": "no URL that PostgreSQL's client understands",
}


@pytest.mark.parametrize(("url", "words"), BAD.items(), ids=map(repr, BAD))
def test_a_bad_url_is_refused(url: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to write; the URL, which may contain a password, is neither repeated nor chained."""
    monkeypatch.chdir(tmp_path)
    client = {"redis": redis_servers.missing_client(), "postg": postgres_server.missing()}.get(url[:5])
    if client is not None:
        pytest.skip(client)
    for build in (from_url, lambda url: SessionMiddleware(application, secret=SECRET, store=url)):
        with pytest.raises(ValueError) as raised:
            build(url)
        assert words in str(raised.value)
        assert len(str(raised.value)) < 600
        assert raised.value.__cause__ is None and raised.value.__context__ is None
        assert_one_line_without_password(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", [None, 1, b"redis://u:coralfish@h", ["redis://u:coralfish@h"], Path("coralfish")], ids=repr
)
def test_a_url_is_text(url: Any) -> None:
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match="a store's URL must be a str, not ") as raised:
        from_url(url)
    assert_one_line_without_password(raised.value)


def test_every_scheme_is_told() -> None:
    """Who writes an unknown scheme learns all that there are, each with its slashes."""
    with pytest.raises(ValueError) as raised:
        from_url("etcd://h")
    for scheme, (_, form) in SCHEMES.items():
        assert form.startswith(scheme) and form in str(raised.value)


def down(scheme: str) -> str:
    """Return a URL with a password that leads nowhere."""
    tail = {"redis+sentinel": "/s", "postgresql": "/d"}.get(scheme, "")
    return f"{scheme}://ada:coralfish@127.0.0.1:{free_port()}{tail}"


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param("postgresql", marks=needs_postgres),
        *(pytest.param(scheme, marks=needs_redis_py) for scheme in ("redis", "rediss", "redis+sentinel")),
    ],
)
def test_a_server_may_come_up_later(scheme: str) -> None:
    """A store can be made while its server is down; operations are StoreErrors that show no password."""
    store: Store = from_url(down(scheme))
    with pytest.raises(StoreError) as raised:
        store.create("key", b"payload", 60, "ada")
    assert_one_line_without_password(raised.value)
    store.close()


@needs_redis_py
@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
def test_a_cluster_must_be_up(scheme: str) -> None:
    """A Cluster is asked for its nodes at once: a StoreError where none answers, without the password."""
    with pytest.raises(StoreError, match="Redis: connection refused") as raised:
        from_url(down(scheme))
    assert_one_line_without_password(raised.value)
