"""The contract of a store that also has the operations of ``BulkStore``.

Does not know how a store works.
"""

from __future__ import annotations

import threading
from typing import cast

import pytest

from ..errors import StoreError
from ..stores.base import BulkStore, Store
from .contract import SLACK, StoreContract
from .helpers import LONG, new_key, new_payload, together
from .samples import NO_KEYS

PAGE = 1000  # keys that load_many reads in one go


class BulkStoreContract(StoreContract):
    """What a store with the operations of ``BulkStore`` does."""

    @pytest.fixture
    def bulk(self, store: Store) -> BulkStore:
        """The empty store, with all of its operations."""
        return self.as_bulk(store)

    def as_bulk(self, store: Store) -> BulkStore:
        """Return the store under the type that has all of its operations."""
        missing = [name for name in ("load_many", "count", "clear") if not hasattr(store, name)]
        assert not missing, f"{type(store).__name__} lacks {', '.join(missing)}"
        return cast(BulkStore, store)

    # load_many

    def test_load_many_answers_in_the_order_of_the_keys(self, bulk: BulkStore) -> None:
        """load_many: a list of what load returns, in the order of the keys: live, dead, unknown, twice."""
        live = [self.live(bulk, LONG, owner) for owner in (None, "ada", None)]
        dead, _ = self.dead(bulk)
        keys = [live[2][0], dead, live[0][0], new_key(), live[1][0], live[0][0]]
        found = bulk.load_many(keys)
        assert type(found) is list
        assert [one and one[0] for one in found] == [
            live[2][1],
            None,
            live[0][1],
            None,
            live[1][1],
            live[0][1],
        ]
        assert {(type(one), type(one[0]), type(one[1])) for one in found if one} == {(tuple, bytes, float)}

    def test_load_many_of_any_sequence(self, bulk: BulkStore) -> None:
        """load_many: the keys may be a tuple; no keys give an empty list."""
        key, payload = self.live(bulk)
        assert [one and one[0] for one in bulk.load_many((key,))] == [payload]
        assert bulk.load_many([]) == []
        assert bulk.load_many(()) == []

    def test_load_many_of_more_keys_than_a_page(self, bulk: BulkStore) -> None:
        """load_many: any number of keys; the answers are in order, also from one page to the next."""
        keys = [new_key() for _ in range(2 * PAGE + 2)]
        made = {
            place: new_payload()
            for place in (0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE, 2 * PAGE + 1)
        }
        for place, payload in made.items():
            assert bulk.create(keys[place], payload, LONG) is True
        found = bulk.load_many(keys)
        assert len(found) == len(keys)
        assert {place: one[0] for place, one in enumerate(found) if one} == made

    def test_load_many_returns_the_seconds_left(self, bulk: BulkStore) -> None:
        """load_many: the seconds left are those that load returns."""
        key, _ = self.live(bulk, 100.0)
        self.advance(self.tick)
        most, [found], least = self.left(bulk, key), bulk.load_many([key]), self.left(bulk, key)
        assert found is not None and least - SLACK <= found[1] <= most + SLACK

    def test_load_many_does_not_renew(self, bulk: BulkStore) -> None:
        """load_many changes nothing: a record that is read again and again still ends; unknown keys stay free."""
        key, _ = self.live(bulk, 2 * self.tick)
        unknown = new_key()
        for _ in range(4):
            bulk.load_many([key, unknown])
            self.advance(self.tick)
        assert bulk.load_many([key, unknown]) == [None, None]
        assert list(bulk.keys()) == []

    def test_load_many_of_what_is_no_key_is_none(self, bulk: BulkStore) -> None:
        """load_many: None for what cannot be a key; the keys beside it are found."""
        key, payload = self.live(bulk, LONG, "ada")
        keys = [name for other in NO_KEYS.values() for name in (other, key)]
        assert [one and one[0] for one in bulk.load_many(keys)] == [None, payload] * len(NO_KEYS)

    def test_load_many_of_a_payload_that_is_no_bytes_is_a_store_error(self, bulk: BulkStore) -> None:
        """load_many: a StoreError if a payload of the page is not bytes; without that key the others are found."""
        key, payload = self.live(bulk)
        broken, _ = self.live(bulk)
        if self.put_no_bytes(bulk, broken):
            with pytest.raises(StoreError):
                bulk.load_many([key, broken])
            assert [one and one[0] for one in bulk.load_many([key])] == [payload]

    # count

    def test_count_is_the_number_of_live_records(self, bulk: BulkStore) -> None:
        """count: how many live records there are, with and without an owner; dead ones do not count."""
        assert bulk.count() == 0
        live = [self.live(bulk, LONG, owner)[0] for owner in (None, "ada", "bob") for _ in range(10)]
        assert bulk.count() == len(live)
        for owner in (None, "ada"):
            self.dead(bulk, owner)
        assert bulk.count() == len(live)
        bulk.delete(live[0])
        bulk.purge()
        assert bulk.count() == len(live) - 1

    # clear

    def test_clear_removes_every_record(self, bulk: BulkStore) -> None:
        """clear: returns how many live records it removed; load, keys, owned_by and count find none."""
        live = [self.live(bulk, LONG, owner)[0] for owner in (None, "ada", "bob") for _ in range(10)]
        self.dead(bulk, "ada")
        assert [bulk.clear(), bulk.clear()] == [len(live), 0]
        assert bulk.load_many(live) == [None] * len(live)
        assert [*bulk.keys(), *bulk.owned_by("ada"), *bulk.owned_by("bob")] == []
        assert bulk.count() == 0

    def test_clear_of_more_records_than_a_batch(self, bulk: BulkStore) -> None:
        """clear: any number of records, each counted once."""
        for number in range(2 * PAGE + 2):
            self.live(bulk, LONG, "ada" if number % 2 else None)
        assert bulk.clear() == 2 * PAGE + 2
        assert list(bulk.keys()) == []

    def test_clear_leaves_a_store_to_go_on_with(self, bulk: BulkStore) -> None:
        """clear: the keys are free, and what is created afterwards is found and listed."""
        key, payload = self.live(bulk, LONG, "ada")
        bulk.clear()
        assert bulk.replace(key, payload, new_payload(), LONG, "ada") is False
        fresh = new_payload()
        assert bulk.create(key, fresh, LONG, "ada") is True
        assert self.payload_of(bulk, key) == fresh
        assert list(bulk.keys()) == [key]
        assert key in bulk.owned_by("ada")

    def test_clear_ends_while_others_write(self, bulk: BulkStore, second: Store) -> None:
        """clear ends while others go on creating records; records from before it are gone."""
        before = [self.live(bulk, LONG, "ada") for _ in range(60)]
        stop = threading.Event()
        made: list[tuple[str, bytes]] = []

        def write() -> int:
            while not stop.is_set():
                made.append(self.live(second, LONG, "ada"))
            return 0

        def clear() -> int:
            removed = bulk.clear()
            stop.set()
            return removed

        try:
            _, removed = together([write, clear])
        finally:
            stop.set()
        assert bulk.load_many([key for key, _ in before]) == [None] * len(before)
        left = [bulk.load(key) for key, _ in made]
        assert all(one is None or one[0] == payload for one, (_, payload) in zip(left, made, strict=True))
        assert removed + bulk.count() == len(before) + len(made)
