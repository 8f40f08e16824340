"""Commit: writes a draft to a store: create, swap, merge and try again, change of id. Knows no cookies and no WSGI.

Every write is a compare-and-swap on the payload that was read. If it fails, another request wrote first: its record is
loaded, merged with ours, and the swap tried again. If no record is left, ours is dropped: gone is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic

from wsgisession.draft import Draft
from wsgisession.errors import SessionTooLarge, StoreError
from wsgisession.log import event
from wsgisession.record import Marker, Record
from wsgisession.records import Records, Stored
from wsgisession.stores.base import NO_EXPIRY
from wsgisession.turns import Turns

Attempt = Callable[[Stored], Stored | None]
Meet = Callable[[Stored], None]


class Gone(Exception):
    """The record to be written does not exist any more. ``marker``: the marker in its place, if there is one."""

    def __init__(self, marker: Marker | None = None) -> None:
        self.marker = marker


class Commit:
    """Writes drafts into the store behind ``records``.

    Args:
        max_size: Bytes of one payload.
    """

    def __init__(self, records: Records, max_size: int) -> None:
        self._records = records
        self._limits = records.limits
        self._max_size = max_size
        self._turns = Turns()

    def create(self, draft: Draft, key: str, first: Callable[[], None] | None = None) -> Stored:
        """Store a draft under a new key.

        Args:
            first: what to do once it is clear that the draft can be stored.
        """
        records = self._records
        now = records.clock()
        record = draft.begun(now)
        payload = self._pack(record)
        if first is not None:
            first()
        try:
            stored = records.create(key, payload, record, self._limits.first(record, now))
        except BaseException:
            # Its reply may be lost, and then the owner's list would have a session whose cookie nobody has
            self.withdraw(key)
            raise
        if stored is None:
            error = StoreError("the store says that a random 256-bit key is taken: it breaks the contract")
            raise records.failed(error, "create", monotonic(), key)
        draft.saved(record)
        event(logging.INFO, "created", "session created", key=records.show(key))
        return stored

    def save(self, draft: Draft, stored: Stored, *, moves: bool, overtaken: Meet | None = None) -> Stored:
        """Bring the stored record up to date with a draft.

        Args:
            moves: True: the expiry may move. This request is a use of the session, and if the cookie has a Max-Age, it
                can be set again.
            overtaken: what to do instead of merging if another request saved in between.

        Raises:
            Gone: there is no record any more.
        """
        return self._swap(draft, moves, stored) or self._again(
            stored, partial(self._swap, draft, moves), self._meet(draft, overtaken)
        )

    def _swap(self, draft: Draft, moves: bool, stored: Stored) -> Stored | None:
        """Try once. None: another request wrote first."""
        record = draft.record()
        ttl = self._next(record, draft, stored, moves)
        if record is stored.record:
            return stored if ttl is None else self._refresh(stored, ttl)
        payload = self._pack(record)
        try:
            done = self._records.replace(stored, payload, record, ttl)
            if done is not None:
                draft.saved(record)
            return done
        except BaseException:  # a lost reply: it may be stored all the same
            draft.attempted(payload)
            raise

    def _next(self, record: Record, draft: Draft, stored: Stored, moves: bool) -> float | None:
        """Return the seconds to set the expiry to. None: it stays as it is."""
        limits, left, base = self._limits, stored.left(), draft.base
        if record.persistent != base.persistent or record.idle_timeout != base.idle_timeout:
            return limits.switched(record, left, self._records.clock())
        if (moves or left == NO_EXPIRY) and limits.may_be_due(record, left):
            return limits.due(record, left, self._records.clock())
        return None

    def _refresh(self, stored: Stored, ttl: float) -> Stored | None:
        """Move the expiry of an unchanged record. None: another request has changed the record."""
        try:
            return self._records.touch(stored, ttl)
        except StoreError:  # logged; nothing is lost by it, and the next request tries again
            return stored

    def move(
        self, draft: Draft, stored: Stored, key: str, *, owner_changed: bool, mixes: bool, moves: bool
    ) -> Stored:
        """Give a draft's session a new key and leave a marker under the old one.

        The new record is created first. Then the old one is swapped, so a write in between is noticed and merged. If
        this fails half way, there are never two live keys whose cookies somebody has.

        Args:
            owner_changed: a login or a logout: the session begins again.
            mixes: True: changes that others save meanwhile are merged. (One owner's late writes never reach another
                owner.)
            moves: the expiry may move. Otherwise the new id gets the seconds that are left.

        Raises:
            Gone: there is no record any more.
        """
        records = self._records
        if owner_changed:
            draft.set_facts(created=records.clock())
        new: Stored | None = None

        def attempt(old: Stored) -> Stored | None:
            nonlocal new
            record = draft.record()
            payload = self._pack(record)
            if owner_changed:
                ttl = self._limits.first(record, records.clock())
            else:
                ttl = self._next(record, draft, old, moves) or old.left()
            if new is None:
                new = records.create(key, payload, record, ttl)
            else:
                new = records.replace(new, payload, record, ttl)
            if new is None:  # somebody ended it already
                raise Gone
            if not records.leave_marker(old, key, owner_changed=owner_changed):
                return None
            draft.saved(record)
            return new

        # If nothing is mixed, the base of the draft stays as it is, also for another try after an error.
        meet = self._meet(draft, None) if mixes else lambda theirs: None
        try:
            done = attempt(stored) or self._again(stored, attempt, meet)
        except BaseException:
            self.withdraw(key)
            raise
        shown = {"key": records.show(key), "old_key": records.show(stored.key)}
        event(logging.INFO, "regenerated", "session id regenerated", **shown)
        return done

    def claim(self, stored: Stored) -> Stored:
        """Write a record again without a change, so that the swap of a request that read it before fails. Gone: there
        is no record any more.
        """
        records = self._records

        def attempt(stored: Stored) -> Stored | None:
            return records.replace(stored, records.codec.pack(stored.record), stored.record, None)

        return attempt(stored) or self._again(stored, attempt, lambda theirs: None)

    def withdraw(self, key: str) -> None:
        """Remove a new record whose id nobody has. If this fails too, the record expires."""
        with suppress(StoreError):  # logged
            self._records.delete(key)

    # The one retry loop

    def _again(self, stored: Stored, attempt: Attempt, meet: Meet) -> Stored:
        """After an attempt failed because another request saved: load the stored record, merge, and try again."""
        with self._turns.queue(stored.key):
            for _ in self._records.attempts(failed=1):
                stored = self._theirs(stored)
                meet(stored)
                done = attempt(stored)
                if done is not None:
                    return done
        raise self._records.conflict(stored.key)

    def _meet(self, draft: Draft, overtaken: Meet | None) -> Meet:
        def meet(theirs: Stored) -> None:
            if draft.wrote(theirs.payload):  # our own write, whose reply was lost
                draft.rebase(theirs.record, theirs.record)
            elif overtaken is not None:
                overtaken(theirs)
            else:
                draft.rebase(theirs.record)

        return meet

    def _theirs(self, ours: Stored) -> Stored:
        """Load the record that another request stored. Gone: there is no record any more."""
        theirs, shown = self._records.find(ours.key), self._records.show(ours.key)
        if isinstance(theirs, Stored):
            event(logging.INFO, "conflict", "overlapping requests, changes merged", key=shown)
            return theirs
        if theirs is None and monotonic() >= ours.until:
            event(logging.INFO, "expired", "a session expired while a request used it", key=shown)
        event(logging.INFO, "dropped", "a late write was dropped, its session is gone", key=shown)
        raise Gone(theirs)

    def _pack(self, record: Record) -> bytes:
        payload = self._records.codec.pack(record)
        size = len(payload)
        if size > self._max_size:
            largest = max(record.data.items(), key=lambda item: len(item[1]), default=None)
            named = "" if largest is None else f", and {len(largest[1])} of them are session[{largest[0]!r}]"
            raise SessionTooLarge(
                f"the session takes {size} bytes, max_size allows {self._max_size}{named}; keep large data elsewhere"
            )
        return payload
