"""What MemoryStore does beyond the contract: its bounds, what it gives up when full, forks, costs."""

from __future__ import annotations

import gc
import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from support.clock import Clock
from support.lines import Lines
from support.memory_invariants import check, held, key_in, shards

from wsgisession.errors import StoreError
from wsgisession.stores import memory, memory_shard
from wsgisession.stores.memory import MemoryStore
from wsgisession.testing import PATIENCE, in_child, new_key, new_payload, together


def full(clock: Clock, *records: tuple[str, str | None], max_bytes: int = 1000) -> MemoryStore:
    """Return a store that these records (key, owner) fill, in this order, ten bytes each, for 100 seconds."""
    store = MemoryStore(max_sessions=len(records), max_bytes=max_bytes, clock=clock)
    for key, owner in records:
        assert store.create(key, payload_of(key), 100, owner)
    return store


def payload_of(key: str) -> bytes:
    return key.encode().ljust(10, b".")


# configuration


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_sessions": 0}, ValueError, "max_sessions must be at least 1, not 0"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be at least 1, not -1"),
        ({"max_sessions": "10"}, TypeError, "max_sessions must be an int, not str"),
        ({"max_bytes": 1e9}, TypeError, "max_bytes must be an int, not float"),
        ({"max_bytes": None}, TypeError, "max_bytes must be an int, not NoneType"),
        ({"max_sessions": True}, TypeError, "max_sessions must be an int, not bool"),
    ],
    ids=str,
)
def test_wrong_limits_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    """A limit that is no positive int is an error when the store is built; the message says what is wrong."""
    with pytest.raises(error, match=words):
        MemoryStore(**arguments)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), -float("inf")], ids=str)
def test_a_record_is_never_immortal(clock: Clock, ttl: float) -> None:
    """A ttl that is not a positive finite number is refused by every operation, and changes nothing."""
    store = full(clock, ("a", None))
    with pytest.raises(ValueError, match="ttl must be a positive number of seconds"):
        store.create("b", b"b", ttl)
    with pytest.raises(ValueError, match="ttl must be a positive number of seconds"):
        store.replace("a", payload_of("a"), b"b", ttl)
    with pytest.raises(ValueError, match="ttl must be a positive number of seconds"):
        store.touch("a", ttl)
    assert store.load("a") == (payload_of("a"), 100.0)
    check(store)


def test_an_owner_past_any_sense_is_refused() -> None:
    """An owner far longer than the 255 characters that are allowed is an error, not a damaged record."""
    store = MemoryStore()
    with pytest.raises(ValueError, match="at most 255 characters"):
        store.create("a", b"a", 100, "x" * 65535)
    assert store.load("a") is None


@pytest.mark.parametrize("owner", ["", "=", "\ud800", "x" * 1000], ids=ascii)
def test_an_owner_may_be_any_other_text(owner: str) -> None:
    """An empty name is an owner and not None; lone surrogates are kept apart too."""
    store = MemoryStore()
    store.create("a", b"a", 100, owner)
    store.create("b", b"b", 100)
    assert list(store.owned_by(owner)) == ["a"]
    check(store)


def test_a_payload_above_max_bytes_is_a_store_error(clock: Clock) -> None:
    """One payload larger than max_bytes is a StoreError; nothing is given up for it."""
    store = MemoryStore(max_bytes=100, clock=clock)
    store.create("a", b"x" * 60, 100)
    store.create("b", b"y" * 40, 100)
    with pytest.raises(StoreError, match="101 bytes is more than max_bytes=100"):
        store.create("c", b"z" * 101, 100)
    with pytest.raises(StoreError, match="101 bytes is more than max_bytes=100"):
        store.replace("a", b"x" * 60, b"z" * 101, 100)
    assert sorted(store.keys()) == ["a", "b"]
    assert store.create("c", b"z" * 100, 100) is True
    assert list(store.keys()) == ["c"]


