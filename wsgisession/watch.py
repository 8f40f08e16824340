"""Watch: notices that a Flask application that is wrapped by hand uses Flask's own session too.

It imports no Flask: it knows such an application by its ``session_interface``. It does not know any session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Application = Callable[..., Iterable[bytes]]


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
    """Return an application, watched if it is a Flask application or its ``wsgi_app``.

    Args:
        tell: Called once, if Flask's own session sets its cookie.
    """
    for flask in (app, getattr(app, "__self__", None)):
        if hasattr(flask, "session_interface") and hasattr(flask, "config"):
            return _Watched(app, flask, tell)
    return app
