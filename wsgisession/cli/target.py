"""Which sessions a command is about: a store's URL, or ``module:middleware``. Knows no command and no output.

No message repeats a URL: it may hold a password.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys

from wsgisession.manager import SessionManager
from wsgisession.middleware import SessionMiddleware
from wsgisession.stores import MemoryStore, from_url

VARIABLE = "WSGISESSION_STORE"
_PLACE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_PASSWORD = re.compile(r"(://)(?!\[)[^\s@]*@|((?:pass\w*|secret)=)[^\s&]+", re.IGNORECASE)


class Unusable(Exception):
    """The store or the middleware that was named cannot be used; the message says what to write instead."""


def open_target(name: str | None) -> SessionManager:
    """Return the manager of the sessions a command is about.

    Args:
        name: A URL or ``module:attribute``; None: what the environment variable ``WSGISESSION_STORE`` says.

    Raises:
        Unusable: There is none of that name.
        StoreError: The store cannot be opened.
    """
    name = name or os.environ.get(VARIABLE)
    if not name:
        raise Unusable(f"name a store: a URL, module:middleware, or the environment variable {VARIABLE}")
    if found := _PLACE.fullmatch(name):
        return _imported(found[1], found[2])
    if name.partition(":")[0].lower() == "memory":
        raise Unusable(
            "memory: is a store inside one process, and this command is another one: it would find nothing."
            " Name the store that your application shares, such as sqlite:///sessions.db"
        )
    try:
        return SessionManager(from_url(name))
    except (ValueError, TypeError, ImportError) as error:
        raise Unusable(f"{error}; or write module:middleware") from None


def _imported(module: str, path: str) -> SessionManager:
    if "" not in sys.path and os.getcwd() not in sys.path:  # as with python -m, also for the console script
        sys.path.insert(0, os.getcwd())
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the application prints is no result of ours
            found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise Unusable(f"importing {module} failed: {type(error).__name__}: {error}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise Unusable(f"{module}:{path} does not exist: no {name!r} in it")
        found = getattr(found, name)
    manager = found.manager if isinstance(found, SessionMiddleware) else found
    if not isinstance(manager, SessionManager):
        raise Unusable(f"{module}:{path} is neither a SessionMiddleware nor a SessionManager")
    return manager


def in_memory(manager: SessionManager) -> bool:
    """True where this process alone can see the sessions."""
    return isinstance(manager.store, MemoryStore)


def redacted(message: str) -> str:
    """Return a message on one line, without the user names and passwords of URLs in it."""
    return _PASSWORD.sub(lambda found: f"{found[1] or ''}{found[2] or ''}…{'@' if found[1] else ''}", " ".join(message.split()))
