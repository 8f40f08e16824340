"""Sessions in the memory of one process: the default store, bounded in records and in bytes.

Every record lives in one of 256 shards, each behind a lock of its own, so that neither a growing dict nor a sweep ever
holds up more than a 256th of the requests for more than some microseconds, with or without a GIL. A record is one
``bytes`` object, a fixed head before the payload: nothing per record that a garbage collection would have to visit.

This module does not know what a payload means, and nothing about other processes: each process has sessions of its own.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from math import frexp, inf
from struct import Struct
from threading import Lock

from ..errors import StoreError
from ..log import event

SHARDS = 256
SWEEP = 8  # steps of reclaiming that one write pays for; a record takes about four on its way out
BATCH = 256  # steps for which purge() and the search for room hold one shard
SEARCH = 16  # such batches before a live record is evicted although an expired one may be left
QUIET = 60.0  # seconds between two warnings about evicted sessions

# A record: when it expires, when the wheel looks at it, the number of its last write, the length of the owner's name,
# that name (b"=" and UTF-8; nothing without an owner), the payload.
HEAD = Struct("<ddQH")


def _payload(held: bytes) -> bytes:
    return held[HEAD.size + HEAD.unpack_from(held)[3] :]


def _name(held: bytes) -> bytes:
    return held[HEAD.size : HEAD.size + HEAD.unpack_from(held)[3]]


def _encoded(owner: str | None) -> bytes:
    name = b"" if owner is None else b"=" + owner.encode("utf-8", "surrogatepass")
    if len(name) > 0xFFFF:
        raise ValueError("an owner has at most 255 characters")
    return name


class _Full(Exception):
    """A write does not fit; records whose last write has a number below ``horizon`` may go to make room."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon


class _Guarded:
    """Whatever has a lock of its own. A fork waits for all of them, and the child gets new ones."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = Lock()


class _Ledger(_Guarded):
    """The totals over all shards, and the number of the latest write. Its lock is held for a few additions only."""

    __slots__ = ("max_bytes", "max_records", "quiet_until", "records", "size", "stamp", "unreported")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        super().__init__()
        self.max_records, self.max_bytes = max_records, max_bytes
        self.records = self.size = self.stamp = self.unreported = 0
        self.quiet_until = -inf

    def enter(self, records: int, size: int) -> int:
        """Count a write and return its number; raises ``_Full``, and counts nothing, where it does not fit."""
        with self.lock:
            if (records > 0 and self.records >= self.max_records) or (size > 0 and self.size + size > self.max_bytes):
                raise _Full(self.stamp + 1)
            self.records += records
            self.size += size
            self.stamp += 1
            return self.stamp

    def to_report(self, evicted: int, now: float) -> int:
        """Count evictions; return how many to warn about now, 0 while the last warning is recent."""
        with self.lock:
            self.unreported += evicted
            if now < self.quiet_until:
                return 0
            self.quiet_until = now + QUIET
            count, self.unreported = self.unreported, 0
            return count


class _Owners(_Guarded):
    """Some owners' keys. Most owners have one session, so its key stands alone; only several make a dict."""

    __slots__ = ("index",)

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[bytes, str | dict[str, None]] = {}

    def add(self, name: bytes, key: str) -> None:
        with self.lock:
            known = self.index.get(name)
            if isinstance(known, dict):
                known.pop(key, None)  # a dict would keep the key object it has, and with it a second copy of the key
                known[key] = None
            else:
                self.index[name] = key if known in (None, key) else dict.fromkeys((known, key))

    def remove(self, name: bytes, key: str) -> None:
        with self.lock:
            known = self.index.get(name)
            if isinstance(known, dict):
                known.pop(key, None)
            if not known or known == key:
                self.index.pop(name, None)

    def keys(self, name: bytes) -> list[str]:
        with self.lock:
            known = self.index.get(name, {})
            return [known] if isinstance(known, str) else list(known)


