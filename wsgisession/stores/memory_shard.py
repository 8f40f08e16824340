"""The parts of a memory store: shards of records, and the totals over all of them.

A record is one ``bytes`` object: a fixed head, then owner and payload. So the garbage collector has nothing to visit.

There is one lock for all stores. A change under it is made completely or not at all. CPython runs other code (a signal
handler, a finalizer, another thread) only when a function begins, a call has returned, or a loop goes round; up to 3.11
also when a container is made. So under the lock nothing is called and nothing loops. Then an exception from outside
cannot leave a change half done, and code that uses the store from inside an operation never finds it locked by its own
thread. (The lock keeps out the threads of a Python without a GIL.) What a change needs is prepared before, without the
lock. Under the lock, the first step is to check that what was read is still there. If it is not, the change is not
made, and the operation reads again. (The lock is re-entrant only for the copies that listings make under it, and for
the case that memory ran out.)

This module does not know how many shards there are, what a payload means, or what time it is.
"""

from __future__ import annotations

import os
from itertools import islice
from math import frexp, inf
from struct import Struct
from threading import RLock

# A record: when it expires, when the wheel looks at it, the number of its last write, the length of the owner's name;
# then the owner's name (b"=" and UTF-8; empty without an owner) and the payload.
HEAD = Struct("<ddQH")
SIZE = HEAD.size
pack, unpack = HEAD.pack, HEAD.unpack_from

lock = RLock()
# A fork waits until nobody holds the lock, so that the child's copy is whole. Windows has no fork, and no hooks.
getattr(os, "register_at_fork", lambda **hooks: None)(
    before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
)


def owner_name(owner: str) -> bytes:
    """Return how an owner is written in records and in the index."""
    return b"=" + owner.encode("utf-8", "surrogatepass")


