"""What a memory store is made of: shards of records, and the totals over all of them.

A record is one ``bytes`` object, a fixed head before owner and payload, so a garbage collection has nothing
to visit.

There is one lock for all stores, and what is done under it is done whole or not at all. CPython runs other
code (a signal handler, a finalizer, another thread) only when a function begins, a call has returned, or a
loop goes round; up to 3.11 also when a container is made. So under the lock nothing is called and nothing
loops: there is no place at which an exception from outside could leave a change half done, and no code that
uses the store from inside an operation can ever find it locked by its own thread. (The lock keeps out the
threads of a Python without a GIL.) What a change needs is prepared before, without the lock. Under the lock,
the first thing is to see whether what was read still stands. If it does not, the change is not made, and the
operation looks again. (It is a re-entrant lock only for the copies that listings make under it, and for what
follows when memory ran out.)

This module does not know how many shards there are, what a payload means, or which time it is.
"""

from __future__ import annotations

import os
from itertools import islice
from math import frexp, inf
from struct import Struct
from threading import RLock

# A record: when it expires, when the wheel looks at it, the number of its last write, the length of the
# owner's name; then that name (b"=" and UTF-8; nothing without an owner) and the payload.
HEAD = Struct("<ddQH")
SIZE = HEAD.size
pack, unpack = HEAD.pack, HEAD.unpack_from

lock = RLock()
# A fork waits for what is done under the lock, so that the child's copy is whole. Windows has no fork, and no
# hooks.
getattr(os, "register_at_fork", lambda **hooks: None)(
    before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
)


def owner_name(owner: str) -> bytes:
    """Return how an owner is written in records and in the index."""
    return b"=" + owner.encode("utf-8", "surrogatepass")


class Full(Exception):
    """A write does not fit. Records last written before number ``horizon`` may go to make room for it."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon


class Totals:
    """The totals over all shards, and the number of the latest write."""

    __slots__ = ("max_bytes", "max_records", "records", "size", "stamp")

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.max_records, self.max_bytes = max_records, max_bytes
        self.records = self.size = self.stamp = 0


class Shard:
    """Some of the records in the order of their last write, who owns them, and which to look at next.

    The wheel's buckets are dicts of keys under the time they are due, never later than a key expires. A
    bucket spans about a tenth of the time its records had left, so records that live for seconds and for
    months cost the same: each moves to a narrower bucket three or four times, and deleting it leaves nothing
    behind. A bucket maps each key to itself: the one object that the records and the index have as their key,
    too.

    Most owners have one session, whose key stands in ``first``. Only further ones in the same shard make a
    dict, in ``more``.
    """

    __slots__ = ("anonymous", "buckets", "dues", "first", "made", "more", "number", "owned", "totals")

    def __init__(self, number: int, dues: list[float], totals: Totals) -> None:
        # dues[number]: no bucket of this shard is due earlier, for all to see.
        self.number, self.dues = number, dues
        self.totals = totals
        self.anonymous: dict[str, bytes] = {}
        self.owned: dict[str, bytes] = {}
        self.first: dict[bytes, str] = {}
        self.more: dict[bytes, dict[str, None]] = {}
        self.buckets: dict[float, dict[str, str]] = {}
        self.made = 0  # buckets, ever

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
        """Swap in a payload; without a ``ttl`` the expiry and the owner stay, whatever name is given."""
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
            except Full:  # it is in use right now, so the last in line while others make room
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
            Whether it was removed, and the number of the least recent write there is now, or will be.
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
        """Look at what is due, that many records at most; return how many were dead and are gone."""
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
                    continue  # it was removed at this very moment
                expires, at, _, _ = unpack(held)
                if expires <= now:
                    removed += self._take(key, held)
                elif at == due:  # else it was moved at this very moment
                    self._move(key, held, _due(expires, now))
            if len(keys) < steps:
                self._turn()
            steps -= len(keys) or 1
        return removed

    def snapshot(self) -> dict[str, bytes]:
        """Return all records by key; the lock is held for copies of references only."""
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
        """Put a record where none is. False, and no change, if one is there by now; raises ``Full``."""
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
        """Put a record in place of the one held, as the latest write, on the same spot of the wheel.

        Returns:
            False, and no change, if what is held does not stand there any more.

        Raises:
            Full: its payload grows, and there is no room.
        """
        totals = self.totals
        if growth > 0 and totals.size + growth > totals.max_bytes:
            raise Full(totals.stamp + 1)
        here, there = self.owned if before else self.anonymous, self.owned if name else self.anonymous
        leaves, joins = (b"", b"") if before == name else (before, name)
        more: dict[str, None] = {}
        with lock:
            size, stamp = totals.size + growth, totals.stamp + 1
            if key not in here or here[key] is not held or (growth > 0 and size > totals.max_bytes):
                return False
            try:
                key = self.buckets[due][key]
                if joins and joins not in self.first:
                    self.first[joins] = key
                elif joins:
                    if joins not in self.more:
                        self.more[joins] = more
                    self.more[joins][key] = None
                if leaves in self.first and self.first[leaves] == key:
                    del self.first[leaves]
                elif leaves:
                    del self.more[leaves][key]
                    if not self.more[leaves]:
                        del self.more[leaves]
                del here[key]
                there[key] = record
                totals.size, totals.stamp = size, stamp
            except BaseException:
                self._undo(key, held, name)
                raise
        return True

    def _move(self, key: str, held: bytes, due: float) -> bool:
        """Set a record on another spot of the wheel; it keeps its place in the order of writes."""
        expires, former, stamp, length = unpack(held)
        records = self.owned if length else self.anonymous
        record = pack(expires, due, stamp, length) + held[SIZE:]
        bucket: dict[str, str] = {}
        with lock:
            if key not in records or records[key] is not held:
                return False
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
        return True

    def _take(self, key: str, held: bytes) -> bool:
        """Remove a record and all that knows of it. False, and no change, if it is not there any more."""
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
        """Take back a change in which memory ran out half way: nothing else can come up there.

        Whatever knows of the key goes; then what was held comes again, as the latest write. If there is no
        memory for that either, its session is lost.
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
        """Remove whatever knows of a key, and what this owner has of it."""
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
        """See which bucket is next, because one was emptied. (It went with its last key.)"""
        made = self.made
        earliest = min(list(self.buckets), default=inf)
        with lock:
            if self.made == made:  # otherwise a new bucket may be earlier: look again next time
                self.dues[self.number] = earliest


def _due(expires: float, now: float) -> float:
    """Return when the wheel looks at a record that expires then."""
    left = expires - now
    # Down to a multiple of a power of two between a 16th and an 8th of what is left: always ahead of now.
    return expires if left < 0.125 else expires - expires % 2.0 ** (frexp(left)[1] - 4)