class _Shard(_Guarded):
    """A 256th of the records, in the order of their last write, and a wheel that says which to look at next.

    The wheel's buckets are dicts of keys under the time they are due, never later than a key expires. A bucket spans
    about a tenth of the time its records had left, so records that live for seconds and for months cost the same: each
    moves to a narrower bucket three or four times, and deleting it leaves nothing behind.
    """

    __slots__ = ("anonymous", "buckets", "dues", "labels", "number", "owned")

    def __init__(self, number: int, dues: list[float]) -> None:
        super().__init__()
        self.number, self.dues = number, dues  # dues[number] is this shard's labels[0], for all to see
        self.anonymous: dict[str, bytes] = {}
        self.owned: dict[str, bytes] = {}
        self.buckets: dict[float, dict[str, None]] = {}
        self.labels: list[float] = []  # a heap of the buckets' times

    def find(self, key: str) -> bytes | None:
        """Return a record, live or dead."""
        return self.anonymous.get(key) or self.owned.get(key)

    def live(self, key: str, now: float) -> bytes | None:
        held = self.find(key)
        return held if held is not None and HEAD.unpack_from(held)[0] > now else None

    def put(self, key: str, payload: bytes, expires: float, name: bytes, stamp: int, now: float) -> None:
        """Store a record and set it on the wheel. One that is there keeps its place in the order of writes."""
        left = expires - now
        # Down to a multiple of a power of two between a 16th and an 8th of what is left: always ahead of now.
        due = expires if left < 0.125 else expires - expires % 2.0 ** (frexp(left)[1] - 4)
        bucket = self.buckets.get(due)
        if bucket is None:
            bucket = self.buckets[due] = {}
            heappush(self.labels, due)
            self.dues[self.number] = self.labels[0]
        bucket[key] = None
        (self.owned if name else self.anonymous)[key] = HEAD.pack(expires, due, stamp, len(name)) + name + payload

    def take(self, key: str, held: bytes) -> None:
        """Remove a record, and its key from the wheel."""
        _, due, _, owned = HEAD.unpack_from(held)
        del (self.owned if owned else self.anonymous)[key]
        self.buckets[due].pop(key, None)

    def next_due(self) -> str | None:
        """Take a key out of the first bucket of the wheel; None where there was none, and the bucket is gone."""
        bucket = self.buckets[self.labels[0]]
        if bucket:
            return bucket.popitem()[0]
        del self.buckets[heappop(self.labels)]
        self.dues[self.number] = self.labels[0] if self.labels else inf
        return None


