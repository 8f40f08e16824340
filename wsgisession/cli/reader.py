"""The sessions of a store as the command line sees them: page by page, without decoding or logging.

A record that cannot be read is counted and left out: with only a URL the codec is a guess, and the key may be an id.
Memory does not grow with the number of sessions.

It does not know output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import filterfalse, islice
from typing import NamedTuple

from wsgisession.errors import StoreError
from wsgisession.manager import SessionManager
from wsgisession.record import Marker, Record

PAGE = 1000  # keys in one go, as a store's load_many reads them
SEEN = 100_000  # so many keys are remembered, because Redis may name a key twice, usually soon after
NOBODY = "A" * 43  # a key without a record: nobody knows an id whose SHA-256 is this

Found = tuple[bytes, float]


class Closed(Enum):
    """Why a payload cannot be read."""

    UNREADABLE = "it is corrupt or foreign"
    LATER = "a later version of the library wrote it"


class Entry(NamedTuple):
    """One live session. ``key`` is the store's key; people see ``shown``. Times are POSIX seconds, the size is in
    bytes.
    """

    key: str
    shown: str
    owner: str | None
    created: float
    expires: float
    persistent: bool
    idle_timeout: float | None
    size: int


class Reader:
    """Reads the live sessions of a manager's store. ``markers``, ``unreadable`` and ``later`` count the other records."""

    def __init__(self, manager: SessionManager) -> None:
        self.store = manager.store
        self.codec = manager.codec
        self.clock = manager.records.clock
        self.limits = manager.records.limits
        self._show = manager.records.show
        self.markers = self.unreadable = self.later = 0

    def everybodys(self) -> Iterator[Entry]:
        """Yield every live session once, in the store's order."""
        return self._entries(self.store.keys())

    def owners(self, owner: str) -> list[Entry]:
        """List an owner's live sessions, newest first. The store's index may name too many."""
        mine = (entry for entry in self._entries(self.store.owned_by(owner)) if entry.owner == owner)
        return sorted(mine, key=lambda entry: -entry.created)

    def sample(self, count: int) -> Iterator[Entry]:
        """Yield the live sessions among the first ``count`` records."""
        return self._entries(islice(self.store.keys(), count))

    def one(self, shown: str) -> tuple[Entry, Record] | None:
        """Return the live session of a key as people see it, with its record; None if there is none or it cannot be
        read.
        """
        wanted = self.find(shown)
        for key, content, payload, left in () if wanted is None else self.contents([wanted]):
            if isinstance(content, Record):
                return self._entry(key, content, self.clock() + left, len(payload)), content
        return None

    def find(self, shown: str) -> str | None:
        """Return the store's key for a key as people see it; None: there is none.

        If the key is the id (see ``Identity.key_is_id``), people see its SHA-256, and all keys are looked through.
        """
        if self._show is str:
            return shown
        return next((key for key in self.store.keys() if self._show(key) == shown), None)

    def pages(self, keys: Iterable[str]) -> Iterator[list[str]]:
        """Cut keys into pages, and drop keys that come twice."""
        seen: set[str] = set()
        rest = iter(keys)
        while page := list(islice(rest, PAGE)):
            fresh = list(filterfalse(seen.__contains__, dict.fromkeys(page)))
            if len(seen) >= SEEN:
                seen.clear()
            seen.update(fresh)
            yield fresh

    def contents(self, page: list[str]) -> Iterator[tuple[str, Record | Marker | Closed, bytes, float]]:
        """Yield the records of a page of keys: key, content, payload and seconds left. Count those that are no session."""
        unpack = self.codec.unpack
        content: Record | Marker | Closed
        for key, found in zip(page, self.found(page), strict=True):
            if found is None:
                continue
            payload, left = found
            try:
                content = unpack(payload)
            except ValueError:
                self.unreadable += 1
                content = Closed.UNREADABLE
            except StoreError:
                self.later += 1
                content = Closed.LATER
            if isinstance(content, Marker):
                self.markers += 1
            yield key, content, payload, left

    def found(self, page: list[str]) -> Iterable[Found | None]:
        """Return what the store has for a page of keys, in one go if the store can do that."""
        load_many = getattr(self.store, "load_many", None)
        try:
            return self._each(page) if load_many is None else load_many(page)
        except StoreError:
            # A payload of the page cannot be used, or the store is down: read key by key to find out
            return self._each(page)

    def _each(self, page: list[str]) -> Iterator[Found | None]:
        for key in page:
            try:
                yield self.store.load(key)
            except StoreError:
                # If this fails too, the store is down; otherwise this one record is at fault.
                self.store.load(NOBODY)
                self.unreadable += 1
                yield None

    def _entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        for page in self.pages(keys):
            now = self.clock()
            for key, content, payload, left in self.contents(page):
                if isinstance(content, Record):
                    yield self._entry(key, content, now + left, len(payload))

    def _entry(self, key: str, record: Record, expires: float, size: int) -> Entry:
        shown, owner, created = self._show(key), record.owner, record.created
        return Entry(key, shown, owner, created, expires, record.persistent, record.idle_timeout, size)