def test_what_the_caller_does_to_its_buffer_later_does_not_matter() -> None:
    """A record is a copy."""
    store, buffer = MemoryStore(), bytearray(b"before")
    store.create("a", buffer, 100)  # type: ignore[arg-type]
    buffer[:] = b"after!"
    assert (store.load("a") or ())[:1] == (b"before",)


# when it is full

ANONYMOUS = [("a", None), ("b", None), ("c", None)]


GIVEN_UP: dict[str, tuple[list[tuple[str, str | None]], Callable[[MemoryStore], object], str]] = {
    "the one created first": (ANONYMOUS, lambda store: None, "a"),
    "a read moves nothing": (ANONYMOUS, lambda store: store.load("a"), "a"),
    "touched": (ANONYMOUS, lambda store: store.touch("a", 1), "b"),
    "replaced": (ANONYMOUS, lambda store: store.replace("a", payload_of("a"), b"new", 100), "b"),
    "an owner is spared": (
        [("a", "ada"), ("b", "bob"), ("c", None)],
        lambda store: store.touch("c", 100),
        "c",
    ),
    "owners only": ([("a", "ada"), ("b", "bob"), ("c", "ada")], lambda store: store.touch("a", 100), "b"),
}


@pytest.mark.parametrize(("records", "use", "given_up"), GIVEN_UP.values(), ids=GIVEN_UP.keys())
def test_the_least_recently_used_goes(
    clock: Clock, records: list[tuple[str, str | None]], use: Callable[[MemoryStore], object], given_up: str
) -> None:
    """Full: the least recently written record without an owner goes, then the least recently written."""
    store = full(clock, *records)
    use(store)
    assert store.create("new", b"new", 100) is True
    assert {key for key, _ in records} - set(store.keys()) == {given_up}
    assert store.load("new") is not None
    check(store)


