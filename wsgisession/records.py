"""Records: loads, lists and ends the sessions of a store by key. Logs each failure of the store once.

Every call of the store goes through here. Knows no drafts, no cookies and no WSGI.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from math import inf
from time import monotonic
from typing import TypeVar, TypeVarTuple

from wsgisession.codec import Codec
from wsgisession.errors import SessionConflict, StoreError
from wsgisession.info import SessionInfo, SessionItems
from wsgisession.limits import MARKER_SECONDS, Limits
from wsgisession.log import Summed, event
from wsgisession.record import Marker, Record
from wsgisession.stores.base import NO_EXPIRY, Store

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ATTEMPTS = 250  # with the pauses below some six seconds; 64 writers of one key need a few dozen
_SHORTEST = 0.0005  # seconds
_HOPS = 8  # so many changes of id are followed, because markers may lead in a circle
_BATCH = 1000  # keys in one read of the store
_TRIES = 8  # writes of others to a session that is to end soon
_NOBODYS = Record(0.0, None, False, {})  # what a store has to know of a marker: it has no owner
_OUTAGE = 3  # after so many failed loads in a row, the store is at fault, and not the payloads


class Stored:
    """A live record with the state that it has in the store.

    Args:
        until: When it expires, by ``time.monotonic``, so a change of the wall clock does not matter. Minus infinity:
            somebody removed its expiry.
    """

    __slots__ = ("key", "payload", "record", "until")

    def __init__(self, key: str, payload: bytes, record: Record, until: float) -> None:
        self.key = key
        self.payload = payload
        self.record = record
        self.until = until

    def left(self) -> float:
        """Return the seconds that this record has left. It is always more than 0, because the store decides when it
        ends.
        """
        left = self.until - monotonic()
        if left > _SHORTEST:
            return left
        return NO_EXPIRY if left == -inf else _SHORTEST


class End(Enum):
    """The result of ending a session."""

    ENDED = "ended"
    NOTHING = "there was none"
    LED_ON = "a login or logout gave the browser a newer cookie"


@dataclass(repr=False, eq=False)
class Records:
    """The sessions of one store, by key.

    Args:
        clock: POSIX seconds.
        show: a key as logs may name it.
        sleep: waits so many seconds.
    """

    store: Store
    codec: Codec
    limits: Limits
    clock: Callable[[], float] = time.time
    show: Callable[[str], str] = str
    # Looked up when the object is made: gevent may have replaced it by then.
    sleep: Callable[[float], None] = field(default_factory=lambda: time.sleep)
    _failures: Summed = field(default_factory=lambda: Summed("store error", logging.ERROR))

    # One operation of the store each

    def find(self, key: str) -> Stored | Marker | None:
        """Return the record or marker of a key. None: there is none, or it cannot be read (logged)."""
        # The clock is read before the store is asked, so the time for the answer never moves an expiry later.
        since = monotonic()
        try:
            found = self.store.load(key)
            return None if found is None else self._read(key, found, since)
        except StoreError as error:  # of the store, or a record of a later version
            self.failed(error, "load", since, key)
            raise

    def create(self, key: str, payload: bytes, record: Record, ttl: float) -> Stored | None:
        """Put a record under a free key. None: the key is taken."""
        since = monotonic()
        try:
            done = self.store.create(key, payload, ttl, record.owner)
        except StoreError as error:
            self.failed(error, "create", since, key)
            raise
        return Stored(key, payload, record, since + ttl) if done else None

    def replace(self, stored: Stored, payload: bytes, record: Record, ttl: float | None) -> Stored | None:
        """Swap in a record. None: another one stands there by now, or nothing does. ``ttl`` None: the expiry stays."""
        since = monotonic()
        try:
            done = self.store.replace(stored.key, stored.payload, payload, ttl, record.owner)
        except StoreError as error:
            self.failed(error, "replace", since, stored.key)
            raise
        until = stored.until if ttl is None else since + ttl
        return Stored(stored.key, payload, record, until) if done else None

    def touch(self, stored: Stored, ttl: float) -> Stored | None:
        """Set the expiry of a record. None: it is no longer what stands there."""
        key, record, since = stored.key, stored.record, monotonic()
        done = self._ask("touch", self.store.touch, key, ttl, record.owner, stored.payload)
        return Stored(key, stored.payload, record, since + ttl) if done else None

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Remove the record or marker of a key. False: there was none, or it was not ``expected``."""
        return self._ask("delete", self.store.delete, key, expected)

    def _ask(self, name: str, operation: Callable[[str, *Ts], T], key: str, *arguments: *Ts) -> T:
        """Call an operation of the store. If it fails, that is logged.

        ``find``, ``create`` and ``replace`` do the same by hand: through here, a write takes 4 % longer.
        """
        since = monotonic()
        try:
            return operation(key, *arguments)
        except StoreError as error:
            self.failed(error, name, since, key)
            raise

    def leave_marker(self, stored: Stored, successor: str, *, owner_changed: bool) -> bool:
        """Swap a live record for a marker that names its new key. False: another request wrote first."""
        if not self.codec.markers:
            return self.delete(stored.key, stored.payload)
        marker = self.codec.pack(Marker(successor, owner_changed))
        return self.replace(stored, marker, _NOBODYS, MARKER_SECONDS) is not None

    def mark(self, key: str, successor: str) -> None:
        """Leave the marker of a login or a logout under a key, if nothing stands there."""
        if self.codec.markers:
            self.create(key, self.codec.pack(Marker(successor, True)), _NOBODYS, MARKER_SECONDS)

    def _read(self, key: str, found: tuple[bytes, float], since: float) -> Stored | Marker | None:
        payload, left = found
        try:
            content = self.codec.unpack(payload)
        except ValueError as error:
            event(logging.ERROR, "unreadable", f"a record cannot be read: {error}", key=self.show(key))
            return None
        if isinstance(content, Marker):
            return content
        return Stored(key, payload, content, since + left if left != NO_EXPIRY else -inf)

    def end_soon(self, stored: Stored) -> None:
        """Let a session end within a minute unless it is used: the browser may keep its cookie, or a newer one."""
        owner = stored.record.owner
        latest: Stored | None = stored
        with suppress(StoreError):  # logged; the login before it is still done
            for _ in range(_TRIES):
                if latest is None or latest.record.owner != owner:
                    return
                if NO_EXPIRY < latest.left() <= MARKER_SECONDS or self.touch(latest, MARKER_SECONDS):
                    return
                latest = self.follow(self.find(latest.key))  # another request wrote to it

    # Listing

    def info(self, stored: Stored) -> SessionInfo:
        """Describe a live session."""
        record, now, left = stored.record, self.clock(), stored.left()
        used = min(max(record.created, now + left - self.limits.timeout(record)), now)
        items = SessionItems(record, self.codec)
        return SessionInfo(stored.key, record.owner, record.created, now + left, used, items)

    def every(self) -> Iterator[Stored]:
        """Yield every live session, read in batches.

        Raises:
            StoreError: The store failed, or a record cannot be used; in the second case after all others.
        """
        unusable: list[StoreError] = []
        yield from self._live(self._named("keys", self.store.keys), unusable)
        if unusable:
            raise unusable[0]

    def owned_by(self, owner: str, keep: Collection[str] = ()) -> list[Stored]:
        """List an owner's live sessions, newest first.

        Args:
            keep: keys to leave out, and what a change of id made of them meanwhile.
        """
        unusable: list[StoreError] = []
        mine, _ = self._owned(owner, unusable)
        if unusable:
            raise unusable[0]
        return self._without(mine, keep)

    def _owned(self, owner: str, unusable: list[StoreError]) -> tuple[list[Stored], set[str]]:
        """List an owner's live sessions, and the keys the index named under which none lives.

        The index may name too many, so each record is read.

        Args:
            unusable: gets the last error, if some records cannot be used or the store is out.
        """
        keys = set(self._named("owned_by", lambda: self.store.owned_by(owner)))
        live: list[Stored] = []
        with suppress(StoreError):  # an outage: what was read is used, and ``unusable`` has the error
            live.extend(self._live(keys, unusable))
        live.sort(key=lambda stored: -stored.record.created)
        mine = [stored for stored in live if stored.record.owner == owner]
        return mine, keys - {stored.key for stored in live}

    def _named(self, operation: str, names: Callable[[], Iterator[str]]) -> Iterator[str]:
        since = monotonic()
        try:
            yield from names()
        except StoreError as error:
            self.failed(error, operation, since)
            raise

    def _live(self, keys: Iterable[str], unusable: list[StoreError]) -> Iterator[Stored]:
        failed = 0  # loads in a row
        remaining = iter(keys)
        while batch := list(islice(remaining, _BATCH)):
            since, payloads = monotonic(), self._payloads(batch)
            for key in batch:
                try:
                    failed += 1  # until it has succeeded
                    item = self._ask("load", self.store.load, key) if payloads is None else payloads[key]
                    failed = 0
                    found = None if item is None else self._read(key, item, since)
                except StoreError as error:
                    # Only the last one, because each keeps its record in memory
                    unusable[:] = [self.failed(error, "load", since, key)]
                    if failed == _OUTAGE:
                        raise
                else:
                    if isinstance(found, Stored):
                        yield found

    def _payloads(self, keys: list[str]) -> dict[str, tuple[bytes, float] | None] | None:
        """Return what stands under some keys, in one look. None: the store has to be asked for each key."""
        load_many = getattr(self.store, "load_many", None)
        try:
            return None if load_many is None else dict(zip(keys, load_many(keys), strict=True))
        except StoreError:  # an outage, or one payload that cannot be used: key by key tells
            return None

    # Ending

    def end(self, key: str) -> End:
        """End the session under a key, and if its id was changed by ``regenerate()``, the one that this led to.

        A record that cannot be read, or of a later version, is ended too.
        """
        hops = 0
        for _ in self.attempts():
            found = self._ask("load", self.store.load, key)
            if found is None or hops > _HOPS:
                return End.NOTHING
            marker = self._as_marker(found[0])
            if marker is None:
                if self.delete(key, found[0]):
                    return End.ENDED
            elif marker.owner_changed or marker.successor is None:
                return End.LED_ON
            else:
                key, hops = marker.successor, hops + 1
        raise self.conflict(key)

    def marker(self, key: str) -> Marker | None:
        """Return the marker under a key. None: there is none, whatever else is there."""
        found = self._ask("load", self.store.load, key)
        return None if found is None else self._as_marker(found[0])

    def _as_marker(self, payload: bytes) -> Marker | None:
        try:
            content = self.codec.unpack(payload)
        except (ValueError, StoreError):
            return None
        return content if isinstance(content, Marker) else None

    def end_owned(self, owner: str, keep: Collection[str], claim: Callable[[], bool] | None = None) -> int:
        """End an owner's sessions except those in ``keep``; list again until a pass finds nothing to end.

        If a listed key had no live session when it was read, the id may have changed in between, and the new key is
        only in the next listing. An index may name such a key again and again, so it counts only once.

        Args:
            keep: keys. If the id of such a session changes meanwhile, the session is kept too.
            claim: called between listing and ending. False: nobody may be ended any more.

        Returns:
            How many ended.

        Raises:
            StoreError: The store failed, or a record cannot be used; in the second case all others have ended.
        """
        count = 0
        vanished: set[str] = set()
        for _ in self.attempts():
            unusable: list[StoreError] = []
            mine, dead = self._owned(owner, unusable)
            doomed = self._without(mine, keep)
            if not doomed and dead <= vanished:
                if unusable:
                    raise unusable[0]
                return count
            vanished |= dead
            if doomed and claim is not None and not claim():
                return count
            for stored in doomed:
                if self.delete(stored.key, stored.payload):
                    count += 1
                    event(logging.INFO, "revoked", "session revoked", key=self.show(stored.key), owner=owner)
        raise SessionConflict("sessions of this owner kept appearing while they were being ended")

    def _without(self, mine: list[Stored], keep: Collection[str]) -> list[Stored]:
        kept = set(keep)
        if any(stored.key not in kept for stored in mine):  # otherwise nothing needs to be read
            heirs = [self.follow(self.find(key)) for key in keep]
            kept.update(heir.key for heir in heirs if heir is not None)
        return [stored for stored in mine if stored.key not in kept]

    def follow(self, stands: Stored | Marker | None) -> Stored | None:
        """Return the live session that a marker leads to; a live session leads to itself."""
        for _ in range(_HOPS):
            if not isinstance(stands, Marker) or stands.successor is None:
                break
            stands = self.find(stands.successor)
        return stands if isinstance(stands, Stored) else None

    # If others are faster, and if the store fails

    def attempts(self, failed: int = 0) -> Iterator[None]:
        """Yield for each attempt, up to a generous bound. Before it there is a jittered pause, so that others write first.

        An attempt begins with a load: a pause between a load and its swap would make the swap fail again.

        Args:
            failed: so many attempts were made already.
        """
        for attempt in range(failed, _ATTEMPTS):
            if attempt:
                self.sleep(random.random() * min(0.05, 0.0005 * 2 ** min(attempt, 10)))
            yield

    def conflict(self, key: str) -> SessionConflict:
        """Return the error for a swap that kept failing, logged."""
        event(logging.ERROR, "conflict", "compare-and-swap kept failing", key=self.show(key))
        return SessionConflict("other requests kept changing this session; nothing of this change was saved")

    def failed(self, error: StoreError, operation: str, since: float, key: str | None = None) -> StoreError:
        """Log a failure of the store once, although the error passes here several times. Returns the error."""
        if not error.logged:
            error.logged = True
            fields = {} if key is None else {"key": self.show(key)}
            took = round(monotonic() - since, 3)
            self._failures.add(str(error), operation=operation, seconds=took, **fields)
        return error
