"""The contract between sessions and whatever keeps them. Knows nothing of ids, records, cookies or HTTP.

A store keeps payloads (any bytes, never looked into) under keys (43 ASCII characters) for a number of seconds, and knows
which owner a payload belongs to. There is no upsert: ``create`` never overwrites and ``replace`` never creates, so a record
that was deleted stays deleted whoever is late. ``wsgisession.testing.StoreContract`` holds each clause below as a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Store(Protocol):
    """Where payloads live. Every operation is atomic on its own, thread-safe, and safe in a process forked later.

    - Whatever the engine raises becomes a ``StoreError`` with the cause chained; any other exception is a bug and goes on.
    - All times are durations in seconds (float, kept to the millisecond, positive); whose clock counts is the store's
      business. An in-process store uses a monotonic one.
    - A record past its expiry is no record for any operation, whether or not it was purged yet.
    - Every wait is bounded; after an outage the store recovers without being built again.
    """

    def load(self, key: str) -> tuple[bytes, float] | None:
        """Return the live payload and the seconds it has left; None where there is no live record. Changes nothing."""

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        """Put a payload under a free key. False, and no change, where a live record has the key.

        True too where the live payload already is this one: payloads are unique per write, so this very command was
        carried out before and its reply was lost.
        """

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        """Swap in a payload, its expiry and its owner (None clears it), only where the live payload equals ``expected``.

        False, and no change, otherwise; never creates. True too where the live payload already is ``payload``.
        """

    def touch(self, key: str, ttl: float, owner: str | None = None) -> bool:
        """Set the expiry, shorter or longer, and nothing else. False where there is no live record.

        ``owner`` is the record's own: it only tells an index kept elsewhere what to keep alive, and never changes it.
        """

    def delete(self, key: str) -> bool:
        """Remove a record. False where there was no live one."""

    def owned_by(self, owner: str) -> Iterator[str]:
        """Yield at least the keys of this owner's live records, in any order. May name too many, never too few."""

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records, in any order, without holding up writers."""

    def purge(self) -> int:
        """Remove dead records in bounded batches and return how many; 0 means nothing was left."""

    def close(self) -> None:
        """Give back what the store itself opened. What the caller handed in stays the caller's."""