def test_expired_records_go_first(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Full: an expired record goes before any live one, also an owner's that was written last; no warning."""
    store = full(clock, *ANONYMOUS)
    store.replace("b", payload_of("b"), b"new", 5.5, "bob")
    clock.advance(5.6)
    assert store.create("d", b"d", 100) is True
    assert sorted(store.keys()) == ["a", "c", "d"]
    assert caplog.records == []
    check(store)


@pytest.mark.parametrize("step", [0.01, 1.0, 9.0, 60.0, 3600.0], ids=str)
def test_among_many_that_end_soon_the_expired_one_goes(clock: Clock, step: float) -> None:
    """Full: one expired record is found among hundreds that end a moment later."""
    store = MemoryStore(max_sessions=500, clock=clock)
    for number in range(500):
        store.create(str(number), b"x", 100 * step + (0 if number == 333 else step))
    clock.advance(100.5 * step)
    store.create("new", b"x", 100)
    assert {str(number) for number in range(500)} - set(store.keys()) == {"333"}
    check(store)


def test_a_growing_record_makes_others_go_and_never_itself(clock: Clock) -> None:
    """Full by bytes: a replace is a use, so the record that grows stays, though it was the first to go."""
    store = full(clock, ("a", None), ("b", "bob"), ("c", "cyd"), max_bytes=30)
    assert store.replace("a", payload_of("a"), b"x" * 11, 50) is True
    assert sorted(store.keys()) == ["a", "c"]
    assert store.replace("a", b"x" * 11, b"y" * 30, 60) is True
    assert store.load("a") == (b"y" * 30, 60.0)
    assert list(store.keys()) == ["a"]
    assert store.replace("a", b"y" * 30, b"z" * 29, 60) is True
    check(store)


def test_the_search_for_expired_records_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full: where very many records have to be looked at, one request does not pay for all of them."""
    monkeypatch.setattr(memory, "SEARCH", (2, 1))
    monkeypatch.setattr(memory, "SWEEP", 1)
    store = full(clock, *[(str(number), None) for number in range(10)])
    clock.advance(97)
    store.create("new", b"new", 100)
    looked_at = sum(len(shard.buckets) > 1 for shard in shards(store))
    assert looked_at <= 3
    check(store)


def test_nothing_is_evicted_that_was_written_since(clock: Clock) -> None:
    """Records written after the one that needs room are not given up for it."""
    store = full(clock, *ANONYMOUS)
    assert [store._evict(number) for number in (1, 3, 3, 3)] == [False, True, True, False]
    assert list(store.keys()) == ["c"]


def test_a_warning_once_a_minute_says_how_many(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The first live session given up is a warning; then one a minute at most, with how many since."""
    store = full(clock, *ANONYMOUS)

    def warnings() -> list[tuple[str, str, int]]:
        return [(record.name, record.levelname, record.__dict__["evicted"]) for record in caplog.records]

    for _ in range(5):
        store.create(new_key(), b"x", 1000)
    assert warnings() == [("wsgisession", "WARNING", 1)]
    assert "max_sessions" in caplog.records[0].getMessage()
    clock.advance(59)
    store.create(new_key(), b"x", 1000)
    assert len(warnings()) == 1
    clock.advance(1)
    store.create(new_key(), b"x", 1000)
    assert warnings()[1:] == [("wsgisession", "WARNING", 6)]


class Model:
    """The same store in as few words as possible: a list of records, the least recently written first."""

    def __init__(self, clock: Clock, max_sessions: int, max_bytes: int) -> None:
        self.clock, self.max_sessions, self.max_bytes = clock, max_sessions, max_bytes
        self.records: dict[str, tuple[bytes, float, str | None]] = {}

    def live(self) -> dict[str, tuple[bytes, float, str | None]]:
        return {key: record for key, record in self.records.items() if record[1] > self.clock()}

    def put(self, key: str, payload: bytes, expires: float, owner: str | None) -> bool:
        self.records = self.live()
        self.records.pop(key, None)
        while len(self.records) >= self.max_sessions or self.size() + len(payload) > self.max_bytes:
            self.records.pop(min(self.records, key=lambda key: self.records[key][2] is not None))
        self.records[key] = payload, expires, owner
        return True

    def size(self) -> int:
        return sum(len(record[0]) for record in self.records.values())

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None) -> bool:
        if key in self.live():
            return self.records[key][0] == payload
        return self.put(key, payload, self.clock() + ttl, owner)

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None
    ) -> bool:
        current, *kept = self.live().get(key, (None, 0.0, None))
        if current is None or current != expected:
            return current == payload
        return self.put(key, payload, *(kept if ttl is None else (self.clock() + ttl, owner)))

    def touch(self, key: str, ttl: float, owner: str | None, expected: bytes | None) -> bool:
        current, _, owner = self.live().get(key, (None, 0.0, None))
        fits = current is not None and expected in (None, current)
        return fits and self.put(key, current, self.clock() + ttl, owner)

    def delete(self, key: str, expected: bytes | None) -> bool:
        current = self.live().get(key, (None,))[0]
        fits = current is not None and expected in (None, current)
        return fits and self.records.pop(key) is not None


LIMITS = {
    "roomy": (1000, 10_000),
    "few": (5, 10_000),
    "small": (1000, 100),
    "both": (7, 60),
    "one": (1, 10_000),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.wide) for seed in (1, 2))])
