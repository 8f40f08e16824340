"""Sessions in the memory of one process: the default store, bounded in records and in bytes.

Every record lives in one of 256 shards, each behind a lock of its own, so that neither a growing dict nor a sweep ever
holds up more than a 256th of the requests, and those for microseconds, with or without a GIL.

This module does not know what a payload means, and nothing about other processes: each process has sessions of its own.
"""

from __future__ import annotations

import gc
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from heapq import heapreplace
from math import inf
from threading import Lock
from typing import NoReturn

from ..errors import StoreError
from ..log import event
from .memory_shard import SIZE, Full, Guarded, Ledger, Owners, Shard, owner_name, unpack

SHARDS = 256
SWEEP = 8  # steps of reclaiming that one write pays for; a record takes about four on its way out
BATCH = 256  # steps for which purge() holds one shard
SEARCH = 512, 16  # rounds and steps in search of an expired record, before a live one goes although there may be one
QUIET = 60.0  # seconds between two warnings about evicted sessions


class MemoryStore:
    """Sessions in this process alone; they end with it. Right for one process with any number of threads.

    When it is full it gives up expired records first, then the least recently created, replaced or touched record
    without an owner, then the least recent of all, and warns of it at most once a minute. A read moves nothing. (One
    request looks at some 8,000 records to find an expired one; what is left of a larger heap is found by the next.)

    Expired records are reclaimed a few per write: no thread, no timer. ``close()`` does nothing: the records live as
    long as the store does, and it can be used afterwards. A forked child starts with a copy that goes its own way.

    Args:
        max_sessions: how many records are kept, those included that expired and were not reclaimed yet.
        max_bytes: how many bytes of payload are kept; some 200 to 350 bytes per record come on top. One payload larger
            than this is a ``StoreError``.
        clock: seconds since whenever, never going backwards.
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
        self._ledger = Ledger(max_sessions, max_bytes)
        self._owners = [Owners() for _ in range(SHARDS)]
        self._dues = [inf] * SHARDS
        self._shards = [Shard(number, self._dues, self._owners, self._ledger) for number in range(SHARDS)]
        self._eviction = _Eviction()
        with _registry.lock:
            _stores.add(self)

    def load(self, key: str) -> tuple[bytes, float] | None:
        now = self._clock()
        shard = self._shards[hash(key) % SHARDS]
        # Whatever is found was there a moment ago. Only where nothing is, a write may be half done: then wait for it.
        held = shard.anonymous.get(key) or shard.owned.get(key) or shard.find(key)
        if held is None:
            return None
        expires, _, _, length = unpack(held)
        return (held[SIZE + length :], expires - now) if expires > now else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        name = b"" if owner is None else owner_name(owner)
        now = self._clock()
        if not 0 < ttl < inf or len(payload) > self._largest:
            self._refuse(ttl, payload)
        shard, expires = self._shards[hash(key) % SHARDS], now + ttl
        try:
            done = shard.create(key, payload, expires, name, now)
        except Full:
            done = self._make_room(partial(shard.create, key, payload, expires, name, now))
        if self._dues[self._ledger.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None) -> bool:
        name = b"" if owner is None else owner_name(owner)
        now = self._clock()
        if ttl is None:
            f = self.load(key)
            if f is None: return False
            ttl = f[1]
        if not 0 < ttl < inf or len(payload) > self._largest:
            self._refuse(ttl, payload)
        shard, expires = self._shards[hash(key) % SHARDS], now + ttl
        try:
            done = shard.replace(key, expected, payload, expires, name, now)
        except Full:
            done = self._make_room(partial(shard.replace, key, expected, payload, expires, name, now))
        if self._dues[self._ledger.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def touch(self, key: str, ttl: float, owner: str | None = None, expected=None) -> bool:
        now = self._clock()
        if not 0 < ttl < inf:
            self._refuse(ttl)
        if expected is not None and (self.load(key) or (b"",))[0] != expected: return False
        done = self._shards[hash(key) % SHARDS].touch(key, now + ttl, now)
        if self._dues[self._ledger.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def delete(self, key: str, expected=None) -> bool:
        now = self._clock()
        if expected is not None and (self.load(key) or (b"",))[0] != expected: return False
        done = self._shards[hash(key) % SHARDS].delete(key, now)
        if self._dues[self._ledger.stamp % SHARDS] <= now:
            self._sweep(now)
        return done

    def owned_by(self, owner: str) -> Iterator[str]:
        name = owner_name(owner)
        for key in self._owners[hash(name) % SHARDS].keys(name):
            held = self._shards[hash(key) % SHARDS].find(key)
            if held is not None and held.startswith(name, SIZE):
                expires, _, _, length = unpack(held)
                if length == len(name) and expires > self._clock():
                    yield key

    def keys(self) -> Iterator[str]:
        for shard in self._shards:
            keys, records = shard.snapshot()
            now = self._clock()
            yield from (key for key, held in zip(keys, records, strict=True) if unpack(held)[0] > now)

    def purge(self) -> int:
        now = self._clock()
        removed = 0
        for number, shard in enumerate(self._shards):
            while self._dues[number] <= now:
                removed += shard.reclaim(now, BATCH)
        return removed

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _refuse(self, ttl: float, payload: bytes = b"") -> NoReturn:
        if not 0 < ttl < inf:
            raise ValueError(f"ttl must be a positive number of seconds, not {ttl!r}")
        raise StoreError(f"a payload of {len(payload)} bytes is more than max_bytes={self._largest}")

    def _sweep(self, now: float) -> None:
        """After a write, reclaim a little in one shard; the writes go round, so that all get their turn."""
        self._shards[self._ledger.stamp % SHARDS].reclaim_unless_busy(now, SWEEP)

    def _make_room(self, attempt: Callable[[], bool]) -> bool:
        """Give up one record after another until the attempt fits; one thread at a time."""
        done = None
        with self._eviction.lock:
            while done is None:
                done = self._attempt_or_free(attempt)
            count = self._eviction.to_report(self._clock())
        if count:
            message = "the memory store is full and ended live sessions; raise max_sessions or max_bytes"
            event(logging.WARNING, "store full", message, evicted=count)
        return done

    def _attempt_or_free(self, attempt: Callable[[], bool]) -> bool | None:
        """Return what the attempt says; None where it did not fit, and something was given up for it."""
        try:
            return attempt()
        except Full as full:
            if not (self._free_expired() or self._evict(full.horizon)):
                self._recount()
            return None

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
        """Remove the least recently written record, one without an owner if there is any; False where there is none.

        Only the first records of the shards are compared, and ``oldest`` keeps most of them from being looked at: what
        was the least recent write in a shard bounds it for good, because later writes have higher numbers.
        """
        for owned, oldest in enumerate(self._eviction.oldest):
            while oldest[0][0] < horizon:
                stamp, number = oldest[0]
                found = self._shards[number].evict(bool(owned), stamp, horizon)
                if found == stamp:
                    self._eviction.unreported += 1
                    return True
                heapreplace(oldest, (found, number))
        return False

    def _recount(self) -> None:
        """Correct the totals: full, and nothing to give up? Then an operation was interrupted before it could count."""
        with ExitStack() as locks:
            for part in (*self._shards, self._ledger):
                locks.enter_context(part.lock)
            sizes = [size for shard in self._shards for size in shard.sizes()]
            self._ledger.records, self._ledger.size = len(sizes), sum(sizes)


class _Eviction(Guarded):
    """What one thread at a time knows while it makes room."""

    __slots__ = ("oldest", "quiet_until", "unreported")

    def __init__(self) -> None:
        super().__init__()
        # Two heaps, for records without an owner and for owned ones: in this shard, no last write is earlier than this.
        self.oldest = tuple([(0, number) for number in range(SHARDS)] for _ in range(2))
        self.quiet_until = -inf
        self.unreported = 0

    def to_report(self, now: float) -> int:
        """Return how many evictions to warn about now, 0 while the last warning is recent."""
        if not self.unreported or now < self.quiet_until:
            return 0
        self.quiet_until = now + QUIET
        count, self.unreported = self.unreported, 0
        return count


# A lock that another thread holds while a process forks is never released in the child, so a fork takes every lock
# first: what is in progress ends, and the child's copy is whole. New locks there, as the waiters of the old ones are
# gone. No collection meanwhile: it may end a response that was given up, whose session would wait for a lock that this
# same thread holds. Stores are known by weak references, or none would ever be freed.
_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()
_registry = Guarded()
_taken: list[Guarded] = []
_collecting = False


def _before_fork() -> None:
    global _collecting
    _registry.lock.acquire()
    _collecting = gc.isenabled()
    gc.disable()
    _taken.append(_registry)
    for store in list(_stores):
        for part in (store._eviction, *store._shards, *store._owners, store._ledger):  # the order operations take
            part.lock.acquire()
            _taken.append(part)


def _after_fork_in_parent() -> None:
    collecting = _collecting
    while _taken:
        _taken.pop().lock.release()
    if collecting:
        gc.enable()


def _after_fork_in_child() -> None:
    while _taken:
        _taken.pop().lock = Lock()
    if _collecting:
        gc.enable()


# Windows has no fork, and nothing to register with.
getattr(os, "register_at_fork", lambda **hooks: None)(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
