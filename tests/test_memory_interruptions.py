"""MemoryStore and what comes from outside: exceptions, code that runs inside an operation, no memory."""

from __future__ import annotations

import ast
import gc
import inspect
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.breadth import breadth
from support.clock import Clock
from support.lines import Lines
from support.memory_invariants import check, key_in, shards

from wsgisession.stores import memory, memory_shard
from wsgisession.stores.memory import MemoryStore
from wsgisession.testing import Outside, Steps, new_key

FILES = memory.__file__, memory_shard.__file__
OLD, A, B, C, NEW = (key_in(7, number) for number in range(5))  # in one shard, where they meet


@pytest.fixture(autouse=True)
def two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards do what 256 do, in fewer steps."""
    monkeypatch.setattr(memory, "SHARDS", 2)


def payload_of(key: str) -> bytes:
    return key.encode().ljust(10, b".")


def full(clock: Clock, room: int = 0) -> MemoryStore:
    """Return a full store, or one with room for more: with a dead record, two owned ones, one without owner."""
    store = MemoryStore(max_sessions=4 + room, max_bytes=40 + 10 * room, clock=clock)
    for key, ttl, owner in ((OLD, 1, "ada"), (A, 100, "ada"), (B, 100, None), (C, 100, "ada")):
        store.create(key, payload_of(key), ttl, owner)
    clock.advance(2)
    return store


def lock_is_held() -> bool:
    """Return whether this thread still had the lock, and release it."""
    try:
        memory_shard.lock.release()
    except RuntimeError:
        return False
    return True


Operation = Callable[[MemoryStore], object]
OPERATIONS: dict[str, Operation] = {
    "load": lambda store: store.load(A),
    "create": lambda store: store.create(NEW, b"n" * 10, 60, "ada"),
    "create that evicts": lambda store: [
        store.purge(),
        *(store.create(new_key(), b"n" * 9, 60) for _ in range(2)),
    ],
    "create over a dead record": lambda store: store.create(OLD, b"n" * 10, 60, "ada"),
    "replace": lambda store: store.replace(A, payload_of(A), b"n" * 10, 100, "ada"),
    "replace without a ttl": lambda store: store.replace(A, payload_of(A), b"n" * 10, None),
    "replace that ends sooner": lambda store: store.replace(A, payload_of(A), b"n" * 10, 5, "ada"),
    "replace that grows": lambda store: store.replace(A, payload_of(A), b"n" * 12, 60, "ada"),
    "replace with another owner": lambda store: store.replace(A, payload_of(A), b"n" * 10, 100, "bob"),
    "replace with an owner": lambda store: store.replace(B, payload_of(B), b"n" * 10, 100, "ada"),
    "replace without an owner": lambda store: store.replace(C, payload_of(C), b"n" * 10, 100, None),
    "touch": lambda store: store.touch(A, 200),
    "touch that ends sooner": lambda store: store.touch(A, 5),
    "delete": lambda store: store.delete(A),
    "delete without an owner": lambda store: store.delete(B, payload_of(B)),
    "owned_by": lambda store: list(store.owned_by("ada")),
    "keys": lambda store: list(store.keys()),
    "purge": lambda store: store.purge(),
    "count": lambda store: store.count(),
    "clear": lambda store: store.clear(),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def assert_usable(store: MemoryStore, clock: Clock) -> None:
    """Check the books, the lock, that each record is whole, and that the store takes as many as it should."""
    check(store, ordered=False)
    assert not lock_is_held()
    for key in (OLD, A, B, C, NEW):
        found = store.load(key)
        assert found is None or found[0] == payload_of(key) or not found[0].strip(b"n")
    clock.advance(1000)
    store.purge()
    assert [*store.keys(), *store.owned_by("ada"), *store.owned_by("bob")] == []
    for key in (A, B, C, NEW):
        assert store.create(key, b"x" * 10, 50, "ada") is True
    assert store.count() == 4
    check(store)


# exceptions from outside


@each_operation
def test_an_operation_may_be_interrupted_at_any_line(clock: Clock, operation: Operation) -> None:
    """An exception from outside at any line: each record is as before or as after; the books are right.

    Not at ``with`` and ``try``, where only a tracer gets in: signals are looked at after calls and jumps, not
    between taking a lock and entering the block.
    """
    for at in range(1, 1000):
        store, lines = full(clock), Lines(*FILES, at=at, but=("with ", "try:"))
        with suppress(Outside), lines:
            operation(store)
        if lines.count < at:
            break
        assert_usable(store, clock)
    assert 3 < at < 999


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_signals_that_raise_at_any_moment(clock: Clock) -> None:
    """Operations that are cut short by a signal's handler that raises: the books are right at the end."""

    def fail(number: int, frame: object) -> None:
        raise Outside

    store, dice = full(clock), random.Random(7)
    before = signal.signal(signal.SIGALRM, fail)
    hits = 0
    try:
        for _ in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + dice.random() * 60e-6)
                for name in dice.sample(sorted(OPERATIONS), 5):
                    OPERATIONS[name](store)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Outside:
                hits += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits
    # The only one whose ``with`` can forget a lock: CPython's issue 148874.
    if sys.version_info[:2] == (3, 14):
        while lock_is_held():
            pass
    assert_usable(store, clock)


