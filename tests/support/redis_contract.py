"""The contract of stores for RedisStore, whatever client it is given, and what its tests share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from support.postgres_server import created

from wsgisession.stores.redis import RedisStore
from wsgisession.testing import BulkStoreContract, new_payload

numbers = itertools.count()


def new_prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"wsgisession:{next(numbers)}:"


def name_of(store: RedisStore, key: str) -> str:
    """Return what a record is called in Redis."""
    return f"{store.prefix}{key}"


def index_of(store: RedisStore, owner: str) -> str:
    """Return what an owner's index is called in Redis, for owners of plain letters."""
    return f"{store.prefix}owner:{owner}"


def use_everything(store: RedisStore) -> None:
    """Run each operation once."""
    key, payload = created(store, 60, "ada")
    assert store.load(key) is not None
    assert store.create(key, new_payload(), 60) is False
    assert store.replace(key, payload, new_payload(), 60, "ada") is True
    assert store.touch(key, 60, "ada") is True
    assert store.load_many([key, key[::-1]])[1] is None
    assert store.count() == 1
    assert list(store.owned_by("ada")) == [key]
    assert list(store.keys()) == [key]
    assert store.delete(key) is True
    created(store, 60, "ada")
    assert store.clear() == 1


class RedisContract(BulkStoreContract):
    """The contract, each clause under a prefix of its own."""

    expires_by_itself = True
    owns_client = False

    @pytest.fixture(autouse=True)
    def place(self) -> Iterator[None]:
        self.prefix = new_prefix()
        self.clients: list[Any] = []
        yield
        for client in self.clients:
            client.close()

    def connect(self) -> Any:
        raise AssertionError("say how to connect")

    def admin(self) -> Any:
        """Return a client that may do anything."""
        return self.clients[0]

    def make_store(self) -> RedisStore:
        self.clients.append(self.connect())
        return RedisStore(self.clients[-1], self.prefix, owns_client=self.owns_client)

    def reopen(self, store: Any) -> RedisStore:
        return self.make_store()

    def take_expiry(self, store: Any, key: str) -> bool:
        return bool(self.admin().persist(name_of(store, key)))

    def put_no_bytes(self, store: Any, key: str) -> bool:
        self.admin().delete(name_of(store, key))
        return bool(self.admin().rpush(name_of(store, key), "no string"))