def test_any_sequence_of_operations(clock: Clock, limits: tuple[int, int], seed: int) -> None:
    """Whatever is done in whatever order, the store answers as its model does, and its books are right."""
    dice = random.Random(seed)
    store, model = MemoryStore(*limits, clock=clock), Model(clock, *limits)
    keys = [str(number) for number in range(15)]
    for step in range(300):
        key, owner = dice.choice(keys), dice.choice([None, "ada", "bob", "ada"])
        ttl = dice.choice([0.001, 0.1, 1.0, 7.7, 100.0, 7200.0, 2592000.0]) * dice.uniform(0.5, 1)
        payload, current = os.urandom(dice.randrange(30)), model.records.get(key, (b"?",))[0]
        expected, maybe = dice.choice([b"?", current, current]), dice.choice([None, b"?", current])
        calls: list[tuple[str, tuple[Any, ...]]] = [
            *[("create", (key, payload, ttl, owner))] * 3,
            ("create", (key, current, ttl, owner)),
            *[("replace", (key, expected, payload, dice.choice([None, ttl]), owner))] * 2,
            ("touch", (key, ttl, owner, maybe)),
            ("delete", (key, maybe)),
        ]
        name, arguments = dice.choice(calls)
        assert getattr(store, name)(*arguments) == getattr(model, name)(*arguments)
        if step % 6 == 0:
            clock.advance(dice.choice([0.0005, 0.05, 1, 5, 50, 500, 10_000]))
        live = model.live()
        assert sorted(store.keys()) == sorted(live)
        payload, left = store.load(key) or (b"no record", 0.0)
        expected, expires, _ = live.get(key, (b"no record", clock(), None))
        assert payload == expected
        assert left == pytest.approx(expires - clock(), abs=1e-6)
        if step % 30 == 0:
            check(store)
            for name in ("ada", "bob"):
                assert sorted(store.owned_by(name)) == sorted(key for key in live if live[key][2] == name)


# reclaiming


def test_writes_reclaim_what_expired_everywhere(clock: Clock) -> None:
    """Each write also removes a few expired records, from any shard."""
    store = MemoryStore(clock=clock)
    for number in range(2000):
        store.create(str(number), b"x", 10 + number / 100, "ada")
    store.create("stays", b"x", 3600)
    clock.advance(31)
    counts = [held(store)[0]]
    for _ in range(6000):  # some shards have several times as many records as others
        store.touch("stays", 3600)
        counts.append(held(store)[0])
    assert counts[0] > 1900 and counts[-1] == 1
    assert max(before - after for before, after in zip(counts, counts[1:], strict=False)) <= memory.SWEEP
    check(store)


def test_owners_of_several_records_in_one_shard() -> None:
    """Each record that comes to an owner, leaves one or ends is listed or not, and no other is lost."""
    a, b, c = (key_in(0, number) for number in range(3))
    store = MemoryStore()
    for key, owner in ((a, "ada"), (b, "bob"), (c, "bob")):
        store.create(key, b"0", 60, owner)
    for key, owner, adas, bobs in (
        (b, "ada", {a, b}, {c}),
        (c, "ada", {a, b, c}, set()),
        (c, None, {a, b}, set()),
        (c, "ada", {a, b, c}, set()),
        (a, "bob", {b, c}, {a}),
    ):
        assert store.replace(key, b"0", b"1", 60, owner) is True
        assert store.replace(key, b"1", b"0", 60, owner) is True
        assert (set(store.owned_by("ada")), set(store.owned_by("bob"))) == (adas, bobs)
    for key, adas, bobs in ((b, {c}, {a}), (a, {c}, set()), (c, set(), set())):
        store.delete(key)
        assert (set(store.owned_by("ada")), set(store.owned_by("bob"))) == (adas, bobs)


def test_reads_reclaim_nothing(clock: Clock) -> None:
    """A read writes nothing, not even the removal of what expired."""
    store = full(clock, *ANONYMOUS)
    clock.advance(101)
    assert [store.load("a"), list(store.keys()), list(store.owned_by("ada"))] == [None, [], []]
    assert held(store)[0] == 3


def test_a_read_waits_for_no_write() -> None:
    """What stands there is read while another thread writes in the same shard."""
    store, (key, payload) = MemoryStore(), (new_key(), new_payload())
    store.create(key, payload, 60)
    with memory_shard.lock:
        assert (store.load(key) or (None,))[0] == payload


