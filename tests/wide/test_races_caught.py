"""The races themselves: each of them finds the fault it is there for, in a store or in the protocol."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.race_crews import Threads
from support.races import RACES

from wsgisession import JSONCodec, MemoryStore, Record, SessionError, draft
from wsgisession.commit import Vault
from wsgisession.register import Stored

pytestmark = pytest.mark.wide
ROUNDS = 60


class BlindReplace(MemoryStore):
    """Writes over whatever lives."""

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        while found := self.load(key):
            if super().replace(key, found[0], payload, ttl, owner):
                return True
        return False


class ReplaceCreates(MemoryStore):
    """An upsert: what is gone comes back."""

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        return super().replace(key, expected, payload, ttl, owner) or (
            self.load(key) is None and self.create(key, payload, ttl, owner)
        )


class TouchCarriesData(MemoryStore):
    """Writes back with the new expiry what this thread has last read."""

    def __init__(self) -> None:
        super().__init__()
        self.last = threading.local()

    def load(self, key: str) -> Any:
        found = super().load(key)
        self.last.payload = found and found[0]
        return found

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        stale = self.last.payload
        while found := MemoryStore.load(self, key):
            if self.replace(key, found[0], stale, ttl, owner):
                return True
        return False


class MixesUpSessions(MemoryStore):
    """Now and then answers a thread with what another one asked for."""

    calls = 0
    latest: Any = None

    def load(self, key: str) -> Any:
        found = super().load(key)
        self.calls += 1
        if self.calls % 50 == 0:
            return self.latest
        self.latest = found
        return found


class LookThenReplace(MemoryStore):
    """Compares, and swaps a moment later."""

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        found = self.load(key)
        if found is None or found[0] != expected:
            return False
        threading.Event().wait(0.002)
        while found := self.load(key):
            if super().replace(key, found[0], payload, ttl, owner):
                return True
        return False


STORES: list[tuple[str, type[MemoryStore]]] = [
    ("disjoint keys", BlindReplace),
    ("disjoint keys", LookThenReplace),
    ("lists", BlindReplace),
    ("nested keys", BlindReplace),
    ("atomic counter", BlindReplace),
    ("atomic counter", LookThenReplace),
    ("destroy against save", BlindReplace),
    ("regenerate against save", BlindReplace),
    ("regenerate against regenerate", BlindReplace),
    ("expiry against save", ReplaceCreates),
    ("touch against save", TouchCarriesData),
    ("leaks between 64 sessions", MixesUpSessions),
]


def caught(crew: Any, name: str) -> bool:
    """Whether a race ends with an anomaly, or with an error that the library should not have raised."""
    race = RACES[name]
    cookies = race.issue(crew.site, ROUNDS)
    try:
        reports = crew.run(name, cookies, ROUNDS)
    except (SessionError, AssertionError, threading.BrokenBarrierError):
        return True
    return bool(race.anomalies(crew.site, cookies, reports))


@pytest.mark.parametrize("name", RACES)
def test_a_good_store_passes(name: str) -> None:
    """What finds the faults below finds none in the memory store."""
    assert not caught(Threads(MemoryStore()), name)


@pytest.mark.parametrize(("name", "kind"), STORES, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_store_is_caught(name: str, kind: Callable[[], MemoryStore]) -> None:
    """A store that breaks the contract in the point a race is about fails that race."""
    assert caught(Threads(kind()), name)


def test_every_race_catches_something() -> None:
    """No race is there that nothing could fail."""
    assert {name for name, _ in STORES} == set(RACES)


def retire_by_deleting(self: Vault, stored: Stored, successor: str | None) -> bool:
    return self.store.delete(stored.key)


def retire_without_looking(self: Vault, stored: Stored, successor: str | None) -> bool:
    tombstone = self.codec.pack(None, successor)
    while found := self.store.load(stored.key):
        if self.store.replace(stored.key, found[0], tombstone, 60):
            return True
    return False


pack = JSONCodec.pack


def pack_without_a_nonce(self: JSONCodec, record: Record | None, successor: str | None = None) -> bytes:
    return re.sub(rb'^\[1,"[^"]*"', b'[1,"same"', pack(self, record, successor))


def ours(base: Any, ours: Any, theirs: Any) -> Any:
    return ours


PROTOCOL: dict[str, tuple[str, Any, str, Any]] = {
    "no tombstone after a logout": ("destroy against save", Vault, "_retire", retire_by_deleting),
    "no tombstone after a regenerate": ("regenerate against save", Vault, "_retire", retire_by_deleting),
    "a tombstone over what came in between": ("regenerate against save", Vault, "_retire", retire_without_looking),
    "payloads that are not unique": ("atomic counter", JSONCodec, "pack", pack_without_a_nonce),
    "no merge of lists": ("lists", draft, "merge_value", ours),
    "no merge of nested dicts": ("nested keys", draft, "merge_value", ours),
}


@pytest.mark.parametrize(("name", "where", "what", "broken"), PROTOCOL.values(), ids=PROTOCOL.keys())
def test_a_broken_protocol_is_caught(
    name: str, where: Any, what: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take one rule of the protocol away, and its race fails."""
    monkeypatch.setattr(where, what, broken)
    assert caught(Threads(MemoryStore()), name)
