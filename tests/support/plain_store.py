"""A store as plain as the contract allows: the base of stores that break it in one point."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wsgisession.errors import StoreError

# Payload, expiry (None: somebody took it away), owner.
Records = dict[str, tuple[bytes, float | None, str | None]]

# One lock for all, and every fork waits for it, so that no child starts with a lock that nobody will release.
LOCK = threading.RLock()
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


class PlainStore:
    """Records in a dict, which a second store may share."""

    def __init__(self, clock: Callable[[], float], records: Records | None = None) -> None:
        self.clock = clock
        self.records: Records = {} if records is None else records

    def load(self, key: str) -> tuple[bytes, float] | None:
        with LOCK:
            found = self.live(key)
            if found is not None and not isinstance(found[0], bytes):
                raise StoreError("the payload is no bytes")
            return found

    def live(self, key: str) -> tuple[Any, float] | None:
        """Return what is under a key, whatever it is, and the seconds it has left."""
        payload, expires, _ = self.records.get(key, (b"", 0.0, None))
        left = 0.001 if expires is None else expires - self.clock()
        return (payload, left) if left > 0 else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        with LOCK:
            found = self.load(key)
            if found is None:
                self.records[key] = payload, self.clock() + ttl, owner
            return found is None or found[0] == payload

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        with LOCK:
            found = self.load(key)
            if found is not None and found[0] == expected:
                kept = self.records[key][1:]
                self.records[key] = payload, *(kept if ttl is None else (self.clock() + ttl, owner))
            return found is not None and found[0] in (expected, payload)

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        with LOCK:
            found = self.load(key)
            if found is None or expected not in (None, found[0]):
                return False
            self.records[key] = found[0], self.clock() + ttl, self.records[key][2]
            return True

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        with LOCK:
            found = self.live(key)
            if found is None or expected not in (None, found[0]):
                return False
            return self.records.pop(key, None) is not None

    def owned_by(self, owner: str) -> Iterator[str]:
        with LOCK:
            return iter([key for key in self.keys() if self.records[key][2] == owner])

    def keys(self) -> Iterator[str]:
        with LOCK:
            return iter([key for key in self.records if self.live(key)])

    def purge(self) -> int:
        with LOCK:
            dead = [key for key in self.records if not self.live(key)]
            for key in dead:
                del self.records[key]
            return len(dead)

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        with LOCK:
            return [self.load(key) for key in keys]

    def count(self) -> int:
        return len(list(self.keys()))

    def clear(self) -> int:
        with LOCK:
            return sum(self.delete(key) for key in self.keys())

    def diagnose(self) -> Iterator[str]:
        return iter(())

    def settings(self) -> dict[str, str]:
        return {"records": str(self.count())}

    def close(self) -> None:
        """Nothing to give back."""
