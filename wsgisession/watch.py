"""Watch: notices that a Flask application that is wrapped by hand uses Flask's own session too.

It imports no Flask: it knows such an application by its ``session_interface``. It does not know any session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Application = Callable[..., Iterable[bytes]]

_LAYERS = 6  # how many are looked through: a method, and a few middlewares around it


class _Watched:
    """A Flask application. When its own session sets a cookie, ``tell`` is called, once."""

    def __init__(self, app: Application, flask: Any, tell: Callable[[], None]) -> None:
        self._app = app
        self._flask = flask
        self._tell: Callable[[], None] | None = tell

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        tell = self._tell
        if tell is None:
            return self._app(environ, start_response)

        def look(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            own = f"{self._flask.config.get('SESSION_COOKIE_NAME')}="
            if any(value.startswith(own) for name, value in headers if name.lower() == "set-cookie"):
                self._tell = None
                tell()
            return start_response(status, headers, *exc_info)

        return self._app(environ, look)


def watched(app: Application, tell: Callable[[], None]) -> Application:
    """Return an application, watched if it is a Flask application, its ``wsgi_app``, or ProxyFix and the like around one.

    Args:
        tell: Called once, if Flask's own session sets its cookie.
    """
    inside: Any = app
    for _ in range(_LAYERS):
        if hasattr(inside, "session_interface") and hasattr(inside, "config"):
            return _Watched(app, inside, tell)
        # The object of a method, or what a middleware of Werkzeug's wraps.
        inside = getattr(inside, "__self__", None) or getattr(inside, "app", None)
    return app
