"""The contract of a store as a test class: whoever writes a store subclasses it and runs pytest.

::

    from wsgisession.testing import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.path = tmp_path / "sessions"

        def make_store(self):               # a store without any record in it
            return MyStore(self.path)

        def reopen(self, store):            # the same records through a second door
            return MyStore(self.path)

A store that also has ``load_many``, ``count`` and ``clear`` subclasses ``BulkStoreContract`` instead.

Every test is one clause of ``wsgisession.stores.base``; its docstring says which. A store that has to be told
the time overrides ``advance``. For any other the test waits, a few hundredths of a second at a time. For
readable failures, call ``pytest.register_assert_rewrite("wsgisession.testing")`` in ``conftest.py`` before
the import. This is the only module of the package that needs pytest; nothing else imports it.

One file, long as it is: the clauses are in the order of ``Store``, to be read from top to bottom.

It does not know how a store works, nor what an engine's failures look like: outages, lost replies on the wire
and configuration remain for the store's own tests.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import threading
import time
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import NoReturn, TypeVar, cast

import pytest

from .errors import StoreError
from .stores.base import NO_EXPIRY, BulkStore, Store

T = TypeVar("T")
Operation = Callable[[Store, str, bytes, bytes], object]  # on a key, its payload, and a payload that is new

THREADS = 4
ROUNDS = 8
LONG = 3600.0  # seconds; outlives every test
PATIENCE = 30.0  # seconds until a wait counts as endless
SLACK = 0.002  # seconds: "kept to the millisecond", rounded once when written and once when read
PAGE = 1000  # keys that load_many reads in one go
STEPS = 24  # of an operation, at which it is interrupted: spread evenly from the first to the last

PAYLOADS = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "NUL": b"a\0b\0",
    "newlines": b"\n[1]\r\n\n",
    "not UTF-8": b"\xff\xfe\x80",
    "looks like a number": b"0012",
    "quotes and escapes": b"'\"\\x41\\000%s:1?$1{}",
    "over 64 KiB": bytes(range(256)) * 300,
}
OWNERS = {
    "255 characters": "x" * 255,
    "255 wide characters": "\N{SNOWMAN}" * 255,
    "quotes": 'o\'hara "the" `quick` \\',
    "percent and underscore": "100%_s %(x)s",
    "braces, star, colon": "{a}:*?[b]:owner",
    "newline and tab": "a\n\tb\r",
    "spaces at the ends": " ada ",
    "beyond ASCII": "J\N{LATIN SMALL LETTER O WITH DIAERESIS}rg \N{GRINNING FACE}",
    "looks like a number": "007",
    "looks like null": "None",
}
# What may reach a store from a form or a command line, and is no key of any record.
NO_KEYS = {
    "empty": "",
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "line break": "a\nb",
    "beyond ASCII": "\N{SNOWMAN}" * 43,
    "looks like an index": "owner:ada",
    "a million characters": "k" * 1_000_000,
}
NO_OWNERS = {
    "empty": "",
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "a million characters": "x" * 1_000_000,
}
# What is interrupted: each operation on a live record that "ada" owns.
OPERATIONS: dict[str, Operation] = {
    "load": lambda store, key, payload, fresh: store.load(key),
    "create": lambda store, key, payload, fresh: store.create(key[::-1], fresh, LONG, "ada"),
    "replace": lambda store, key, payload, fresh: store.replace(key, payload, fresh, LONG, "bob"),
    "replace without a ttl": lambda store, key, payload, fresh: store.replace(
        key, payload, fresh, None, "ada"
    ),
    "touch": lambda store, key, payload, fresh: store.touch(key, LONG, "ada", payload),
    "delete": lambda store, key, payload, fresh: store.delete(key, payload),
    "owned_by": lambda store, key, payload, fresh: list(store.owned_by("ada")),
    "keys": lambda store, key, payload, fresh: list(store.keys()),
    "purge": lambda store, key, payload, fresh: store.purge(),
}

with_and_without_a_ttl = pytest.mark.parametrize("ttl", [LONG, None], ids=["with a ttl", "without"])
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def interrupts(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that interrupts its store: what was interrupted in a finalizer, or left open, is no fault of the store."""
    for unseen in ("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"):
        test = pytest.mark.filterwarnings(unseen)(test)
    return test


def new_key() -> str:
    """Return a key like those the library makes: 43 characters of base64url."""
    return urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def new_payload(start: bytes = b"payload ") -> bytes:
    """Return a payload that was never written before, as the contract wants it."""
    return start + urlsafe_b64encode(os.urandom(12))