class MemoryStore:
    """Sessions in this process alone; they end with it. Right for one process with any number of threads.

    When it is full it gives up expired records first, then the least recently created, replaced or touched record
    without an owner, then the least recent of all, and warns of it at most once a minute. A read moves nothing.

    Expired records are reclaimed a few per write: no thread, no timer. ``close()`` does nothing: the records live as
    long as the store does, and it can be used afterwards. A forked child starts with a copy that goes its own way.

    Args:
        max_sessions: how many records are kept, those included that expired and were not reclaimed yet.
        max_bytes: how many bytes of payload are kept; some 250 bytes per record come on top. One payload larger than
            this is a ``StoreError``.
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
        self._dues = [inf] * SHARDS
        self._shards = [_Shard(number, self._dues) for number in range(SHARDS)]
        self._owners = [_Owners() for _ in range(SHARDS)]
        self._ledger = _Ledger(max_sessions, max_bytes)
        self._eviction = _Guarded()
        # No record of a shard has an older last write than this: without an owner, and owned. Only _evict looks here.
        self._oldest = ([0] * SHARDS, [0] * SHARDS)
        with _registry.lock:
            _stores.add(self)

    def load(self, key: str) -> tuple[bytes, float] | None:
        now = self._clock()
        shard = self._shards[hash(key) % SHARDS]
        with shard.lock:
            held = shard.find(key)
        if held is None:
            return None
        expires, _, _, owned = HEAD.unpack_from(held)
        return (held[HEAD.size + owned :], expires - now) if expires > now else None

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        return self._write(self._create, key, payload, ttl, _encoded(owner))

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        return self._write(partial(self._replace, expected), key, payload, ttl, _encoded(owner))

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        return self._write(self._touch, key, b"", ttl, b"")

    def delete(self, key: str) -> bool:
        now = self._clock()
        shard = self._shards[hash(key) % SHARDS]
        with shard.lock:
            held = shard.find(key)
            if held is not None:
                self._drop(shard, key, held)
        self._sweep(now)
        return held is not None and HEAD.unpack_from(held)[0] > now

    def owned_by(self, owner: str) -> Iterator[str]:
        name = _encoded(owner)
        for key in self._owners[hash(name) % SHARDS].keys(name):
            shard = self._shards[hash(key) % SHARDS]
            with shard.lock:
                held = shard.live(key, self._clock())
            if held is not None and _name(held) == name:
                yield key

    def keys(self) -> Iterator[str]:
        for shard in self._shards:
            with shard.lock:  # for two copies of at most some thousand references; the records are looked at afterwards
                keys = [*shard.anonymous, *shard.owned]
                records = [*shard.anonymous.values(), *shard.owned.values()]
            now = self._clock()
            yield from (key for key, held in zip(keys, records, strict=True) if HEAD.unpack_from(held)[0] > now)

    def purge(self) -> int:
        now = self._clock()
        removed = 0
        for shard in self._shards:
            while self._dues[shard.number] <= now:
                with shard.lock:
                    removed += self._reclaim(shard, now, BATCH)
        return removed

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _write(self, attempt: _Attempt, key: str, payload: bytes, ttl: float, name: bytes) -> bool:
        """Carry out an attempt under its shard's lock, after making room if need be."""
        if not 0 < ttl < inf:
            raise ValueError(f"ttl must be a positive number of seconds, not {ttl!r}")
        if len(payload) > self._ledger.max_bytes:
            raise StoreError(f"a payload of {len(payload)} bytes is more than max_bytes={self._ledger.max_bytes}")
        now = self._clock()
        shard = self._shards[hash(key) % SHARDS]
        try:
            with shard.lock:
                done = attempt(shard, now, key, payload, now + ttl, name)
        except _Full:
            done = self._make_room(shard, partial(attempt, shard, now, key, payload, now + ttl, name))
        self._sweep(now)
        return done

    def _create(self, shard: _Shard, now: float, key: str, payload: bytes, expires: float, name: bytes) -> bool:
        held = shard.find(key)
        if held is not None:
            if HEAD.unpack_from(held)[0] > now:
                return _payload(held) == payload
            self._drop(shard, key, held)
        self._put(shard, key, payload, expires, name, self._ledger.enter(1, len(payload)), now)
        return True

    def _replace(
        self, expected: bytes, shard: _Shard, now: float, key: str, payload: bytes, expires: float, name: bytes
    ) -> bool:
        held = shard.live(key, now)
        if held is None:
            return False
        current = _payload(held)
        if current != expected:
            return current == payload
        try:
            stamp = self._ledger.enter(0, len(payload) - len(current))
        except _Full:  # it is in use right now: the last in line while others make room
            stamp = self._ledger.enter(0, 0)
            self._rewrite(shard, key, held, current, HEAD.unpack_from(held)[0], _name(held), stamp, now)
            raise _Full(stamp) from None
        self._rewrite(shard, key, held, payload, expires, name, stamp, now)
        return True

    def _touch(self, shard: _Shard, now: float, key: str, _: bytes, expires: float, __: bytes) -> bool:
        held = shard.live(key, now)
        if held is None:
            return False
        self._rewrite(shard, key, held, _payload(held), expires, _name(held), self._ledger.enter(0, 0), now)
        return True

    def _put(
        self, shard: _Shard, key: str, payload: bytes, expires: float, name: bytes, stamp: int, now: float
    ) -> None:
        if name:
            self._owners[hash(name) % SHARDS].add(name, key)
        shard.put(key, payload, expires, name, stamp, now)

    def _rewrite(
        self, shard: _Shard, key: str, held: bytes, payload: bytes, expires: float, name: bytes, stamp: int, now: float
    ) -> None:
        """Put a record in place of the one held, last in the order of writes."""
        shard.take(key, held)
        self._put(shard, key, payload, expires, name, stamp, now)
        before = _name(held)
        if before and before != name:
            self._owners[hash(before) % SHARDS].remove(before, key)

    def _drop(self, shard: _Shard, key: str, held: bytes) -> None:
        name = _name(held)
        shard.take(key, held)
        if name:
            self._owners[hash(name) % SHARDS].remove(name, key)
        self._ledger.enter(-1, HEAD.size + len(name) - len(held))

    def _reclaim(self, shard: _Shard, now: float, steps: int) -> int:
        """Look at what is due in a shard, under its lock; return how many records were dead and are gone."""
        removed = 0
        while steps and self._dues[shard.number] <= now:
            steps -= 1
            key = shard.next_due()
            held = shard.find(key) if key else None
            if key is None or held is None:  # no record: a write was interrupted by an exception from outside
                continue
            expires, _, stamp, _ = HEAD.unpack_from(held)
            if expires <= now:
                self._drop(shard, key, held)
                removed += 1
            else:
                shard.put(key, _payload(held), expires, _name(held), stamp, now)
        return removed

    def _sweep(self, now: float) -> None:
        """After a write, reclaim a little in one shard; the writes go round, so that all get their turn."""
        number = self._ledger.stamp % SHARDS
        if self._dues[number] <= now:
            shard = self._shards[number]
            if shard.lock.acquire(blocking=False):
                try:
                    self._reclaim(shard, now, SWEEP)
                finally:
                    shard.lock.release()

    def _make_room(self, shard: _Shard, attempt: Callable[[], bool]) -> bool:
        """Give up one record after another until the attempt fits; one thread at a time."""
        evicted = 0
        with self._eviction.lock:
            while True:
                try:
                    with shard.lock:
                        done = attempt()
                    break
                except _Full as full:
                    if not self._free_expired():
                        evicted += self._evict(full.horizon)
        count = self._ledger.to_report(evicted, self._clock()) if evicted else 0
        if count:
            advice = "raise max_sessions or max_bytes, or use another store"
            event(
                logging.WARNING, "store.full", f"the memory store is full and ended sessions: {advice}", evicted=count
            )
        return done

    def _free_expired(self) -> int:
        now = self._clock()
        for _ in range(SEARCH):
            dues = self._dues.copy()
            due = min(dues)
            if due > now:
                break
            shard = self._shards[dues.index(due)]
            with shard.lock:
                removed = self._reclaim(shard, now, BATCH)
            if removed:
                return removed
        return 0

    def _evict(self, horizon: int) -> int:
        """Remove the least recently written record, one without an owner if there is any; return how many, 0 or 1.

        The dict order of a shard is the order of its last writes, so only the heads of the shards are compared, and
        ``_oldest`` keeps most of them from being looked at: a lower bound stays one, because numbers only grow.
        """
        for owned, bounds in enumerate(self._oldest):
            while (bound := min(bounds)) < horizon:
                number = bounds.index(bound)
                shard = self._shards[number]
                with shard.lock:
                    records = shard.owned if owned else shard.anonymous
                    key = next(iter(records), None)
                    stamp = HEAD.unpack_from(records[key])[2] if key is not None else horizon
                    if key is not None and stamp == bound:
                        self._drop(shard, key, records[key])
                        return 1
                    bounds[number] = stamp
        return 0


_Attempt = Callable[[_Shard, float, str, bytes, float, bytes], bool]

# A lock that another thread holds while a process forks is never released in the child, so a fork takes every lock
# first: what is in progress ends, and the child's copy is whole. New locks there, as the waiters of the old ones are
# gone. Stores are known by weak references, or none would ever be freed.
_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()
_registry = _Guarded()
_taken: list[_Guarded] = []


def _before_fork() -> None:
    _registry.lock.acquire()
    _taken.append(_registry)
    for store in list(_stores):
        # In the order in which operations take them: room, a shard, an owner or the ledger.
        for part in (store._eviction, *store._shards, *store._owners, store._ledger):
            part.lock.acquire()
            _taken.append(part)


def _after_fork_in_parent() -> None:
    while _taken:
        _taken.pop().lock.release()


def _after_fork_in_child() -> None:
    while _taken:
        _taken.pop().lock = Lock()


# Where there is no fork there is nothing to register with (Windows).
getattr(os, "register_at_fork", lambda **hooks: None)(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
