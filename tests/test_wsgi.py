"""Correct WSGI for every shape of application (PEP 3333), with wsgiref.validate on both sides."""

from __future__ import annotations

import io
import sys
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.server import KEY, TEXT, Body, Server, start_error_page, stored, wrap
from support.store_double import failing

from wsgisession import Cookie, SessionError, StoreError


def plain_list(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    start_response("200 OK", TEXT)
    return [b"one", b"two"]


def plain_tuple(environ: Any, start_response: Any) -> Any:
    return tuple(plain_list(environ, start_response))


def generator(environ: Any, start_response: Any) -> Any:
    yield from plain_list(environ, start_response)


def touched_late(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return (environ[KEY].__setitem__("a", 1) or chunk for chunk in (b"one", b"two"))


class Own(list):  # type: ignore[type-arg]
    """A list of an application's own."""


def own_list(environ: Any, start_response: Any) -> Any:
    return Own(plain_list(environ, start_response))


def own_single(environ: Any, start_response: Any) -> Any:
    return Own(plain_list(environ, start_response)[:1])


def writing(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    write = start_response("200 OK", TEXT)
    write(b"one")
    write(b"two")
    return []


def writing_first(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    start_response("200 OK", TEXT)(b"one")
    yield b"two"


def error_page(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    start_response("404 Not Found", TEXT)
    start_error_page(start_response, "200 OK")
    return [b"one", b"two"]


def empty_chunk(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    start_response("200 OK", TEXT)
    yield b""
    yield b"onetwo"


def file(environ: Any, start_response: Any) -> Any:
    environ[KEY]["a"] = 1
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"onetwo"))


SHAPES = [
    plain_list,
    plain_tuple,
    generator,
    touched_late,
    own_list,
    writing,
    writing_first,
    error_page,
    empty_chunk,
    file,
]


@pytest.mark.parametrize("validated", [False, True], ids=["bare", "validated"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape(shape: Any, validated: bool) -> None:
    """The body arrives whole and in order, the session is stored, the cookie set; the validator stays silent."""
    middleware = wrap(validator(shape) if validated else shape)
    app = validator(middleware) if validated else middleware
    server = Server(app, **{"wsgi.file_wrapper": FileWrapper}).run()
    assert b"".join(item for item in server.log if isinstance(item, bytes)) == b"onetwo"
    assert server.status == "200 OK" and stored(middleware, server.cookie) == {"a": 1}
    again = Server(app, server.cookie or "", **{"wsgi.file_wrapper": FileWrapper}).run()
    assert again.cookie is None and middleware.manager.count() == 1


@pytest.mark.parametrize(
    "body", [[b"x"], (b"x",), FileWrapper(io.BytesIO(b"x"))], ids=["list", "tuple", "file"]
)
def test_handed_on_as_the_same_object(body: Any) -> None:
    """Exact lists and tuples, and the server's file wrapper."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        return body

    server = Server(wrap(app), **{"wsgi.file_wrapper": FileWrapper})
    assert server.app(server.environ, server.start_response) is body


def test_chunks_pass_one_by_one() -> None:
    """No read-ahead, and one close at the end."""
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        start_response("200 OK", TEXT)
        return Body(log, [b"1", b"2"])

    server = Server(wrap(app))
    server.log = log
    server.run()
    assert log == ["made", "200 OK", b"1", "made", b"2", "closed"]


@pytest.mark.parametrize("chunks", [0, 1])
def test_an_abandoned_body_is_closed_once(chunks: int) -> None:
    """Before its first chunk nothing is saved."""
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 2
        start_response("200 OK", TEXT)
        return Body(log, [b"1", b"2"])

    middleware = wrap(app)
    cookie = middleware.manager.issue({"a": 1})
    Server(middleware, cookie).run(chunks)
    assert log.count("closed") == 1
    assert stored(middleware, cookie) == {"a": 1 if chunks == 0 else 2}


def test_close_reaches_the_application_once() -> None:
    """However often the server calls it."""
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        return Body(log, [])

    server = Server(wrap(app))
    body = server.app(server.environ, server.start_response)
    assert list(body) == [] and server.status == "200 OK"
    body.close()
    body.close()
    assert log == ["closed"]


@pytest.mark.parametrize("shape", [plain_list, generator, writing, file], ids=lambda shape: shape.__name__)
def test_a_failing_commit_sends_nothing(shape: Any) -> None:
    """The held-back headers are dropped, the error reaches the server."""
    server = Server(wrap(shape, store=failing("create")), **{"wsgi.file_wrapper": FileWrapper})
    with pytest.raises(StoreError):
        server.run()
    assert server.log == []


def test_the_application_may_handle_a_failing_commit() -> None:
    """write() raises in it, and its error page goes out, without a cookie."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        write = start_response("200 OK", TEXT)
        try:
            write(b"1")
        except StoreError:
            start_response("503 Service Unavailable", TEXT, sys.exc_info())
        return [b"sorry"]

    server = Server(wrap(app, store=failing("create"))).run()
    assert server.log == ["503 Service Unavailable", b"sorry"] and server.cookie is None


@pytest.mark.parametrize(
    ("touches", "added"), [(False, []), (True, [("Vary", "Cookie")])], ids=["untouched", "looked at"]
)
def test_a_later_start_response_of_a_request_that_sets_no_cookie(touches: bool, added: list[Any]) -> None:
    """It carries what the first one did, and no more."""

    def app(environ: Any, start_response: Any) -> Any:
        if touches:
            len(environ[KEY])
        start_response("200 OK", TEXT)(b"")
        start_error_page(start_response)
        return [b"x"]

    assert patient(wrap(app)).run().headers == TEXT + added


@pytest.mark.parametrize(("status", "saved"), [("500 Internal Server Error", False), ("200 Fine", True)])
def test_a_later_start_response_carries_our_headers_again(status: str, saved: bool) -> None:
    """If the server still accepts it. What came after the first headers is saved if the page tells of no failure."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        start_response("200 OK", TEXT)(b"")
        environ[KEY]["late"] = 2
        start_error_page(start_response, status)
        return [b"x"]

    middleware = wrap(app)
    server = patient(middleware).run()
    assert server.status == status
    assert stored(middleware, server.cookie) == {"a": 1, **({"late": 2} if saved else {})}
    with pytest.raises(ZeroDivisionError):
        Server(wrap(app)).run()  # its headers have left


def patient(app: Any) -> Server:
    """Return a server whose headers wait for bytes."""
    server = Server(app)
    server.write = server.log.append  # type: ignore[method-assign]
    return server


def test_changes_after_write_are_saved_when_a_list_ends_the_response() -> None:
    """The application has returned, so it is the end of the stream."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        start_response("200 OK", TEXT)(b"x")
        environ[KEY]["a"] = 2
        return []

    middleware = wrap(app)
    assert stored(middleware, Server(middleware).run().cookie) == {"a": 2}


def test_start_response_again_without_exc_info() -> None:
    """An error in the application, as PEP 3333 has it."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return []

    with pytest.raises(AssertionError, match="exc_info"):
        Server(wrap(app)).run()


def test_an_application_that_forgets_to_return() -> None:
    """The error is the one a server raises without us, and nothing is saved."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        start_response("200 OK", TEXT)

    middleware = wrap(app)
    with pytest.raises(TypeError, match="NoneType"):
        Server(middleware).run()
    assert middleware.manager.count() == 0


@pytest.mark.parametrize("body", [[b"x"], iter([b"x"]), iter([])], ids=["list", "iterator", "empty"])
def test_an_application_that_never_starts_its_response(body: Any) -> None:
    """Left to the server to complain of; nothing is saved."""

    def app(environ: Any, start_response: Any) -> Any:
        environ[KEY]["a"] = 1
        return body

    middleware = wrap(app)
    server = Server(middleware)
    answer = server.app(server.environ, server.start_response)
    list(answer)
    getattr(answer, "close", int)()
    assert server.log == [] and middleware.manager.count() == 0


def test_two_of_one_manager_are_one() -> None:
    """The outer's session is used as it is."""
    middleware = wrap(plain_list)
    inner = iter([middleware, middleware.app])
    middleware.app = lambda *request: next(inner)(*request)
    server = Server(middleware).run()
    assert stored(middleware, server.cookie) == {"a": 1} and middleware.manager.count() == 1


def test_two_managers_need_two_keys() -> None:
    """A SessionError that says so; with a key and a name of their own they live side by side."""
    with pytest.raises(SessionError, match="environ_key"):
        Server(wrap(wrap(plain_list))).run()
    server = Server(wrap(wrap(plain_list), environ_key="other.session", cookie=Cookie(name="other"))).run()
    assert server.status == "200 OK"


def test_an_environ_used_again_gets_a_session_of_its_own() -> None:
    """An inner redirect serves it twice."""
    middleware = wrap(plain_list)
    server = Server(middleware).run()
    first = server.environ[KEY]
    server.status = ""
    server.run()
    assert server.environ[KEY] is not first and middleware.manager.count() == 2


def test_a_server_can_count_the_chunks() -> None:
    """wsgiref sends Content-Length for a single chunk, also if the application returned a list of its own class."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    out = io.BytesIO()
    SimpleHandler(io.BytesIO(), out, io.StringIO(), environ, multithread=False).run(wrap(own_single))
    head, _, body = out.getvalue().partition(b"\r\n\r\n")
    assert b"Content-Length: 3" in head and b"Set-Cookie: " in head and body == b"one"
