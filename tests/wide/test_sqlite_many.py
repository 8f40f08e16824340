"""A million sessions in SQLite: what walks over all of them needs no more memory than a page."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from support.clock import Clock
from support.sqlite_files import ask

from wsgisession.stores import sqlite
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.testing import LONG

pytestmark = [pytest.mark.wide, pytest.mark.timeout(400)]

MILLION = 1_000_000
MEMORY = 4 * 2**20  # bytes; a list of a million keys alone would be 100 MB


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[SQLiteStore]:
    """A million records, two thirds of them live, made past the store."""
    store = SQLiteStore(tmp_path_factory.mktemp("many") / "sessions.db", clock=clock)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MILLION})"
    row = f"printf('%043d', i), {int((clock.now + LONG) * 1000)} * (i % 3 > 0), NULL, x'0123456789'"
    ask(store.path, f"INSERT INTO sessions {numbers} SELECT {row} FROM n")
    yield store
    store.close()


def peak(work: Callable[[], object]) -> tuple[object, int]:
    """Return what a function returns, and the bytes of memory it had at most."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read_all(store: SQLiteStore) -> int:
    """Read every live record in batches, as the command line does."""
    count, batch = 0, []
    for key in store.keys():
        batch.append(key)
        if len(batch) == sqlite.LOAD_ROWS:
            count += sum(record is not None for record in store.load_many(batch))
            batch.clear()
    return count + sum(record is not None for record in store.load_many(batch))


def live() -> int:
    return MILLION - MILLION // 3


@pytest.mark.parametrize(
    ("work", "answer"),
    [
        (SQLiteStore.count, live()),
        (read_all, live()),
        (SQLiteStore.purge, MILLION // 3),
        (SQLiteStore.clear, live()),
    ],
    ids=["count", "keys and load_many", "purge", "clear"],
)
def test_memory_does_not_grow_with_the_number(
    work: Callable[[SQLiteStore], int], answer: int, store: SQLiteStore
) -> None:
    """In this order: each walks over what the one before has left."""
    found, memory = peak(lambda: work(store))
    assert found == answer and memory < MEMORY


def test_nothing_is_left(store: SQLiteStore) -> None:
    """After clear the table is empty."""
    assert ask(store.path, "SELECT count(*) FROM sessions") == [(0,)] and store.count() == 0
