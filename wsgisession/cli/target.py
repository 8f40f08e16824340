"""The sessions that a command is about: a store's URL, or ``module:middleware``.

No message repeats a URL or the message of an application's exception, because these may contain a password.

Knows no command and no output.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from wsgisession.manager import SessionManager
from wsgisession.stores import MemoryStore, from_url

VARIABLE = "WSGISESSION_STORE"
INNER = ("wsgi_app", "app", "application", "wrap_app")  # attributes with a wrapped application
DEEPEST = 20  # at most so many middlewares around one another

_PLACE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
# A word with "://" and userinfo up to the last "@", unless it is our own example of a URL. And the value of a name such
# as "secret".
_USER = re.compile(r"(://)(?!\[[0-9A-Fa-f:.]*\]|\[user:password@\][^\s@]*(?:\s|$))[^\s'\"]*@")
_NAMED = re.compile(
    r"((?:pass\w*|secret\w*|token\w*|pwd)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s&,;}]+)", re.IGNORECASE
)


class Unusable(Exception):
    """The store or the middleware that was named cannot be used; the message says what to write instead."""


def open_target(name: str | None, *, create: bool = False) -> SessionManager:
    """Return the manager of the sessions a command is about.

    Args:
        name: A URL or ``module:attribute``; None: what the environment variable ``WSGISESSION_STORE`` says.
        create: Make the file or the table of a URL if it does not exist.

    Raises:
        Unusable: There is none of that name.
        StoreError: The store cannot be opened, or does not exist.
    """
    # An empty name was meant to be another store than the variable's, such as "$STORE" that is not set.
    name = os.environ.get(VARIABLE) if name is None else name
    if not name:
        raise Unusable(f"name a store: a URL, module:middleware, or the environment variable {VARIABLE}")
    if found := _PLACE.fullmatch(name):
        return _imported(found[1], found[2])
    if name.partition(":")[0].lower() == "memory":
        raise Unusable(
            "memory: is a store inside one process, and this command is another process, so it would find nothing."
            " Name the store that your application shares, such as sqlite:///sessions.db"
        )
    try:
        return SessionManager(from_url(name, create=create))
    except (ValueError, TypeError, ImportError) as error:
        raise Unusable(f"{error}; or write module:middleware") from None


def _imported(module: str, path: str) -> SessionManager:
    if "" not in sys.path and os.getcwd() not in sys.path:  # as python -m does; the console script does not
        sys.path.insert(0, os.getcwd())
    found = _ran(f"importing {module}", module, lambda: importlib.import_module(module))
    # The object may be a proxy that fails outside a request, like Flask's current_app.
    manager = _ran(f"looking at {module}:{path}", module, lambda: _manager(found, module, path))
    if manager is None:
        raise Unusable(
            f"{module}:{path} is no SessionMiddleware or SessionManager, and does not wrap or return one"
        )
    return manager  # type: ignore[no-any-return]


def _manager(found: Any, module: str, path: str) -> SessionManager | None:
    for name in path.split("."):
        if not hasattr(found, name):
            raise Unusable(f"{module}:{path} does not exist: no {name!r} in it")
        found = getattr(found, name)
    if isinstance(found, FunctionType) and not inspect.signature(found).parameters:
        found = _ran(f"calling {module}:{path}", module, found)
    for inner in _layers(found):
        manager = getattr(inner, "manager", inner)
        if isinstance(manager, SessionManager):
            return manager
    return None


def _ran(what: str, module: str, call: Callable[[], Any]) -> Any:
    """Return what an application's code returns. Its output goes to standard error, because it is no result of the
    command.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return call()
    except Unusable:
        raise
    except (Exception, SystemExit) as error:
        raise Unusable(f"{what} failed: {_cause(error)}; to see all: python3 -c 'import {module}'") from error


def _layers(found: Any) -> Iterator[Any]:
    """Yield an object and what it wraps, layer by layer: an application's ``wsgi_app``, a middleware's ``app``."""
    for _ in range(DEEPEST):
        yield found
        inner = (getattr(found, name, None) for name in INNER)
        found = next(filter(callable, inner), None)


def _cause(error: BaseException) -> str:
    """Return what went wrong and in which line. The message is in it only if Python made it: another one may contain a
    password.
    """
    told = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        told += f": no module named {error.name!r}"
    elif isinstance(error, SyntaxError):
        told += f": {error.msg}, {os.path.basename(error.filename or '?')} line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # The last line of the application's own code, if any.
        here = [frame for frame in frames if frame.filename.startswith(os.getcwd())]
        last = (here or frames)[-1]
        told += f", raised in {os.path.basename(last.filename)} line {last.lineno}"
    return told


def in_memory(manager: SessionManager) -> bool:
    """True if only this process can see the sessions."""
    return isinstance(manager.store, MemoryStore)


def redacted(message: str) -> str:
    """Return a message on one line, without user names and passwords of URLs, and without named secrets."""
    line = _USER.sub(r"\1…@", " ".join(message.split()))
    return _NAMED.sub(r"\1…", line)
