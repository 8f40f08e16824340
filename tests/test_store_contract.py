"""The contract of stores: good stores keep it, and a store that breaks a clause is caught by that clause."""

from __future__ import annotations

import gc
import inspect
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from support.broken_stores import BROKEN, PurgesNothing, PurgesTheLiving, ReplaceClearsNoOwner, waits
from support.clock import Clock
from support.plain_store import PlainStore

from wsgisession.errors import StoreError
from wsgisession.stores.base import Store
from wsgisession.stores.memory import MemoryStore
from wsgisession.testing import (
    BulkStoreContract,
    Steps,
    StoreContract,
    helpers,
    in_child,
    new_key,
    new_payload,
    together,
)
from wsgisession.testing import contract as clauses


class TestMemoryStore(BulkStoreContract):
    """The memory store, with a clock that is told the time."""

    owners_exactly = True

    def make_store(self) -> MemoryStore:
        self.clock = Clock()
        return MemoryStore(clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryStoreInRealTime(BulkStoreContract):
    """The memory store as it is used: the contract waits for it."""

    owners_exactly = True

    def make_store(self) -> MemoryStore:
        return MemoryStore()


class TestPlainStore(BulkStoreContract):
    """A very plain store, with a second way to its records and one for tests that tamper with them."""

    owners_exactly = True
    kind: type[PlainStore] = PlainStore

    def make_store(self) -> PlainStore:
        self.clock = Clock()
        return self.kind(self.clock)

    def reopen(self, store: Any) -> PlainStore:
        return self.kind(self.clock, store.records)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def take_expiry(self, store: Any, key: str) -> bool:
        payload, _, owner = store.records[key]
        store.records[key] = payload, None, owner
        return True

    def put_no_bytes(self, store: Any, key: str) -> bool:
        store.records[key] = "text", *store.records[key][1:]
        return True


def test_a_repeated_write_changes_nothing(every_store: Store) -> None:
    """create and replace that meet their own payload are True, and leave the time left as another request set it."""
    key, payload, fresh = new_key(), new_payload(), new_payload()
    every_store.create(key, payload, 60, "ada")
    every_store.touch(key, 1000, "ada")
    assert every_store.create(key, payload, 60, "ada") is True
    assert (every_store.load(key) or (b"", 0))[1] > 900
    every_store.replace(key, payload, fresh, 60, "ada")
    every_store.touch(key, 1000, "ada")
    assert every_store.replace(key, payload, fresh, 60, "ada") is True
    assert (every_store.load(key) or (b"", 0))[1] > 900


CLAUSES = {
    name: clause
    for contract in (StoreContract, BulkStoreContract)
    for name, clause in vars(contract).items()
    if name.startswith("test_")
}


def run_clause(contract: BulkStoreContract, clause: str) -> None:
    """Run one clause as pytest would, with every set of its parameters, on a fresh store each time."""
    function = getattr(contract, clause)
    tables = [
        [(mark.args[0], value) for value in mark.args[1]]
        for mark in getattr(function, "pytestmark", [])
        if mark.name == "parametrize"
    ]
    for parameters in itertools.product(*tables):
        store = contract.make_store()
        arguments: dict[str, Any] = {"store": store}
        wanted = inspect.signature(function).parameters
        if "second" in wanted:
            arguments["second"] = contract.reopen(store)
        function(**dict(parameters), **{name: arguments[name] for name in arguments if name in wanted})


@pytest.fixture
def no_thread_stays() -> Iterator[None]:
    """Threads that a broken store keeps waiting end with the test: inside a profiler they can crash the interpreter."""
    before = set(threading.enumerate())
    yield
    waits.abandon()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.usefixtures("no_thread_stays")
@pytest.mark.parametrize(("kind", "clause"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_store_is_caught(
    kind: type[PlainStore], clause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that breaks one clause fails the test of that clause."""
    monkeypatch.setattr(helpers, "PATIENCE", 0.3)
    monkeypatch.setattr(clauses, "STEPS", 24)
    contract = TestPlainStore()
    contract.kind = kind
    with pytest.raises((AssertionError, KeyError, RuntimeError, StoreError, pytest.fail.Exception)):
        run_clause(contract, clause)


def test_every_clause_catches_a_broken_store() -> None:
    """No clause of the contract is there that nothing could fail."""
    assert set(CLAUSES) == {clause for _, clause in BROKEN}


def test_every_clause_says_what_it_means() -> None:
    """Each clause has a docstring of its own."""
    assert len({clause.__doc__ for clause in CLAUSES.values()} - {None}) == len(CLAUSES)


def test_an_engine_that_expires_by_itself_may_have_nothing_to_purge() -> None:
    """With ``expires_by_itself`` a purge may find nothing, and one that kills the living is still caught."""
    contract = TestPlainStore()
    contract.expires_by_itself = True
    contract.kind = PurgesNothing
    run_clause(contract, "test_purge_removes_the_dead_and_says_how_many")
    contract.kind = PurgesTheLiving
    with pytest.raises(AssertionError):
        run_clause(contract, "test_purge_removes_the_dead_and_says_how_many")


def test_an_index_may_name_too_many() -> None:
    """Without ``owners_exactly`` a store may go on listing records under a former owner."""
    contract = TestPlainStore()
    contract.owners_exactly = False
    contract.kind = ReplaceClearsNoOwner
    run_clause(contract, "test_replace_with_none_clears_the_owner")


def test_a_contract_without_a_store_says_what_is_missing() -> None:
    """A subclass that forgot ``make_store`` is told so."""

    class TestNothing(StoreContract):
        pass

    with pytest.raises(AssertionError, match=r"TestNothing needs a make_store\(\)"):
        TestNothing().make_store()


def test_together_passes_results_and_exceptions_on() -> None:
    """Jobs in threads return their results in order, and the first exception reaches the test."""
    assert together([lambda: 1, lambda: 2]) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        together([lambda: 1, lambda: 1 // 0])


def test_together_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that never answers is a failure, not a test run that hangs."""
    monkeypatch.setattr(helpers, "PATIENCE", 0.05)
    release = threading.Event()
    with pytest.raises(AssertionError, match="waiting"):
        together([release.wait])
    release.set()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_in_child_returns_the_verdict_of_a_process(capfd: pytest.CaptureFixture[str]) -> None:
    """What a job says in a forked process comes back; an exception there is False, and shown."""
    parent = os.getpid()
    assert in_child(lambda: os.getpid() != parent) is True
    assert in_child(lambda: os.getpid() == parent) is False
    assert in_child(lambda: bool(1 // 0)) is False
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_keys_and_payloads_of_the_contract_are_unique() -> None:
    """Keys look like the library's, and no payload is written twice."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100 and {len(key) for key in keys} == {43}
    assert len({new_payload() for _ in range(100)}) == 100


def test_what_the_contract_itself_does_is_no_step_of_a_store() -> None:
    """``Steps`` counts what a store of this package does, and nothing of ``wsgisession.testing``."""
    store = MemoryStore()
    with Steps(store, 0, lambda: None) as steps:
        new_key()
        assert steps.count == 0
        store.load("")
        assert steps.count > 0


def test_what_the_collector_runs_is_no_step() -> None:
    """It may begin inside an operation, and call the callback of a weak reference. An exception there reaches nobody."""
    store = MemoryStore()
    seen: weakref.WeakSet[ModuleType] = weakref.WeakSet()
    usual = gc.get_threshold()

    def litter() -> None:
        garbage = ModuleType("garbage")
        garbage.itself = garbage  # type: ignore[attr-defined]
        seen.add(garbage)
        gc.set_threshold(1)  # the next new object begins a collection

    def counted(act: Callable[[], None]) -> int:
        with Steps(store, 1, act) as steps:
            list(store.keys())
        gc.set_threshold(*usual)
        return steps.count

    assert counted(litter) == counted(lambda: None)
    assert gc.isenabled()
    gc.disable()
    counted(lambda: None)
    assert not gc.isenabled()
    gc.enable()