class Full(Exception):
    """A write does not fit. Records last written before number ``horizon`` may be removed to make room."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon


class Totals:
    """The totals over all shards, and the number of the latest write."""

    __slots__ = ("max_bytes", "max_records", "records", "size", "stamp")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.max_records, self.max_bytes = max_records, max_bytes
        self.records = self.size = self.stamp = 0


class Shard:
    """Some of the records in the order of their last write, their owners, and which records to look at next.

    The wheel's buckets are dicts of keys under the time they are due, never later than a key expires. A
    bucket spans about a tenth of the time its records had left, so a record that lives for months costs the same as one
    that lives for seconds: each moves to a narrower bucket three or four times. Deleting a record leaves nothing
    behind. A bucket maps each key to itself, to the one object that is also the key in the records and in the index.

    Most owners have one session. Its key is in ``first``. If an owner has more sessions in the same shard, their keys
    are in a dict in ``more``.
    """

    __slots__ = ("anonymous", "buckets", "dues", "first", "made", "more", "number", "owned", "totals")

    def __init__(self, number: int, dues: list[float], totals: Totals) -> None:
        # dues[number]: no bucket of this shard is due earlier. Other code reads it.
        self.number, self.dues = number, dues
        self.totals = totals
        self.anonymous: dict[str, bytes] = {}
        self.owned: dict[str, bytes] = {}
        self.first: dict[bytes, str] = {}
        self.more: dict[bytes, dict[str, None]] = {}
        self.buckets: dict[float, dict[str, str]] = {}
        self.made = 0  # how many buckets were ever made

    def find(self, key: str) -> bytes | None:
        """Return a record, live or dead. Without a GIL, this waits for a write that is half done."""
        with lock:
            if key in self.anonymous:
                return self.anonymous[key]
            return self.owned[key] if key in self.owned else None

    def create(self, key: str, payload: bytes, expires: float, name: bytes, now: float) -> bool:
        while True:
            held = self.anonymous.get(key) or self.owned.get(key)
            if held is not None:
                until, _, _, length = unpack(held)
                if until > now:
                    return held[SIZE + length :] == payload
                self._take(key, held)
            elif self._add(key, payload, expires, name, now):
                return True

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, name: bytes, now: float
    ) -> bool:
        """Replace a payload; without a ``ttl`` the expiry and the owner stay, whatever name is given."""
        while True:
            held = self.anonymous.get(key) or self.owned.get(key) or self.find(key)
            if held is None:
                return False
            until, due, _, length = unpack(held)
            start = SIZE + length
            current = held[start:]
            if until <= now or current != expected:
                return until > now and current == payload
            owner = held[SIZE:start]
            if ttl is None:
                expires, name = until, owner
            elif due > (expires := now + ttl):
                self._move(key, held, _due(expires, now))
                continue
            stamp = self.totals.stamp + 1
            try:
                record = pack(expires, due, stamp, len(name)) + name + payload
                if self._write(key, held, due, record, len(payload) - len(current), owner, name):
                    return True
            except Full:  # it is in use now, so it is the last to be removed if others need room
                self._write(key, held, due, pack(until, due, stamp, length) + held[SIZE:], 0, owner, owner)
                raise Full(stamp) from None

    def touch(self, key: str, expires: float, expected: bytes | None, now: float) -> bool:
        while True:
            held = self.anonymous.get(key) or self.owned.get(key) or self.find(key)
            if held is None:
                return False
            until, due, _, length = unpack(held)
            start = SIZE + length
            if until <= now or (expected is not None and held[start:] != expected):
                return False
            if due > expires:
                self._move(key, held, _due(expires, now))
                continue
            owner = held[SIZE:start]
            record = pack(expires, due, self.totals.stamp + 1, length) + held[SIZE:]
            if self._write(key, held, due, record, 0, owner, owner):
                return True

    def delete(self, key: str, expected: bytes | None, now: float) -> bool:
        while True:
            held = self.anonymous.get(key) or self.owned.get(key) or self.find(key)
            if held is None:
                return False
            until, _, _, length = unpack(held)
            live: bool = until > now
            if live and expected is not None and held[SIZE + length :] != expected:
                return False
            if self._take(key, held):
                return live

    def evict(self, owned: bool, stamp: int, horizon: int) -> tuple[bool, int]:
        """Remove the least recently written record, owned or not, if that write had this number.

        Returns:
            Whether it was removed, and the number that the least recent write has now, or will have.
        """
        records = self.owned if owned else self.anonymous
        removed = False
        while True:
            with lock:
                for key in records:
                    held = records[key]
                    break
                else:
                    return removed, horizon
            least: int = unpack(held)[2]
            if removed or least != stamp:
                return removed, least
            removed = self._take(key, held)

    def reclaim(self, now: float, steps: int) -> int:
        """Look at records that are due, at most so many, and return how many dead ones were removed."""
        removed = 0
        while steps > 0 and (due := self.dues[self.number]) <= now:
            try:
                keys = list(islice(self.buckets.get(due, ()), steps))
            except RuntimeError:  # the bucket changed while it was read: look again
                steps -= 1
                continue
            for key in keys:
                held = self.anonymous.get(key) or self.owned.get(key) or self.find(key)
                if held is None:
                    continue  # it was removed just now
                expires, at, _, _ = unpack(held)
                if expires <= now:
                    removed += self._take(key, held)
                elif at == due:  # otherwise it was moved just now
                    self._move(key, held, _due(expires, now))
            if len(keys) < steps:
                self._turn()
            steps -= len(keys) or 1
        return removed

    def snapshot(self) -> dict[str, bytes]:
        """Return all records by key; under the lock only references are copied."""
        with lock:
            return {**self.anonymous, **self.owned}

    def owned_by(self, name: bytes) -> dict[str, None]:
        """Return the keys under which this owner has records, dead ones included."""
        with lock:
            more = self.more[name] if name in self.more else None
            keys = {} if more is None else {**more}
            if name in self.first:
                keys[self.first[name]] = None
            return keys

    def _add(self, key: str, payload: bytes, expires: float, name: bytes, now: float) -> bool:
        """Add a record. False, and no change, if the key has one by now; raises ``Full``."""
        totals = self.totals
        if totals.records >= totals.max_records or totals.size + len(payload) > totals.max_bytes:
            raise Full(totals.stamp + 1)
        due, length = _due(expires, now), len(payload)
        record = pack(expires, due, totals.stamp + 1, len(name)) + name + payload
        records = self.owned if name else self.anonymous
        bucket: dict[str, str] = {}
        more: dict[str, None] = {}
        with lock:
            number, size, stamp = totals.records + 1, totals.size + length, totals.stamp + 1
            if (
                key in self.anonymous
                or key in self.owned
                or number > totals.max_records
                or size > totals.max_bytes
            ):
                return False
            try:
                if due not in self.buckets:
                    self.buckets[due] = bucket
                    self.made += 1
                    if due < self.dues[self.number]:
                        self.dues[self.number] = due
                self.buckets[due][key] = key
                if name and name not in self.first:
                    self.first[name] = key
                elif name:
                    if name not in self.more:
                        self.more[name] = more
                    self.more[name][key] = None
                records[key] = record
                totals.records, totals.size, totals.stamp = number, size, stamp
            except BaseException:
                self._undo(key, None, name)
                raise
        return True

    def _write(
        self, key: str, held: bytes, due: float, record: bytes, growth: int, before: bytes, name: bytes
    ) -> bool:
        """Replace the held record, as the latest write, in the same bucket of the wheel.

        Returns:
            False, and no change, if the held record is not there any more.

        Raises:
            Full: the new payload is larger, and there is no room.
        """
        totals = self.totals
        if growth > 0 and totals.size + growth > totals.max_bytes:
            raise Full(totals.stamp + 1)
        here, there = self.owned if before else self.anonymous, self.owned if name else self.anonymous
        moves = before != name
        more: dict[str, None] = {}
        with lock:
            size, stamp = totals.size + growth, totals.stamp + 1
            if key not in here or here[key] is not held or (growth > 0 and size > totals.max_bytes):
                return False
            try:
                key = self.buckets[due][key]
                if moves:
                    if name and name not in self.first:
                        self.first[name] = key
                    elif name:
                        if name not in self.more:
                            self.more[name] = more
                        self.more[name][key] = None
                    if before in self.first and self.first[before] == key:
                        del self.first[before]
                    elif before:
                        del self.more[before][key]
                        if not self.more[before]:
                            del self.more[before]
                del here[key]
                there[key] = record
                totals.size, totals.stamp = size, stamp
            except BaseException:
                self._undo(key, held, name)
                raise
        return True

    def _move(self, key: str, held: bytes, due: float) -> None:
        """Move a record to another bucket of the wheel, if it is still there. Its place in the order of writes stays."""
        expires, former, stamp, length = unpack(held)
        records = self.owned if length else self.anonymous
        record = pack(expires, due, stamp, length) + held[SIZE:]
        bucket: dict[str, str] = {}
        with lock:
            if key not in records or records[key] is not held:
                return
            try:
                key = self.buckets[former][key]
                if due not in self.buckets:
                    self.buckets[due] = bucket
                    self.made += 1
                    if due < self.dues[self.number]:
                        self.dues[self.number] = due
                self.buckets[due][key] = key
                del self.buckets[former][key]
                if not self.buckets[former]:
                    del self.buckets[former]
                records[key] = record
            except BaseException:
                self._undo(key, held, b"")
                raise

    def _take(self, key: str, held: bytes) -> bool:
        """Remove a record from everywhere. False, and no change, if it is not there any more."""
        _, due, _, length = unpack(held)
        start = SIZE + length
        name, released = held[SIZE:start], len(held) - start
        records, totals = self.owned if name else self.anonymous, self.totals
        with lock:
            if key not in records or records[key] is not held:
                return False
            number, size, stamp = totals.records - 1, totals.size - released, totals.stamp + 1
            try:
                del self.buckets[due][key]
                if not self.buckets[due]:
                    del self.buckets[due]
                if name in self.first and self.first[name] == key:
                    del self.first[name]
                elif name:
                    del self.more[name][key]
                    if not self.more[name]:
                        del self.more[name]
                del records[key]
                totals.records, totals.size, totals.stamp = number, size, stamp
            except BaseException:
                self._undo(key, held, b"")
                raise
        return True

    def _undo(self, key: str, held: bytes | None, name: bytes) -> None:
        """Undo a change in which memory ran out half way. No other error can happen there.

        The key is removed everywhere. Then the held record is added again, as the latest write. If there is no memory
        for that either, its session is lost.
        """
        self.dues[self.number] = -inf  # look at the wheel again
        self._forget(key, name)
        if held is None:
            return
        _, due, _, length = unpack(held)
        before, size = held[SIZE : SIZE + length], len(held) - SIZE - length
        self._forget(key, before)
        self.totals.records -= 1
        self.totals.size -= size
        try:
            self.buckets.setdefault(due, {})[key] = key
            if before:
                self.more.setdefault(before, {})[key] = None
            (self.owned if before else self.anonymous)[key] = held
        except MemoryError:
            self._forget(key, before)
            raise
        self.totals.records += 1
        self.totals.size += size

    def _forget(self, key: str, name: bytes) -> None:
        """Remove a key everywhere, also from this owner's keys."""
        for due, bucket in list(self.buckets.items()):
            bucket.pop(key, None)
            if not bucket:
                self.buckets.pop(due)
        if self.first.get(name) == key:
            self.first.pop(name)
        self.more.get(name, {}).pop(key, None)
        if name in self.more and not self.more[name]:
            self.more.pop(name)
        self.anonymous.pop(key, None)
        self.owned.pop(key, None)

    def _turn(self) -> None:
        """Look which bucket is next, because one was emptied. (A bucket is removed with its last key.)"""
        made = self.made
        earliest = min(list(self.buckets), default=inf)
        with lock:
            if self.made == made:  # otherwise a new bucket may be due earlier: look again next time
                self.dues[self.number] = earliest


def _due(expires: float, now: float) -> float:
    """Return when the wheel looks at a record with this expiry."""
    left = expires - now
    # Rounded down to a multiple of a power of two between a 16th and an 8th of what is left: always later than now.
    return expires if left < 0.125 else expires - expires % 2.0 ** (frexp(left)[1] - 4)
