"""Owners and revocation in the stores that need no server; ``wide`` has the others."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.breadth import breadth
from support.clock import Clock
from support.owners import Owners
from support.sqlite_files import traced
from support.store_double import StoreDouble

from wsgisession import JSONCodec, MemoryStore, Record, SessionManager
from wsgisession.stores import SQLiteStore, sqlite_file
from wsgisession.testing import new_key

FEW, MANY = 1_000, breadth.much(10_000, 100_000)
PAYLOAD = JSONCodec().pack(Record(0.0, "other", False, {}))


class TestMemory(Owners):
    """In one process."""

    def make_store(self, place: Path) -> MemoryStore:
        return MemoryStore()


class TestSQLite(Owners):
    """In one file."""

    def make_store(self, place: Path) -> SQLiteStore:
        return SQLiteStore(place / "sessions.db")


def calls_of(work: Any) -> int:
    """Count the calls of functions, those written in C too, that ``work`` makes."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def crowd(store: Any, count: int) -> None:
    """Fill a store with sessions of many owners, a hundred of each."""
    for number in range(count):
        store.create(new_key(), PAYLOAD, 3600.0, f"owner {number // 100}")


def crowd_file(path: Path, count: int) -> None:
    """The same, in one transaction."""
    rows = ((new_key(), 10**14 // 10, f"owner {number // 100}", PAYLOAD) for number in range(count))
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO sessions (key, expires, owner, payload) VALUES (?, ?, ?, ?)", rows
        )
    connection.close()


def test_a_listing_asks_for_that_owners_sessions_alone() -> None:
    """One question for the keys, and one for all of that owner's sessions."""
    store = StoreDouble(MemoryStore())
    manager = SessionManager(store, secret="x" * 32)
    for number in range(50):
        manager.issue({}, f"owner {number % 10}")
    store.calls.clear()
    assert len(manager.owned_by("owner 3")) == 5
    assert store.calls == ["owned_by", "load_many"] and len(store.arguments[-1][0][0]) == 5


@pytest.mark.both
def test_in_memory_a_listing_costs_what_the_owners_sessions_cost(clock: Clock) -> None:
    """As many calls among many thousand sessions as among 1,000."""
    counts = []
    for count in (FEW, MANY):
        manager = SessionManager(MemoryStore(clock=clock), secret="x" * 32, clock=clock)
        crowd(manager.store, count)
        manager.issue({}, "ada")  # one: two may be in one shard of the store, or in two
        # The least of several: the collector may call what other tests left behind.
        counts.append(min(calls_of(lambda manager=manager: manager.owned_by("ada")) for _ in range(5)))  # type: ignore[misc]
    assert counts[0] == counts[1] > 0


@pytest.fixture
def listing(tmp_path: Path) -> str:
    """The statement by which a SQLite store lists the sessions of "ada"."""
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "Connection", traced(seen))
        store = SQLiteStore(tmp_path / "empty.db")
        store.purge()
        seen.clear()
        assert list(store.owned_by("ada")) == []
        store.close()
    return seen[0]


@pytest.mark.both
def test_in_sqlite_a_listing_costs_what_the_owners_sessions_cost(tmp_path: Path, listing: str) -> None:
    """As many steps of SQLite's machine among many thousand sessions as among 1,000."""
    steps = []
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.db"
        store = SQLiteStore(path)
        crowd_file(path, count)
        for _ in range(3):
            store.create(new_key(), PAYLOAD, 3600.0, "ada")
        store.close()
        connection = sqlite3.connect(path)
        taken = [0]
        connection.set_progress_handler(lambda taken=taken: taken.__setitem__(0, taken[0] + 1), 1)  # type: ignore[misc]
        assert len(connection.execute(listing).fetchall()) == 3
        connection.close()
        steps.append(taken[0])
    assert steps[0] == steps[1] > 0


@pytest.mark.parametrize("kept", [None, "one"], ids=["all", "all except one"])
def test_ending_an_owners_sessions_reads_nobody_elses(kept: str | None) -> None:
    """Two listings, and for each of the owner's sessions the cost of ending one session."""
    store = StoreDouble(MemoryStore())
    manager = SessionManager(store, secret="x" * 32)
    for number in range(50):
        manager.issue({}, f"owner {number % 10}")
    keys = [info.key for info in manager.owned_by("owner 3")]
    store.calls.clear()
    assert manager.destroy_owned("owner 3", keep=keys[0] if kept else None) == (4 if kept else 5)
    calls = Counter(store.calls)
    assert calls["owned_by"] == 2 and calls["keys"] == 0
    assert calls["load"] <= 5 + 2 and calls["delete"] == (4 if kept else 5)
