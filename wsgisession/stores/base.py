"""The contract between sessions and whatever keeps them.

A store keeps payloads (any bytes, never looked into) under keys (43 ASCII characters) for a number of
seconds. It also knows which owner a payload belongs to. There is no upsert: ``create`` never overwrites and
``replace`` never creates, so a record that was deleted stays deleted, however late another request comes.

Every sentence below is a test in ``wsgisession.testing``: ``StoreContract`` holds what every store must do,
and ``BulkStoreContract`` what ``BulkStore`` adds.

It does not know ids, records, cookies or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

NO_EXPIRY = 0.001
"""The seconds left of a record whose expiry somebody removed in the engine."""


@runtime_checkable
class Store(Protocol):
    """Where payloads live.

    - Every operation is atomic. Any number of threads may call it, and a process that is forked later.
    - All times are durations in seconds (float, positive, kept to the millisecond). The store decides whose
      clock counts. A store inside one process uses a monotonic clock.
    - A record that has expired does not exist for any operation, even if it was not purged yet.
    - An error of the engine becomes a ``StoreError``, with the cause chained. A payload in the engine that is not bytes
      is a ``StoreError`` too. ``delete(key)`` still removes that record.
    - A wrong key (empty, of any length, with a lone surrogate, a NUL or a line break) is not found. A wrong
      owner owns nothing. Neither is an error.
    - An exception from outside (a signal handler, ``gevent.Timeout``, ``MemoryError``) passes through
      unchanged, and the store works afterwards. The operation was carried out, or it was not. Nothing is half
      done.
    - Code that runs inside an operation on the same thread (a signal handler, a finalizer) may use the store.
      It gets its answer or a ``StoreError``, and never waits for itself.
    - Every wait is bounded. After an outage the store recovers without being built again.
    """

    def load(self, key: str) -> tuple[bytes, float] | None:
        """Return the live payload and the seconds it has left; None if there is no live record.

        It changes nothing. The seconds left are never 0. If somebody removed a record's expiry in the engine,
        exactly ``NO_EXPIRY`` seconds are left, and this is true for no other record.
        """

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        """Put a payload under a free key. False, and no change, if a live record has the key.

        Also True if the live payload already is this one. Each write has a payload of its own, so this command
        was carried out before, and its reply was lost.
        """

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        """Replace payload, expiry and owner (None clears it), only if the live payload equals ``expected``.

        With ``ttl=None`` the expiry and the owner stay exactly as they are. ``owner`` is then the record's own, as
        for ``touch``. False, and no change, if the payload is another one. It never creates a record. Also True
        if the live payload already is ``payload``, with and without a ``ttl``.
        """

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        """Set the expiry, shorter or longer, and nothing else. False if there is no live record.

        With ``expected`` also False, and no change, if the live payload does not equal it. ``owner`` is the
        record's own: it tells an index that is kept elsewhere what to keep alive, and never changes the
        owner.
        """

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Remove a record. False if there was no live one, for example if a lost reply made somebody repeat it.

        With ``expected`` also False, and no change, if the live payload does not equal it.
        """

    def owned_by(self, owner: str) -> Iterator[str]:
        """Yield the keys of this owner's live records, in any order. May name too many, never too few."""

    def keys(self) -> Iterator[str]:
        """Yield the keys of the live records, in any order. No writer waits for it."""

    def purge(self) -> int:
        """Remove dead records in bounded batches and return how many; 0 means that nothing was left."""

    def close(self) -> None:
        """Close what the store itself opened. What the caller passed in stays open."""


class BulkStore(Store, Protocol):
    """A store that also reads, counts and ends many records at once.

    Each of these operations is optional. Callers look for it (``getattr(store, "load_many", None)``), and do
    without it if the store does not have it.
    """

    def load_many(self, keys: Sequence[str]) -> list[tuple[bytes, float] | None]:
        """Return for each key, in this order, what ``load`` would return.

        Any number of keys; the store cuts them into pages of 1,000. Raises ``StoreError`` if a payload in a page is not
        bytes. The caller then reads that page key by key.
        """

    def count(self) -> int:
        """Return how many live records there are. Records that are written meanwhile may count or not."""

    def clear(self) -> int:
        """Remove every record, in bounded batches, and return how many of them were live.

        Records that were made after it began may stay.
        """


class DiagnosingStore(Store, Protocol):
    """A store that can tell an operator what is wrong with its engine. Optional, like ``BulkStore``."""

    def diagnose(self) -> Iterator[str]:
        """Yield what an operator should change, one sentence for each thing. Changes nothing."""

    def settings(self) -> dict[str, str]:
        """Return the engine's version and the settings that matter, for a person. Changes nothing.

        Raises ``StoreError`` if the engine does not let this store ask.
        """
