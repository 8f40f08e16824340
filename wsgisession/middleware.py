"""SessionMiddleware: holds the headers back until the session is saved (PEP 3333). Knows nothing below the visit.

The application's ``start_response`` is held back until the session is in the store. Then the headers leave, with a
cookie if it is needed. If a request did not touch the session, its response passes unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from wsgisession.codec import Codec
from wsgisession.cookie import Cookie
from wsgisession.errors import SessionError
from wsgisession.headers import Headers, personal
from wsgisession.limits import Seconds
from wsgisession.manager import IdentityFactory, Secret, SessionManager
from wsgisession.phase import OPEN, OVER
from wsgisession.session import Session, hold, visit_of
from wsgisession.stores import MemoryStore, Store
from wsgisession.visit import Visit, new_visit
from wsgisession.watch import watched

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None
    Application = Callable[..., Iterable[bytes]]

ENVIRON_KEY = "wsgisession.session"


class SessionMiddleware:
    """Give a WSGI application a server-side session under ``environ[environ_key]``.

    The other arguments are SessionManager's.

    Args:
        app: The application.
        secret: ``str`` or ``bytes`` of at least 32 bytes, or a sequence of them. The first one signs, all are accepted.
        environ_key: The key in ``environ`` under which the application finds its Session. It must contain a dot
            (PEP 3333).

    Raises:
        ValueError, TypeError: The configuration is wrong; the message says what to pass instead.
    """

    def __init__(
        self,
        app: Application,
        *,
        secret: Secret,
        store: Store | str | None = None,
        cookie: Cookie | None = None,
        idle_timeout: Seconds | None = 7200,
        lifetime: Seconds = 86400,
        remember: Seconds = 2592000,
        max_size: int = 65536,
        environ_key: str = ENVIRON_KEY,
        codec: Codec | None = None,
        identity: IdentityFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app must be a WSGI application, a callable, not {type(app).__name__}")
        if secret is None:
            raise TypeError("secret is needed; make one with: python -m wsgisession secret")
        if not isinstance(environ_key, str):
            raise TypeError(f"environ_key must be a str, not {type(environ_key).__name__}")
        if "." not in environ_key:
            raise ValueError("environ_key must contain a dot, such as 'wsgisession.session' (PEP 3333)")
        self.manager = SessionManager(
            store,
            secret=secret,
            cookie=cookie,
            idle_timeout=idle_timeout,
            lifetime=lifetime,
            remember=remember,
            max_size=max_size,
            codec=codec,
            identity=identity,
            clock=clock,
        )
        self._environ_key = environ_key
        self._setup = self.manager.setup
        self.app = watched(app, partial(self._setup.advice.warn_once, "flask session"))
        self._alone = isinstance(self.manager.store, MemoryStore)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        key = self._environ_key
        if key in environ and self._serves(environ[key]):
            return self.app(environ, start_response)
        visit = new_visit(self._setup, environ.get("HTTP_COOKIE"), environ.get("wsgi.url_scheme"))
        # Made here, as the response below: that is two calls less for a request that leaves its session alone.
        environ[key] = session = Session()
        hold(session, visit)
        if self._alone and environ.get("wsgi.multiprocess"):
            self._alone = False
            self._setup.advice.warn_once("memory store")
        response = _Response()
        response.visit = visit
        response.server_start = start_response
        response.sent = response.held = response.server_write = response.cookies = None
        try:
            body = self.app(environ, response.start)
        except BaseException:
            response.fail()
            raise
        kind = type(body)
        whole = kind is list or kind is tuple
        if not visit.touched:
            # The case of most requests, written here because ``response.end`` takes twice the time. (An ``exc_info``
            # must not get a name, because its traceback refers to this frame.)
            if whole and response.held is not None and response.held[2] is None:
                status, headers, _ = response.held
                if status < "500":
                    response.held = None
                    visit.phase = OVER
                    start_response(status, headers)
                    return body
        wrapper = environ.get("wsgi.file_wrapper")
        if whole or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            response.end(body)
            if response.cookies and visit.began:
                self._advise(environ, visit)
            return body
        advise = partial(self._advise, environ, visit)
        return (_SizedBody if hasattr(kind, "__len__") else _Body)(response, body, advise)

    def _serves(self, session: object) -> bool:
        """Return True if an outer middleware of the same manager serves this request. SessionError: one of another
        manager does.
        """
        if not isinstance(session, Session) or visit_of(session).phase is not OPEN:
            return False  # an environ that was used before
        if visit_of(session).setup is self._setup:
            return True
        raise SessionError(
            f"another SessionMiddleware already serves environ[{self._environ_key!r}];"
            " give each its own environ_key and cookie name"
        )

    def _advise(self, environ: WSGIEnvironment, visit: Visit) -> None:
        """Warn if a new session will not be found again, or if its cookie replaces another one."""
        cookie, advice = self._setup.cookie, self._setup.advice
        if visit.scheme != "https" and cookie.secure is not False:
            proto, forwarded = environ.get("HTTP_X_FORWARDED_PROTO"), environ.get("HTTP_FORWARDED")
            if cookie.secure == "auto":
                https = proto and proto.lower().startswith("https")
                if https or (forwarded and "proto=https" in forwarded.lower()):
                    advice.warn_once("tls proxy")
            elif not (proto or forwarded or any(name.startswith(_PROXIED) for name in environ)):
                advice.warn_once("secure over http")
        if cookie.path != "/" and not cookie.covers(
            f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}" or "/"
        ):
            advice.warn_once("outside the path", path=cookie.path)
        if (
            environ.get("REQUEST_METHOD") == "POST"
            and environ.get("HTTP_SEC_FETCH_SITE") == "cross-site"
            and not environ.get("HTTP_COOKIE")
            and cookie.samesite != "None"
            and not visit.logged_in  # a login may come from another site on purpose
        ):
            advice.warn_once("cross-site post")


def get_session(environ: WSGIEnvironment, key: str = ENVIRON_KEY) -> Session:
    """Return the session of a request.

    Args:
        environ: The request's environ.
        key: The middleware's ``environ_key``.

    Raises:
        SessionError: There is no SessionMiddleware around the application.
    """
    session = environ.get(key)
    if not isinstance(session, Session):
        raise SessionError(
            f"there is no session in environ[{key!r}]: wrap the application, app = SessionMiddleware(app, secret=…), and"
            " serve what that returns"
        )
    return session


_PROXIED = ("HTTP_X_FORWARDED_", "HTTP_FORWARDED", "HTTP_VIA")


class _Response:
    """One response: holds the application's headers back until the session is saved. To call it is the application's
    write().
    """

    __slots__ = ("cookies", "held", "sent", "server_start", "server_write", "visit")

    visit: Visit
    server_start: StartResponse
    sent: bool | None
    """None: the application has not called start_response yet."""
    held: tuple[str, Headers, ExcInfo] | None
    """The arguments of start_response, until the headers leave."""
    server_write: Callable[[bytes], object] | None
    cookies: list[str] | None
    """The Set-Cookie values that have left. None: no headers have left."""

    def start(self, status: str, headers: Headers, exc_info: ExcInfo = None) -> Callable[[bytes], object]:
        """The application's start_response."""
        if type(status) is not str:
            raise TypeError(
                f"start_response() takes a status of type str such as '200 OK', not {type(status).__name__}"
            )
        if self.sent is None or (exc_info is not None and not self.sent):
            self.sent = False
            self.held = status, headers, exc_info
            return self
        if exc_info is None:
            raise AssertionError("start_response() was called again without exc_info (PEP 3333)")
        try:
            if status >= "500":
                self.visit.fail()
            # It raises if the first headers have left already. Otherwise ours are sent again.
            if self.visit.touched:
                headers = personal(headers, self.visit.set_cookies(), len(self.visit.own) > 0)
            self.server_write = self.server_start(status, headers, exc_info)
            return self
        finally:
            exc_info = None  # it holds this very frame (PEP 3333, error handling)

    def send(self, over: bool = False) -> None:
        """Commit, and send the headers. If the commit raises, the headers are dropped.

        Args:
            over: the application is done.
        """
        assert self.held is not None
        status, headers, exc_info = self.held
        visit, self.held = self.visit, None
        try:
            cookies = self.cookies = visit.leave(status < "500", over)
            if visit.touched:
                headers = personal(headers, cookies, len(visit.own) > 0)
            self.sent = True
            if exc_info is None:
                self.server_write = self.server_start(status, headers)
            else:
                self.server_write = self.server_start(status, headers, exc_info)
        finally:
            exc_info = None

    def __call__(self, data: bytes) -> None:
        """The application's write()."""
        if not self.sent:
            self.send()
        assert self.server_write is not None, "the server has refused the headers"
        self.server_write(data)

    def end(self, body: Any) -> None:
        """The application is done, and its body is passed on unchanged."""
        try:
            if self.held is not None:
                self.send(over=True)
            elif self.sent:
                self.visit.finish()
            else:
                self.fail()
        except BaseException:
            self.fail()
            close = getattr(body, "close", None)
            if close is not None:
                close()
            raise

    def fail(self) -> None:
        """Save and send nothing more. Forget the error, because its traceback refers to the application, which refers
        to us.
        """
        self.visit.fail()
        self.held = None


class _Body:
    """A body that still runs application code: passes each chunk on at once, and ends the session's request."""

    def __init__(self, response: _Response, body: Iterable[bytes], advise: Callable[[], None]) -> None:
        self._response = response
        self._advise = advise  # what to do if a session has begun
        self._body: Any = body  # None: the body is closed, or the application forgot to return one
        self._chunks: Iterator[bytes] | None = None
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        response = self._response
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            chunk = next(self._chunks)
        except StopIteration:
            self._ended = True
            if response.held is not None:
                response.send()
            raise
        except BaseException:
            self._ended = True
            response.fail()
            raise
        if response.held is not None:
            response.send()
        return chunk

    def close(self) -> None:
        """Close the application's body, once, and then save late changes."""
        body, self._body = self._body, None
        if body is None:
            return
        self._ended = True
        response = self._response
        try:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        except BaseException:
            response.fail()
            raise
        if response.visit.phase is OPEN:  # abandoned before its headers left
            response.fail()
        response.visit.finish()
        if response.cookies and response.visit.began:
            self._advise()


class _SizedBody(_Body):
    """A body with a length, so that a server can compute the Content-Length if there is a single chunk."""

    def __len__(self) -> int:
        return len(self._body)
