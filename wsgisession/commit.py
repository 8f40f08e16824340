"""How a draft gets into a store: create, replace, merge and retry, touch, drop. Knows no cookies and no WSGI.

Every write is a compare-and-swap on the payload that was read. Where it fails another request wrote first: its record is
loaded, merged with ours, and the swap tried again. Where no record is left, ours is dropped: gone is gone.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import NamedTuple

from wsgisession.codec import JSONCodec, Record
from wsgisession.draft import Draft
from wsgisession.errors import SessionConflict, SessionTooLarge, StoreError
from wsgisession.limits import Limits, Timeouts
from wsgisession.log import event
from wsgisession.stores.base import Store

TOMBSTONE_SECONDS = 60.0
SHORTEST = 0.001  # seconds
ATTEMPTS = 250  # with the pauses below some six seconds; 64 writers of one key need a few dozen


class SessionInfo(NamedTuple):
    """One live session in a listing. Times in POSIX seconds."""

    key: str
    owner: str | None
    created: float
    expires: float


class Stored:
    """A payload as it stands in the store. ``record`` is None where it is a tombstone."""

    __slots__ = ("_left", "_since", "key", "moved", "payload", "record")

    def __init__(self, key: str, payload: bytes, record: Record | None, left: float, moved: bool = False) -> None:
        self.key = key
        self.payload = payload
        self.record = record
        self._left = left
        self._since = time.monotonic()  # a stepped wall clock must not change what is left
        self.moved = moved  # the commit that made this set the expiry anew

    def left(self) -> float:
        """Return the seconds this record still has: a little at least, the store has the last word; 0: it has no expiry."""
        left = self._left - (time.monotonic() - self._since)
        return left if left > SHORTEST else self._left and SHORTEST

    def max_age(self) -> int:
        """Return the same in whole seconds, as a cookie says it."""
        return max(round(self.left()), 1)


class Overtaken(Exception):
    """Another request saved in between, and the caller did not want its changes merged."""

    def __init__(self, theirs: Stored) -> None:
        super().__init__()
        self.theirs = theirs


class Vault:
    """The sessions of one store, by key: the protocol every writer follows."""

    def __init__(
        self,
        store: Store,
        codec: JSONCodec,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        show: Callable[[str], str] = str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store = store
        self.codec = codec
        self.timeouts = Timeouts(limits, codec, clock)
        self.clock = clock
        self.show = show  # a key as logs may name it
        self._sleep = sleep
        self._turns = [Lock() for _ in range(64)]

    # Reading

    def load(self, key: str) -> Stored | None:
        """Return what stands under a key, a tombstone too; None where nothing does or nobody can read it (logged)."""
        found = self._find(key)
        if found is None:
            return None
        payload, left = found
        try:
            record = self.codec.unpack(payload)
        except ValueError as error:
            event(logging.ERROR, "unreadable", f"a record cannot be read: {error}", key=self.show(key))
            return None
        return Stored(key, payload, record, left)

    def _find(self, key: str) -> tuple[bytes, float] | None:
        try:
            return self.store.load(key)
        except StoreError as error:
            self._tell(error, key)
            raise

    def info(self, key: str) -> SessionInfo | None:
        """Describe the live session under a key; None where there is none."""
        stored = self.load(key)
        if stored is None or stored.record is None:
            return None
        record = stored.record
        return SessionInfo(key, record.owner, record.created, self.clock() + stored.left())

    def owned_by(self, owner: str) -> list[SessionInfo]:
        """List an owner's live sessions, newest first. The store's index may name too many; each record is read."""
        return self._listed(owner)[0]

    def others(self, owner: str, keep: Iterable[str]) -> list[SessionInfo]:
        """List the same but for those in ``keep``, and for what a change of id made of them meanwhile."""
        return self._but(self.owned_by(owner), keep)

    def _listed(self, owner: str) -> tuple[list[SessionInfo], set[str]]:
        """List an owner's live sessions, and the keys the index named under which none lives (any more)."""
        try:
            keys = dict.fromkeys(self.store.owned_by(owner))
        except StoreError as error:
            self._tell(error)
            raise
        found = {key: self.info(key) for key in keys}
        mine = sorted((info for info in found.values() if info and info.owner == owner), key=lambda info: -info.created)
        return mine, {key for key, info in found.items() if info is None}

    def _but(self, infos: list[SessionInfo], keep: Iterable[str]) -> list[SessionInfo]:
        kept = set(keep)
        if any(info.key not in kept for info in infos):  # otherwise there is nothing to read for
            kept.update(*map(self._heirs, list(kept)))
        return [info for info in infos if info.key not in kept]

    def _heirs(self, key: str) -> Iterator[str]:
        """Yield the keys that a session under this one had later."""
        heir: str | None = key
        while heir and (stored := self.load(heir)) is not None and stored.record is None:
            heir = self.codec.successor(stored.payload)
            if heir:
                yield heir

    # Writing

    def create(self, draft: Draft, key: str) -> Stored:
        """Store a draft under a new key. SessionTooLarge, StoreError: nothing was stored."""
        draft.created = round(draft.created, 3)  # more digits take five times as long to read
        record = draft.record(draft.encode())
        payload = self._pack(record)
        ttl = self.timeouts.first(draft)
        try:
            if not self.store.create(key, payload, ttl, draft.owner):
                raise StoreError("the store says that a random 256-bit key is taken; it does not keep the contract")
        except StoreError as error:
            self._tell(error, key)
            raise
        draft.settle(record)
        event(logging.INFO, "created", "session created", key=self.show(key))
        return Stored(key, payload, record, ttl, True)

    def save(
        self, draft: Draft, stored: Stored, *, follow: bool = True, merge: bool = True, tries: int = 0
    ) -> Stored | None:
        """Bring the stored record up to date with a draft. None: it is gone, and the draft is dropped.

        Args:
            follow: the cookie of a persistent session can follow a moved expiry.
            merge: False raises Overtaken where another request saved in between.
            tries: how often the caller was overtaken before.
        """
        turn: Lock | None = None
        payload = b""
        try:
            for attempt in range(tries, ATTEMPTS):
                lines = draft.encode()
                if not draft.changed(lines):
                    return self._touch(draft, stored, follow)
                record = draft.record(lines)
                payload = self._pack(record)
                ttl, moved = self.timeouts.next(draft, stored.left(), follow)
                if self.store.replace(stored.key, stored.payload, payload, ttl, draft.owner):
                    draft.settle(record)
                    return Stored(stored.key, payload, record, ttl, moved)
                if merge and attempt == 0:  # otherwise the caller has queued up
                    turn = self.turn(stored.key)
                self._pause(attempt)
                theirs = self._theirs(stored)
                if theirs is None:
                    return None
                assert theirs.record is not None
                if not merge and not draft.made(theirs.payload):
                    raise Overtaken(theirs)
                draft.meet(theirs.payload, theirs.record, lines)
                stored = theirs
        except BaseException as error:
            draft.doubt(payload)
            if isinstance(error, StoreError):
                self._tell(error, stored.key)
            raise
        finally:
            if turn is not None:
                turn.release()
        raise self.conflict(stored.key)

    def is_due(self, draft: Draft, stored: Stored) -> bool:
        """True where the expiry of an unchanged record may have to be moved."""
        timeout = self.timeouts.idle(draft)
        return timeout - stored.left() >= timeout / 10

    def _touch(self, draft: Draft, stored: Stored, follow: bool) -> Stored | None:
        """Move the expiry of an unchanged record where that is due. None: the record is gone."""
        ttl, due = self.timeouts.next(draft, stored.left(), follow)
        if not due:
            return stored
        try:
            alive = self.store.touch(stored.key, ttl, draft.owner) and self._lives_on(stored.key)
        except StoreError as error:  # nothing is lost by it: the next request tries again
            if not error.logged:
                event(logging.ERROR, "store error", f"an expiry could not be refreshed: {error}", key=self.show(stored.key))
            return stored
        return Stored(stored.key, stored.payload, stored.record, ttl, True) if alive else None

    def _lives_on(self, key: str) -> bool:
        """Tell whether a touch found the session; it may have found a tombstone, which then must not stay for longer."""
        stored = self.load(key)
        if stored is not None and stored.record is None:
            self.store.touch(key, TOMBSTONE_SECONDS)
        return stored is not None and stored.record is not None

    def regenerate(self, draft: Draft, stored: Stored, key: str) -> Stored | None:
        """Move a draft's session to a new key and leave a tombstone. None: it was gone, or the new key was taken away.

        The new record comes first, then the swap of the old one, so that a write which lands in between is seen and
        taken along. Whatever fails half way, no two keys stay alive that anybody holds.
        """
        login = draft.owner != draft.stored_owner
        # Only an anonymous visitor's late writes may follow him into his login; one user's never reach another.
        mixes = not login or draft.stored_owner is None
        if login:
            draft.created = round(self.clock(), 3)
        new: Stored | None = None
        tried = False
        try:
            for attempt in range(ATTEMPTS):
                record = draft.record(draft.encode())
                payload = self._pack(record)
                # A login starts the clock anew; otherwise the expiry moves as with any write.
                ttl = self.timeouts.first(draft) if login else self.timeouts.next(draft, stored.left(), True)[0]
                if new is None:
                    tried = True
                    done = self.store.create(key, payload, ttl, draft.owner)
                else:
                    done = self.store.replace(key, new.payload, payload, ttl, draft.owner)
                if not done:  # revoked in the meantime
                    self.store.delete(key)
                    return None
                new = Stored(key, payload, record, ttl, True)
                if self._retire(stored, None if login else key):
                    draft.settle(record)
                    shown = {"key": self.show(key), "old_key": self.show(stored.key)}
                    event(logging.INFO, "regenerated", "session id regenerated", **shown)
                    return new
                self._pause(attempt)
                theirs = self._theirs(stored)
                if theirs is None:
                    self.store.delete(key)
                    return None
                assert theirs.record is not None
                if mixes:
                    draft.meet(theirs.payload, theirs.record, record.data)
                stored = theirs
            raise self.conflict(stored.key)
        except BaseException as error:
            if isinstance(error, StoreError):
                self._tell(error, stored.key)
            if tried:
                self._withdraw(key)
            raise

    def _withdraw(self, key: str) -> None:
        """Take back the new half of a regenerate that failed; nobody holds its id, so where this fails too it expires."""
        try:
            self.store.delete(key)
        except StoreError as error:
            event(logging.ERROR, "store error", f"half a regenerate was left to expire: {error}", key=self.show(key))

    def _retire(self, stored: Stored, successor: str | None) -> bool:
        """Swap a live record for a tombstone. False: another request wrote first."""
        tombstone = self.codec.pack(None, successor)
        try:
            if not self.store.replace(stored.key, stored.payload, tombstone, TOMBSTONE_SECONDS):
                return False
            if not self.codec.tombstones:
                self.store.delete(stored.key)
        except StoreError as error:
            self._tell(error, stored.key)
            raise
        return True

    def bury(self, key: str) -> bool:
        """End the session under a key, and where a tombstone names another key, the session it led to.

        Returns:
            False where there was none any more.
        """
        for _ in self.attempts():
            found = self._find(key)
            if found is None:
                return False
            payload, left = found
            try:
                record = self.codec.unpack(payload)
            except ValueError:
                record = Record(0.0, None, False, {})  # nobody can read it, but a logout ends it all the same
            if record is None:
                successor = self.codec.successor(payload)
                if successor is None:
                    return False
                key = successor
            elif self._retire(Stored(key, payload, record, left), None):
                return True
        raise self.conflict(key)

    def bury_owned(self, owner: str, keep: Iterable[str] = ()) -> int:
        """End an owner's sessions but those in ``keep``; lists again until a pass finds nothing to end.

        A key that was listed, and under which nothing lived when it was read, may have changed its id in between: the new
        one is only in the next listing. An index may go on naming such a key, so it counts once.
        """
        count = 0
        vanished: set[str] = set()
        for _ in self.attempts():
            mine, dead = self._listed(owner)
            doomed = self._but(mine, keep)
            if not doomed and dead <= vanished:
                return count
            vanished |= dead
            for info in doomed:
                if self.bury(info.key):
                    count += 1
                    event(logging.INFO, "revoked", "session revoked", key=self.show(info.key), owner=owner)
        raise SessionConflict("sessions of this owner kept appearing while they were being ended")

    # The rules of the house

    def attempts(self) -> Iterator[int]:
        """Yield attempt numbers, with a jittered pause between them, up to a generous bound."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(attempt - 1)
            yield attempt

    def _pause(self, attempt: int) -> None:
        """Let others go first. Before a load: one between a load and its swap would make the swap fail again."""
        self._sleep(random.random() * min(0.05, 0.0005 * 2 ** min(attempt + 1, 10)))

    def turn(self, key: str) -> Lock | None:
        """Queue up with this process' other writers of a key that were overtaken; None: the wait was long enough.

        Swaps alone are fair only to the quick: who merges a large session would lose to fresh requests again and again.
        Nothing rests on this lock, so a child forked while it was held merely waits.
        """
        lock = self._turns[hash(key) % len(self._turns)]
        return lock if lock.acquire(timeout=0.5) else None

    def _theirs(self, ours: Stored) -> Stored | None:
        """Load what another request stored in place of ours; None where the session is gone."""
        theirs, shown = self.load(ours.key), self.show(ours.key)
        if theirs is not None and theirs.record is not None:
            event(logging.DEBUG, "conflict", "overlapping requests, changes merged", key=shown)
            return theirs
        if theirs is None and ours.left() <= SHORTEST:
            event(logging.INFO, "expired", "a session expired while a request used it", key=shown)
        event(logging.INFO, "dropped", "a late write was dropped, its session is gone", key=shown)
        return None

    def _pack(self, record: Record) -> bytes:
        payload = self.codec.pack(record)
        size, allowed = len(payload), self.timeouts.limits.max_size
        if size > allowed:
            raise SessionTooLarge(f"the session takes {size} bytes, max_size allows {allowed}; keep large data elsewhere")
        return payload

    def _tell(self, error: StoreError, key: str | None = None) -> None:
        """Log a store's failure, once."""
        if not error.logged:
            error.logged = True
            event(logging.ERROR, "store error", str(error), key=key and self.show(key))

    def conflict(self, key: str) -> SessionConflict:
        """Return the error for a swap that kept failing, logged."""
        event(logging.ERROR, "conflict", "compare-and-swap kept failing", key=self.show(key))
        return SessionConflict("other requests kept changing this session; nothing of this change was saved")
