"""Why there is no connection, or no table: said in words of our own, with nothing of the URL in them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from support import postgres_server
from support.postgres_server import created, execute, free_port, shared_postgres

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.stores.postgres_cause import cause
from wsgisession.testing import new_key

pytestmark = pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
numbers = itertools.count()


@pytest.fixture
def role() -> Iterator[str]:
    """A role that may only log in."""
    name = f"visitor_{next(numbers)}"
    execute(f"CREATE ROLE {name} LOGIN PASSWORD 'swordfish'")
    yield name
    execute(f"DROP ROLE {name}")


def changed(old: str, new: str) -> Callable[[str, str], str]:
    return lambda url, role: url.replace(old, new)


def as_role(sql: str) -> Callable[[str, str], str]:
    """Return what runs a statement about the role and then returns the URL to connect as this role."""

    def prepare(url: str, role: str) -> str:
        execute(sql.format(role))
        return url.replace("//wsgisession:", f"//{role}:")

    return prepare


REAL: dict[str, tuple[Callable[[str, str], str], str]] = {
    "refused": (
        lambda url, role: url.replace(f":{shared_postgres().port}", f":{free_port()}"),
        "the connection was refused; is the server running, and is the port right?",
    ),
    "unknown host": (changed("127.0.0.1", "swordfish-host.invalid"), "the host's name is unknown"),
    "wrong password": (changed("swordfish@", "swordfish2@"), "the role's name or the password is wrong"),
    "no password": (changed(":swordfish@", "@"), "the role's name or the password is wrong"),
    "no such role": (changed("//wsgisession:", "//nobody:"), "the role's name or the password is wrong"),
    "no such database": (changed("/postgres", "/swordfish_db"), "there is no such database"),
    "too many connections": (
        as_role("ALTER ROLE {} CONNECTION LIMIT 0"),
        "there are too many connections; start fewer workers, raise the limit, or use PgBouncer",
    ),
    "no login": (as_role("ALTER ROLE {} NOLOGIN"), "the role may not log in (ALTER ROLE … LOGIN)"),
    "TLS": (
        changed("/postgres", "/postgres?sslmode=require"),
        "TLS: the server does not offer it, and sslmode asks for it",
    ),
}


@pytest.mark.parametrize(("wrong", "words"), REAL.values(), ids=REAL.keys())
def test_no_connection_says_why(role: str, wrong: Callable[[str, str], str], words: str) -> None:
    """A connection that cannot be made is a StoreError with the reason and nothing of the URL; the engine's is chained."""
    store = from_url(wrong(shared_postgres().url, role))
    with pytest.raises(StoreError) as raised:
        store.load(new_key())
    assert str(raised.value) == f"PostgreSQL: no connection: {words}"
    assert raised.value.__cause__ is not None


def test_a_connection_string_that_cannot_be_read(role: str) -> None:
    """What a callable passes on is not shown, since libpq quotes parts of it."""
    import psycopg

    store = PostgresStore(lambda: psycopg.connect("host=h password=a swordfish"))
    with pytest.raises(StoreError) as raised:
        store.load(new_key())
    assert str(raised.value) == "PostgreSQL: no connection: the connection string cannot be read"


TEXTS = {
    "IPv6": (
        'connection to server at "::1", port 1 failed: Connection refused',
        "the connection was refused",
    ),
    "getaddrinfo": (
        'could not translate host name "db" to address: Name or service not known',
        "the host's name",
    ),
    "unreachable": ('connection to server at "10.0.0.1" failed: No route to host', "cannot be reached"),
    "pg_hba, no TLS": (
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "ada", database "d", no encryption',
        "without TLS from here (pg_hba.conf); write ?sslmode=require",
    ),
    "pg_hba": ('FATAL:  pg_hba.conf rejects connection for host "10.0.0.1"', "not for this role or database"),
    "peer": ('FATAL:  Peer authentication failed for user "ada"', "the role's name or the password is wrong"),
    "trusted role": ('FATAL:  role "ada" does not exist', "there is no such role"),
    "CONNECT": ('FATAL:  permission denied for database "d"', "GRANT CONNECT"),
    "max_connections": ("FATAL:  sorry, too many clients already", "there are too many connections"),
    "reserved": (
        "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
        "there are too many connections",
    ),
    "PgBouncer, full": (
        "FATAL:  no more connections allowed (max_client_conn)",
        "there are too many connections",
    ),
    "PgBouncer, database": ("FATAL:  no such database: d", "there is no such database"),
    "PgBouncer, role": ("FATAL:  no such user: ada", "there is no such role"),
    "PgBouncer, retry": (
        "FATAL:  server login has been failing, try again later (server_login_retry)",
        "PgBouncer has no connection to the server",
    ),
    "PgBouncer, queue": ("FATAL:  query_wait_timeout", "PgBouncer had no connection to the server to spare"),
    "starting": ("FATAL:  the database system is starting up", "the server is starting or stopping"),
    "standby": ("session is read-only", "no host is what target_session_attrs asks for"),
    "socket": (
        'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
        "there is no such socket",
    ),
    "certificate": ("SSL error: certificate verify failed", "TLS: the server's certificate is not trusted"),
    "certificates": (
        'root certificate file "/a.pem" does not exist',
        "TLS: a file with certificates or a key cannot be used",
    ),
    "host name": ('server certificate for "a" does not match host name "b"', "or another host's"),
    "handshake": ("SSL error: tlsv1 alert protocol version", "TLS: the two sides did not agree"),
    "closed": ("server closed the connection unexpectedly", "the server ended it"),
    "time": ("connection timeout expired", "the server has not answered in time"),
    "another language": ("FATAL:  Rolle »ada« existiert nicht", "OperationalError"),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS.keys())
def test_a_cause_is_told_from_the_engines_words(text: str, words: str) -> None:
    """What libpq, PostgreSQL and PgBouncer say is recognised; if not, the kind of error is named."""
    import psycopg

    assert words in cause(psycopg.OperationalError(text))


@pytest.fixture
def name() -> str:
    """A name for this test's table."""
    return f"causes_{next(numbers)}"


MISSING: dict[str, Callable[[str], Any]] = {
    "the store": lambda name: PostgresStore(connector(shared_postgres().url), table=name, create=False),
    "a table in a schema": lambda name: PostgresStore(
        connector(shared_postgres().url), table=f"nowhere.{name}", create=False
    ),
}


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING.keys())
def test_a_missing_table_is_named(name: str, make: Callable[[str], Any]) -> None:
    """create=False: the first operation is a StoreError that names the table and what to do, and makes nothing."""
    store = make(name)
    for _ in range(2):
        with pytest.raises(
            StoreError,
            match=rf"there is no table (nowhere\.)?{name}; run the statements in PostgresStore.ddl",
        ):
            store.load(new_key())
    assert execute(f"SELECT to_regclass('{name}')") == [(None,)]
    store.close()


def test_a_url_that_creates_nothing() -> None:
    """from_url(…, create=False) does not make the table; once it is there, the store works."""
    execute("DROP TABLE IF EXISTS wsgisession")
    store = from_url(shared_postgres().url, create=False)
    with pytest.raises(StoreError, match="there is no table wsgisession"):
        next(store.keys())
    for statement in cast(PostgresStore, store).ddl:
        execute(statement)
    created(store)
    store.close()
    execute("DROP TABLE wsgisession")
