"""Sessions in the memory of one process: the default store, bounded in records and in bytes.

Every record lives in one of 256 shards, so a growing dict or a sweep delays a request only by a 256th of the work. That
is microseconds, with or without a GIL.

This module does not know what a payload means, and it knows nothing of other processes: each process has sessions of
its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from typing import NoReturn

from ..errors import StoreError
from ..log import event
from .memory_shard import SIZE, Full, Shard, Totals, owner_name, unpack

SHARDS = 256
SWEEP = 8  # steps of reclaiming that one write pays for; a record takes about four on its way out
BATCH = 256  # steps that purge() takes at a time
# Rounds and steps in search of an expired record. After that a live one is removed, even if an expired one is left.
SEARCH = 512, 16
QUIET = 60.0  # seconds between two warnings about evicted sessions


class MemoryStore:
    """Sessions in the memory of this process. They end with the process. Any number of threads may use them.

    If the store is full, it removes expired records first. After those it removes the record whose last write is the
    oldest: one without an owner if there is any. It warns at most once a minute. Reading does not count as writing. (To
    find an expired record, one request looks at up to about 8,000 records. The next request goes on from there.)

    Each write also removes a few expired records. There is no thread and no timer. ``close()`` does nothing: the
    records live as long as the store does, and you can go on using it. A forked child begins with a copy of the
    records. After that, neither process sees what the other one changes.

    Args:
        max_sessions: how many records are kept. Expired ones that are not reclaimed yet are counted too.
        max_bytes: how many bytes of payload are kept. Each record needs about 200 to 350 bytes more. One payload that
            is larger than ``max_bytes`` is a ``StoreError``.
        clock: returns seconds since any fixed time, and never goes backwards.
    """

    def __init__(
        self,
        max_sessions: int = 1_000_000,
        max_bytes: int = 512 * 2**20,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for argument, value in (("max_sessions", max_sessions), ("max_bytes", max_bytes)):
            if type(value) is not int:
                raise TypeError(f"{argument} must be an int, not {type(value).__name__}")
            if value < 1:
                raise ValueError(f"{argument} must be at least 1, not {value}")
        self._clock = clock
        self._largest = max_bytes
        self._totals = Totals(max_sessions, max_bytes)
        self._dues = [inf] * SHARDS
        self._shards = [Shard(number, self._dues, self._totals) for number in range(SHARDS)]
        # For records without an owner, and for owned ones: no last write in this shard has a smaller number.
        self._oldest = [0] * SHARDS, [0] * SHARDS
        self._unreported = 0  # evictions
        self._quiet_until = -inf

    def load(self, key: str) -> tuple[bytes, float] | None:
        now = self._clock()
        shard = self._shards[hash(key) % SHARDS]
        held = shard.anonymous.get(key) or shard.owned.get(key) or shard.find(key)
        if held is None:
            return None
        expires, _, _, length = unpack(held)
        return (held[SIZE + length :], expires - now) if expires > now else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        name = b"" if owner is None else owner_name(owner)
        now = self._clock()
        if not 0 < ttl < inf or len(payload) > self._largest or len(name) > 0xFFFF:
            self._refuse(ttl, payload)
        shard, expires = self._shards[hash(key) % SHARDS], now + ttl
        try:
            done = shard.create(key, payload, expires, name, now)
        except Full as full:
            done = self._make_room(full, partial(shard.create, key, payload, expires, name, now))
        if self._dues[self._totals.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        name = b"" if owner is None else owner_name(owner)
        now = self._clock()
        if (ttl is not None and not 0 < ttl < inf) or len(payload) > self._largest or len(name) > 0xFFFF:
            self._refuse(ttl, payload)
        shard = self._shards[hash(key) % SHARDS]
        try:
            done = shard.replace(key, expected, payload, ttl, name, now)
        except Full as full:
            done = self._make_room(full, partial(shard.replace, key, expected, payload, ttl, name, now))
        if self._dues[self._totals.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        now = self._clock()
        if not 0 < ttl < inf:
            self._refuse(ttl)
        done = self._shards[hash(key) % SHARDS].touch(key, now + ttl, expected, now)
        if self._dues[self._totals.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        now = self._clock()
        done = self._shards[hash(key) % SHARDS].delete(key, expected, now)
        if self._dues[self._totals.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def owned_by(self, owner: str) -> Iterator[str]:
        name = owner_name(owner)
        for shard in self._shards:
            if name in shard.first or name in shard.more:
                for key in shard.owned_by(name):
                    held = shard.find(key)
                    if held is not None and held.startswith(name, SIZE):
                        expires, _, _, length = unpack(held)
                        if length == len(name) and expires > self._clock():
                            yield key

    def keys(self) -> Iterator[str]:
        for shard in self._shards:
            records = shard.snapshot()
            now = self._clock()
            yield from (key for key, held in records.items() if unpack(held)[0] > now)

    def purge(self) -> int:
        now = self._clock()
        removed = 0
        for number, shard in enumerate(self._shards):
            while self._dues[number] <= now:
                removed += shard.reclaim(now, BATCH)
        return removed

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        return [self.load(key) for key in keys]

    def count(self) -> int:
        self.purge()
        return self._totals.records

    def clear(self) -> int:
        now = self._clock()
        return sum(shard.delete(key, None, now) for shard in self._shards for key in shard.snapshot())

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _refuse(self, ttl: float | None, payload: bytes = b"") -> NoReturn:
        if ttl is not None and not 0 < ttl < inf:
            raise ValueError(f"ttl must be a positive number of seconds, not {ttl!r}")
        if len(payload) > self._largest:
            raise StoreError(f"a payload of {len(payload)} bytes is more than max_bytes={self._largest}")
        raise ValueError("an owner has at most 255 characters")

    def _sweep(self, now: float) -> None:
        """After a write, remove a few expired records in one shard; each write takes the next shard."""
        self._shards[self._totals.stamp % SHARDS].reclaim(now, SWEEP)

    def _make_room(self, full: Full, attempt: Callable[[], bool]) -> bool:
        """Remove one record after another until the attempt fits."""
        while True:
            if not self._free_expired() and self._evict(full.horizon):
                self._unreported += 1
            try:
                done = attempt()
                break
            except Full as again:
                full = again
        self._report()
        return done

    def _free_expired(self) -> bool:
        now = self._clock()
        rounds, steps = SEARCH
        for _ in range(rounds):
            dues = self._dues.copy()
            due = min(dues)
            if due > now:
                return False
            if self._shards[dues.index(due)].reclaim(now, steps):
                return True
        return False

    def _evict(self, horizon: int) -> bool:
        """Remove the least recently written record, one without an owner if there is any; False if there is
        none.

        Only the first records of the shards are compared, and ``_oldest`` saves most of these looks. The number of the
        least recent write in a shard can only grow, because later writes have higher numbers.
        """
        for owned, oldest in enumerate(self._oldest):
            while (stamp := min(bounds := oldest.copy())) < horizon:
                number = bounds.index(stamp)
                removed, oldest[number] = self._shards[number].evict(bool(owned), stamp, horizon)
                if removed:
                    return True
        return False

    def _report(self) -> None:
        """Warn of evicted sessions, unless the last warning is recent."""
        now = self._clock()
        if self._unreported and now >= self._quiet_until:
            count, self._unreported, self._quiet_until = self._unreported, 0, now + QUIET
            message = "the memory store is full and ended live sessions; raise max_sessions or max_bytes"
            event(logging.WARNING, "store full", message, evicted=count)
