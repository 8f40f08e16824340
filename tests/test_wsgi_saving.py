"""What a response saves, when, and what is left behind: the middleware's order of work (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from support.server import (
    BODIES,
    KEY,
    TEXT,
    Body,
    Make,
    Server,
    answering,
    late,
    start_error_page,
    stored,
    wrap,
)
from support.store_double import failing
from support.web import Site

from wsgisession import Session, StoreError


@pytest.mark.parametrize("write", [False, True], ids=["returned", "written"])
@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
def test_saved_before_the_first_header(make: Make, write: bool) -> None:
    """When the server's start_response is called, the record is in the store."""
    middleware = wrap(answering(make, write=write))
    counts: list[int] = []
    server = Server(middleware, **{"wsgi.file_wrapper": FileWrapper})
    start = server.start_response

    def watching(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        counts.append(middleware.manager.count())
        return start(status, headers, exc_info)

    server.start_response = watching  # type: ignore[method-assign]
    server.run()
    assert counts == [1] and stored(middleware, server.cookie) == {"a": 1}


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("touch", [False, True], ids=["untouched", "touched"])
def test_the_applications_headers_are_left_alone(make: Make, touch: bool) -> None:
    """A touched response gets a list of its own; an untouched one the very object, and the bytes of the bare one."""
    headers = [
        *TEXT,
        ("Vary", "Accept"),
        ("Cache-Control", "public, s-maxage=9"),
        ("CDN-Cache-Control", "max-age=9"),
    ]
    before, given = list(headers), []
    app = answering(make, touch=touch, headers=headers)
    server = Server(wrap(app), **{"wsgi.file_wrapper": FileWrapper})
    start = server.start_response
    server.start_response = lambda *args: given.append(args[1]) or start(*args)  # type: ignore[func-returns-value,method-assign]
    server.run()
    assert headers == before and (given[0] is headers) is not touch
    if not touch:
        bare = Server(app, **{"wsgi.file_wrapper": FileWrapper, KEY: None}).run()
        assert (server.log, server.headers) == (bare.log, bare.headers)


@pytest.mark.parametrize("visitor", ["live", "new", "ended"])
def test_a_response_that_only_read(visitor: str) -> None:
    """Vary says that it depends on the cookie; private is added where there was something to read."""

    site = Site()
    cookie = "" if visitor == "new" else site.start({"a": 1})
    if visitor == "ended":
        site.request(lambda session: session.destroy(), cookie)
    private = [("Cache-Control", "private")] if visitor == "live" else []
    answer = site.request(lambda session: session.get("a"), cookie)
    assert answer.result == (1 if visitor == "live" else None)
    assert answer.headers == [*TEXT, ("Vary", "Cookie"), *private]


@pytest.mark.parametrize("late", ["write", "destroy"])
def test_a_response_that_read_what_is_gone_by_now(late: str) -> None:
    """It may show what the session held, so it is private all the same."""
    site = Site()
    cookie = site.start({"a": 1})

    def handler(session: Any) -> None:
        assert session["a"] == 1
        site.request(lambda other: other.destroy(), cookie)
        session.update(b=2) if late == "write" else session.destroy()

    assert ("Cache-Control", "private") in site.request(handler, cookie).headers


@pytest.mark.parametrize("early", [True, False], ids=["started before", "started inside"])
def test_a_generator_that_fails_before_its_first_chunk(early: bool) -> None:
    """No header leaves and nothing is saved, even where start_response was called early."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        if early:
            start_response("200 OK", TEXT)

        def chunks() -> Any:
            if not early:
                start_response("200 OK", TEXT)
            yield from [b"x"][int("not a number") :]

        return chunks()

    middleware = wrap(app)
    server = Server(middleware)
    with pytest.raises(ValueError, match="not a number"):
        server.run()
    assert server.log == [] and middleware.manager.count() == 0


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "599 Other"])
def test_a_5xx_saves_nothing(status: str) -> None:
    """No change, no new id, no cookie."""

    def handler(session: Session) -> None:
        session["a"] = 2
        session.owner = "ada"

    site = Site()
    cookie = site.start({"a": 1})
    assert site.request(handler, cookie, status=status).set_cookie is None
    assert site.request(handler, status=status).set_cookie is None
    assert site.read(cookie) == {"a": 1} and site.manager.count() == 1


def test_a_4xx_saves() -> None:
    """The visitor's mistake is no failure."""
    site = Site()
    answer = site.request(lambda session: session.update(a=1), status="404 Not Found")
    assert answer.status == "404 Not Found" and site.read(answer.cookie) == {"a": 1}


@pytest.mark.parametrize("make", [BODIES["list"], BODIES["iterator"]], ids=["list", "iterator"])
def test_what_save_did_before_a_5xx_stands(make: Make) -> None:
    """Its cookie goes out with the error page; what came after it is not saved."""

    def app(environ: Any, start_response: Any) -> Any:
        session = environ[KEY]
        session["a"] = 1
        assert session.save()
        session["a"] = 2
        start_response("500 Internal Server Error", TEXT)
        return make([])

    middleware = wrap(app)
    server = Server(middleware).run()
    assert server.status.startswith("500") and stored(middleware, server.cookie) == {"a": 1}


def test_what_destroy_did_before_a_5xx_stands() -> None:
    """The error page deletes the cookie, and is unfit for shared caches."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY].destroy()
        environ[KEY]["a"] = 2
        start_response(
            "500 Internal Server Error", [("Cache-Control", "public"), ("X-CDN-Cache-Control", "max-age=9")]
        )
        return [b"sorry"]

    middleware = wrap(app)
    cookie = middleware.manager.issue({"a": 1})
    headers = dict(Server(middleware, cookie).run().headers)
    assert "Max-Age=0" in headers["Set-Cookie"] and headers["Cache-Control"] == "private"
    assert "X-CDN-Cache-Control" not in headers
    assert stored(middleware, cookie) == {}


@pytest.mark.parametrize("shape", ["iterator", "empty iterator", "file", "file, not the server's"])
@pytest.mark.parametrize("write", [False, True], ids=["returned", "written"])
def test_a_failing_commit_closes_the_body(shape: str, write: bool) -> None:
    """Once, for every kind of body; no header leaves, and the stored data is as it was."""
    closed: list[Any] = []

    class File:
        def read(self, size: int) -> bytes:
            return b""

        def close(self) -> None:
            closed.append("closed")

    makes: dict[str, Any] = {
        "iterator": lambda: Body(closed, [b"x"]),
        "empty iterator": lambda: Body(closed, []),
        "file": lambda: FileWrapper(File()),
        "file, not the server's": lambda: FileWrapper(File()),
    }

    def app(environ: Any, start_response: Any) -> Any:
        out = start_response("200 OK", TEXT)
        environ[KEY]["a"] = 2
        if write:
            with pytest.raises(StoreError):
                out(b"w")
            start_response("200 OK", TEXT, (StoreError, StoreError("seen"), None))
        return makes[shape]()

    middleware = wrap(app, store=failing("replace"))
    cookie = middleware.manager.issue({"a": 1})
    environ = {} if shape == "file, not the server's" else {"wsgi.file_wrapper": FileWrapper}
    server = Server(middleware, cookie, **environ)
    with pytest.raises(StoreError):
        server.run()
    assert closed.count("closed") == 1 and server.log == [] and stored(middleware, cookie) == {"a": 1}


def test_a_commit_that_fails_at_close_is_an_error() -> None:
    """Late changes that cannot be saved are told to the server, once."""

    middleware = wrap(late(lambda session: session.update(a=2)), store=failing("replace"))
    server = Server(middleware, middleware.manager.issue({"a": 1}))
    body = server.app(server.environ, server.start_response)
    assert list(body) == [b"1"]
    with pytest.raises(StoreError):
        body.close()
    body.close()


def test_late_changes_of_an_abandoned_stream() -> None:
    """A visitor who leaves after a chunk does not undo what the application did for it."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        for number in range(9):
            yield b"x"
            environ[KEY]["sent"] = number + 1

    middleware = wrap(app)
    cookie = middleware.manager.issue({"sent": 0})
    Server(middleware, cookie).run(3)
    assert stored(middleware, cookie) == {"sent": 2}


def test_everything_is_passed_by_position() -> None:
    """Names of parameters are nobody's business; start_response gets a third one only where there is exc_info."""
    seen: list[tuple[int, bool]] = []

    def app(one: Any, two: Any, /) -> Any:
        out = two("200 OK", TEXT)
        assert callable(out)
        if one["test.error"]:
            two("200 OK", TEXT, (ValueError, ValueError(), None))
        return [b"x"]

    def start(*args: Any) -> Callable[[bytes], object]:
        seen.append((len(args), args[0] == "200 OK"))
        return lambda data: None

    for error in (False, True):
        server = Server(app, **{"test.error": error})
        wrap(app)(server.environ, start)
    assert seen == [(2, True), (3, True)]


def test_an_error_page_for_an_error_seen_in_the_stream() -> None:
    """exc_info before any byte replaces the held-back headers; the first ones never leave."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        start_response("200 OK", [*TEXT, ("X-First", "1")])
        start_error_page(start_response)
        yield b"sorry"

    middleware = wrap(validator(app))
    server = Server(validator(middleware)).run()
    assert server.log == ["500 Internal Server Error", b"sorry"]
    assert "X-First" not in dict(server.headers) and middleware.manager.count() == 0
