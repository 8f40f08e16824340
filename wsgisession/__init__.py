"""Server-side sessions for any WSGI application: the public names, nothing else. Knows no details; each room has its own."""

from wsgisession.codec import JSONCodec
from wsgisession.cookie import Cookie
from wsgisession.errors import (
    HeadersSent,
    SessionConflict,
    SessionError,
    SessionTooLarge,
    StoreError,
    UnsupportedType,
)
from wsgisession.identity import Identity
from wsgisession.manager import SessionManager
from wsgisession.middleware import SessionMiddleware
from wsgisession.record import Record
from wsgisession.register import SessionInfo
from wsgisession.session import Session
from wsgisession.stores import MemoryStore, Store

__all__ = [
    "Cookie",
    "HeadersSent",
    "Identity",
    "JSONCodec",
    "MemoryStore",
    "Record",
    "Session",
    "SessionConflict",
    "SessionError",
    "SessionInfo",
    "SessionManager",
    "SessionMiddleware",
    "SessionTooLarge",
    "Store",
    "StoreError",
    "UnsupportedType",
]
