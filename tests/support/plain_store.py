"""A store as plain as the contract allows: the base of stores that break it in one point."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

Records = dict[str, tuple[bytes, float, str | None]]

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
            payload, expires, _ = self.records.get(key, (b"", 0.0, None))
            left = expires - self.clock()
            return (payload, left) if left > 0 else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        with LOCK:
            found = self.load(key)
            if found is None:
                self.records[key] = payload, self.clock() + ttl, owner
            return found is None or found[0] == payload

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        with LOCK:
            found = self.load(key)
            if found is not None and found[0] == expected:
                self.records[key] = payload, self.clock() + ttl, owner
            return found is not None and found[0] in (expected, payload)

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        with LOCK:
            found = self.load(key)
            if found is not None:
                self.records[key] = found[0], self.clock() + ttl, self.records[key][2]
            return found is not None

    def delete(self, key: str) -> bool:
        with LOCK:
            found = self.load(key)
            self.records.pop(key, None)
            return found is not None

    def owned_by(self, owner: str) -> Iterator[str]:
        with LOCK:
            return iter([key for key in self.keys() if self.records[key][2] == owner])

    def keys(self) -> Iterator[str]:
        with LOCK:
            return iter([key for key, record in self.records.items() if record[1] > self.clock()])

    def purge(self) -> int:
        with LOCK:
            dead = [key for key, record in self.records.items() if record[1] <= self.clock()]
            for key in dead:
                del self.records[key]
            return len(dead)

    def close(self) -> None:
        """Nothing to give back."""