@pytest.mark.parametrize("after", [None, "ada"], ids=["as it was", "with an owner"])
def test_a_read_in_the_middle_of_a_write_finds_the_record(after: str | None) -> None:
    """A write takes the record out and puts it back; a read that comes in between waits for that."""
    store, (key, payload) = MemoryStore(), (new_key(), new_payload())
    store.create(key, payload, 60, after)
    shard = shards(store)[hash(key) % 256]
    missed = threading.Event()

    class Watched(dict[str, bytes]):
        def get(self, key: str, default: Any = None) -> Any:
            found = super().get(key, default)
            if found is None:
                missed.set()
            return found

    shard.owned = Watched(shard.owned)  # where a read looks last
    records = shard.owned if after else shard.anonymous
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(store.load(key)))
    with memory_shard.lock:
        record = records.pop(key)
        reader.start()
        assert missed.wait(PATIENCE)
        records[key] = record
    reader.join(PATIENCE)
    assert [one and one[0] for one in found] == [payload]


def test_purge_holds_a_shard_for_one_batch_only(clock: Clock) -> None:
    """purge removes everything dead in one call, a shard's in batches between which others get in."""
    store = MemoryStore(clock=clock)
    keys = [key for key in map(str, range(200_000)) if hash(key) % 256 == 3][:600]
    for key in keys:
        store.create(key, b"x", 1)
    clock.advance(2)
    assert 0 < shards(store)[3].reclaim(clock(), memory.BATCH) <= memory.BATCH
    assert store.purge() > 600 - 2 * memory.BATCH
    assert held(store)[0] == 0
    check(store)


def test_records_that_live_on_are_kept_through_many_looks(clock: Clock) -> None:
    """Looking at a record before its time only looks: it ends when it ends, to the millisecond."""
    store = MemoryStore(clock=clock)
    lifetimes = {str(number): 1.7**number for number in range(-10, 34)}
    for key, ttl in lifetimes.items():
        store.create(key, b"x", ttl)
    start = clock()
    for end in sorted(lifetimes.values()):
        for moment in (end - 0.001, end + 0.001):
            clock.now = start + moment
            store.purge()
            assert set(store.keys()) == {key for key, ttl in lifetimes.items() if start + ttl > clock()}
    check(store)


@pytest.mark.parametrize(("owner", "most"), [(None, 400), ("user %d", 500)], ids=["anonymous", "owned"])
def test_a_record_costs_less_than_500_bytes(owner: str | None, most: int) -> None:
    """A record of 100 bytes costs at most 500 with all indexes, also after a touch by another key object."""
    store = MemoryStore()
    tracemalloc.start()
    try:
        keys = [f"{number:043}" for number in range(10_000)]
        for number, key in enumerate(keys):
            store.create(key, os.urandom(100), 7200, owner % number if owner else None)
        for number in range(0, 10_000, 3):
            store.touch(f"{number:043}", 7300)
        del keys, key
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert used / 10_000 <= most


def test_the_garbage_collector_has_no_records_to_visit() -> None:
    """Records are atoms: many of them add next to no object that a full collection would visit."""
    store = MemoryStore()

    def tracked() -> int:
        gc.collect()
        return len(gc.get_objects())

    before = tracked()
    for number in range(5000):
        store.create(str(number), b"x", 7200, f"owner {number % 2500}")
    assert tracked() - before < 5000


# threads and forks


def test_the_limits_hold_with_many_threads() -> None:
    """Many threads fill it: the store is never above its limits, and its books are right afterwards."""
    store = MemoryStore(max_sessions=50, max_bytes=2000)
    seen: list[tuple[int, int]] = []

    def fill(owner: str | None) -> None:
        for number in range(200):
            key, payload = new_key(), os.urandom(number % 60)
            assert store.create(key, payload, 100, owner)
            seen.append(held(store))
            store.replace(key, payload, os.urandom(60), 100, owner)
            store.touch(key, 50)
            if number % 3 == 0:
                store.delete(key)

    together([lambda owner=owner: fill(owner) for owner in (None, "ada", None, "bob")])  # type: ignore[misc]
    check(store)
    assert max(records for records, _ in seen) <= 50 and max(size for _, size in seen) <= 2000
    assert len(list(store.keys())) > 10