def together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run jobs at the same time, one thread each; return their results in order, or raise the first error."""
    barrier = threading.Barrier(len(jobs))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int, job: Callable[[], T]) -> None:
        try:
            barrier.wait(PATIENCE)
            results[number] = job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for error in errors:
        raise error
    assert len(results) == len(jobs), "the store kept a thread waiting and waiting"
    return [results[number] for number in range(len(jobs))]


def in_child(job: Callable[[], bool]) -> bool:
    """Return what a job says in a forked process; False if it raises or never ends."""
    child = os.fork() or _leave_with(job)
    return os.waitpid(child, 0)[1] == 0


def _leave_with(job: Callable[[], bool]) -> NoReturn:
    """End this process with what a job says, and without what the test runner would do at its end.

    A job that hangs is ended with a traceback of every thread. What the parent left to the collector is not
    collected here: finalizers may wait for threads that only the parent has.
    """
    verdict = False
    try:
        gc.disable()
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
        verdict = job()
    except BaseException:
        traceback.print_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
        os._exit(0 if verdict else 1)  # where a runner that measures coverage writes its data


class Outside(BaseException):
    """An exception that has nothing to do with the store, as a signal handler or gevent.Timeout raises it."""


class Steps:
    """Runs a function at one step of what is done inside ``with``; counts the steps if that is never reached.

    A step is where Python may run a signal handler in the store's own code: a function begins, or a call has
    returned. What happens inside the libraries that a store uses is one step, because a store cannot mend
    them. A finalizer is no step, because what is raised in it reaches nobody.

    Args:
        store: whose steps are counted: those of its package.
        step: which of them, from 1.
        act: what is run there, once. What it raises is raised there.
    """

    def __init__(self, store: Store, step: int, act: Callable[[], object]) -> None:
        self.package = type(store).__module__.partition(".")[0]
        self.step, self.act = step, act
        self.count = 0

    def __enter__(self) -> Steps:
        self.before = sys.getprofile()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(self.before)

    # Coverage cannot see what runs inside a profile function, because Python traces nothing there.
    def _look(self, frame: FrameType, event: str, argument: object) -> None:  # pragma: no cover
        caller = frame if event == "c_return" else frame.f_back
        if event != "c_call" and (self._counts(frame) or self._counts(caller)):
            self.count += 1
            if self.count == self.step:
                if self._in_finalizer(frame):
                    self.count -= 1
                else:
                    self.act()

    def _in_finalizer(self, frame: FrameType | None) -> bool:  # pragma: no cover
        while frame is not None and frame.f_code.co_name != "__del__":
            frame = frame.f_back
        return frame is not None

    def _counts(self, frame: FrameType | None) -> bool:  # pragma: no cover
        name = frame.f_globals.get("__name__", "") if frame else ""
        return name != __name__ and name.partition(".")[0] == self.package


class StoreContract:
    """What every store does. Subclass it, give it a ``make_store``, run pytest."""

    tick: float = 0.02
    """Seconds in which the clauses about expiry count: enough for the engine to answer ten times."""

    expires_by_itself: bool = False
    """True if the engine removes dead records by itself, so that ``purge`` may find none of them."""

    owners_exactly: bool = False
    """True if ``owned_by`` promises more than it must: the owner's live records and no others."""

    def make_store(self) -> Store:
        """Return a store that has no records yet. Called once per test; the test closes it."""
        raise AssertionError(f"{type(self).__name__} needs a make_store() that returns an empty store")

    def reopen(self, store: Store) -> Store:
        """Return a second store over the same records, as another process would open it; the test closes it.

        If there is no such thing, as with memory, return the same store: the default.
        """
        return store

    def advance(self, seconds: float) -> None:
        """Let time pass for the store. The default waits."""
        time.sleep(seconds)

    def take_expiry(self, store: Store, key: str) -> bool:
        """Take a record's expiry away in the engine. False (the default): it cannot hold such a record."""
        return False

    def put_no_bytes(self, store: Store, key: str) -> bool:
        """Put what is no bytes in a payload's place in the engine. False (the default): it cannot hold it."""
        return False

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """The empty store a clause is about."""
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
        """Create a record and outlive it."""
        record = self.live(store, self.tick, owner)
        self.advance(2 * self.tick)
        return record

    def outlives(self, store: Store, renew: Callable[[str, bytes], bool], owner: str | None = None) -> str:
        """Return the key of a record that was renewed in time and is past its first expiry."""

        def renewed() -> str | None:
            key, payload = self.live(store, 10 * self.tick, owner)
            return key if renew(key, payload) else None

        # Three tries: on a busy machine a record can be over before it is renewed, and that is no fault of
        # the store.
        key = renewed() or renewed() or renewed()
        assert key is not None, "a live record could not be renewed"
        self.advance(11 * self.tick)
        return key

    def assert_left(self, store: Store, key: str, ttl: float, since: float) -> None:
        """Check that a record given ``ttl`` after ``since`` (monotonic) has that much left, less the wait."""
        found = store.load(key)
        waited = time.monotonic() - since
        assert found is not None
        assert ttl - waited - SLACK <= found[1] <= ttl + SLACK

    def left(self, store: Store, key: str) -> float:
        """Return the seconds that a live record has left."""
        found = store.load(key)
        assert found is not None
        return found[1]

    # load

    def test_load_of_an_unknown_key_is_none(self, store: Store) -> None:
        """load: None if there is no live record."""
        assert store.load(new_key()) is None

    def test_load_creates_nothing(self, store: Store) -> None:
        """load changes nothing: an unknown key stays free and unlisted."""
        key = new_key()
        store.load(key)
        assert list(store.keys()) == []
        assert store.create(key, new_payload(), LONG) is True

    def test_load_returns_bytes_and_seconds(self, store: Store) -> None:
        """load: a tuple of exactly ``bytes`` and a ``float``."""
        key, payload = self.live(store)
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
        """What one store has acknowledged, another over the same records sees."""
        key, payload = self.live(store)
        found = second.load(key)
        assert found is not None and found[0] == payload
        assert second.delete(key) is True
        assert store.load(key) is None

    def test_keys_are_compared_exactly(self, store: Store) -> None:
        """Keys differ by letter case, and ``_`` and ``-`` are ordinary characters."""
        keys = ["a" * 43, "A" * 43, "_" * 43, "-" * 43, "a" * 42 + "_", "a" * 42 + "-", "a" * 42 + "A"]
        payloads = [new_payload() for _ in keys]
        assert [store.create(*record, LONG) for record in zip(keys, payloads, strict=True)] == [True] * len(
            keys
        )
        assert [(store.load(key) or (None,))[0] for key in keys] == payloads
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
            found = second.load(key)
            assert found is not None and found[0] == payload
            assert store.replace(key, payload, new_payload(), LONG) is True

    # create

    def test_create_puts_a_record_under_a_free_key(self, store: Store) -> None:
        """create: True, and the record is there with its time."""
        start = time.monotonic()
        key, payload = self.live(store, 100.0)
        found = store.load(key)
        assert found is not None and found[0] == payload
        self.assert_left(store, key, 100.0, start)

    def test_create_never_overwrites(self, store: Store) -> None:
        """create: False if a live record has the key; payload, expiry and owner stay as they are."""
        start = time.monotonic()
        key, payload = self.live(store, 100.0, "ada")
        assert store.create(key, new_payload(), LONG, "bob") is False
        found = store.load(key)
        assert found is not None and found[0] == payload
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
        """create, repeated after somebody else replaced the record: False, and theirs stays."""
        key, payload = self.live(store)
        theirs = new_payload()
        store.replace(key, payload, theirs, LONG)
        assert store.create(key, payload, LONG) is False
        found = store.load(key)
        assert found is not None and found[0] == theirs

    def test_create_compares_the_whole_payload(self, store: Store) -> None:
        """create: a live payload that only begins or ends like the new one is another one."""
        key, payload = self.live(store)
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase()):
            assert store.create(key, other, LONG) is False

    def test_create_succeeds_over_a_dead_record(self, store: Store) -> None:
        """A dead record is no record: create succeeds over it, with payload, expiry and owner of its own."""
        key, payload = self.dead(store, "ada")
        fresh = new_payload()
        assert store.create(key, fresh, LONG, "bob") is True
        found = store.load(key)
        assert found is not None and found[0] == fresh
        assert key in store.owned_by("bob")
        assert store.replace(key, payload, new_payload(), LONG) is False

    def test_create_over_a_dead_record_with_its_own_payload_lives(self, store: Store) -> None:
        """A dead record is no record: the same payload again is a record again, not a reply that was lost."""
        key, payload = self.dead(store)
        assert store.create(key, payload, LONG) is True
        assert store.load(key) is not None

    def test_create_after_delete_succeeds(self, store: Store) -> None:
        """create: a key whose record was deleted is free."""
        key, payload = self.live(store)
        store.delete(key)
        assert store.create(key, new_payload(), LONG) is True

    # replace

    def test_replace_swaps_payload_and_expiry(self, store: Store) -> None:
        """replace: True if the live payload is ``expected``; it sets payload and expiry, later or sooner."""
        key, payload = self.live(store, 100.0)
        for ttl in (200.0, 50.0):
            start = time.monotonic()
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, ttl) is True
            found = store.load(key)
            assert found is not None and found[0] == payload
            self.assert_left(store, key, ttl, start)

    @with_and_without_a_ttl
    def test_replace_never_creates(self, store: Store, ttl: float | None) -> None:
        """replace: False for a key that never had a record, and none is made."""
        key = new_key()
        assert store.replace(key, new_payload(), new_payload(), ttl) is False
        assert store.replace(key, b"", new_payload(), ttl) is False
        assert store.load(key) is None
        assert list(store.keys()) == []

    @with_and_without_a_ttl
    def test_replace_of_a_deleted_record_is_false(self, store: Store, ttl: float | None) -> None:
        """replace: a record deleted by another request stays deleted."""
        key, payload = self.live(store, LONG, "ada")
        store.delete(key)
        assert store.replace(key, payload, new_payload(), ttl, "ada") is False
        assert store.load(key) is None
        assert list(store.keys()) == []

    @with_and_without_a_ttl
    def test_replace_of_a_changed_record_is_false(self, store: Store, ttl: float | None) -> None:
        """replace: False, and no change, if the live payload is not ``expected``."""
        start = time.monotonic()
        key, payload = self.live(store, 100.0, "ada")
        assert store.replace(key, new_payload(), new_payload(), ttl, "bob") is False
        found = store.load(key)
        assert found is not None and found[0] == payload
        self.assert_left(store, key, 100.0, start)
        assert key in store.owned_by("ada")

    @with_and_without_a_ttl
    def test_replace_compares_the_whole_payload(self, store: Store, ttl: float | None) -> None:
        """replace: a payload that only begins or ends like ``expected`` is another one."""
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
        """replace, repeated after somebody else replaced the record once more: False, and theirs stays."""
        key, payload = self.live(store)
        ours, theirs = new_payload(), new_payload()
        assert store.replace(key, payload, ours, ttl) is True
        assert store.replace(key, ours, theirs, ttl) is True
        assert store.replace(key, payload, ours, ttl) is False
        found = store.load(key)
        assert found is not None and found[0] == theirs

    @with_and_without_a_ttl
    def test_replace_of_a_dead_record_is_false(self, store: Store, ttl: float | None) -> None:
        """A dead record is no record: replace is False, even with the payload it had or already has."""
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
        """replace: None clears the owner, and the record lives on under every further replace."""
        key, payload = self.live(store, LONG, "ada")
        fresh = new_payload()
        assert store.replace(key, payload, fresh, LONG, None) is True
        assert store.load(key) is not None
        assert not self.owners_exactly or list(store.owned_by("ada")) == []
        assert store.replace(key, fresh, new_payload(), LONG, "bob") is True
        assert key in store.owned_by("bob")

    def test_replace_outlives_the_first_expiry(self, store: Store) -> None:
        """replace with a longer time: record and listing are still there when the first time is over."""
        key = self.outlives(
            store, lambda key, old: store.replace(key, old, new_payload(), LONG, "ada"), "ada"
        )
        assert store.load(key) is not None
        assert key in store.keys()
        assert key in store.owned_by("ada")

    def test_replace_can_end_a_record_sooner(self, store: Store) -> None:
        """replace with a shorter time: the record is dead when that is over."""
        key, payload = self.live(store)
        assert store.replace(key, payload, new_payload(), self.tick) is True
        self.advance(2 * self.tick)
        assert store.load(key) is None

    # replace without a ttl

    def test_replace_without_a_ttl_keeps_the_expiry(self, store: Store) -> None:
        """replace without a ttl swaps the payload and leaves the expiry exactly as it is, each time."""
        sooner, _ = self.live(store, 100.0)
        key, payload = self.live(store, 100.0, "ada")
        later, _ = self.live(store, 100.0)
        self.advance(self.tick)
        for _ in range(20):
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, None, "ada") is True
        # Read in the opposite order, the time between two reads can only widen the bounds, for whichever
        # clock counts.
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
        """replace without a ttl: whatever owner it is given, the record's own keeps it."""
        key, payload = self.live(store, LONG, "ada")
        for owner in ("ada", None, "bob"):
            before, payload = payload, new_payload()
            assert store.replace(key, before, payload, None, owner) is True
            assert key in store.owned_by("ada")
            assert not self.owners_exactly or list(store.owned_by("bob")) == []

    # touch

    def test_touch_sets_the_expiry_and_nothing_else(self, store: Store) -> None:
        """touch: True; the expiry moves, later or sooner, and the payload stays."""
        key, payload = self.live(store, 100.0)
        for ttl in (200.0, 50.0):
            start = time.monotonic()
            assert store.touch(key, ttl) is True
            found = store.load(key)
            assert found is not None and found[0] == payload
            self.assert_left(store, key, ttl, start)

    def test_touch_never_creates(self, store: Store) -> None:
        """touch: False if there is no record, deleted or never there, and none is made."""
        key, _ = self.live(store, LONG, "ada")
        store.delete(key)
        for gone in (key, new_key()):
            assert store.touch(gone, LONG, "ada") is False
            assert store.load(gone) is None
        assert list(store.keys()) == []

    def test_touch_of_a_dead_record_is_false(self, store: Store) -> None:
        """A dead record is no record: touch is False and brings nothing back."""
        key, _ = self.dead(store, "ada")
        assert store.touch(key, LONG, "ada") is False
        assert store.load(key) is None

    def test_touch_never_changes_the_owner(self, store: Store) -> None:
        """touch: whatever owner it is given, the record's own keeps it."""
        key, _ = self.live(store, LONG, "ada")
        for owner in ("ada", None, "bob"):
            assert store.touch(key, LONG, owner) is True
            assert key in store.owned_by("ada")

    def test_touch_outlives_the_first_expiry(self, store: Store) -> None:
        """touch with a longer time: record and listing are still there when the first time is over."""
        key = self.outlives(store, lambda key, _: store.touch(key, LONG, "ada"), "ada")
        assert store.load(key) is not None
        assert key in store.keys()
        assert key in store.owned_by("ada")

    def test_touch_can_end_a_record_sooner(self, store: Store) -> None:
        """touch with a shorter time: the record is dead when that is over."""
        key, _ = self.live(store)
        assert store.touch(key, self.tick) is True
        self.advance(2 * self.tick)
        assert store.load(key) is None

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

    def test_touch_with_expected_of_no_record_is_false(self, store: Store) -> None:
        """touch with ``expected``: False for a dead, a deleted and an unknown record, and none is made."""
        dead, payload = self.dead(store)
        assert store.touch(dead, LONG, None, payload) is False
        gone, payload = self.live(store, LONG, "ada")
        store.delete(gone)
        for key in (gone, new_key()):
            assert store.touch(key, LONG, "ada", payload) is False
            assert store.touch(key, LONG, "ada", b"") is False
        assert list(store.keys()) == []

    def test_touch_with_expected_never_renews_another_payload(self, store: Store, second: Store) -> None:
        """touch with ``expected`` is atomic: it never prolongs what a replace put there at the same time."""
        for _ in range(ROUNDS):
            key, payload = self.live(store, 100.0)
            touch = partial(second.touch, key, LONG, None, payload)
            done = together([partial(store.replace, key, payload, new_payload(), 100.0), touch])
            assert done[0] is True
            assert self.left(store, key) <= 100.0 + SLACK

    # time

    def test_the_seconds_left_are_never_zero(self, store: Store) -> None:
        """A live record has more than 0 seconds left, also if it was given less than a millisecond."""
        for ttl in (self.tick, 0.0004):
            key, _ = self.live(store, ttl)
            polls = 0
            while (found := store.load(key)) is not None:
                assert found[1] > 0
                assert (polls := polls + 1) < 100_000, "a record does not end"
                self.advance(0.0002)

    def test_a_record_whose_expiry_was_taken_away_is_about_to_end(self, store: Store) -> None:
        """A record whose expiry somebody took away in the engine has NO_EXPIRY left; touch sets another."""
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
        """A ``ttl`` that is an int is so many seconds, and what is left is a float all the same."""
        key, payload = self.live(store, 100)
        assert store.touch(key, 200) is True
        assert store.replace(key, payload, new_payload(), 300) is True
        found = store.load(key)
        assert found is not None and type(found[1]) is float and 200 < found[1] <= 300 + SLACK

    def test_what_is_left_shrinks(self, store: Store) -> None:
        """The seconds left grow fewer as time passes."""
        key, _ = self.live(store, 100.0)
        self.advance(5 * self.tick)
        found = store.load(key)
        assert found is not None and found[1] <= 100.0 - 5 * self.tick + SLACK

    def test_a_record_ends_to_the_fraction_of_a_second(self, store: Store) -> None:
        """A record past its expiry is none for load, keys, owned_by and delete, purged or not."""
        key, _ = self.dead(store, "ada")
        assert store.load(key) is None
        assert list(store.keys()) == []
        assert list(store.owned_by("ada")) == []
        assert store.delete(key) is False

    # delete

    def test_delete_removes(self, store: Store) -> None:
        """delete: True once, then False; the record is gone for load, keys and owned_by."""
        key, _ = self.live(store, LONG, "ada")
        other, payload = self.live(store, LONG, "ada")
        assert store.delete(key) is True
        assert store.delete(key) is False
        assert store.load(key) is None
        assert list(store.keys()) == [other]
        assert other in store.owned_by("ada")
        found = store.load(other)
        assert found is not None and found[0] == payload

    def test_delete_of_an_unknown_key_is_false(self, store: Store) -> None:
        """delete: False if there was none."""
        assert store.delete(new_key()) is False

    # delete with expected

    def test_delete_with_expected_compares_first(self, store: Store) -> None:
        """delete with ``expected``: True if that is the live payload; if not, False, and the record stays."""
        key, payload = self.live(store, LONG, "ada")
        for other in (payload[:-1], payload + b"x", payload[1:], b"x" + payload, payload.swapcase(), b""):
            assert store.delete(key, other) is False
        found = store.load(key)
        assert found is not None and found[0] == payload
        assert key in store.owned_by("ada")
        assert [store.delete(key, payload) for _ in range(2)] == [True, False]
        assert list(store.keys()) == []
        assert store.create(key, b"", LONG) is True
        assert store.delete(key, b"") is True

    def test_delete_with_expected_of_no_record_is_false(self, store: Store) -> None:
        """delete with ``expected``: False for a dead record and for one that never was."""
        key, payload = self.dead(store)
        assert store.delete(key, payload) is False
        assert store.delete(new_key(), payload) is False
        assert store.delete(new_key(), b"") is False

    def test_delete_with_expected_or_replace_wins(self, store: Store, second: Store) -> None:
        """delete with ``expected`` is atomic: of it and a replace of the same payload exactly one is True."""
        for _ in range(ROUNDS):
            key, payload = self.live(store)
            fresh = new_payload()
            jobs = [partial(second.replace, key, payload, fresh, LONG), partial(store.delete, key, payload)]
            replaced, deleted = together(jobs)
            assert deleted is not replaced
            found = store.load(key)
            assert (found[0] if found else None) == (fresh if replaced else None)

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
        """An owner who cannot be one: owned_by names nothing."""
        self.live(store, LONG, "a")
        self.live(store, LONG)
        assert list(store.owned_by(owner)) == []

    def test_a_payload_that_is_no_bytes_is_a_store_error(self, store: Store) -> None:
        """A payload in the engine that is no bytes: load is a StoreError, and delete removes the record."""
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
        """owned_by: all of many, also another store's, after some were deleted and others renewed."""
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
        """owned_by: a record that ends takes no longer-lived one of the same owner out of the listing."""
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
        """keys and owned_by hold up no writer, and writes in between do not break them."""
        records = [self.live(store, LONG, "ada") for _ in range(30)]
        stays = records[0][0]
        for listing in (store.keys(), store.owned_by("ada")):
            next(listing)
            writer = threading.Thread(target=self._write_everything, args=(store, records), daemon=True)
            writer.start()
            writer.join(PATIENCE)
            held_up = writer.is_alive()
            assert stays in {stays, *listing}
            assert not held_up, "a listing held up a writer"

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
        """purge returns how many it removed, never a live one, and comes to 0."""
        live = [self.live(store, LONG, owner) for owner in (None, "ada") for _ in range(5)]
        renewed = self.outlives(store, lambda key, _: store.touch(key, LONG))
        store.purge()
        dead = [self.live(store, self.tick, owner) for owner in (None, "ada") for _ in range(5)]
        self.advance(2 * self.tick)
        counts = [store.purge() for _ in range(len(dead) + 1)]
        assert all(type(count) is int and count >= 0 for count in counts) and counts[-1] == 0
        assert sum(counts) <= len(dead)
        if not self.expires_by_itself:
            assert sum(counts) == len(dead)
        assert sorted(store.keys()) == sorted([renewed, *(key for key, _ in live)])
        assert [(store.load(key) or (None,))[0] for key, _ in live] == [payload for _, payload in live]

    def test_purge_of_an_empty_store_is_zero(self, store: Store) -> None:
        """purge: 0 if nothing is dead."""
        assert store.purge() == 0
        self.live(store)
        assert store.purge() == 0

    def test_diagnose_says_what_to_change(self, store: Store) -> None:
        """diagnose, if a store has it: an iterator of sentences, and nothing changes."""
        key, payload = self.live(store, LONG, "ada")
        diagnose: Callable[[], Iterator[str]] = getattr(store, "diagnose", lambda: iter(()))
        findings = diagnose()
        assert iter(findings) is findings
        assert all(type(finding) is str and finding for finding in findings)
        found = store.load(key)
        assert found is not None and found[0] == payload

    def test_close_leaves_the_records_to_others(self, store: Store, second: Store) -> None:
        """close gives back what the store opened, may be called twice, and harms no other store."""
        key, payload = self.live(store)
        if second is not store:
            store.close()
        found = second.load(key)
        assert found is not None and found[0] == payload
        store.close()
        store.close()

    def test_settings_are_for_a_person(self, store: Store) -> None:
        """settings, if a store has it: words by name, or a StoreError if it may not ask; nothing changes."""
        key, payload = self.live(store, LONG, "ada")
        settings: Callable[[], dict[str, str]] = getattr(store, "settings", dict)
        with suppress(StoreError):
            assert all(type(part) is str and part for setting in settings().items() for part in setting)
        found = store.load(key)
        assert found is not None and found[0] == payload

    # threads

    def test_one_of_many_creates_wins(self, store: Store, second: Store) -> None:
        """create is atomic: of creates of one key at once exactly one is True, and its payload is there."""
        for _ in range(ROUNDS):
            key, payloads = new_key(), [new_payload() for _ in range(THREADS)]
            stores = [store, second] * THREADS
            won = together([partial(stores[n].create, key, payloads[n], LONG) for n in range(THREADS)])
            assert won.count(True) == 1 and won.count(False) == THREADS - 1
            found = store.load(key)
            assert found is not None and found[0] == payloads[won.index(True)]

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
            found = second.load(key)
            assert found is not None and found[0] == payload

    def test_compare_and_swap_counts_exactly(self, store: Store, second: Store) -> None:
        """load and replace in a loop lose no update, from any number of threads."""
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
        """touch carries no data: a payload that was replaced at the same time stays replaced."""
        key, payload = self.live(store)
        for _ in range(ROUNDS):
            fresh = new_payload()
            done = together(
                [partial(store.replace, key, payload, fresh, ttl), partial(second.touch, key, LONG)]
            )
            assert done == [True, True]
            payload = fresh
            found = store.load(key)
            assert found is not None and found[0] == payload

    def test_one_of_many_deletes_wins(self, store: Store, second: Store) -> None:
        """delete is atomic: of deletes of one key at once exactly one is True."""
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

    # what comes from outside

    @interrupts
    @each_operation
    def test_an_exception_from_outside_leaves_a_store_that_works(
        self, store: Store, operation: Operation
    ) -> None:
        """An exception from outside passes through: the operation is done or not, and the store works."""

        def fail() -> None:  # pragma: no cover (inside Steps)
            raise Outside

        for step in self._steps_of(store, operation):
            key, payload = self.live(store, LONG, "ada")
            fresh = new_payload()
            with suppress(Outside), Steps(store, step, fail):
                operation(store, key, payload, fresh)
            assert together([partial(self._works, store, [])]) == [True]
            self._is_done_or_not(store, operation, key, payload, fresh)
        gc.collect()  # what was left half done is found in this test, and not in another one

    @interrupts
    @each_operation
    def test_what_runs_inside_an_operation_may_use_the_store(
        self, store: Store, operation: Operation
    ) -> None:
        """Code that runs inside an operation, on its thread at any step, gets its answer or a StoreError."""

        def use(key: str) -> None:  # pragma: no cover (inside Steps)
            with suppress(StoreError):
                store.load(key)
                store.touch(key, LONG, "ada")
                assert self._works(store, [])
                list(store.keys())
                store.purge()

        def run(step: int, key: str, payload: bytes, fresh: bytes) -> object:
            with Steps(store, step, partial(use, key)):
                return operation(store, key, payload, fresh)

        for step in self._steps_of(store, operation):
            key, payload = self.live(store, LONG, "ada")
            fresh = new_payload()
            assert together([partial(run, step, key, payload, fresh)])[0] is not False
            self._is_done_or_not(store, operation, key, payload, fresh)
        gc.collect()

    def _is_done_or_not(
        self, store: Store, operation: Operation, key: str, payload: bytes, fresh: bytes
    ) -> None:
        """Check that an operation left its record as it was or as it should be, and remove that."""
        states: dict[bytes | None, str] = {payload: "ada"}
        if operation is OPERATIONS["replace"]:
            states[fresh] = "bob"
        elif operation is OPERATIONS["replace without a ttl"]:
            states[fresh] = "ada"
        elif operation is OPERATIONS["delete"]:
            states[None] = ""
        self._is_whole(store, key, states)
        self._is_whole(store, key[::-1], {fresh: "ada", None: ""})
        store.delete(key)
        store.delete(key[::-1])

    def _steps_of(self, store: Store, operation: Operation) -> list[int]:
        """Return at which steps to interrupt an operation: all of them, or STEPS of them."""
        key, payload = self.live(store, LONG, "ada")
        with Steps(store, 0, lambda: None) as steps:
            operation(store, key, payload, new_payload())
        for made in (key, key[::-1]):
            store.delete(made)
        return sorted({1 + round(n * (steps.count - 1) / (STEPS - 1)) for n in range(STEPS)})

    def _is_whole(self, store: Store, key: str, states: dict[bytes | None, str]) -> None:
        """Check that a record is in one of these states (payload: owner; None: it is gone), and listed so."""
        found = store.load(key)
        payload = found[0] if found else None
        assert payload in states
        assert payload is None or key in store.owned_by(states[payload])
        assert (key in store.keys()) is (payload is not None)

    # processes

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_uses_the_store(self, store: Store) -> None:
        """A store may be used in a process that was forked after it; the parent's goes on working."""
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
            verdicts = [in_child(partial(self._works, store, [key for key, _ in records])) for _ in range(5)]
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert verdicts == [True] * 5
        assert failures == []
        assert self._works(store, [key for key, _ in records])

    def _works(self, store: Store, keys: list[str]) -> bool:
        key, _ = self.live(store, LONG, "ada")
        return all(store.load(key) for key in keys) and store.touch(key, LONG, "ada") and store.delete(key)


