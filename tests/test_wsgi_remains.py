"""What a request leaves behind: no cycle, an environ that can be used again."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from support.server import BODIES, KEY, TEXT, Make, Server, answering, stored, wrap
from support.store_double import failing

from wsgisession import StoreError


def test_an_environ_used_again_after_a_failed_commit() -> None:
    """An error page rendered by the same application has a session that saves (an inner redirect, for one)."""
    store = failing("create")
    middleware = wrap(answering(BODIES["list"]), store=store)
    server = Server(middleware)
    with pytest.raises(StoreError):
        server.run()
    store.rest()
    assert stored(middleware, server.run().cookie) == {"a": 1}


@pytest.mark.parametrize("make", [BODIES["list"], BODIES["iterator"]], ids=["list", "iterator"])
def test_an_environ_used_again_after_no_response(make: Make) -> None:
    """Also where the application forgot start_response the first time."""

    def forgetful(environ: Any, start_response: Any) -> Any:
        return make([])

    middleware = wrap(forgetful)
    server = Server(middleware)
    with pytest.raises(AssertionError):
        server.run()
    middleware.app = answering(make)
    assert stored(middleware, server.run().cookie) == {"a": 1}


def caught(environ: Any, start_response: Any) -> None:
    """Start an error page with exc_info, whose traceback holds the application's frame."""
    environ[KEY]["a"] = 1
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response("200 OK", TEXT, sys.exc_info())


def caught_untouched(environ: Any, start_response: Any) -> Any:
    """Answer with an error page, as many do, without a look at the session."""
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        start_response("500 Oops", TEXT, sys.exc_info())
    return [b"sorry"]


def caught_then_body(environ: Any, start_response: Any) -> Any:
    caught(environ, start_response)
    return iter([b"x"])


def caught_then_raises(environ: Any, start_response: Any) -> Any:
    caught(environ, start_response)
    raise KeyError


def caught_then_fails(environ: Any, start_response: Any) -> Any:
    def chunks() -> Any:
        caught(environ, start_response)
        raise KeyError
        yield b""

    return chunks()


@pytest.mark.parametrize(
    ("shape", "chunks", "fails"),
    [
        pytest.param(answering(BODIES["list"]), None, False, id="list"),
        pytest.param(answering(BODIES["iterator"]), None, False, id="iterator"),
        pytest.param(caught_untouched, None, False, id="untouched"),
        pytest.param(caught_then_body, None, False, id="served"),
        pytest.param(caught_then_body, 0, False, id="abandoned"),
        pytest.param(caught_then_raises, None, False, id="raises"),
        pytest.param(caught_then_fails, None, False, id="fails"),
        pytest.param(answering(BODIES["iterator"]), 0, False, id="abandoned iterator"),
        pytest.param(answering(BODIES["list"]), None, True, id="list, no commit"),
        pytest.param(answering(BODIES["iterator"]), None, True, id="iterator, no commit"),
        pytest.param(answering(BODIES["file"], write=True), None, False, id="file"),
    ],
)
def test_no_reference_cycle(shape: Any, chunks: int | None, fails: bool) -> None:
    """What was in the environ is freed with the request, without the collector, however the request ended."""

    class Thing:
        pass

    gc.collect()
    gc.disable()
    try:
        thing = Thing()
        gone = weakref.ref(thing)
        middleware = wrap(shape, store=failing("create") if fails else None)
        server = Server(middleware, **{"test.thing": thing, "wsgi.file_wrapper": FileWrapper})
        try:
            server.run(chunks)
        except (KeyError, StoreError):
            pass
        del server, thing
        assert gone() is None
    finally:
        gc.enable()
