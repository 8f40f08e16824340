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
from wsgisession.limits import MARKER_SECONDS
from wsgisession.record import Marker
from wsgisession.records import End, Records, Stored
from wsgisession.request_cookies import RequestCookies
from wsgisession.visit import Visit

pytestmark = pytest.mark.wide
ROUNDS = 60


class BlindReplace(MemoryStore):
    """Writes over whatever lives."""

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        while found := self.load(key):
            if super().replace(key, found[0], payload, ttl, owner):
                return True
        return False


class ReplaceCreates(MemoryStore):
    """An upsert: what is gone comes back."""

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        return super().replace(key, expected, payload, ttl, owner) or (
            self.load(key) is None and self.create(key, payload, ttl or 7200, owner)
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

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        stale = self.last.payload
        while found := MemoryStore.load(self, key):
            if self.replace(key, found[0], stale, ttl, owner):
                return True
        return False


class DeletesWhateverIsThere(MemoryStore):
    """Compares nothing when it ends a record, and does it a moment later."""

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        threading.Event().wait(0.002)
        return super().delete(key)


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

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        found = self.load(key)
        if found is None or found[0] != expected:
            return False
        threading.Event().wait(0.002)
        while found := self.load(key):
            if super().replace(key, found[0], payload, ttl, owner):
                return True
        return False


class ForgetsMarkers(MemoryStore):
    """Loses what is created to stand for a minute."""

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        return ttl == MARKER_SECONDS or super().create(key, payload, ttl, owner)


STORES: list[tuple[str, type[MemoryStore]]] = [
    ("disjoint keys", BlindReplace),
    ("disjoint keys", LookThenReplace),
    ("lists", BlindReplace),
    ("nested keys", BlindReplace),
    ("atomic counter", BlindReplace),
    ("atomic counter", LookThenReplace),
    ("destroy against save", ReplaceCreates),
    ("regenerate against save", BlindReplace),
    ("regenerate against regenerate", BlindReplace),
    ("expiry against save", ReplaceCreates),
    ("touch against save", TouchCarriesData),
    ("leaks between 64 sessions", MixesUpSessions),
    ("the same login again", BlindReplace),
    ("one login per user", DeletesWhateverIsThere),
    ("login over two sessions", ForgetsMarkers),
    ("limits", BlindReplace),
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


@pytest.mark.parametrize(("name", "kind"), STORES, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_store_is_caught(name: str, kind: Callable[[], MemoryStore]) -> None:
    """A store that breaks the contract in the point a race is about fails that race."""
    assert caught(Threads(kind()), name)


def test_every_race_catches_something() -> None:
    """No race is there that nothing could fail."""
    assert {name for name, _ in STORES} == set(RACES)


def leave_nothing(self: Records, stored: Stored, successor: str, *, owner_changed: bool) -> bool:
    return self.store.delete(stored.key)


def leave_a_marker_without_looking(
    self: Records, stored: Stored, successor: str, *, owner_changed: bool
) -> bool:
    marker = self.codec.pack(Marker(successor, owner_changed))
    while found := self.store.load(stored.key):
        if self.store.replace(stored.key, found[0], marker, 60):
            return True
    return False


def end_by_a_marker(self: Records, key: str) -> Any:
    found = self.store.load(key)
    if found is not None and self.store.replace(key, found[0], self.codec.pack(Marker(None, False)), 60):
        return End.ENDED
    return End.NOTHING


def claim_nothing(self: Visit) -> bool:
    threading.Event().wait(0.002)
    return True


pack = JSONCodec.pack


def pack_without_a_nonce(self: JSONCodec, content: Record | Marker) -> bytes:
    return re.sub(rb'^\[(\d),"[^"]*"', rb'[\1,"same"', pack(self, content))


def ours(base: Any, ours: Any, theirs: Any) -> Any:
    return ours


PROTOCOL: dict[str, tuple[str, Any, str, Any]] = {
    "a marker after a logout": ("destroy against save", Records, "end", end_by_a_marker),
    "no marker after a regenerate": ("regenerate against save", Records, "leave_marker", leave_nothing),
    "a marker over what came in between": (
        "regenerate against save",
        Records,
        "leave_marker",
        leave_a_marker_without_looking,
    ),
    "payloads that are not unique": ("atomic counter", JSONCodec, "pack", pack_without_a_nonce),
    "no merge of lists": ("lists", draft, "merge", ours),
    "no merge of nested dicts": ("nested keys", draft, "merge", ours),
    "a login that takes nothing along": (
        "the same login again",
        RequestCookies,
        "heir",
        lambda self, owner: None,
    ),
    "siblings that are ended without a claim": ("one login per user", Visit, "_claim", claim_nothing),
    "no marker under other cookies": (
        "login over two sessions",
        RequestCookies,
        "mark_others",
        lambda self, own, successor: None,
    ),
    "sessions of several cookies that live on": (
        "login over two sessions",
        RequestCookies,
        "end_others",
        lambda self, own: None,
    ),
}


@pytest.mark.parametrize(("name", "where", "what", "broken"), PROTOCOL.values(), ids=PROTOCOL.keys())
def test_a_broken_protocol_is_caught(
    name: str, where: Any, what: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take one rule of the protocol away, and its race fails."""
    monkeypatch.setattr(where, what, broken)
    assert caught(Threads(MemoryStore()), name)
