"""The contract of stores for PostgresStore, whatever it is given to connect with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from support.postgres_server import shared_postgres

from wsgisession.stores.postgres import PostgresStore
from wsgisession.testing import BulkStoreContract

numbers = itertools.count()


class PostgresContract(BulkStoreContract):
    """The contract, each clause on a table of its own."""

    owners_exactly = True

    @pytest.fixture(autouse=True)
    def place(self) -> Iterator[None]:
        self.table = f"contract_{next(numbers)}"
        self.stores: list[PostgresStore] = []
        self.url = shared_postgres().url
        yield
        for store in self.stores:
            store.close()

    def connect(self) -> Any:
        raise AssertionError("say how to connect")

    def make_store(self) -> PostgresStore:
        self.stores.append(PostgresStore(self.connect(), table=self.table))
        return self.stores[-1]

    def reopen(self, store: Any) -> PostgresStore:
        return self.make_store()
