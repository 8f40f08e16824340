"""Flask: ``Sessions(app)`` makes ``flask.session`` a session of this library.

::

    from flask import Flask, session
    from wsgisession.flask import Sessions

    app = Flask(__name__)
    app.secret_key = "a string of at least 32 bytes, kept out of the repository"
    Sessions(app, store="redis://localhost:6379")

It does not know how a session is stored. A session contains only what the application put there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from wsgisession.codec import Codec
from wsgisession.cookie import LONGEST_MAX_AGE, Cookie
from wsgisession.exchange import Exchange, behind
from wsgisession.identity import Identity
from wsgisession.jsoncodec import JSONCodec
from wsgisession.limits import Seconds, seconds
from wsgisession.manager import IdentityFactory, Secret, SessionManager
from wsgisession.middleware import ENVIRON_KEY, SessionMiddleware
from wsgisession.phase import OPEN
from wsgisession.session import Session, hold, visit_of
from wsgisession.stores import Store
from wsgisession.visit import Visit

try:
    import flask
    from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin
    from markupsafe import Markup
    from werkzeug.datastructures import Headers
    from werkzeug.http import http_date
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise ModuleNotFoundError("wsgisession.flask needs Flask: pip install flask", name="flask") from None

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_COOKIE = "NAME", "DOMAIN", "PATH", "HTTPONLY", "SECURE", "SAMESITE", "PARTITIONED"
_SETTINGS = "APPLICATION_ROOT", *(f"SESSION_COOKIE_{part}" for part in _COOKIE)


class FlaskSession(Session):
    """``flask.session``: a Session with the attributes that Flask and its extensions use."""

    __slots__ = ("accessed", "assigned", "exchange")

    accessed: bool  # set by Flask
    assigned: bool  # an item was assigned or deleted
    exchange: Exchange | None  # saves a session that has no request

    def __init__(self, visit: Visit, exchange: Exchange | None = None) -> None:
        hold(self, visit)
        self.accessed = self.assigned = False
        self.exchange = exchange

    @property
    def modified(self) -> bool:
        """True if an item was assigned or deleted, or a value changed inside. Extensions save only such a session.

        Raises:
            UnsupportedType: A value cannot be stored.
        """
        draft = visit_of(self).draft
        return self.assigned or (draft is not None and draft.record() is not draft.base)

    @modified.setter
    def modified(self, modified: bool) -> None:
        self.assigned = bool(modified)

    @property
    def permanent(self) -> bool:
        """Flask's word for ``persistent``."""
        return self.persistent

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        self.persistent = bool(permanent)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "_flashes":
            value = [(category, _text(message)) for category, message in value]
        super().__setitem__(key, value)
        self.assigned = True

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.assigned = True

    def clear(self) -> None:
        """Delete every key. The session itself goes on, and so does its owner."""
        super().clear()
        self.assigned = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FlaskSession.__dict__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


SessionMixin.register(FlaskSession)

session: FlaskSession = cast(FlaskSession, flask.session)
"""The same object as ``flask.session``, for type checkers."""


def _text(message: Any) -> Any:
    """Return a flashed message as Flask's own session does: HTML stays HTML, a lazy text becomes text."""
    if type(message) is str or type(message) is Markup:
        return message
    if callable(getattr(message, "__html__", None)):
        return Markup(message.__html__())
    return str(message) if isinstance(message, str) else message


