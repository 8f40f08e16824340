"""The contract of stores for RedisStore, whatever client it is given, and what its tests share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.postgres_server import created

from wsgisession.errors import StoreError
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import BulkStoreContract, new_key, new_payload

numbers = itertools.count()

# Every operation, on a live record of "ada", the only one under its prefix: True if the answer is right.
OPERATIONS: dict[str, Callable[[Any, str, bytes], Any]] = {
    "load": lambda store, key, old: (store.load(key) or (None,))[0] == old,
    "load_many": lambda store, key, old: [one and one[0] for one in store.load_many([key])] == [old],
    "create": lambda store, key, old: store.create(new_key(), new_payload(), 60),
    "create, owner": lambda store, key, old: store.create(new_key(), new_payload(), 60, "bob"),
    "replace": lambda store, key, old: store.replace(key, old, new_payload(), 60),
    "replace, owner": lambda store, key, old: store.replace(key, old, new_payload(), 60, "ada"),
    "replace without a ttl": lambda store, key, old: store.replace(key, old, new_payload(), None, "ada"),
    "touch": lambda store, key, old: store.touch(key, 90),
    "touch, owner": lambda store, key, old: store.touch(key, 90, "ada"),
    "touch, expected": lambda store, key, old: store.touch(key, 90, None, old),
    "delete": lambda store, key, old: store.delete(key),
    "delete, expected": lambda store, key, old: store.delete(key, old),
    "owned_by": lambda store, key, old: list(store.owned_by("ada")) == [key],
    "keys": lambda store, key, old: list(store.keys()) == [key],
    "count": lambda store, key, old: store.count() == 1,
    "clear": lambda store, key, old: store.clear() == 1,
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def new_prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"wsgisession:{next(numbers)}:"


def name_of(store: RedisStore, key: str) -> str:
    """Return what a record is called in Redis."""
    return f"{store.prefix}{key}"


def index_of(store: RedisStore, owner: str) -> str:
    """Return what an owner's index is called in Redis, for owners of plain letters."""
    return f"{store.prefix}owner:{owner}"


def answers(store: Any, key: str, payload: bytes | None = None) -> bool:
    """Whether the store answers; if it does, the record is there, with this payload if one is given."""
    try:
        found = store.load(key)
    except StoreError:
        return False
    assert found is not None and payload in (None, found[0])
    return True


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