# code that runs inside an operation

INSIDE: dict[str, Operation] = {
    "the same again": lambda store: None,
    "deletes": lambda store: [store.delete(key) for key in (OLD, A, B, C, NEW)],
    "creates": lambda store: [store.create(key, payload_of(key), 30, "bob") for key in (OLD, NEW)],
    "replaces": lambda store: [store.replace(key, payload_of(key), b"n" * 9, 300) for key in (A, B, C)],
    "changes owners": lambda store: [
        store.replace(key, payload_of(key), b"n" * 9, 1, "bob") for key in (A, B, C)
    ],
    "touches": lambda store: [store.touch(key, ttl) for key in (A, B, C) for ttl in (0.2, 400)],
    "fills it": lambda store: [store.create(new_key(), b"n" * 10, 60, owner) for owner in (None, "ada") * 3],
    "makes an earlier end": lambda store: [store.delete(B), store.create(NEW, b"n", 0.01)],
    "clears": lambda store: store.clear(),
}


@pytest.mark.both
@each_operation
@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE.keys())
def test_code_inside_an_operation_may_do_anything(
    clock: Clock, operation: Operation, inside: Operation
) -> None:
    """At every step of an operation, code on its thread may use the same records: the books stay right."""
    for step in breadth.steps(5):
        store = full(clock)
        act = operation if inside is INSIDE["the same again"] else inside
        with Steps(store, step, lambda act=act, store=store: act(store)) as steps:  # type: ignore[misc]
            operation(store)
        assert len(list(store.keys())) == store.count() <= 4
        assert_usable(store, clock)
        if steps.count < step:
            break
    assert step > 2


