"""The sessions of a store as the command line sees them: one by one, without decoding or logging. Knows no output.

A record that cannot be read is counted and left out: with only a URL the codec is a guess, and such a key may be an id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from wsgisession.codec import Codec
from wsgisession.manager import SessionManager
from wsgisession.record import Marker, Record


class Entry(NamedTuple):
    """One live session. ``key`` is the store's; ``shown`` is what people see; times in POSIX seconds, size in bytes."""

    key: str
    shown: str
    record: Record
    expires: float
    size: int


class Reader:
    """Reads what is live in a manager's store; ``unreadable`` and ``tombstones`` say what else was met."""

    def __init__(self, manager: SessionManager) -> None:
        self.store = manager.store
        self.codec: Codec = manager.codec
        self.clock: Callable[[], float] = manager.records.clock
        self._show: Callable[[str], str] = manager.records.show
        self.unreadable = self.tombstones = 0

    def read(self, key: str) -> Entry | None:
        """Return the live session under a key; None where there is none, or nobody can read it."""
        found = self.store.load(key)
        if found is None:
            return None
        payload, left = found
        try:
            record = self.codec.unpack(payload)
        except ValueError:
            self.unreadable += 1
            return None
        if isinstance(record, Marker):
            self.tombstones += 1
            return None
        return Entry(key, self._show(key), record, self.clock() + left, len(payload))

    def everybodys(self) -> Iterator[Entry]:
        """Yield every live session once, in the store's order."""
        return self._entries(self.store.keys())

    def owners(self, owner: str) -> list[Entry]:
        """List an owner's live sessions, newest first. The store's index may name too many."""
        mine = (entry for entry in self._entries(self.store.owned_by(owner)) if entry.record.owner == owner)
        return sorted(mine, key=lambda entry: -entry.record.created)

    def _entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        seen: set[str] = set()
        for key in keys:
            if key not in seen:
                seen.add(key)
                entry = self.read(key)
                if entry is not None:
                    yield entry

    def find(self, shown: str) -> str | None:
        """Return the store's key for one as people see it; None: there is none.

        Where the key is the id (see ``Identity.key_is_id``) people see its SHA-256, and all keys are looked through.
        """
        if self._show is str:
            return shown
        return next((key for key in self.store.keys() if self._show(key) == shown), None)
