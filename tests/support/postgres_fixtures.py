"""Fixtures for a test with a table of its own on the shared PostgreSQL server: a module that needs them imports them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.postgres_server import Postgres, shared_postgres
from support.proxy import Proxy

from wsgisession.stores.postgres import PostgresStore, connector

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A name for this test's table and for its connections."""
    return f"own_{next(_numbers)}"


@pytest.fixture
def url(name: str) -> str:
    """Where this test connects to; the server knows its connections by their name."""
    return f"{shared_postgres().url}?application_name={name}"


@pytest.fixture
def store(name: str, url: str) -> Iterator[PostgresStore]:
    """A store with connections of its own, one of them open."""
    store = PostgresStore(connector(url), table=name)
    store.purge()
    yield store
    store.close()


@pytest.fixture
def pool(url: str) -> Iterator[Any]:
    """The caller's pool, with one connection."""
    from psycopg_pool import ConnectionPool

    with ConnectionPool(url, min_size=1, max_size=1, open=False) as pool:
        yield pool


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with Proxy(shared_postgres().port) as proxy:
        yield proxy


@pytest.fixture
def private() -> Iterator[Postgres]:
    """A server that a test may stop."""
    server = Postgres()
    yield server
    server.close()


def through(proxy: Proxy, url: str) -> Callable[[], Any]:
    """Return what connects by way of a proxy."""
    return connector(beside(url, proxy.port))


def beside(url: str, port: int) -> str:
    """Return the URL with another port than the shared server's."""
    return url.replace(f":{shared_postgres().port}", f":{port}")
