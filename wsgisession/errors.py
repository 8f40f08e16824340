"""The exceptions of this library. Knows nothing of sessions, stores or HTTP.

Nothing that a visitor sends raises an exception. Wrong configuration is a plain ``ValueError`` or ``TypeError`` while
the middleware is built. Every other error of the library is a ``SessionError``.
"""

from __future__ import annotations


class SessionError(Exception):
    """The base of every error that this library raises."""


class StoreError(SessionError):
    """The store could not do what it was asked. The engine's own error is chained as ``__cause__``."""

    logged = False  # True after the first log line, so that the error is not logged again on its way


class UnsupportedType(SessionError, TypeError):
    """A value would not come back equal and of the same type. The message has its path and what to store instead."""


class UnreadableValue(SessionError, ValueError):
    """A stored value cannot be decoded, for example because an older release does not know its type.

    The value stays in the store as it is. To repair the session, assign or delete its key.
    """


class SessionTooLarge(SessionError, ValueError):
    """The payload is larger than ``max_size`` bytes. Nothing was written. The message names the largest item."""


class HeadersSent(SessionError, RuntimeError):
    """A change cannot reach the client any more, because the headers of the response have left."""


class SessionConflict(SessionError):
    """Other requests kept changing the session for seconds. This change was not written."""
