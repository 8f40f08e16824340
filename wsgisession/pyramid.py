"""Pyramid: ``config.include("wsgisession.pyramid")`` makes ``request.session`` a session of this library.

::

    settings = {"wsgisession.secret": "a string of at least 32 bytes", "wsgisession.store": "redis://localhost:6379"}
    with Configurator(settings=settings) as config:
        config.include("wsgisession.pyramid")

It does not know how a session is stored. It does nothing in a request that does not use ``request.session``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from wsgisession.cookie import Cookie
from wsgisession.exchange import Exchange, exchanges
from wsgisession.manager import SessionManager
from wsgisession.middleware import ENVIRON_KEY, SessionMiddleware
from wsgisession.session import Session, hold, visit_of

try:
    from pyramid.interfaces import ISession
    from pyramid.settings import falsey, truthy
    from zope.interface import classImplements
except ModuleNotFoundError as error:
    if error.name != "pyramid":
        raise
    raise ModuleNotFoundError(
        "wsgisession.pyramid needs Pyramid: pip install pyramid", name="pyramid"
    ) from None

Convert = Callable[[Any], Any]


class PyramidSession(Session):
    """``request.session``: a Session with the members of Pyramid's ``ISession``."""

    __slots__ = ()

    @property
    def created(self) -> int:
        """When the session began, in whole POSIX seconds."""
        return int(super().created)

    def invalidate(self) -> None:
        """End the session now. The next write starts a new session."""
        self.destroy()

    def changed(self) -> None:
        """Do nothing: changes inside a value are noticed."""

    def flash(self, msg: object, queue: str = "", allow_duplicate: bool = True) -> None:
        """Add a message to a queue. A string of another type, such as a translation, becomes plain text."""
        text = str(msg) if isinstance(msg, str) else msg
        messages = self.setdefault("_f_" + queue, [])
        if allow_duplicate or text not in messages:
            messages.append(text)

    def pop_flash(self, queue: str = "") -> list[Any]:
        """Return the messages of a queue and empty it."""
        messages: list[Any] = self.pop("_f_" + queue, [])
        return messages

    def peek_flash(self, queue: str = "") -> list[Any]:
        """Return the messages of a queue and leave them there."""
        messages: list[Any] = self.get("_f_" + queue, [])
        return messages

    def new_csrf_token(self) -> str:
        """Make a new CSRF token, and return it."""
        token = self["_csrft_"] = secrets.token_urlsafe(32)
        return token

    def get_csrf_token(self) -> str:
        """Return the CSRF token; the first call makes it."""
        token: str | None = self.get("_csrft_")
        return self.new_csrf_token() if token is None else token


classImplements(PyramidSession, ISession)


def includeme(config: Any) -> None:
    """Set the session factory that the settings ``wsgisession.…`` describe.

    Raises:
        ValueError, TypeError: A setting is missing, unknown or wrong.
    """
    options = _options(config)
    environ_key = options.get("environ_key", ENVIRON_KEY)
    middleware = SessionMiddleware(exchanges, **options)
    config.registry["wsgisession.manager"] = middleware.manager
    config.set_session_factory(partial(_open, middleware, environ_key))


def get_session(request: Any) -> PyramidSession:
    """Return ``request.session``, for type checkers: Pyramid itself has no types."""
    session: PyramidSession = request.session
    return session


def get_manager(registry: Mapping[str, Any]) -> SessionManager:
    """Return the sessions of an application outside a request: ``get_manager(request.registry)``."""
    manager: SessionManager = registry["wsgisession.manager"]
    return manager


def _open(middleware: SessionMiddleware, environ_key: str, request: Any) -> PyramidSession:
    """Pyramid's session factory, called at the first ``request.session`` of a request."""
    environ = request.environ
    exchange = Exchange(middleware, environ)
    session = PyramidSession()
    hold(session, visit_of(environ[environ_key]))
    environ[environ_key] = session
    request.add_response_callback(partial(_respond, exchange))
    request.add_finished_callback(partial(_finish, exchange))
    return session


def _respond(exchange: Exchange, request: Any, response: Any) -> None:
    """Save the session when views and tweens are done. A body that is made later may still change it."""
    response.headerlist = exchange.respond(response.status, response.headerlist)
    body, length = response.app_iter, response.content_length
    # A body that the server or WebOb treats in its own way (a file, a part of one) is passed on as it is.
    if not (isinstance(body, list | tuple) or hasattr(body, "app_iter_range") or _is_file(request, body)):
        response.app_iter = exchange.stream(body)
        response.content_length = length  # WebOb drops this header together with the body


def _finish(exchange: Exchange, request: Any) -> None:
    if not exchange.streams:
        exchange.close()


def _is_file(request: Any, body: object) -> bool:
    wrapper = request.environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


# Settings


def _lines(value: str) -> list[str]:
    return [line.strip() for line in value.splitlines() if line.strip()]


def _optional_seconds(value: str) -> float | None:
    return None if value.lower() == "none" else float(value)


def _boolean(value: str) -> bool:
    word = value.strip().lower()
    if word not in truthy and word not in falsey:  # Pyramid's asbool takes a slip such as "ture" for false
        raise ValueError(f"write true or false, not {value!r}")
    return word in truthy


def _secure(value: str) -> bool | str:
    return "auto" if value.lower() == "auto" else _boolean(value)


# How a setting that is a string becomes an argument. A value of another type, from a program, is passed as it is.
_COOKIE: dict[str, Convert] = {
    **dict.fromkeys(("name", "path", "domain", "samesite"), str),
    **dict.fromkeys(("httponly", "partitioned", "persistent", "host_prefix"), _boolean),
    "secure": _secure,
    "formerly": lambda value: tuple(value.split()),
}
_OPTIONS: dict[str, Convert] = {
    "secret": _lines,
    **dict.fromkeys(("store", "environ_key"), str),
    **dict.fromkeys(("lifetime", "remember"), float),
    "idle_timeout": _optional_seconds,
    "max_size": int,
}
_OBJECTS = ("cookie", "codec", "identity", "clock")  # or the dotted name of one
_PREFIX = "wsgisession."


def _options(config: Any) -> dict[str, Any]:
    """Return the arguments of SessionMiddleware. ValueError: a setting is missing, unknown or wrong."""
    options: dict[str, Any] = {}
    cookie: dict[str, Any] = {}
    for setting, value in config.registry.settings.items():
        if not setting.startswith(_PREFIX):
            continue
        name = setting.removeprefix(_PREFIX)
        part = name.removeprefix("cookie.")
        if name in _OBJECTS:
            options[name] = config.maybe_dotted(value)
        elif name in _OPTIONS:
            options[name] = _converted(setting, value, _OPTIONS[name])
        elif part != name and part in _COOKIE:
            cookie[part] = _converted(setting, value, _COOKIE[part])
        else:
            raise ValueError(_unknown(name))
    if "secret" not in options:
        raise ValueError(
            "the setting wsgisession.secret is missing; make one with: python -m wsgisession secret"
        )
    if cookie:
        if "cookie" in options:
            raise ValueError("pass either the setting wsgisession.cookie or wsgisession.cookie.…, not both")
        options["cookie"] = Cookie(**cookie)
    return options


def _converted(setting: str, value: object, convert: Convert) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error


def _unknown(name: str) -> str:
    known = [*_OPTIONS, *_OBJECTS, *(f"cookie.{part}" for part in _COOKIE)]
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {_PREFIX}{near[0]}?" if near else f"there are {', '.join(known)}"
    return f"the setting {_PREFIX}{name} is unknown; {hint}"
