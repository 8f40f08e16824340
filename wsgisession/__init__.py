"""Server-side sessions for any WSGI application: the public names, nothing else. Knows no details; each has its module."""

import sys

# Before any syntax that an older Python cannot read. An ImportError would print a traceback and no other help.
if sys.version_info < (3, 11):
    sys.exit("wsgisession needs Python 3.11 or newer, and this is Python %d.%d" % sys.version_info[:2])

from wsgisession.codec import Codec as Codec
from wsgisession.cookie import Cookie as Cookie
from wsgisession.errors import HeadersSent as HeadersSent
from wsgisession.errors import SessionConflict as SessionConflict
from wsgisession.errors import SessionError as SessionError
from wsgisession.errors import SessionTooLarge as SessionTooLarge
from wsgisession.errors import StoreError as StoreError
from wsgisession.errors import UnreadableValue as UnreadableValue
from wsgisession.errors import UnsupportedType as UnsupportedType
from wsgisession.identity import Identity as Identity
from wsgisession.info import SessionInfo as SessionInfo
from wsgisession.jsoncodec import JSONCodec as JSONCodec
from wsgisession.manager import SessionManager as SessionManager
from wsgisession.middleware import SessionMiddleware as SessionMiddleware
from wsgisession.middleware import get_session as get_session
from wsgisession.record import Record as Record
from wsgisession.session import Session as Session
from wsgisession.stores import MemoryStore as MemoryStore
from wsgisession.stores import Store as Store

__version__ = "2.0.0"
# Classes, and what has no class: ``import *`` brings no module, and help() shows what is public.
__all__ = [name for name in dir() if not name.islower()] + ["get_session", "__version__"]
