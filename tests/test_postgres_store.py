"""The PostgreSQL store on a real server: the contract by way of a pool, of a callable, and of PgBouncer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from support import postgres_server
from support.postgres_server import PgBouncer, Postgres

from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import StoreContract

REASON = postgres_server.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

if REASON is None:
    import psycopg

numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for this run."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def table(postgres: Postgres) -> Iterator[str]:
    """A table name of its own for each test; the table is dropped afterwards."""
    name = f"t{next(numbers)}"
    yield name
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')


class PostgresContract(StoreContract):
    """The contract, each clause on a table of its own."""

    owners_exactly = True

    @pytest.fixture(autouse=True)
    def place(self, postgres: Postgres, table: str) -> Iterator[None]:
        self.url, self.table = postgres.url, table
        self.stores: list[PostgresStore] = []
        yield
        for store in self.stores:
            store.close()

    def make_store(self) -> PostgresStore:
        self.stores.append(PostgresStore(connector(self.url), table=self.table))
        return self.stores[-1]

    def reopen(self, store: Any) -> PostgresStore:
        return self.make_store()


class TestContractByCallable(PostgresContract):
    """Connections of the store's own."""
