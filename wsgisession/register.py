"""The sessions of a store by key: reading them, listing an owner's, ending them. Knows no drafts, no cookies and no WSGI.

A session is ended by a swap like any other write: a tombstone takes its place, so that no request in flight can bring it
back, and one that comes late can tell what became of it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

from wsgisession.codec import JSONCodec
from wsgisession.errors import SessionConflict, StoreError
from wsgisession.log import event
from wsgisession.record import Record
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

    __slots__ = ("key", "moved", "payload", "record", "until")

    def __init__(self, key: str, payload: bytes, record: Record | None, left: float, moved: bool = False) -> None:
        self.key = key
        self.payload = payload
        self.record = record
        # A stepped wall clock must not change what is left. 0: there is no expiry.
        self.until = monotonic() + left if left else 0.0
        self.moved = moved  # the commit that made this set the expiry anew

    def left(self) -> float:
        """Return the seconds this record still has: a little at least, the store has the last word; 0: it has no expiry."""
        left = self.until - monotonic()
        return left if left > SHORTEST else self.until and SHORTEST

    def max_age(self) -> int:
        """Return the same in whole seconds, as a cookie says it."""
        return max(round(self.left()), 1)


class Register:
    """The sessions of one store, by key.

    Args:
        clock: POSIX seconds.
        show: a key as logs may name it.
        sleep: waits so many seconds; for tests.
    """

    def __init__(
        self,
        store: Store,
        codec: JSONCodec,
        *,
        clock: Callable[[], float] = time.time,
        show: Callable[[str], str] = str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store = store
        self.codec = codec
        self.clock = clock
        self.show = show
        self._sleep = sleep

    # Reading

    def load(self, key: str) -> Stored | None:
        """Return what stands under a key, a tombstone too; None where nothing does or nobody can read it (logged)."""
        try:  # and not ``_told``, which takes 0.5 µs
            found = self.store.load(key)
        except StoreError as error:
            self._tell(error, key)
            raise
        if found is None:
            return None
        payload, left = found
        try:
            record = self.codec.unpack(payload)
        except ValueError as error:
            event(logging.ERROR, "unreadable", f"a record cannot be read: {error}", key=self.show(key))
            return None
        return Stored(key, payload, record, left)

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
        with self._told():
            keys = dict.fromkeys(self.store.owned_by(owner))
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

    # Ending

    def _retire(self, stored: Stored, successor: str | None) -> bool:
        """Swap a live record for a tombstone. False: another request wrote first."""
        tombstone = self.codec.pack(None, successor)
        with self._told(stored.key):
            if not self.store.replace(stored.key, stored.payload, tombstone, TOMBSTONE_SECONDS):
                return False
            if not self.codec.tombstones:
                self.store.delete(stored.key)
        return True

    def bury(self, key: str) -> bool:
        """End the session under a key, and where a tombstone names another key, the session it led to.

        Returns:
            False where there was none any more.
        """
        for _ in self.attempts():
            with self._told(key):
                found = self.store.load(key)
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

    # When others are faster, and when the store fails

    def attempts(self) -> Iterator[int]:
        """Yield attempt numbers, with a jittered pause between them, up to a generous bound."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(attempt - 1)
            yield attempt

    def _pause(self, attempt: int) -> None:
        """Let others go first. Before a load: one between a load and its swap would make the swap fail again."""
        self._sleep(random.random() * min(0.05, 0.0005 * 2 ** min(attempt + 1, 10)))

    @contextmanager
    def _told(self, key: str | None = None) -> Iterator[None]:
        """Log what the store raises, and let it out."""
        try:
            yield
        except StoreError as error:
            self._tell(error, key)
            raise

    def _tell(self, error: StoreError, key: str | None = None) -> None:
        """Log a store's failure, once."""
        if not error.logged:
            error.logged = True
            event(logging.ERROR, "store error", str(error), key=key and self.show(key))

    def conflict(self, key: str) -> SessionConflict:
        """Return the error for a swap that kept failing, logged."""
        event(logging.ERROR, "conflict", "compare-and-swap kept failing", key=self.show(key))
        return SessionConflict("other requests kept changing this session; nothing of this change was saved")
