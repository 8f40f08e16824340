"""A pytest plugin: every WSGI application that a suite runs is wrapped in ``SessionMiddleware``.

With ``PEER_TOUCH`` in the environment each request also reads and writes its session, and the headers that
this adds are taken off again: what the application passed to ``start_response`` goes on to the server.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from wsgisession import MemoryStore, SessionMiddleware

SECRET = "a secret of at least 32 bytes, for these tests"
STORE = MemoryStore()
TOUCH = bool(os.environ.get("PEER_TOUCH"))


DEPTH = threading.local()  # of applications that run in applications: only the outermost is wrapped


def wrapped(app: Any) -> Any:
    def counted(environ: Any, start_response: Any) -> Any:
        DEPTH.value = getattr(DEPTH, "value", 0) + 1
        try:
            return app(environ, start_response)
        finally:
            DEPTH.value -= 1

    outermost = Touched(counted) if TOUCH else SessionMiddleware(counted, secret=SECRET, store=STORE)

    def application(environ: Any, start_response: Any) -> Any:
        return (app if getattr(DEPTH, "value", 0) else outermost)(environ, start_response)

    return application


class Touched:
    """An application whose every request counts in its session; outside of it nothing can be seen of that."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        passed: list[Any] = []

        def inside(environ: Any, start: Any) -> Any:
            session = environ["wsgisession.session"]
            session["requests"] = session.get("requests", 0) + 1

            def start_response(*args: Any, **names: Any) -> Any:
                passed[:] = args
                return start(*args, **names)

            return self.app(environ, start_response)

        def outside(status: str, headers: Any, *exc_info: Any) -> Any:
            assert [name for name, _ in headers].count("Set-Cookie") >= 1 or status >= "500"
            return start_response(*passed)

        return SessionMiddleware(inside, secret=SECRET, store=STORE)(environ, outside)


def method(kind: type, name: str) -> None:
    """Wrap a class's own WSGI method: ``name(self, environ, start_response)``."""
    inner = getattr(kind, name)

    @wraps(inner)
    def outer(self: Any, environ: Any, start_response: Any) -> Any:
        return wrapped(lambda environ, start_response: inner(self, environ, start_response))(
            environ, start_response
        )

    setattr(kind, name, outer)


def argument(holder: Any, name: str, place: int) -> None:
    """Wrap the application that a function is given as an argument."""
    inner: Callable[..., Any] = getattr(holder, name)

    @wraps(inner)
    def outer(*args: Any, **names: Any) -> Any:
        if "application" in names:
            names["application"] = wrapped(names["application"])
        else:
            args = (*args[:place], wrapped(args[place]), *args[place + 1 :])
        return inner(*args, **names)

    setattr(holder, name, outer)


def flask() -> None:
    from flask import Flask

    method(Flask, "wsgi_app")


def werkzeug() -> None:
    import werkzeug.test

    argument(werkzeug.test, "run_wsgi_app", 0)


def bottle() -> None:
    from bottle import Bottle

    method(Bottle, "wsgi")


def webob() -> None:
    from webob.request import BaseRequest

    argument(BaseRequest, "call_application", 1)


def pyramid() -> None:
    from pyramid.router import Router

    method(Router, "__call__")


globals()[os.environ["PEER_SUITE"]]()