class Sessions:
    """Server-side sessions for Flask: ``Sessions(app)``, or ``Sessions()`` and later ``init_app(app)``.

    An argument that you do not pass comes from the application's configuration, which is read when a request comes. The
    other arguments are those of SessionMiddleware. An application without a secret key has Flask's null session: it is
    empty, and writing to it is an error that asks for the key.

    Args:
        app: The application. None: call ``init_app`` later.
        secret: None: ``SECRET_KEY`` signs, and ``SECRET_KEY_FALLBACKS`` are accepted too.
        store: A Store, or a URL; None: a MemoryStore for each application.
        cookie: None: the ``SESSION_COOKIE_…`` settings.
        remember: Seconds since the last use of a session with ``session.permanent = True``; None:
            ``PERMANENT_SESSION_LIFETIME``.

    Raises:
        ValueError, TypeError: The configuration is wrong; the message says what to pass instead. If the
            application gets its secret key later, the error comes with the first request.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        secret: Secret | None = None,
        store: Store | str | None = None,
        cookie: Cookie | None = None,
        idle_timeout: Seconds | None = 7200,
        lifetime: Seconds = 86400,
        remember: Seconds | None = None,
        max_size: int = 65536,
        environ_key: str = ENVIRON_KEY,
        codec: Codec | None = None,
        identity: IdentityFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret, self._store, self._cookie, self._remember = secret, store, cookie, remember
        self._environ_key = environ_key
        self._shortest = getattr(identity, "min_secret", Identity.min_secret)
        self._middleware = partial(
            SessionMiddleware,
            idle_timeout=idle_timeout,
            lifetime=lifetime,
            max_size=max_size,
            environ_key=environ_key,
            codec=JSONCodec(types={"markup": (Markup, str, Markup)}) if codec is None else codec,
            identity=identity,
            clock=clock,
        )
        self._app = app
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Give an application these sessions. Call it once for each application."""
        if not isinstance(app, flask.Flask):
            raise TypeError(
                f"Sessions() takes a Flask application, not {type(app).__name__}; a store is Sessions(app, store=…)"
            )
        if "wsgisession" in app.extensions:
            raise ValueError(
                "this application has its sessions already; call Sessions(app) or init_app(app) once"
            )
        if isinstance(app.wsgi_app, SessionMiddleware):
            raise ValueError(
                "app.wsgi_app is in a SessionMiddleware already; remove that line, Sessions(app) does it"
            )
        interface = type(app.session_interface)
        if interface is not SecureCookieSessionInterface:
            raise ValueError(f"app.session_interface is {interface.__name__} already; remove what sets it")
        store = SessionManager(self._store).store  # opened once, however often the configuration changes
        served = _Served(app, self._environ_key, partial(self._build, app, store))
        served.build()  # so that wrong configuration is an error now
        app.extensions["wsgisession"] = app.session_interface = served
        app.wsgi_app = served  # type: ignore[method-assign]

    @property
    def manager(self) -> SessionManager:
        """The same sessions outside a request: list them, end them, or log in a test client.

        Inside ``app.app_context()`` they are those of the current application. Outside, they are those of the
        application in ``Sessions(app)``.

        Raises:
            RuntimeError: There is no such application, or it has no secret key.
        """
        app = flask.current_app if flask.has_app_context() else self._app
        served: _Served | None = None if app is None else app.extensions.get("wsgisession")
        if served is None:
            raise RuntimeError("whose sessions? Ask inside app.app_context(), after sessions.init_app(app)")
        return served.manager

    def _build(self, app: flask.Flask, store: Store, wsgi_app: WSGIApplication) -> SessionMiddleware | None:
        secret = _secrets(app, self._shortest) if self._secret is None else self._secret
        if secret is None:
            return None
        cookie = _cookie(app) if self._cookie is None else self._cookie
        remember = self._remember
        if remember is None:
            remember = seconds("PERMANENT_SESSION_LIFETIME", app.permanent_session_lifetime)
        return self._middleware(wsgi_app, secret=secret, store=store, cookie=cookie, remember=remember)


def _secrets(app: flask.Flask, shortest: int) -> list[str | bytes] | None:
    """Return the application's own keys; the first one signs. None: it has no key.

    Raises:
        ValueError: one of them is too short.
        TypeError: one of them is no text and no bytes.
    """
    key, formerly = app.secret_key, app.config.get("SECRET_KEY_FALLBACKS") or ()
    if not key:
        return None
    if isinstance(formerly, str | bytes):
        raise TypeError("SECRET_KEY_FALLBACKS must be a list of keys, not one key")
    for name, secret in ("SECRET_KEY", key), *(("SECRET_KEY_FALLBACKS", old) for old in formerly):
        if not isinstance(secret, str | bytes):
            raise TypeError(f"{name}: a key is a str or bytes, not {type(secret).__name__}")
        size = len(secret.encode() if isinstance(secret, str) else secret)
        if size < shortest:
            raise ValueError(
                f"{name}: sessions need at least {shortest} bytes, and this has {size};"
                " make a key with: python -m wsgisession secret"
            )
    return [key, *formerly]


class _FlaskCookie(Cookie):
    """The cookie that an application's settings describe. With Max-Age it has Expires too, as Flask's own has: people's
    tests and test clients read that. Browsers follow Max-Age.
    """

    __slots__ = ()

    def render(self, name: str, value: str, *, secure: bool, max_age: int | None) -> str:
        header = super().render(name, value, secure=secure, max_age=max_age)
        if max_age is None:
            return header
        # By the clock of the client, which in a test is this machine's. It is not the clock of the sessions.
        return f"{header}; Expires={http_date(time.time() + min(max_age, LONGEST_MAX_AGE))}"


