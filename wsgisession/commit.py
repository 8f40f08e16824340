"""How a draft gets into a store: create, replace, merge and retry, touch, drop. Knows no cookies and no WSGI.

Every write is a compare-and-swap on the payload that was read. Where it fails another request wrote first: its record is
loaded, merged with ours, and the swap tried again. Where no record is left, ours is dropped: gone is gone.
"""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic
from typing import Any

from wsgisession.codec import JSONCodec
from wsgisession.draft import Draft
from wsgisession.errors import SessionTooLarge, StoreError
from wsgisession.limits import Limits, Timeouts
from wsgisession.log import event
from wsgisession.record import Record
from wsgisession.register import ATTEMPTS, SHORTEST, TOMBSTONE_SECONDS, Register, Stored
from wsgisession.stores.base import Store


class Overtaken(Exception):
    """Another request saved in between, and the caller did not want its changes merged."""

    def __init__(self, theirs: Stored) -> None:
        super().__init__()
        self.theirs = theirs


class Vault(Register):
    """The sessions of one store, and how drafts get into it: the protocol every writer follows."""

    def __init__(self, store: Store, codec: JSONCodec, limits: Limits, **options: Any) -> None:
        super().__init__(store, codec, **options)
        self.timeouts = Timeouts(limits, codec, self.clock)
        self._turns = [Lock() for _ in range(64)]

    # Writing

    def create(self, draft: Draft, key: str) -> Stored:
        """Store a draft under a new key. SessionTooLarge, StoreError: nothing was stored."""
        record = draft.record()
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
        self, draft: Draft, stored: Stored, follow: bool = True, merge: bool = True, tries: int = 0
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
                record = draft.changed()
                if record is None:
                    return self._touch(draft, stored, follow)
                lines = record.held
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
        timeouts = self.timeouts
        # ``idle`` and ``left`` written out: every read asks, and they are two calls of the 71 that it takes.
        timeout = timeouts.usual if draft.extra is None and not draft.persistent else timeouts.idle(draft)
        return timeout - (stored.until - monotonic()) >= timeout / 10

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
            draft.created = self.clock()
        new: Stored | None = None
        tried = False
        try:
            for attempt in range(ATTEMPTS):
                record = draft.record()
                lines = record.held
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
                    draft.meet(theirs.payload, theirs.record, lines)
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

    # The rules of the house

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
