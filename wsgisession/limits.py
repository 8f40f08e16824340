"""How long a session may live: its limits, what is left of them, and when an expiry moves. Knows no store and no request.

Timeouts are seconds of disuse and end a session; the lifetime only limits how far an expiry may be moved. What the store
returns lives, whatever a clock says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from wsgisession.codec import JSONCodec
from wsgisession.draft import Draft
from wsgisession.record import Record


class Limits(NamedTuple):
    """The timeouts in seconds, and the size of a payload in bytes. ``idle`` None: only the lifetime counts."""

    idle: float | None = 7200.0
    lifetime: float = 86400.0
    remember: float = 2592000.0
    max_size: int = 65536


class Timeouts:
    """The limits, applied to a record or a draft by a codec that may know better and a clock in POSIX seconds.

    ``usual`` is the idle timeout, in seconds, of a session that is not persistent and whose record has none of its own.
    """

    def __init__(self, limits: Limits, codec: JSONCodec, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.clock = clock
        self._codec = codec
        self._remember, self.usual = limits.remember, limits.lifetime if limits.idle is None else limits.idle

    def idle(self, record: Record | Draft) -> float:
        """Return the seconds of disuse after which this session ends."""
        if record.extra is not None and (own := self._codec.timeout(record)) is not None:
            return own
        return self._remember if record.persistent else self.usual

    def dated(self, record: Record | Draft) -> bool:
        """True where the session's cookie carries a Max-Age, so that its expiry moves only together with it."""
        return record.persistent or (record.extra is not None and self._codec.timeout(record) is not None)

    def allowed(self, record: Record | Draft) -> float:
        """Return how many seconds from now the expiry may be; 0 where nothing of the lifetime is left."""
        idle = self.idle(record)
        if record.persistent:
            return idle
        lifetime = self.limits.lifetime
        # Clamped: a wall clock that is wrong shifts the end and kills nothing.
        left = min(lifetime, record.created + lifetime - self.clock())
        return idle if left >= idle else max(left, 0.0)

    def first(self, record: Record | Draft) -> float:
        """Return the seconds a new record gets: a request that outlasted the lifetime still stores its session."""
        return self.allowed(record) or self.idle(record)

    def next(self, draft: Draft, left: float, follow: bool) -> tuple[float, bool]:
        """Return the seconds to store with a write of this draft, and whether that moves the expiry.

        It moves later only, where that is at least a tenth of the timeout; a switch of ``persistent`` sets it anew, and a
        record whose expiry was taken away gets one.

        Args:
            left: seconds the stored record still has; 0: it has no expiry.
            follow: the cookie of a persistent session can follow a moved expiry.
        """
        if not left:
            return self.first(draft), True
        if draft.persistent != draft.stored_persistent:
            return self.allowed(draft) or min(left, self.usual), True
        # ``idle`` written out, as in ``Vault.is_due``.
        timeout = self.usual if draft.extra is None and not draft.persistent else self.idle(draft)
        # In this order: what is allowed is never more than the timeout, and takes three times as long to find out.
        if timeout - left >= timeout / 10 and (follow or not self.dated(draft)):
            allowed = self.allowed(draft)
            if allowed - left >= timeout / 10:
                return allowed, True
        return left, False
