"""Limits: computes from a record's facts how long a session may live, and when to move its expiry. Knows no codec and
no draft.

Timeouts are seconds without use, after which a session ends. The lifetime only limits how far an expiry may be moved: a
record that the store returns is live, whatever a clock says. Every duration is in seconds, and ``now`` is in POSIX
seconds.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from wsgisession.record import Record
from wsgisession.stores.base import NO_EXPIRY

Seconds = float | int | timedelta

MARKER_SECONDS = 60.0  # how long a marker stays under an old key, and how long a session lives whose cookie perhaps nobody has
_ROUNDING = 0.01  # seconds that a store may add: it keeps an expiry to the millisecond


class Limits:
    """How long the sessions of a manager may live.

    Args:
        idle: Seconds without use. None: only the lifetime counts.
        lifetime: Seconds since the session began, or since the login.
        remember: Seconds without use of a persistent session; it counts instead of the two others.
        dates_cookie: True: the cookie of a session with its own idle timeout has ``Max-Age``, like that of a persistent
            one.
    """

    __slots__ = ("dates_cookie", "lifetime", "remember", "usual")

    def __init__(self, idle: float | None, lifetime: float, remember: float, *, dates_cookie: bool) -> None:
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
        """True if the cookie has a Max-Age. Then the expiry moves only together with the cookie."""
        return record.persistent or (self.dates_cookie and record.idle_timeout is not None)

    def allowed(self, record: Record, now: float) -> float:
        """Return the seconds until the latest possible expiry. 0: the lifetime is over."""
        timeout = self.timeout(record)
        if record.persistent:
            return timeout
        # From 0 to the timeout, which is never more than the lifetime. So a wrong wall clock ends no session.
        left = record.created + self.lifetime - now
        return timeout if left >= timeout else max(left, 0.0)

    def first(self, record: Record, now: float) -> float:
        """Return the seconds that a new record gets. A request that took longer than the lifetime still stores its
        session.
        """
        return self.allowed(record, now) or self.timeout(record)

    def may_be_due(self, record: Record, left: float) -> bool:
        """True if the expiry of an unchanged record may have to be set. It is cheap, because every read calls it."""
        usual = not record.persistent and record.idle_timeout is None  # what most are, without another call
        timeout = self.usual if usual else self.timeout(record)
        return timeout - left >= timeout / 10 or left > timeout + _ROUNDING

    def due(self, record: Record, left: float, now: float) -> float | None:
        """Return the seconds to set the expiry to if that ``may_be_due``. None: it stays as it is.

        It moves later only by a tenth of the timeout or more. It is also set if more is left than the timeout, because
        a limit was made shorter, and if somebody removed the expiry.

        Args:
            left: Seconds that the stored record still has.
        """
        timeout = self.timeout(record)
        if left == NO_EXPIRY or left > timeout + _ROUNDING:
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
    if not 0 < value <= sys.float_info.max:  # NaN is not less than anything, and an integer may be too large
        raise ValueError(f"{name} must be a positive, finite number of seconds")
    return float(value)
