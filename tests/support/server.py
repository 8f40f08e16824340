"""A server as PEP 3333 describes one, and bodies that say what is done with them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

from support.web import SECRET, Site

from wsgisession import Session, SessionMiddleware

KEY = "wsgisession.session"
TEXT = [("Content-Type", "text/plain")]


class Server:
    """A server as PEP 3333 describes one: keeps what it is given, in order, and sends headers with the first bytes."""

    def __init__(self, app: Any, cookie: str = "", **environ: Any) -> None:
        self.app = app
        self.environ: dict[str, Any] = {"QUERY_STRING": ""}
        setup_testing_defaults(self.environ)
        self.environ.update(environ)
        if cookie:
            self.environ["HTTP_COOKIE"] = cookie
        self.status, self.headers = "", []
        self.log: list[Any] = []
        self.sent = False

    def start_response(self, status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        else:
            assert not self.status
        self.status, self.headers = status, list(headers)
        self.log.append(status)
        return self.write

    def write(self, data: bytes) -> None:
        self.sent = True
        self.log.append(data)

    def run(self, chunks: int | None = None) -> Server:
        """Serve the request; ``chunks``: abandon it after that many."""
        body = self.app(self.environ, self.start_response)
        try:
            if chunks != 0:
                for number, data in enumerate(body, 1):
                    assert self.status
                    self.write(data)
                    if number == chunks:
                        break
        finally:
            if hasattr(body, "close"):
                body.close()
        return self

    @property
    def cookie(self) -> str | None:
        found = dict(self.headers).get("Set-Cookie")
        return found and found.partition(";")[0]


class Body:
    """An iterable that says when it is asked and when it is closed."""

    def __init__(self, log: list[Any], chunks: list[Any], close: Exception | None = None) -> None:
        self.log, self.chunks, self.error = log, iter(chunks), close

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        chunk = next(self.chunks)
        self.log.append("made")
        if isinstance(chunk, Exception):
            raise chunk
        return chunk() if callable(chunk) else chunk

    def close(self) -> None:
        self.log.append("closed")
        if self.error is not None:
            raise self.error


def wrap(app: Any, **options: Any) -> SessionMiddleware:
    return SessionMiddleware(app, secret=SECRET, **options)


def stored(middleware: SessionMiddleware, cookie: str | None) -> Any:
    """Return what a new request with this cookie finds."""
    site = Site(middleware.manager.store)
    return site.read(cookie) if cookie else None


Make = Callable[[list[Any]], Any]

BODIES: dict[str, Make] = {
    "list": lambda log: [b"x"],
    "empty list": lambda log: [],
    "tuple": lambda log: (b"x",),
    "iterator": lambda log: Body(log, [b"x"]),
    "empty iterator": lambda log: Body(log, []),
    "file": lambda log: FileWrapper(io.BytesIO(b"x")),
}


def answering(make: Make, *, write: bool = False, touch: bool = True, headers: Any = None) -> Any:
    """Return an application that stores an item, unless ``touch`` is False, and answers with the body that is made."""

    def app(environ: Any, start_response: Any) -> Any:
        if touch:
            environ[KEY]["a"] = 1
        out = start_response("200 OK", TEXT if headers is None else headers)
        if write:
            out(b"w")
        return make([])

    return app


def late(act: Callable[[Session], object], status: str = "200 OK") -> Any:
    """Return an application that acts on its session after the first chunk has left."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, TEXT)
        yield b"1"
        act(environ[KEY])

    return app


def start_error_page(start_response: Any, status: str = "500 Internal Server Error") -> None:
    """Start a response again because of an error, as PEP 3333 has it."""
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response(status, TEXT, sys.exc_info())