class Meddler(bytes):
    """A payload that uses the store while it is compared."""

    def __new__(cls, value: bytes, meddle: Callable[[], object]) -> Meddler:
        self = super().__new__(cls, value)
        self.meddle = meddle
        return self

    def __eq__(self, other: object) -> bool:
        self.meddle()
        return bytes(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__


COMPARING: dict[str, Callable[[MemoryStore, bytes], bool]] = {
    "replace": lambda store, expected: store.replace(A, expected, b"mine", 60, "ada"),
    "touch": lambda store, expected: store.touch(A, 60, "ada", expected),
    "delete": lambda store, expected: store.delete(A, expected),
}
MEDDLING: dict[str, Operation] = {
    "deleted": lambda store: store.delete(A),
    "replaced": lambda store: store.replace(A, payload_of(A), b"theirs", 60, "bob"),
}


@pytest.mark.parametrize("compare", COMPARING.values(), ids=COMPARING.keys())
@pytest.mark.parametrize("meddle", MEDDLING.values(), ids=MEDDLING.keys())
def test_what_changes_during_a_comparison_is_seen(
    clock: Clock, compare: Callable[[MemoryStore, bytes], bool], meddle: Operation
) -> None:
    """A record that is changed or removed while its payload is compared is not the one that was expected."""
    store = full(clock)
    assert compare(store, Meddler(payload_of(A), lambda: meddle(store))) is False
    assert (store.load(A) or (None,))[0] == (None if meddle is MEDDLING["deleted"] else b"theirs")
    check(store)


def test_finalizers_may_use_the_store(clock: Clock) -> None:
    """Garbage may write to its session when it is collected, in the middle of any operation."""
    store = full(clock)
    collected = 0

    class Response:
        """What a server gave up without closing it."""

        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            nonlocal collected
            collected += 1
            store.touch(A, 100) or store.create(A, payload_of(A), 100, "ada")
            store.create(new_key(), b"n" * 10, 60)

    before = gc.get_threshold()
    try:
        gc.set_threshold(1)
        for operation in [*OPERATIONS.values()] * 20:
            Response()
            operation(store)
    finally:
        gc.set_threshold(*before)
    gc.collect()  # none is left to write to a store that has other shards
    assert collected > 100
    assert_usable(store, clock)


@pytest.mark.parametrize("module", [memory, memory_shard], ids=lambda module: module.__name__)
def test_nothing_is_called_under_the_lock(module: Any) -> None:
    """Under the lock there is no call and no loop, so nothing else can run there (but after an error)."""
    found = []
    for block in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(block, ast.With):
            assert ast.unparse(block.items[0]) == "lock"
            handlers = [node for node in ast.walk(block) if isinstance(node, ast.ExceptHandler)]
            excused = {inner for handler in handlers for inner in ast.walk(handler)}
            for node in ast.walk(block):
                first_only = isinstance(node, ast.For) and isinstance(node.body[-1], ast.Break)
                loops = (ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
                if isinstance(node, (ast.Call, *loops)) or (isinstance(node, ast.For) and not first_only):
                    found += [ast.unparse(node)] if node not in excused else []
    assert found == []


def test_a_bucket_that_changes_while_it_is_read_is_read_again(clock: Clock) -> None:
    """Another thread may change what is due at the moment at which it is read; nothing is missed."""

    class Changing(dict[str, str]):
        reads = 0

        def __iter__(self) -> Iterator[str]:
            self.reads += 1
            if self.reads == 1:
                raise RuntimeError("dictionary changed size during iteration")
            return super().__iter__()

    store = MemoryStore(clock=clock)
    store.create(A, b"x", 1)
    shard = shards(store)[hash(A) % 2]
    shard.buckets = {due: Changing(bucket) for due, bucket in shard.buckets.items()}
    clock.advance(2)
    assert store.purge() == 1
    check(store)


# no memory


class Cramped(dict[Any, Any]):
    """A dict that finds no memory for the next changes."""

    failures = 0

    def fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise MemoryError

    def __setitem__(self, key: object, value: object) -> None:
        self.fail()
        super().__setitem__(key, value)

    def __delitem__(self, key: object) -> None:
        self.fail()
        super().__delitem__(key)

    def setdefault(self, key: object, default: object = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]


@pytest.mark.parametrize("room", [0, 1], ids=["full", "with room"])
@pytest.mark.parametrize("failures", [1, 2], ids=["once", "again when it is undone"])
@pytest.mark.parametrize("part", ["anonymous", "owned", "first", "more", "buckets"])
@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if name not in ("create that evicts", "replace that grows")]
)
def test_memory_may_run_out_half_way(clock: Clock, name: str, part: str, failures: int, room: int) -> None:
    """A change without memory is undone; if that fails too, one session is lost; the books are right."""
    twin, store, operation = full(clock, room), full(clock, room), OPERATIONS[name]
    shard = shards(store)[hash(A) % 2]
    cramped = Cramped(getattr(shard, part))
    setattr(shard, part, cramped)
    before = payloads(twin)
    operation(twin)
    done = payloads(twin)
    cramped.failures = failures
    try:
        operation(store)
    except MemoryError:
        lost = [key for key, payload in payloads(store).items() if payload not in (before[key], done[key])]
        assert len(lost) <= failures - 1
    cramped.failures = 0
    assert_usable(store, clock)


def payloads(store: MemoryStore) -> dict[str, bytes | None]:
    return {key: (store.load(key) or (None,))[0] for key in (OLD, A, B, C, NEW)}