def test_a_listing_sees_what_lasts_while_others_write() -> None:
    """keys and owned_by miss no record that is there throughout, while others come, go and change owner."""
    store = MemoryStore()
    lasting = {f"lasting {number}" for number in range(50)}
    for key in lasting:
        store.create(key, b"x", 100, "ada")
    stop = threading.Event()

    def write() -> bool:
        while not stop.is_set():
            key, payload = new_key(), new_payload()
            store.create(key, payload, 100, "ada")
            store.replace(key, payload, new_payload(), 100, None)
            store.delete(key)
            store.touch("lasting 7", 100)
        return True

    def read() -> bool:
        try:
            return all(
                lasting <= set(store.keys()) and lasting <= set(store.owned_by("ada")) for _ in range(20)
            )
        finally:
            stop.set()

    assert together([write, read]) == [True, True]
    check(store)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_copy_of_its_own() -> None:
    """What parent and child write after a fork stays apart; both stores are whole."""
    store = MemoryStore()
    store.create("a", b"a", 100, "ada")

    def in_the_child() -> bool:
        check(store)
        return store.delete("a") and store.create("b", b"b", 100) and list(store.keys()) == ["b"]

    assert in_child(in_the_child) is True
    assert list(store.keys()) == ["a"]
    check(store)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_waits_for_operations_in_progress() -> None:
    """A fork comes only when no thread is inside the store, and the child finds no lock taken."""
    store = MemoryStore()
    inside, leave = threading.Event(), threading.Event()

    def slowly() -> None:
        with memory_shard.lock:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=slowly)
    thread.start()
    inside.wait(10)
    threading.Timer(0.02, leave.set).start()
    assert in_child(lambda: leave.is_set() and store.create(key_in(9), b"x", 100)) is True
    thread.join(10)
    check(store)


# what it costs with very many sessions: counted, so that a busy machine gives the same answer

MANY = 100_000


def filled(count: int) -> MemoryStore:
    """Return a store that is exactly full, a tenth of its records owned by a hundred users."""
    store = MemoryStore(max_sessions=count)
    for number in range(count):
        store.create(
            f"{number:043}", b"%0100d" % number, 7200, None if number % 10 else f"user {number % 1000}"
        )
    return store


@pytest.fixture(scope="module")
def many() -> MemoryStore:
    return filled(MANY)


@pytest.mark.wide
def test_no_dict_grows_with_all_sessions(many: MemoryStore) -> None:
    """No dict holds more than a hundredth of the sessions, so that none takes long to grow."""
    dicts = [
        part for shard in shards(many) for part in (shard.anonymous, shard.owned, *shard.buckets.values())
    ]
    dicts += [part for shard in shards(many) for part in (shard.first, shard.more)]  # type: ignore[misc]
    assert max(map(len, dicts)) < MANY / 100


@pytest.mark.wide
def test_work_does_not_depend_on_the_number_of_sessions(many: MemoryStore) -> None:
    """Each operation executes about as many lines with 100,000 sessions as with 1,000, also when full."""
    few = filled(1000)
    key = f"{500:043}"
    operations: dict[str, Callable[[MemoryStore], object]] = {
        "load": lambda store: store.load(key),
        "touch": lambda store: store.touch(key, 7200),
        "create, full": lambda store: store.create("new", b"x", 7200),
        "delete": lambda store: store.delete("new"),
    }
    for name, operation in operations.items():
        for store in (few, many):
            assert operation(store), name
        counts = []
        for store in (few, many):
            with Lines(memory.__file__, memory_shard.__file__) as lines:
                operation(store)
            counts.append(lines.count)
        assert counts[1] <= counts[0] + 100, name
