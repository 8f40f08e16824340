"""What can go wrong, one exception each. Knows nothing of sessions, stores or HTTP.

A visitor's nonsense never raises. Wrong configuration is a plain ``ValueError`` or ``TypeError`` while the middleware is
built. Everything else the library raises is a ``SessionError``.
"""

from __future__ import annotations


class SessionError(Exception):
    """The base of every error this library raises on its own account."""


class StoreError(SessionError):
    """The store could not do what it was asked; the engine's own error is chained as ``__cause__``."""

    logged = False  # a line in the log, however many hands the error passes through


class UnsupportedType(SessionError, TypeError):
    """A value would not come back equal and of the same type; the message names its path and what to store instead."""


class SessionTooLarge(SessionError, ValueError):
    """The payload is larger than ``max_size`` bytes; nothing was written."""


class HeadersSent(SessionError, RuntimeError):
    """A change can no longer reach the client, because the response's headers have left."""


class SessionConflict(SessionError):
    """Compare-and-swap kept failing past a generous bound; nothing of this change was written."""
