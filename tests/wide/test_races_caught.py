"""The races themselves: each of them finds the fault it is there for. What a broken protocol does is in test_explorer.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.race_crews import Threads
from support.races import RACES

from wsgisession import MemoryStore, SessionError
from wsgisession.limits import MARKER_SECONDS

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