def _host(domain: str) -> str | None:
    """Return the domain as Flask writes it into its own cookie: without a leading dot or a port, and in ASCII."""
    return domain.partition(":")[0].lstrip(".").encode("idna").decode() or None


def _cookie(app: flask.Flask) -> Cookie:
    """Return the cookie that the application's own settings describe."""
    config: dict[str, Any] = app.config
    secure, samesite = bool(config["SESSION_COOKIE_SECURE"]), config["SESSION_COOKIE_SAMESITE"]
    try:
        return _FlaskCookie(
            name=config["SESSION_COOKIE_NAME"],
            path=config["SESSION_COOKIE_PATH"] or config["APPLICATION_ROOT"],
            domain=_host(config["SESSION_COOKIE_DOMAIN"] or ""),
            secure=secure or "auto",
            httponly=bool(config["SESSION_COOKIE_HTTPONLY"]),
            samesite=samesite.title() if samesite else "Lax",
            partitioned=bool(config.get("SESSION_COOKIE_PARTITIONED")),
            # As with Flask's own cookie, http and https have the same session unless the settings say Secure.
            host_prefix=secure,
        )
    except ValueError as error:
        error.add_note("This comes from the SESSION_COOKIE_… settings of the application.")
        raise


class _Served(SessionInterface):
    """An application with its sessions: ``app.wsgi_app``, ``app.session_interface``, ``app.extensions["wsgisession"]``.

    Gives Flask its session: the one of the middleware, or a new one outside of a request.
    """

    def __init__(
        self,
        app: flask.Flask,
        environ_key: str,
        make: Callable[[WSGIApplication], SessionMiddleware | None],
    ) -> None:
        self._app = app
        self._environ_key = environ_key
        self._inside = app.wsgi_app
        self._make = make
        self._built: tuple[object, SessionMiddleware | None] = None, None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (self.build() or self._inside)(environ, start_response)

    def build(self) -> SessionMiddleware | None:
        """Return the middleware for the present configuration; the same one until the configuration changes.

        None: the application has no secret key.
        """
        app = self._app
        settings = [app.secret_key, app.permanent_session_lifetime, *map(app.config.get, _SETTINGS)]
        settings += app.config.get("SECRET_KEY_FALLBACKS") or ()
        if self._built[0] != settings:
            self._built = settings, self._make(behind(self._inside))
        return self._built[1]

    @property
    def manager(self) -> SessionManager:
        """The sessions outside a request. RuntimeError: the application has no secret key."""
        middleware = self.build()
        if middleware is None:
            raise RuntimeError("sessions need a secret; set app.secret_key to: python -m wsgisession secret")
        return middleware.manager

    def open_session(self, app: flask.Flask, request: flask.Request) -> SessionMixin | None:
        """Return the session; None: the application has no secret key, so Flask uses a null session."""
        environ, key = request.environ, self._environ_key
        running = environ.get(key)
        if running is not None and visit_of(running).phase is not OPEN:
            running = None
        if running is not None and not isinstance(running, FlaskSession):
            session = environ[key] = FlaskSession(visit_of(running))
            return cast(SessionMixin, session)
        # There is none, or an earlier context has it. The messages of a WebSocket have one environ, each has a context,
        # and they may come in threads. So each reads its own session, in a copy of the environ.
        middleware = self.build()
        if middleware is None:
            return None
        # In one step, because another thread may put something into it
        own = {**environ, key: None}
        cookie = None if running is None else visit_of(running).pass_on()
        # What the earlier context has stored, under an id that the browser may not have yet
        if cookie is not None:
            own["HTTP_COOKIE"] = cookie
        exchange = Exchange(middleware, own)
        session = FlaskSession(visit_of(own[key]), exchange)
        # Otherwise get_session(environ) stays the request's own
        if running is None or running.exchange is not None:
            environ[key] = session
        return cast(SessionMixin, session)

    def save_session(self, app: flask.Flask, session: SessionMixin, response: flask.Response) -> None:
        """Save the session while the application can still handle an error. The middleware saves what changes later."""
        assert isinstance(session, FlaskSession)
        saves = visit_of(session).draft is not None and response.status_code < 500
        if saves and not app.config["SESSION_REFRESH_EACH_REQUEST"] and session.permanent:
            session.passive = session.passive or not session.modified
        if session.exchange is not None:
            exchange, session.exchange = session.exchange, None
            response.headers = Headers(exchange.respond(response.status, response.headers.to_wsgi_list()))
            exchange.close()
        elif saves:
            visit_of(session).settle(streams=response.is_streamed)
