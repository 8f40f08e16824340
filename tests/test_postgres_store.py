"""The PostgreSQL store on a real server: the contract, through connections of its own and through a hostile pool."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support import postgres_server
from support.postgres_contract import PostgresContract
from support.postgres_server import hostile, shared_postgres

from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_key

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))


class TestOwnConnections(PostgresContract):
    """Connections of the store's own, as ``from_url`` makes them."""

    def connect(self) -> Any:
        return connector(self.url)


@pytest.fixture
def hostile_pool() -> Iterator[Any]:
    """A pool whose connections are set to everything that could make a difference."""
    from psycopg_pool import ConnectionPool

    def configure(connection: Any) -> None:
        connection.read_only = True
        connection.deferrable = True
        connection.isolation_level = 4  # SERIALIZABLE
        connection.prepare_threshold = 0

    url = shared_postgres().url
    with ConnectionPool(
        url, kwargs=hostile(), configure=configure, min_size=2, max_size=10, open=False
    ) as pool:
        yield pool


@pytest.mark.wide
class TestHostilePool(PostgresContract):
    """The caller's pool, whatever is set on its connections."""

    @pytest.fixture(autouse=True)
    def take_pool(self, hostile_pool: Any) -> None:
        self.pool = hostile_pool

    def connect(self) -> Any:
        return self.pool


def test_connections_go_back_as_they_were(hostile_pool: Any) -> None:
    """Whatever the caller set on a connection is still set, and no transaction is open, after each operation."""
    store = PostgresStore(hostile_pool)
    server = [
        "statement_timeout",
        "transaction_isolation",
        "transaction_read_only",
        "bytea_output",
        "search_path",
    ]
    client = ["autocommit", "isolation_level", "read_only", "deferrable", "prepare_threshold", "row_factory"]

    def settings() -> list[Any]:
        with hostile_pool.connection() as connection:
            shown = [connection.execute(f"SHOW {name}").fetchone() for name in server]
            connection.rollback()
            set_ = [getattr(connection, name) for name in client]
            return [*shown, *set_, connection.info.transaction_status]

    before = settings()
    key = new_key()
    store.create(key, b"one", 60, "ada")
    store.replace(key, b"one", b"two", 60)
    store.touch(key, 60)
    assert store.load(key) is not None
    assert list(store.keys()) == [key]
    assert store.delete(key) is True
    assert settings() == before
    assert not hostile_pool.get_stats().get("returns_bad")


CONFIGURATION = {
    "a URL": (
        "postgresql://u:swordfish@h/d",
        {},
        TypeError,
        "callable that returns a new psycopg connection, not str",
    ),
    "a table with quotes": (print, {"table": 'a"b'}, ValueError, "letters, digits and _"),
    "three names": (print, {"table": "a.b.c"}, ValueError, "schema.name"),
    "a long name": (print, {"table": "x" * 56}, ValueError, "up to 55"),
    "no time": (print, {"timeout": 0}, ValueError, "seconds above 0"),
    "not a number": (print, {"timeout": float("nan")}, ValueError, "seconds above 0"),
    "endless": (print, {"timeout": float("inf")}, ValueError, "at most 2,000,000"),
    "a month": (print, {"timeout": 30 * 86400}, ValueError, "at most 2,000,000"),
}


@pytest.mark.parametrize(
    ("connect", "options", "error", "words"), CONFIGURATION.values(), ids=CONFIGURATION.keys()
)
def test_wrong_configuration_is_refused(connect: Any, options: Any, error: Any, words: str) -> None:
    """What cannot work is refused when the store is built, in words that say what to pass and show no password."""
    with pytest.raises(error, match=words) as raised:
        PostgresStore(connect, **options)
    assert "swordfish" not in str(raised.value)


def test_an_asynchronous_pool_is_refused() -> None:
    """An AsyncConnectionPool looks like a pool and is none that can be used here."""
    from psycopg_pool import AsyncConnectionPool

    with pytest.raises(TypeError, match="not AsyncConnectionPool"):
        PostgresStore(AsyncConnectionPool(open=False))


def test_a_missing_psycopg_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the error is one line that says what to install; test_from_url asks for a URL's."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"wsgisession\[postgres\]\): pip install 'psycopg\[binary,pool\]'$"
    ):
        PostgresStore(print)


def test_a_url_has_bounds_unless_it_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting and waiting for acknowledgements is bounded by default; what the URL says counts."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    seen: list[str] = []
    monkeypatch.setattr(psycopg, "connect", lambda conninfo, **options: seen.append(conninfo))
    connector("postgresql://ada:swordfish@h/d?connect_timeout=77")()
    parts = conninfo_to_dict(seen[0])
    expected = {"password": "swordfish", "connect_timeout": "77", "tcp_user_timeout": "10000"}
    assert {part: parts[part] for part in expected} == expected