class BulkStoreContract(StoreContract):
    """What a store does that has the operations of ``BulkStore`` as well."""

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
        """load_many: a tuple is as good as a list, and nothing for nothing."""
        key, payload = self.live(bulk)
        assert [one and one[0] for one in bulk.load_many((key,))] == [payload]
        assert bulk.load_many([]) == []
        assert bulk.load_many(()) == []

    def test_load_many_of_more_keys_than_a_page(self, bulk: BulkStore) -> None:
        """load_many: any number of keys, and the answers stay in order over the ends of its pages."""
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
        """load_many changes nothing: a record that is read and read still ends; unknown keys stay free."""
        key, _ = self.live(bulk, 2 * self.tick)
        unknown = new_key()
        for _ in range(4):
            bulk.load_many([key, unknown])
            self.advance(self.tick)
        assert bulk.load_many([key, unknown]) == [None, None]
        assert list(bulk.keys()) == []

    def test_load_many_of_what_is_no_key_is_none(self, bulk: BulkStore) -> None:
        """load_many: None for keys that cannot be one, and their neighbours are found."""
        key, payload = self.live(bulk, LONG, "ada")
        keys = [name for other in NO_KEYS.values() for name in (other, key)]
        assert [one and one[0] for one in bulk.load_many(keys)] == [None, payload] * len(NO_KEYS)

    def test_load_many_of_a_payload_that_is_no_bytes_is_a_store_error(self, bulk: BulkStore) -> None:
        """load_many: a StoreError if a payload of the page is no bytes; the others are found without it."""
        key, payload = self.live(bulk)
        broken, _ = self.live(bulk)
        if self.put_no_bytes(bulk, broken):
            with pytest.raises(StoreError):
                bulk.load_many([key, broken])
            assert [one and one[0] for one in bulk.load_many([key])] == [payload]

    # count

    def test_count_is_the_number_of_live_records(self, bulk: BulkStore) -> None:
        """count: how many live records there are, with and without an owner; the dead do not count."""
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
        found = bulk.load(key)
        assert found is not None and found[0] == fresh
        assert list(bulk.keys()) == [key]
        assert key in bulk.owned_by("ada")

    def test_clear_ends_while_others_write(self, bulk: BulkStore, second: Store) -> None:
        """clear ends while others go on creating records; those from before it are gone."""
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

    # what comes from outside

    @interrupts
    @pytest.mark.parametrize("name", ["load_many", "count", "clear"])
    def test_bulk_work_that_is_interrupted_leaves_a_store_that_works(
        self, bulk: BulkStore, name: str
    ) -> None:
        """An exception from outside passes through bulk work; the store works and counts right."""

        def fail() -> None:  # pragma: no cover (inside Steps)
            raise Outside

        def operation(store: Store, key: str, payload: bytes, fresh: bytes) -> object:
            return getattr(store, name)(*([[key]] if name == "load_many" else []))

        for step in self._steps_of(bulk, operation):
            key, payload = self.live(bulk, LONG, "ada")
            with suppress(Outside), Steps(bulk, step, fail):
                operation(bulk, key, payload, b"")
            assert together([partial(self._works, bulk, [])]) == [True]
            self._is_whole(bulk, key, {payload: "ada", **({None: ""} if name == "clear" else {})})
            assert bulk.count() == len(list(bulk.keys()))
            bulk.delete(key)
        gc.collect()
