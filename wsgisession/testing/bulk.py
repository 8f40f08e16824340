"""The contract of a store that also has the operations of ``BulkStore``.

Does not know how a store works.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ..errors import StoreError
from ..stores.base import Store
from .contract import SLACK, StoreContract
from .helpers import LONG, new_key, new_payload, together
from .samples import NO_KEYS

PAGE = 1000  # keys that load_many reads in one go


class BulkStoreContract(StoreContract):
    """What a store with the operations of ``BulkStore`` does."""

    # load_many

    def test_load_many_answers_in_the_order_of_the_keys(self, store: Any) -> None:
        """load_many: a list of what load returns, in the order of the keys: live, dead, unknown, twice."""
        (first, one), (second, two), (third, three) = (
            self.live(store, LONG, owner) for owner in (None, "ada", None)
        )
        dead, _ = self.dead(store)
        found = store.load_many([third, dead, first, new_key(), second, first])
        assert type(found) is list
        assert [record and record[0] for record in found] == [three, None, one, None, two, one]
        assert all(
            [type(part) for part in (record, *record)] == [tuple, bytes, float] for record in found if record
        )

    def test_load_many_of_any_sequence(self, store: Any) -> None:
        """load_many: the keys may be a tuple; no keys give an empty list."""
        key, payload = self.live(store)
        assert [one and one[0] for one in store.load_many((key,))] == [payload]
        assert store.load_many([]) == []
        assert store.load_many(()) == []

    def test_load_many_of_more_keys_than_a_page(self, store: Any) -> None:
        """load_many: any number of keys; the answers are in order, also from one page to the next."""
        keys = [new_key() for _ in range(2 * PAGE + 2)]
        made = {
            place: new_payload()
            for place in (0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, 2 * PAGE, 2 * PAGE + 1)
        }
        for place, payload in made.items():
            assert store.create(keys[place], payload, LONG) is True
        found = store.load_many(keys)
        assert len(found) == len(keys)
        assert {place: one[0] for place, one in enumerate(found) if one} == made

    def test_load_many_returns_the_seconds_left(self, store: Any) -> None:
        """load_many: the seconds left are those that load returns."""
        key, _ = self.live(store, 100.0)
        self.advance(self.tick)
        most, [found], least = self.left(store, key), store.load_many([key]), self.left(store, key)
        assert found is not None and least - SLACK <= found[1] <= most + SLACK

    def test_load_many_does_not_renew(self, store: Any) -> None:
        """load_many changes nothing: a record that is read again and again still ends; unknown keys stay free."""
        key, _ = self.live(store, 2 * self.tick)
        unknown = new_key()
        for _ in range(4):
            store.load_many([key, unknown])
            self.advance(self.tick)
        assert store.load_many([key, unknown]) == [None, None]
        assert list(store.keys()) == []

    def test_load_many_of_what_is_no_key_is_none(self, store: Any) -> None:
        """load_many: None for what cannot be a key; the keys beside it are found."""
        key, payload = self.live(store, LONG, "ada")
        keys = [name for other in NO_KEYS.values() for name in (other, key)]
        assert [one and one[0] for one in store.load_many(keys)] == [None, payload] * len(NO_KEYS)

    def test_load_many_of_a_payload_that_is_no_bytes_is_a_store_error(self, store: Any) -> None:
        """load_many: a StoreError if a payload of the page is not bytes; without that key the others are found."""
        key, payload = self.live(store)
        broken, _ = self.live(store)
        if self.put_no_bytes(store, broken):
            with pytest.raises(StoreError):
                store.load_many([key, broken])
            assert [one and one[0] for one in store.load_many([key])] == [payload]

    # count

    def test_count_is_the_number_of_live_records(self, store: Any) -> None:
        """count: how many live records there are, with and without an owner; dead ones do not count."""
        assert store.count() == 0
        live = [self.live(store, LONG, owner)[0] for owner in (None, "ada", "bob") for _ in range(10)]
        assert store.count() == len(live)
        for owner in (None, "ada"):
            self.dead(store, owner)
        assert store.count() == len(live)
        store.delete(live[0])
        store.purge()
        assert store.count() == len(live) - 1

    # clear

    def test_clear_removes_every_record(self, store: Any) -> None:
        """clear: returns how many live records it removed; load, keys, owned_by and count find none."""
        live = [self.live(store, LONG, owner)[0] for owner in (None, "ada", "bob") for _ in range(10)]
        self.dead(store, "ada")
        assert [store.clear(), store.clear()] == [len(live), 0]
        assert store.load_many(live) == [None] * len(live)
        assert [*store.keys(), *store.owned_by("ada"), *store.owned_by("bob")] == []
        assert store.count() == 0

    def test_clear_of_more_records_than_a_batch(self, store: Any) -> None:
        """clear: any number of records, each counted once."""
        for number in range(2 * PAGE + 2):
            self.live(store, LONG, "ada" if number % 2 else None)
        assert store.clear() == 2 * PAGE + 2
        assert list(store.keys()) == []

    def test_clear_leaves_a_store_to_go_on_with(self, store: Any) -> None:
        """clear: the keys are free, and what is created afterwards is found and listed."""
        key, payload = self.live(store, LONG, "ada")
        store.clear()
        assert store.replace(key, payload, new_payload(), LONG, "ada") is False
        fresh = new_payload()
        assert store.create(key, fresh, LONG, "ada") is True
        assert self.payload_of(store, key) == fresh
        assert list(store.keys()) == [key]
        assert key in store.owned_by("ada")

    def test_clear_ends_while_others_write(self, store: Any, second: Store) -> None:
        """clear ends while others go on creating records; records from before it are gone."""
        before = [self.live(store, LONG, "ada") for _ in range(60)]
        stop = threading.Event()
        made: list[tuple[str, bytes]] = []

        def write() -> int:
            while not stop.is_set():
                made.append(self.live(second, LONG, "ada"))
            return 0

        def clear() -> int:
            removed: int = store.clear()
            stop.set()
            return removed

        try:
            _, removed = together([write, clear])
        finally:
            stop.set()
        assert store.load_many([key for key, _ in before]) == [None] * len(before)
        left = [store.load(key) for key, _ in made]
        assert all(one is None or one[0] == payload for one, (_, payload) in zip(left, made, strict=True))
        assert removed + store.count() == len(before) + len(made)
