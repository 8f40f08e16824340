"""What can go wrong, one exception each. Knows nothing of sessions, stores or HTTP.

A visitor's nonsense never raises. Wrong configuration is a plain ``ValueError`` or ``TypeError`` while the middleware is
built. Everything else the library raises is a ``SessionError``.
"""

from __future__ import annotations


class SessionError(Exception):
    """The base of every error that this library raises."""


class StoreError(SessionError):
    """The store could not do what it was asked. The engine's own error is chained as ``__cause__``."""

    logged = False  # one line in the log, however many hands the error passes through


class UnsupportedType(SessionError, TypeError):
    """A value would not come back equal and of the same type. The message names its path and what to store instead."""


class UnreadableValue(SessionError, ValueError):
    """A stored value cannot be decoded, for example because an older release does not know its type.

    The value stays stored as it is. Assigning or deleting its key mends the session.
    """


class SessionTooLarge(SessionError, ValueError):
    """The payload is larger than ``max_size`` bytes. Nothing was written. The message names the largest item."""


class HeadersSent(SessionError, RuntimeError):
    """A change can no longer reach the client, because the headers of the response have left."""


class SessionConflict(SessionError):
    """Other requests kept changing the session for seconds. Nothing of this change was written."""
