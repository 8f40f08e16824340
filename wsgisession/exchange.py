"""Exchange: a session for a framework that makes response objects. For adapters.

A middleware sees the headers when the response passes through it. A framework that makes response objects needs them
earlier, and also without a server: in a test client, or in a unit test of one view. An exchange lets the middleware
serve such a request. The session is in ``environ`` at once. The headers leave at ``respond()``.

It does not know any framework. It does the same as the middleware and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Headers = list[tuple[str, str]]

_PENDING = "wsgisession.exchange"  # in environ, from the beginning of an exchange to its response


class Exchange:
    """One request that stays open until its response exists.

    Args:
        middleware: A SessionMiddleware around ``exchanges`` or ``behind(…)``.
        environ: The request. The session is put into it.

    ``streams`` is True from ``stream()`` on: then the server closes the exchange with the body.
    """

    def __init__(self, middleware: WSGIApplication, environ: WSGIEnvironment) -> None:
        self._inside = inside = _Inside()
        self.streams = False
        environ[_PENDING] = inside.application
        self._body: Any = iter(middleware(environ, inside.take))

    def respond(self, status: str, headers: Headers) -> Headers:
        """Save the session as at the end of any request, and return the response's headers together with ours."""
        self._inside.response = status, headers
        next(self._body)
        return self._inside.sent

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Return the body that replaces ``chunks``. Changes that are made meanwhile are saved at its end."""
        self._inside.chunks, self.streams = chunks, True
        body: Iterator[bytes] = self._body
        return body

    def close(self) -> None:
        """Save late changes. If there was no response, the request is over and nothing is saved."""
        self._body.close()


class _Inside:
    """The application and the server of an exchange. They do not know it, so no cycle waits for the collector."""

    def __init__(self) -> None:
        self.response: tuple[str, Headers] | None = None
        self.chunks: Iterable[bytes] = ()
        self.sent: Headers = []

    def application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        # A generator: the middleware gets it at once, and it runs when the response exists.
        assert self.response is not None
        start_response(*self.response)
        try:
            yield b""
            for chunk in self.chunks:  # noqa: UP028 - "yield from" would close the chunks a second time
                yield chunk
        finally:
            close = getattr(self.chunks, "close", None)
            if close is not None:
                close()

    def take(self, status: str, headers: Headers, exc_info: object = None, /) -> Any:
        self.sent = headers


def exchanges(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
    """The application of a middleware that serves only exchanges."""
    return environ.pop(_PENDING)(environ, start_response)


def behind(app: WSGIApplication) -> WSGIApplication:
    """Return the application of a middleware that serves exchanges, and otherwise ``app``."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        return environ.pop(_PENDING, app)(environ, start_response)

    return application
