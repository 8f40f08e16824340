"""``stats`` and ``count``: classes, medians, owners, no rows of zeros, bounded memory, pages of the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import on_terminal, run
from support.cli_commands import manager_of
from support.store_double import StoreDouble

from wsgisession import JSONCodec, MemoryStore, Record, SessionManager, StoreError
from wsgisession.cli import reader, totals
from wsgisession.cli.reader import Reader
from wsgisession.cli.totals import Different, Totals


def counted(*sizes: int, age: float = 0.0) -> Totals:
    found = Totals()
    for size in sizes:
        found.add(Record(1000.0 - age, None, False, {}), size, 1000.0)
    return found


def test_an_empty_store(tmp_path: Path) -> None:
    """Is one row; as JSON every number is there."""
    url = f"sqlite:///{tmp_path}/s.db"
    manager_of(url)
    assert run("stats", url).out == "sessions\t0\n"
    assert on_terminal("stats", url) == (0, "sessions  0\n")
    found = json.loads(run("stats", url, "--json").out)
    assert found["bytes"] == {"total": 0, "median": 0, "largest": 0} and set(found["age"].values()) == {0}


def test_no_rows_of_zeros(tmp_path: Path) -> None:
    """Neither for a person nor for a program."""
    url = f"sqlite:///{tmp_path}/s.db"
    manager_of(url).issue({"a": 1}, "ada")
    screen = on_terminal("stats", url)[1]
    shown = "sessions owners bytes size under age under".split()
    assert [line.split()[0] for line in screen.splitlines()] == shown
    assert not any(row[-1] == "0" for row in run("stats", url).rows)


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(-60, "under 1 min"), (59, "under 1 min"), (60, "under 10 min"), (86400, "under 7 d"), (1e9, "older")],
)
def test_ages(seconds: float, name: str) -> None:
    """Each class begins where the one before it ends; a session from the future is young."""
    assert [one for one, often in counted(10, age=seconds).by_age().items() if often] == [name]


@pytest.mark.parametrize(
    ("size", "name"), [(0, "under 256 B"), (256, "under 1 KiB"), (2**16, "larger"), (2**40, "larger")]
)
def test_sizes(size: int, name: str) -> None:
    """The same for bytes."""
    assert [one for one, often in counted(size).by_size().items() if often] == [name]


@pytest.mark.parametrize(
    ("sizes", "median"), [((5,), 5), ((5, 1), 5), ((9, 1, 5), 5), ((1, 1, 1, 9), 1), ((1, 9, 9, 9), 9)]
)
def test_the_median(sizes: tuple[int, ...], median: int) -> None:
    """One in the middle, the upper of two."""
    lengths = counted(*sizes).lengths()
    assert lengths == {"total": sum(sizes), "median": median, "largest": max(sizes)}


def test_few_owners_are_counted_exactly() -> None:
    """Each once."""
    found = Different()
    for number in range(1000):
        found.add(f"user{number % 300}")
    assert len(found) == 300


def test_many_owners_are_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the memory of few, and an error that becomes smaller with what is kept."""
    monkeypatch.setattr(totals, "EXACT", 4096)
    found = Different()
    for number in range(100_000):
        found.add(f"user{number}")
        found.add(f"user{number % 5000}")
    # Six times the standard error: the hashes are others in each process.
    assert 90_000 < len(found) < 110_000


def filled(store: Any, count: int) -> Any:
    """Store so many of ada's sessions."""
    for number in range(count):
        store.create(f"{number:043}", JSONCodec().pack(Record(1.0, "ada", False, {})), 60.0, "ada")
    return store


def test_sessions_are_read_in_pages() -> None:
    """A thousand at a time, if the store can."""
    store = filled(StoreDouble(), 2500)
    for listed, found in (
        ("keys", lambda reader: list(reader.everybodys())),
        ("owned_by", lambda reader: reader.owners("ada")),
    ):
        store.calls.clear()
        assert len(found(Reader(SessionManager(store)))) == 2500
        assert store.calls == [listed, "load_many", "load_many", "load_many"]
        assert [len(arguments[0]) for arguments, _ in store.arguments[-3:]] == [1000, 1000, 500]


def test_a_store_without_pages_is_read_one_by_one() -> None:
    """The four methods for bulk work are optional."""

    class Plain(MemoryStore):
        load_many = None  # type: ignore[assignment]

    assert len(list(Reader(SessionManager(filled(Plain(), 3))).everybodys())) == 3


def test_one_payload_that_cannot_be_used() -> None:
    """Counts as unreadable; the rest of its page is read."""
    store = filled(StoreDouble(), 30)
    store.fail("load_many")
    store.fail("load", call=8)
    found = Reader(SessionManager(store))
    assert len(list(found.everybodys())) == 29 and found.unreadable == 1


def test_an_outage_in_the_middle_is_an_outage() -> None:
    """No record is said to be at fault for it, and nobody waits for each of them."""
    store = filled(StoreDouble(), 30)
    store.fail("load_many", times=None)
    store.fail("load", times=None)
    found = Reader(SessionManager(store))
    with pytest.raises(StoreError):
        list(found.everybodys())
    assert found.unreadable == 0 and store.calls.count("load") == 2


def test_what_was_seen_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that Redis names twice is read once, if the two are not too far apart."""
    monkeypatch.setattr(reader, "SEEN", 10)
    monkeypatch.setattr(reader, "PAGE", 4)
    found = Reader(SessionManager())
    keys = [f"{number:02}" for number in range(20)]
    assert [len(page) for page in found.pages([*keys[:4], *keys[:4], *keys[4:8]])] == [4, 0, 4]
    assert sum(len(page) for page in found.pages([*keys, keys[0]])) == 21
