"""Server-side sessions for any WSGI application: the public names, nothing else. Knows no details; each has its module."""

import sys

# Before any syntax that an older Python cannot read. An ImportError would print a traceback and no other help.
if sys.version_info < (3, 11):
    sys.exit("wsgisession needs Python 3.11 or newer, and this is Python %d.%d" % sys.version_info[:2])

from wsgisession.codec import Codec
from wsgisession.cookie import Cookie
from wsgisession.errors import (
    HeadersSent,
    SessionConflict,
    SessionError,
    SessionTooLarge,
    StoreError,
    UnreadableValue,
    UnsupportedType,
)
from wsgisession.identity import Identity
from wsgisession.info import SessionInfo
from wsgisession.jsoncodec import JSONCodec
from wsgisession.manager import SessionManager
from wsgisession.middleware import SessionMiddleware, get_session
from wsgisession.record import Record
from wsgisession.session import Session
from wsgisession.stores import MemoryStore, Store

__version__ = "2.0.0"

__all__ = [
    "Codec",
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
    "UnreadableValue",
    "UnsupportedType",
    "__version__",
    "get_session",
]
