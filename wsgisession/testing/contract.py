"""The contract of every store, clause by clause, in the order of ``Store``. Read it from top to bottom.

Does not know how a store works or how an engine fails. Outages, lost replies and configuration need tests of the
store's own.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from ..errors import StoreError
from ..stores.base import NO_EXPIRY, Store
from .helpers import LONG, all_end, in_child, new_key, new_payload, together
from .samples import NO_KEYS, NO_OWNERS, OPERATIONS, OWNERS, PAYLOADS, RENEWALS, Operation, Renewal
from .steps import Outside, Steps

THREADS = 4
ROUNDS = 8
SLACK = 0.002  # seconds: "kept to the millisecond", rounded once when written and once when read
STEPS = 24  # an operation is interrupted at so many of its steps, spread evenly from the first to the last

with_and_without_a_ttl = pytest.mark.parametrize("ttl", [LONG, None], ids=["with a ttl", "without"])
each_renewal = pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS.keys())
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())

# What a finalizer then raises, or what stays open, is not the store's fault.
interrupts = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class StoreContract:
    """What every store does. Subclass it, give it a ``make_store``, run pytest."""

    tick: float = 0.02
    """The unit of time, in seconds, of the clauses about expiry: enough for the engine to answer ten times."""

    expires_by_itself: bool = False
    """True if the engine removes dead records by itself, so that ``purge`` may find none."""

    owners_exactly: bool = False
    """True if ``owned_by`` promises more than the contract: the owner's live records and no others."""

    def make_store(self) -> Store:
        """Return a store that has no records yet. Called once per test; the test closes it."""
        raise AssertionError(f"{type(self).__name__} needs a make_store() that returns an empty store")

    def reopen(self, store: Store) -> Store:
        """Return a second store over the same records, as another process would open it; the test closes it.

        By default it returns the same store, for stores that cannot be opened twice, such as one in memory.
        """
        return store

    def advance(self, seconds: float) -> None:
        """Let time pass for the store. The default waits."""
        time.sleep(seconds)

    def take_expiry(self, store: Store, key: str) -> bool:
        """Remove a record's expiry in the engine. False (the default): the engine cannot hold such a record."""
        return False

    def put_no_bytes(self, store: Store, key: str) -> bool:
        """Replace a payload in the engine by something that is not bytes. False (the default): the engine cannot hold
        that.
        """
        return False

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """The empty store that a clause is about."""
        store = self.make_store()
        yield store
        store.close()

    @pytest.fixture
    def second(self, store: Store) -> Iterator[Store]:
        """A second store over the same records."""
        second = self.reopen(store)
        yield second
        if second is not store:
            second.close()

    def live(self, store: Store, ttl: float = LONG, owner: str | None = None) -> tuple[str, bytes]:
        """Create a record; return its key and payload."""
        key, payload = new_key(), new_payload()
        assert store.create(key, payload, ttl, owner) is True
        return key, payload

    def dead(self, store: Store, owner: str | None = None) -> tuple[str, bytes]:
        """Create a record and wait until it is dead."""
        record = self.live(store, self.tick, owner)
        self.advance(2 * self.tick)
        return record

    def outlives(self, store: Store, renew: Renewal, owner: str | None = None) -> str:
        """Return the key of a record that was renewed in time and is past its first expiry."""
        # Three tries: on a busy machine a record can end before it is renewed. That is not the store's fault.
        for _ in range(3):
            key, payload = self.live(store, 10 * self.tick, owner)
            if renew(store, key, payload, LONG, owner):
                self.advance(11 * self.tick)
                return key
        raise AssertionError("a live record could not be renewed")

    def assert_left(self, store: Store, key: str, ttl: float, since: float) -> None:
        """Check what a record has left that was given ``ttl`` after ``since`` (monotonic): ``ttl`` less the wait."""
        found = store.load(key)
        waited = time.monotonic() - since
        assert found is not None
        assert ttl - waited - SLACK <= found[1] <= ttl + SLACK

    def payload_of(self, store: Store, key: str) -> bytes | None:
        """Return the payload of a live record; None if there is none."""
        found = store.load(key)
        return None if found is None else found[0]

    def left(self, store: Store, key: str) -> float:
        """Return the seconds that a live record has left."""
        found = store.load(key)
        assert found is not None
        return found[1]

    def works(self, store: Store, keys: list[str]) -> bool:
        """Say whether these records are live, and whether another one can be made, renewed and deleted."""
        key, _ = self.live(store, LONG, "ada")
        return all(store.load(key) for key in keys) and store.touch(key, LONG, "ada") and store.delete(key)

    def assert_whole(self, store: Store, key: str, states: dict[bytes | None, str]) -> None:
        """Check that a record is in one of these states (payload: owner; None: it is gone), and listed so."""
        payload = self.payload_of(store, key)
        assert payload in states
        assert payload is None or key in store.owned_by(states[payload])
        assert (key in store.keys()) is (payload is not None)

    def steps_of(self, store: Store, operation: Operation) -> list[int]:
        """Return at which steps to interrupt an operation: all of them, or STEPS of them."""
        key, payload = self.live(store, LONG, "ada")
        with Steps(store, 0, lambda: None) as steps:
            operation(store, key, payload, new_payload())
        for made in (key, key[::-1]):
            store.delete(made)
        return sorted({1 + round(n * (steps.count - 1) / (STEPS - 1)) for n in range(STEPS)})

    # load

    def test_load_of_an_unknown_key_is_none(self, store: Store) -> None:
        """load: None if there is no live record. It changes nothing: the key stays free and unlisted."""
        key = new_key()
        assert store.load(key) is None
        assert list(store.keys()) == []
        assert store.create(key, new_payload(), LONG) is True

    def test_load_returns_bytes_and_seconds(self, store: Store) -> None:
        """load: a tuple of exactly ``bytes`` and a ``float``, even if the ``ttl`` was an int."""
        key, payload = self.live(store, 100)
        found = store.load(key)
        assert found is not None
        assert [type(part) for part in (found, *found)] == [tuple, bytes, float]
        assert found[0] == payload

    def test_load_does_not_renew(self, store: Store) -> None:
        """load changes nothing: a record that is read again and again still ends."""
        key, _ = self.live(store, 2 * self.tick)
        for _ in range(4):
            store.load(key)
            self.advance(self.tick)
        assert store.load(key) is None

    def test_a_second_store_sees_the_same_records(self, store: Store, second: Store) -> None:
        """What one store acknowledged, a second store over the same records sees."""
        key, payload = self.live(store)
        assert self.payload_of(second, key) == payload
        assert second.delete(key) is True
        assert store.load(key) is None

    def test_keys_are_compared_exactly(self, store: Store) -> None:
        """Keys differ by letter case, and ``_`` and ``-`` are ordinary characters."""
        keys = ["a" * 43, "A" * 43, "_" * 43, "-" * 43, "a" * 42 + "_", "a" * 42 + "-", "a" * 42 + "A"]
        payloads = [new_payload() for _ in keys]
        assert all(store.create(*record, LONG) for record in zip(keys, payloads, strict=True))
        assert [self.payload_of(store, key) for key in keys] == payloads
        assert sorted(store.keys()) == sorted(keys)

    @pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
    def test_payloads_are_any_bytes(self, store: Store, second: Store, payload: bytes) -> None:
        """Payloads are any bytes, stored, compared and given back as they are."""
        created, replaced = new_key(), new_key()
        store.create(created, payload, LONG)
        before = new_payload()
        store.create(replaced, before, LONG)
        assert store.replace(replaced, before, payload, LONG) is True
        for key in (created, replaced):
            assert self.payload_of(second, key) == payload
            assert store.replace(key, payload, new_payload(), LONG) is True

    # create

    def test_create_never_overwrites(self, store: Store) -> None:
        """create puts a record under a free key. If a live one has the key: False, and it stays as it was made."""
        start = time.monotonic()
        key, payload = self.live(store, 100.0, "ada")
        assert store.create(key, new_payload(), LONG, "bob") is False
        assert self.payload_of(store, key) == payload
        self.assert_left(store, key, 100.0, start)
        assert key in store.owned_by("ada")

    def test_create_again_after_a_lost_reply_is_true(self, store: Store) -> None:
        """create: True if the live payload already is the new one, and still one record."""
        key, payload = self.live(store, LONG, "ada")
        assert store.create(key, payload, LONG, "ada") is True
        assert list(store.keys()) == [key]
        assert store.delete(key) is True
        assert store.delete(key) is False

    def test_create_again_after_a_replace_is_false(self, store: Store) -> None:
        """create, repeated after somebody else replaced the record: False, and the other payload stays."""
        key, payload = self.live(store)
        theirs = new_payload()
        store.replace(key, payload, theirs, LONG)
        assert store.create(key, payload, LONG) is False
        assert self.payload_of(store, key) == theirs

    def test_create_compares_the_whole_payload(self, store: Store) -> None:
        """create: a live payload that only begins or ends like the new one is a different one."""
        key, payload = self.live(store)
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase()):
            assert store.create(key, other, LONG) is False

    def test_create_succeeds_over_a_dead_record(self, store: Store) -> None:
        """A dead record is no record: create replaces it, with its own payload, expiry and owner."""
        key, payload = self.dead(store, "ada")
        fresh = new_payload()
        assert store.create(key, fresh, LONG, "bob") is True
        assert self.payload_of(store, key) == fresh
        assert key in store.owned_by("bob")
        assert store.replace(key, payload, new_payload(), LONG) is False

    def test_create_over_a_dead_record_with_its_own_payload_lives(self, store: Store) -> None:
        """A dead record is no record: the same payload makes a new record, and is not taken for a repetition."""
        key, payload = self.dead(store)
        assert store.create(key, payload, LONG) is True
        assert store.load(key) is not None

    # replace

    def test_replace_swaps_payload_and_expiry(self, store: Store) -> None:
        """replace: True if the live payload is ``expected``; it sets payload and expiry, later or earlier."""
        key, payload = self.live(store, 100.0)
        for ttl in (200, 50.0):
            start = time.monotonic()
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, ttl) is True
            assert self.payload_of(store, key) == payload
            self.assert_left(store, key, ttl, start)

    @with_and_without_a_ttl
    def test_replace_never_creates(self, store: Store, ttl: float | None) -> None:
        """replace: False for a key that never had a record, and for one whose record another request deleted."""
        key, payload = self.live(store, LONG, "ada")
        store.delete(key)
        for gone in (key, new_key()):
            for expected in (payload, b""):
                assert store.replace(gone, expected, new_payload(), ttl, "ada") is False
            assert store.load(gone) is None
        assert list(store.keys()) == []

    @with_and_without_a_ttl
    def test_replace_of_a_changed_record_is_false(self, store: Store, ttl: float | None) -> None:
        """replace: False, and no change, if the live payload is not ``expected``."""
        start = time.monotonic()
        key, payload = self.live(store, 100.0, "ada")
        assert store.replace(key, new_payload(), new_payload(), ttl, "bob") is False
        assert self.payload_of(store, key) == payload
        self.assert_left(store, key, 100.0, start)
        assert key in store.owned_by("ada")

    @with_and_without_a_ttl
    def test_replace_compares_the_whole_payload(self, store: Store, ttl: float | None) -> None:
        """replace: a payload that only begins or ends like ``expected`` is a different one."""
        key, payload = self.live(store)
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase(), b""):
            assert store.replace(key, other, new_payload(), ttl) is False

    @with_and_without_a_ttl
    def test_replace_again_after_a_lost_reply_is_true(self, store: Store, ttl: float | None) -> None:
        """replace: True if the live payload already is the new one."""
        key, payload = self.live(store)
        fresh = new_payload()
        assert [store.replace(key, payload, fresh, ttl) for _ in range(3)] == [True, True, True]

    @with_and_without_a_ttl
    def test_replace_again_after_another_replace_is_false(self, store: Store, ttl: float | None) -> None:
        """replace, repeated after somebody else replaced the record again: False, and the other payload stays."""
        key, payload = self.live(store)
        ours, theirs = new_payload(), new_payload()
        assert store.replace(key, payload, ours, ttl) is True
        assert store.replace(key, ours, theirs, ttl) is True
        assert store.replace(key, payload, ours, ttl) is False
        assert self.payload_of(store, key) == theirs

    @with_and_without_a_ttl
    def test_replace_of_a_dead_record_is_false(self, store: Store, ttl: float | None) -> None:
        """A dead record is no record: replace is False, even if ``expected`` or the new payload is its payload."""
        key, payload = self.dead(store)
        assert store.replace(key, payload, new_payload(), ttl) is False
        assert store.replace(key, new_payload(), payload, ttl) is False
        assert store.load(key) is None

    def test_replace_sets_the_owner(self, store: Store) -> None:
        """replace sets the owner: from none to one, to another, to the same."""
        key, payload = self.live(store)
        for owner, former in (("ada", "bob"), ("bob", "ada"), ("bob", "ada")):
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, LONG, owner) is True
            assert key in store.owned_by(owner)
            assert not self.owners_exactly or key not in store.owned_by(former)

    def test_replace_with_none_clears_the_owner(self, store: Store) -> None:
        """replace: None clears the owner, and the record can be replaced again."""
        key, payload = self.live(store, LONG, "ada")
        fresh = new_payload()
        assert store.replace(key, payload, fresh, LONG, None) is True
        assert store.load(key) is not None
        assert not self.owners_exactly or list(store.owned_by("ada")) == []
        assert store.replace(key, fresh, new_payload(), LONG, "bob") is True
        assert key in store.owned_by("bob")

    # replace without a ttl

    def test_replace_without_a_ttl_keeps_the_expiry(self, store: Store) -> None:
        """replace without a ttl changes the payload and leaves the expiry exactly as it is, each time."""
        sooner, _ = self.live(store, 100.0)
        key, payload = self.live(store, 100.0, "ada")
        later, _ = self.live(store, 100.0)
        self.advance(self.tick)
        for _ in range(20):
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, None, "ada") is True
        # Because the second reads are in the opposite order, time between two reads can only make the bounds wider.
        most, found, least = self.left(store, later), store.load(key), self.left(store, sooner)
        assert found is not None and found[0] == payload
        assert least - SLACK <= found[1] <= most + SLACK

    def test_replace_without_a_ttl_ends_nothing_later(self, store: Store) -> None:
        """replace without a ttl: the record ends when it would have ended."""
        key, payload = self.live(store, self.tick, "ada")
        store.replace(key, payload, new_payload(), None, "ada")
        self.advance(2 * self.tick)
        assert store.load(key) is None
        assert list(store.keys()) == []

    def test_replace_without_a_ttl_keeps_the_owner(self, store: Store) -> None:
        """replace without a ttl: the owner stays, whatever owner is passed."""
        key, payload = self.live(store, LONG, "ada")
        for owner in ("ada", None, "bob"):
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, None, owner) is True
            assert key in store.owned_by("ada")
            assert not self.owners_exactly or list(store.owned_by("bob")) == []

    # touch

    def test_touch_sets_the_expiry_and_nothing_else(self, store: Store) -> None:
        """touch: True; the expiry moves, later or earlier, and the payload stays."""
        key, payload = self.live(store, 100.0)
        for ttl in (200, 50.0):
            start = time.monotonic()
            assert store.touch(key, ttl) is True
            assert self.payload_of(store, key) == payload
            self.assert_left(store, key, ttl, start)

    def test_touch_of_no_record_is_false(self, store: Store) -> None:
        """touch: False for a dead, a deleted and an unknown record, with and without ``expected``; none is made."""
        dead, payload = self.dead(store, "ada")
        gone, _ = self.live(store, LONG, "ada")
        store.delete(gone)
        for key in (dead, gone, new_key()):
            for expected in (None, payload, b""):
                assert store.touch(key, LONG, "ada", expected) is False
            assert store.load(key) is None
        assert list(store.keys()) == []

    def test_touch_never_changes_the_owner(self, store: Store) -> None:
        """touch: the owner stays, whatever owner is passed."""
        key, _ = self.live(store, LONG, "ada")
        for owner in ("ada", None, "bob"):
            assert store.touch(key, LONG, owner) is True
            assert key in store.owned_by("ada")

    # replace and touch

    @each_renewal
    def test_a_renewed_record_outlives_its_first_expiry(self, store: Store, renew: Renewal) -> None:
        """replace and touch with a longer time: record and listing are still there when the first time is over."""
        key = self.outlives(store, renew, "ada")
        assert store.load(key) is not None
        assert key in store.keys()
        assert key in store.owned_by("ada")

    @each_renewal
    def test_a_renewal_can_end_a_record_sooner(self, store: Store, renew: Renewal) -> None:
        """replace and touch with a shorter time: the record is dead when that is over."""
        key, payload = self.live(store)
        assert renew(store, key, payload, self.tick, None) is True
        self.advance(2 * self.tick)
        assert store.load(key) is None
        assert list(store.keys()) == []

    # touch with expected

    def test_touch_with_expected_compares_first(self, store: Store) -> None:
        """touch with ``expected``: True if that is the live payload; if not, False, and the expiry stays."""
        key, payload = self.live(store, 100.0)
        start = time.monotonic()
        assert store.touch(key, 50.0, None, payload) is True
        self.assert_left(store, key, 50.0, start)
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase(), b""):
            assert store.touch(key, LONG, None, other) is False
        self.assert_left(store, key, 50.0, start)
        empty = new_key()
        store.create(empty, b"", LONG)
        assert store.touch(empty, LONG, None, b"") is True

    def test_touch_with_expected_never_renews_another_payload(self, store: Store, second: Store) -> None:
        """touch with ``expected`` is atomic: it never moves the expiry of a payload that a replace put there meanwhile."""
        for _ in range(ROUNDS):
            key, payload = self.live(store, 100.0)
            touch = partial(second.touch, key, LONG, None, payload)
            done = together([partial(store.replace, key, payload, new_payload(), 100.0), touch])
            assert done[0] is True
            assert self.left(store, key) <= 100.0 + SLACK

    # time

    def test_the_seconds_left_are_never_zero(self, store: Store) -> None:
        """A live record has more than 0 seconds left, even if it was given less than a millisecond."""
        for ttl in (self.tick, 0.0004):
            key, _ = self.live(store, ttl)
            polls = 0
            while (found := store.load(key)) is not None:
                assert found[1] > 0
                assert (polls := polls + 1) < 100_000, "a record does not end"
                self.advance(0.0002)

    def test_a_record_whose_expiry_was_taken_away_is_about_to_end(self, store: Store) -> None:
        """A record whose expiry somebody removed in the engine has NO_EXPIRY left; touch gives it a new one."""
        key, payload = self.live(store)
        if self.take_expiry(store, key):
            assert store.load(key) == (payload, NO_EXPIRY)
            start = time.monotonic()
            assert store.touch(key, 100.0, None, payload) is True
            self.assert_left(store, key, 100.0, start)

    @pytest.mark.parametrize("ttl", [1.999, 59.5, 7200.001, 2592000.123, 34560000.0], ids=str)
    def test_time_is_kept_to_the_millisecond(self, store: Store, ttl: float) -> None:
        """The seconds left are those that were given, to the millisecond, by create, replace and touch."""
        start = time.monotonic()
        key, payload = self.live(store, ttl)
        self.assert_left(store, key, ttl, start)
        store.touch(key, LONG)
        start = time.monotonic()
        assert store.replace(key, payload, new_payload(), ttl) is True
        self.assert_left(store, key, ttl, start)
        store.touch(key, LONG)
        start = time.monotonic()
        assert store.touch(key, ttl) is True
        self.assert_left(store, key, ttl, start)

    def test_whole_seconds_may_be_ints(self, store: Store) -> None:
        """A ``ttl`` may be an int; ``load`` returns a float anyway."""
        key, payload = self.live(store, 100)
        assert store.touch(key, 200) is True
        assert type(self.left(store, key)) is float
        assert store.replace(key, payload, new_payload(), 300) is True
        assert type(self.left(store, key)) is float
        assert 200 < self.left(store, key) <= 300 + SLACK

    def test_what_is_left_shrinks(self, store: Store) -> None:
        """The seconds left decrease as time passes."""
        key, _ = self.live(store, 100.0)
        self.advance(5 * self.tick)
        found = store.load(key)
        assert found is not None and found[1] <= 100.0 - 5 * self.tick + SLACK

    def test_a_record_ends_to_the_fraction_of_a_second(self, store: Store) -> None:
        """After its expiry a record does not exist for load, keys, owned_by and delete, purged or not."""
        key, _ = self.dead(store, "ada")
        assert store.load(key) is None
        assert list(store.keys()) == []
        assert list(store.owned_by("ada")) == []
        assert store.delete(key) is False

    # delete

    def test_delete_removes(self, store: Store) -> None:
        """delete: True once, then False; the record is gone for load, keys and owned_by, and its key is free."""
        key, _ = self.live(store, LONG, "ada")
        other, payload = self.live(store, LONG, "ada")
        assert store.delete(key) is True
        assert store.delete(key) is False
        assert store.load(key) is None
        assert list(store.keys()) == [other]
        assert other in store.owned_by("ada")
        assert self.payload_of(store, other) == payload
        assert store.create(key, new_payload(), LONG) is True

    def test_delete_of_no_record_is_false(self, store: Store) -> None:
        """delete: False for a dead record and for one that never was, with and without ``expected``."""
        dead, payload = self.dead(store)
        for key in (dead, new_key()):
            assert [store.delete(key, expected) for expected in (None, payload, b"")] == [False] * 3

    # delete with expected

    def test_delete_with_expected_compares_first(self, store: Store) -> None:
        """delete with ``expected``: True if that is the live payload; if not, False, and the record stays."""
        key, payload = self.live(store, LONG, "ada")
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase(), b""):
            assert store.delete(key, other) is False
        assert self.payload_of(store, key) == payload
        assert key in store.owned_by("ada")
        assert [store.delete(key, payload) for _ in range(2)] == [True, False]
        assert list(store.keys()) == []
        assert store.create(key, b"", LONG) is True
        assert store.delete(key, b"") is True

    def test_delete_with_expected_or_replace_wins(self, store: Store, second: Store) -> None:
        """delete with ``expected`` is atomic: if a replace of the same payload runs at the same time, exactly one is
        True.
        """
        for _ in range(ROUNDS):
            key, payload = self.live(store)
            fresh = new_payload()
            jobs = [partial(second.replace, key, payload, fresh, LONG), partial(store.delete, key, payload)]
            replaced, deleted = together(jobs)
            assert deleted is not replaced
            assert self.payload_of(store, key) == (fresh if replaced else None)

    # what is no key, no owner, no payload

    @pytest.mark.parametrize("key", NO_KEYS.values(), ids=NO_KEYS.keys())
    def test_what_is_no_key_is_not_found(self, store: Store, key: str) -> None:
        """A key that cannot be one: load is None; replace, touch and delete are False; nothing changes."""
        live, payload = self.live(store, LONG, "ada")
        assert store.load(key) is None
        assert store.replace(key, payload, new_payload(), LONG, "ada") is False
        assert store.replace(key, payload, new_payload(), None, "ada") is False
        assert store.touch(key, LONG, "ada") is False
        assert store.touch(key, LONG, "ada", payload) is False
        assert store.delete(key) is False
        assert store.delete(key, payload) is False
        assert list(store.keys()) == [live]
        assert live in store.owned_by("ada")

    @pytest.mark.parametrize("owner", NO_OWNERS.values(), ids=NO_OWNERS.keys())
    def test_who_is_no_owner_owns_nothing(self, store: Store, owner: str) -> None:
        """A name that no owner can have: owned_by names nothing."""
        self.live(store, LONG, "a")
        self.live(store, LONG)
        assert list(store.owned_by(owner)) == []

    def test_a_payload_that_is_no_bytes_is_a_store_error(self, store: Store) -> None:
        """A payload in the engine that is not bytes: load is a StoreError, and delete removes the record."""
        key, _ = self.live(store, LONG, "ada")
        if self.put_no_bytes(store, key):
            with pytest.raises(StoreError):
                store.load(key)
            assert store.delete(key) is True
            assert store.load(key) is None

    # owned_by

    @pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS.keys())
    def test_owned_by_finds_any_name(self, store: Store, owner: str) -> None:
        """owned_by: every live record of an owner, whatever characters the name has, by create or replace."""
        created, _ = self.live(store, LONG, owner)
        replaced, payload = self.live(store)
        assert store.replace(replaced, payload, new_payload(), LONG, owner) is True
        assert {created, replaced} <= set(store.owned_by(owner))
        assert store.touch(created, LONG, owner) is True
        assert {created, replaced} <= set(store.owned_by(owner))

    def test_owned_by_names_live_records_only(self, store: Store) -> None:
        """owned_by: an iterator of str over live records, each once; empty for an unknown owner."""
        mine = {self.live(store, LONG, "ada")[0] for _ in range(3)}
        self.dead(store, "ada")
        keys = store.owned_by("ada")
        assert iter(keys) is keys
        named = list(keys)
        assert sorted(named) == sorted(set(named))
        assert mine <= {key for key in named if store.load(key)} and all(store.load(key) for key in named)
        assert list(store.owned_by("nobody")) == []

    def test_owned_by_is_never_too_few(self, store: Store, second: Store) -> None:
        """owned_by: all of many records, also another store's, after some were deleted and others renewed."""
        made = [self.live((store, second)[number % 2], LONG, "ada") for number in range(60)]
        for key, _ in made[::3]:
            store.delete(key)
        for key, payload in made[1::3]:
            assert second.replace(key, payload, new_payload(), LONG, "ada") is True
        for key, _ in made[2::3]:
            assert store.touch(key, LONG, "ada") is True
        expected = {key for key, _ in made[1::3] + made[2::3]}
        assert expected <= set(store.owned_by("ada"))
        assert expected <= set(second.owned_by("ada"))

    def test_owned_by_survives_the_end_of_a_short_record(self, store: Store) -> None:
        """owned_by: when a record ends, the owner's other records stay in the listing."""
        lasting, _ = self.live(store, LONG, "ada")
        self.dead(store, "ada")
        store.purge()
        assert lasting in store.owned_by("ada")

    # keys

    def test_keys_names_every_live_record_once(self, store: Store) -> None:
        """keys: an iterator of str over the live records, each once, with and without an owner."""
        live = [self.live(store, LONG, owner)[0] for owner in (None, "ada", "bob") for _ in range(20)]
        self.dead(store)
        keys = store.keys()
        assert iter(keys) is keys
        assert sorted(keys) == sorted(live)

    def test_keys_may_be_left_half_way_while_others_write(self, store: Store) -> None:
        """keys and owned_by make no writer wait, and writes in between do not break them."""
        records = [self.live(store, LONG, "ada") for _ in range(30)]
        stays = records[0][0]
        for listing in (store.keys(), store.owned_by("ada")):
            next(listing)
            writer = threading.Thread(target=self._write_everything, args=(store, records), daemon=True)
            writer.start()
            held_up = not all_end([writer])
            assert stays in {stays, *listing}
            assert not held_up, "a listing made a writer wait"

    def _write_everything(self, store: Store, records: list[tuple[str, bytes]]) -> None:
        self.live(store, LONG, "ada")
        for number, (key, payload) in enumerate(records):
            records[number] = key, new_payload()
            store.replace(key, payload, records[number][1], LONG, "ada")
            store.touch(key, LONG, "ada")
        for _ in range(3):
            store.delete(records.pop()[0])
        store.purge()

    # purge and close

    def test_purge_removes_the_dead_and_says_how_many(self, store: Store) -> None:
        """purge returns how many it removed, never a live one, and comes to 0; 0 if nothing is dead."""
        assert store.purge() == 0
        live = [self.live(store, LONG, owner) for owner in (None, "ada") for _ in range(5)]
        renewed = self.outlives(store, RENEWALS["touch"])
        store.purge()
        dead = [self.live(store, self.tick, owner) for owner in (None, "ada") for _ in range(5)]
        self.advance(2 * self.tick)
        counts = [store.purge() for _ in range(len(dead) + 1)]
        assert all(type(count) is int and count >= 0 for count in counts) and counts[-1] == 0
        assert sum(counts) <= len(dead)
        if not self.expires_by_itself:
            assert sum(counts) == len(dead)
        assert sorted(store.keys()) == sorted([renewed, *(key for key, _ in live)])
        assert [self.payload_of(store, key) for key, _ in live] == [payload for _, payload in live]

    def test_diagnose_says_what_to_change(self, store: Store) -> None:
        """diagnose, if a store has it: an iterator of sentences, and nothing changes."""
        key, payload = self.live(store, LONG, "ada")
        diagnose: Callable[[], Iterator[str]] = getattr(store, "diagnose", lambda: iter(()))
        findings = diagnose()
        assert iter(findings) is findings
        assert all(type(finding) is str and finding for finding in findings)
        assert self.payload_of(store, key) == payload

    def test_close_leaves_the_records_to_others(self, store: Store, second: Store) -> None:
        """close closes what the store opened, may be called twice, and does not affect another store."""
        key, payload = self.live(store)
        if second is not store:
            store.close()
        assert self.payload_of(second, key) == payload
        store.close()
        store.close()

    def test_settings_are_for_a_person(self, store: Store) -> None:
        """settings, if a store has it: words by name, or a StoreError if it may not ask; nothing changes."""
        key, payload = self.live(store, LONG, "ada")
        settings: Callable[[], dict[str, str]] = getattr(store, "settings", dict)
        with suppress(StoreError):
            assert all(type(part) is str and part for setting in settings().items() for part in setting)
        assert self.payload_of(store, key) == payload

    # threads

    def test_one_of_many_creates_wins(self, store: Store, second: Store) -> None:
        """create is atomic: of many creates of one key at once exactly one is True, and its payload is stored."""
        for _ in range(ROUNDS):
            key, payloads = new_key(), [new_payload() for _ in range(THREADS)]
            stores = [store, second] * THREADS
            won = together([partial(stores[n].create, key, payloads[n], LONG) for n in range(THREADS)])
            assert won.count(True) == 1 and won.count(False) == THREADS - 1
            assert self.payload_of(store, key) == payloads[won.index(True)]

    @with_and_without_a_ttl
    def test_one_of_many_replaces_wins(self, store: Store, second: Store, ttl: float | None) -> None:
        """replace is atomic: of many at once on one payload exactly one is True, and its payload stays."""
        key, payload = self.live(store)
        for _ in range(ROUNDS):
            payloads = [new_payload() for _ in range(THREADS)]
            stores = [store, second] * THREADS
            won = together(
                [partial(stores[n].replace, key, payload, payloads[n], ttl) for n in range(THREADS)]
            )
            assert won.count(True) == 1 and won.count(False) == THREADS - 1
            payload = payloads[won.index(True)]
            assert self.payload_of(second, key) == payload

    def test_compare_and_swap_counts_exactly(self, store: Store, second: Store) -> None:
        """load and replace in a loop, from any number of threads, lose no update."""
        key = new_key()
        store.create(key, new_payload(b"0 "), LONG)

        def count(store: Store) -> None:
            done = 0
            while done < ROUNDS:
                found = store.load(key)
                assert found is not None
                fresh = new_payload(b"%d " % (int(found[0].split()[0]) + 1))
                done += store.replace(key, found[0], fresh, LONG)

        together([partial(count, (store, second)[n % 2]) for n in range(THREADS)])
        found = store.load(key)
        assert found is not None and int(found[0].split()[0]) == THREADS * ROUNDS

    @with_and_without_a_ttl
    def test_delete_beats_replace_and_touch(self, store: Store, second: Store, ttl: float | None) -> None:
        """delete is atomic: no replace or touch that runs at the same time brings the record back."""
        for _ in range(ROUNDS):
            key, payload = self.live(store, LONG, "ada")
            jobs: list[Callable[[], bool]] = [
                partial(store.delete, key),
                partial(second.touch, key, LONG, "ada"),
                partial(store.replace, key, payload, new_payload(), ttl, "ada"),
                partial(second.replace, key, payload, new_payload(), ttl, "bob"),
            ]
            assert together(jobs)[0] is True
            assert store.load(key) is None
            assert list(store.keys()) == []

    @with_and_without_a_ttl
    def test_touch_never_undoes_a_replace(self, store: Store, second: Store, ttl: float | None) -> None:
        """touch writes no data: a payload that was replaced at the same time stays replaced."""
        key, payload = self.live(store)
        for _ in range(ROUNDS):
            fresh = new_payload()
            done = together(
                [partial(store.replace, key, payload, fresh, ttl), partial(second.touch, key, LONG)]
            )
            assert done == [True, True]
            payload = fresh
            assert self.payload_of(store, key) == payload

    def test_one_of_many_deletes_wins(self, store: Store, second: Store) -> None:
        """delete is atomic: of many deletes of one key at once exactly one is True."""
        for _ in range(ROUNDS):
            key, _ = self.live(store)
            done = together([partial((store, second)[n % 2].delete, key) for n in range(THREADS)])
            assert done.count(True) == 1 and done.count(False) == THREADS - 1

    def test_a_record_is_listed_as_soon_as_it_is_made(self, store: Store, second: Store) -> None:
        """owned_by: a record is listed once its create or replace has returned, whatever others write."""

        def make(store: Store) -> bool:
            seen = True
            for _ in range(ROUNDS):
                key, payload = self.live(store, LONG, "ada")
                seen &= key in store.owned_by("ada")
                store.replace(key, payload, new_payload(), LONG, "bob")
                seen &= key in store.owned_by("bob") and store.delete(key)
            return seen

        assert together([partial(make, (store, second)[n % 2]) for n in range(THREADS)]) == [True] * THREADS

    # exceptions from outside

    @interrupts
    @each_operation
    def test_an_exception_from_outside_leaves_a_store_that_works(
        self, store: Store, operation: Operation
    ) -> None:
        """An exception from outside passes through: the operation is done or not, and the store works."""

        def fail() -> None:  # pragma: no cover (inside Steps)
            raise Outside

        for step in self.steps_of(store, operation):
            key, payload = self.live(store, LONG, "ada")
            fresh = new_payload()
            with suppress(Outside), Steps(store, step, fail):
                operation(store, key, payload, fresh)
            assert together([partial(self.works, store, [])]) == [True]
            self._assert_done_or_not(store, operation, key, payload, fresh)
        gc.collect()  # if something was left half done, this test finds it, and not another one

    @interrupts
    @each_operation
    def test_what_runs_inside_an_operation_may_use_the_store(
        self, store: Store, operation: Operation
    ) -> None:
        """Code that runs inside an operation, on the same thread, at any step, gets its answer or a StoreError."""

        def use(key: str) -> None:  # pragma: no cover (inside Steps)
            with suppress(StoreError):
                store.load(key)
                store.touch(key, LONG, "ada")
                assert self.works(store, [])
                list(store.keys())
                store.purge()

        def run(step: int, key: str, payload: bytes, fresh: bytes) -> object:
            with Steps(store, step, partial(use, key)):
                return operation(store, key, payload, fresh)

        for step in self.steps_of(store, operation):
            key, payload = self.live(store, LONG, "ada")
            fresh = new_payload()
            assert together([partial(run, step, key, payload, fresh)])[0] is not False
            self._assert_done_or_not(store, operation, key, payload, fresh)
        gc.collect()

    def _assert_done_or_not(
        self, store: Store, operation: Operation, key: str, payload: bytes, fresh: bytes
    ) -> None:
        """Check that an operation left its record as it was or as it should be, and remove the record."""
        states: dict[bytes | None, str] = {payload: "ada"}
        if operation is OPERATIONS["replace"]:
            states[fresh] = "bob"
        elif operation is OPERATIONS["replace without a ttl"]:
            states[fresh] = "ada"
        elif operation in (OPERATIONS["delete"], OPERATIONS["clear"]):
            states[None] = ""
        self.assert_whole(store, key, states)
        self.assert_whole(store, key[::-1], {fresh: "ada", None: ""})
        store.delete(key)
        store.delete(key[::-1])
        assert getattr(store, "count", int)() == len(list(store.keys())) == 0

    # processes

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_uses_the_store(self, store: Store) -> None:
        """A store may be used in a process that was forked later, and it still works in the parent."""
        key, payload = self.live(store, LONG, "ada")

        def use(number: int) -> bool:
            found = store.load(key)
            mine, _ = self.live(store, LONG, "ada")
            listed = {key, mine} <= set(store.owned_by("ada"))
            return found is not None and found[0] == payload and listed and store.delete(mine)

        for number in range(2):
            assert use(number)
            assert in_child(partial(use, number))
        assert use(2)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_fork_while_threads_write(self, store: Store) -> None:
        """A fork while other threads write leaves child and parent with a store that works."""
        records = [self.live(store) for _ in range(THREADS)]
        stop = threading.Event()
        failures: list[BaseException] = []

        def write(key: str, payload: bytes) -> None:
            try:
                while not stop.is_set():
                    fresh = new_payload()
                    assert store.replace(key, payload, fresh, LONG, "ada") is True
                    payload = fresh
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=record, daemon=True) for record in records]
        for thread in threads:
            thread.start()
        try:
            verdicts = [in_child(partial(self.works, store, [key for key, _ in records])) for _ in range(5)]
        finally:
            stop.set()
            ended = all_end(threads)
        assert verdicts == [True] * 5
        assert ended and failures == []
        assert self.works(store, [key for key, _ in records])
