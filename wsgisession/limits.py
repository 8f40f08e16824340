"""Limits: numbers out of a record's facts: how long a session may live, and when its expiry is due. Knows no codec and no draft.

Timeouts are seconds without use, and end a session. The lifetime only limits how far an expiry may be moved: what the store
returns lives, whatever a clock says. Every duration is in seconds, and ``now`` is in POSIX seconds.
"""

from __future__ import annotations

import math
from datetime import timedelta

from wsgisession.record import Record
from wsgisession.stores.base import NO_EXPIRY

Seconds = float | int | timedelta

MARKER_SECONDS = 60.0  # how long a marker stands under an old key; and how long a session lives that nobody may hold
_ROUNDING = 0.01  # seconds that a store may add: it keeps an expiry to the millisecond


class Limits:
    """How long the sessions of a manager may live.

    Args:
        idle: Seconds without use. None: only the lifetime counts.
        lifetime: Seconds since the session began, or since the login.
        remember: Seconds without use of a persistent session; it counts instead of the two others.
        dates_cookie: A session with an idle timeout of its own has a cookie with ``Max-Age``, as a persistent one has.
    """

    __slots__ = ("dates_cookie", "lifetime", "remember", "usual")

    def __init__(
        self,
        idle: float | None = 7200.0,
        lifetime: float = 86400.0,
        remember: float = 2592000.0,
        *,
        dates_cookie: bool = False,
    ) -> None:
        self.usual = lifetime if idle is None else min(idle, lifetime)
        self.lifetime = lifetime
        self.remember = remember
        self.dates_cookie = dates_cookie

    def timeout(self, record: Record) -> float:
        """Return the seconds without use after which this session ends."""
        own = record.idle_timeout
        if record.persistent:
            return self.remember if own is None else own
        return self.usual if own is None else min(own, self.lifetime)

    def dated(self, record: Record) -> bool:
        """True if the cookie carries a Max-Age, so that the expiry moves only together with the cookie."""
        return record.persistent or (self.dates_cookie and record.idle_timeout is not None)

    def allowed(self, record: Record, now: float) -> float:
        """Return how many seconds from now the expiry may be. 0: nothing is left of the lifetime."""
        timeout = self.timeout(record)
        if record.persistent:
            return timeout
        # Clamped: a wall clock that is wrong shifts the end and kills nothing.
        left = min(self.lifetime, record.created + self.lifetime - now)
        return timeout if left >= timeout else max(left, 0.0)

    def first(self, record: Record, now: float) -> float:
        """Return the seconds that a new record gets: a request that outlasted the lifetime still stores its session."""
        return self.allowed(record, now) or self.timeout(record)

    def may_be_due(self, record: Record, left: float) -> bool:
        """True if the expiry of an unchanged record may have to be set. Cheap: every read asks."""
        usual = not record.persistent and record.idle_timeout is None  # what most are, without another call
        timeout = self.usual if usual else self.timeout(record)
        return timeout - left >= timeout / 10 or left > timeout + _ROUNDING

    def due(self, record: Record, left: float, now: float) -> float | None:
        """Return the seconds to set the expiry to if that ``may_be_due``. None: it stays as it is.

        It moves later only by a tenth of the timeout or more. It is set if more is left than the timeout, because a limit
        was made shorter, or if somebody took the expiry away.

        Args:
            left: Seconds that the stored record still has.
        """
        if left == NO_EXPIRY:
            return self.first(record, now)
        timeout = self.timeout(record)
        if left > timeout + _ROUNDING:
            return self.first(record, now)
        allowed = self.allowed(record, now)
        return allowed if allowed - left >= timeout / 10 else None

    def switched(self, record: Record, left: float, now: float) -> float:
        """Return the seconds to set the expiry to after ``persistent`` or ``idle_timeout`` changed."""
        timeout = self.timeout(record)
        return self.allowed(record, now) or (timeout if left == NO_EXPIRY else min(left, timeout))


def seconds(name: str, value: object) -> float:
    """Return a duration in seconds, given as a number or a timedelta.

    Raises:
        TypeError, ValueError: It is none, or it is not positive and finite; the message begins with ``name``.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be seconds (a number or a timedelta), not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # an integer too large
        number = math.inf
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{name} must be a positive, finite number of seconds")
    return number
