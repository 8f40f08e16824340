"""``copy``: between stores that need no server; what is left alone, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from support.cli import call, on_terminal, run
from support.cli_commands import manager_of
from support.copying import Move, check_a_move
from support.store_double import StoreDouble

from wsgisession import MemoryStore, StoreError
from wsgisession.cli import reader
from wsgisession.stores import SQLiteStore

KINDS = ("memory", "sqlite")


def store_of(kind: str, path: Path) -> Any:
    return MemoryStore() if kind == "memory" else SQLiteStore(path)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_a_move(source: str, target: str, tmp_path: Path) -> None:
    """Everything live goes over, and nothing is overwritten."""
    check_a_move(Move(store_of(source, tmp_path / "old.db"), store_of(target, tmp_path / "new.db")))


def test_more_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is read and written, and counted as it is done."""
    monkeypatch.setattr(reader, "PAGE", 10)
    move = Move(MemoryStore(), MemoryStore())
    for number in range(25):
        move.old.start({"n": number})
    assert move.copy().copied == 25 == move.records
    assert move.new.manager.count() == 25


def test_a_session_without_an_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took it away in the engine; the copy gets the one that the next request would set."""
    move = Move(MemoryStore(), MemoryStore())
    move.old.start({"a": 1}, "ada")
    load_many = move.old.manager.store.load_many  # type: ignore[attr-defined]
    monkeypatch.setattr(
        move.old.manager.store, "load_many", lambda keys: [(payload, 0.001) for payload, _ in load_many(keys)]
    )
    assert move.copy().copied == 1
    [info] = move.new.manager.sessions()
    assert 7100 < info.expires - info.created < 7300


def test_a_session_that_ends_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not copied once it has ended."""
    monkeypatch.setattr(reader, "PAGE", 1)
    move = Move(MemoryStore(), MemoryStore())
    for _ in range(3):
        move.old.start({}, "ada")
    monkeypatch.setattr(move, "_step", lambda count: move.old.manager.destroy_owned("ada"))
    assert move.copy().copied == 1 == len(move.new.live())


def test_a_target_that_is_first() -> None:
    """A session that another copy brings between the look and the write is there already."""
    target = StoreDouble()
    move = Move(MemoryStore(), target)
    move.old.start({"a": 1})
    [key] = move.old.live()
    target.before("create", lambda: target.store.create(key, b"another copy's", 60.0))
    assert move.copy() == (0, 1, 0)


def test_what_cannot_be_read_stays(tmp_path: Path) -> None:
    """It is counted, is exit code 1, and the rest is copied."""
    old, new = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    manager_of(old).store.create("k" * 43, b"somebody else's", 60.0)
    manager_of(old).issue({"a": 1}, "ada")
    done = run("copy", old, new)
    assert done.code == 1 and ["copied", "1"] in done.rows and "1 record cannot be read" in done.err
    assert manager_of(new).count() == 1


def test_a_person_is_told_in_words(tmp_path: Path) -> None:
    """On a terminal."""
    old, new = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    manager_of(old).issue({"a": 1})
    assert on_terminal("copy", old, new) == (0, "1 session copied, 0 there already\n")
    assert on_terminal("copy", old, new) == (0, "0 sessions copied, 1 there already\n")


def test_to_memory_is_refused(tmp_path: Path) -> None:
    """What was copied would end with the command."""
    url = f"sqlite:///{tmp_path}/old.db"
    manager_of(url)
    (tmp_path / "site_of_mine.py").write_text(
        "from wsgisession import SessionManager\nmanager = SessionManager()\n"
    )
    for target in ("memory:", "site_of_mine:manager"):
        assert run("copy", url, target, cwd=tmp_path).code == 2


@pytest.mark.parametrize(
    "failing", [("source", "load_many", "load"), ("target", "create")], ids=lambda one: one[0]
)
def test_a_store_that_fails(monkeypatch: pytest.MonkeyPatch, failing: tuple[str, ...]) -> None:
    """Is the store's error; what was copied before is there, and the next run goes on."""
    monkeypatch.setattr(reader, "PAGE", 1)
    stores = {"source": StoreDouble(), "target": StoreDouble()}
    move = Move(stores["source"], stores["target"])
    for _ in range(3):
        move.old.start({"a": 1})
    name, first, *others = failing
    stores[name].fail(first, call=2, times=None)
    for operation in others:
        stores[name].fail(operation, times=None)
    with pytest.raises(StoreError):
        move.copy()
    stores[name].rest()
    assert move.new.manager.count() == 1
    assert move.copy() == (2, 1, 0)


def test_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a store fails on the way, a line says how many records were copied, and that the command can be repeated."""
    old, new = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    for _ in range(3):
        manager_of(old).issue({"a": 1})
    monkeypatch.setattr(reader, "PAGE", 2)
    create, written = SQLiteStore.create, itertools.count(1)

    def failing(*arguments: Any) -> bool:
        if next(written) == 3:
            raise StoreError("the disk is gone")
        return create(*arguments)

    monkeypatch.setattr(SQLiteStore, "create", failing)
    done = call(capsys, "copy", old, new)
    assert done.code == 3 and done.err.splitlines() == [
        "wsgisession: stopped after 2 records; they stay, and the same command copies the rest",
        "wsgisession: the disk is gone",
    ]
    monkeypatch.undo()
    assert call(capsys, "copy", old, new).rows == [["copied", "1"], ["already there", "2"]]


def test_a_store_is_not_copied_to_itself(tmp_path: Path) -> None:
    """It would say that all is there already, as after a move that succeeded."""
    url = f"sqlite:///{tmp_path}/old.db"
    manager_of(url).issue({"a": 1})
    done = run("copy", url, url)
    assert (done.code, done.err) == (2, "wsgisession: FROM and TO are the same store\n")
