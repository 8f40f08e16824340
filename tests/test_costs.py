"""What a request costs, counted: store calls, SQL statements and leaks exactly, function calls below a loose ceiling.

Times are measured in benchmarks/; counts are the same on every machine.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import pytest
from support.breadth import breadth
from support.server import TEXT, wrap
from support.sqlite_files import traced
from support.store_double import StoreDouble

import wsgisession
from wsgisession import Session
from wsgisession.stores import SQLiteStore, sqlite_file

PACKAGE = str(Path(wsgisession.__file__).parent)
Action = Callable[[Session], object]


def count(session: Session) -> None:
    session["views"] = session.get("views", 0) + 1


def read(session: Session) -> None:
    assert session["user"] == "ada"


def look(session: Session) -> None:
    assert session.get("user") is None


def read_list(session: Session) -> None:
    assert len(session["cart"]) == 2


def append(session: Session) -> None:
    session["cart"][1:] = [{"sku": str(session.get("views"))}]
    count(session)


class Case(NamedTuple):
    """One kind of request.

    Args:
        calls: a loose ceiling on the calls of Python and C functions, a quarter above what there were when it was written.
            It is there so that nobody makes a request twice as dear without noticing, and not to keep anybody from
            extracting a function.
        store_calls: exactly these.
        size: how many items the session holds beside the small ones; None: no cookie comes.
    """

    calls: int
    store_calls: str
    action: Action | None
    size: int | None = 0
    forged: bool = False


CASES = {
    "untouched, no cookie": Case(12, "", None, None),
    "untouched, with a cookie": Case(12, "", None),
    "read": Case(112, "load", read),
    "read and write": Case(180, "load replace", count),
    "new": Case(200, "create", count, None),
    "forged, touched": Case(75, "", look, forged=True),
    "forged, untouched": Case(12, "", None, forged=True),
    "read, 20 items more": Case(112, "load", read, 20),
    "read and write, 20 items more": Case(180, "load replace", count, 20),
    "read a list": Case(127, "load", read_list),
    "change a list": Case(213, "load replace", append),
}
each_case = pytest.mark.parametrize("name", CASES)


def prepared(case: Case, store: Any = None) -> Callable[[], None]:
    """Return a function that runs one request of a case."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if case.action is not None:
            case.action(environ["wsgisession.session"])
        start_response("200 OK", TEXT.copy())
        return [b"ok"]

    middleware = wrap(app, store=store)
    template: dict[str, Any] = {}
    setup_testing_defaults(template)
    if case.size is not None:
        data = {"user": "ada", "views": 1, "cart": [{"sku": "A1", "qty": 2}, {"sku": "B2", "qty": 1}]}
        cookie = middleware.manager.issue(data | {f"item{number}": [number] for number in range(case.size)})
        template["HTTP_COOKIE"] = f"theme=dark; {cookie[:-4] + 'AAAA' if case.forged else cookie}; lang=en"

    def write(data: bytes) -> None:
        pass

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        return write

    def request() -> None:
        middleware(template.copy(), start_response)

    return request


def calls_of(request: Callable[[], None]) -> int:
    """Return how many functions of the package one request calls, and how many C functions those call."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call") and frame.f_code.co_filename.startswith(PACKAGE)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        request()
    finally:
        sys.setprofile(before)
    return count


@each_case
def test_function_calls(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request stays below its ceiling."""
    # As in production, mostly
    monkeypatch.setattr("wsgisession.log.logger.isEnabledFor", lambda level: False)
    request = prepared(CASES[name])
    for _ in range(20):
        request()
    # The least of several: now and then a request also looks for expired records.
    assert min(calls_of(request) for _ in range(20)) <= CASES[name].calls


@each_case
def test_store_calls(name: str) -> None:
    """A request asks the store for what it needs, once."""
    store = StoreDouble()
    request = prepared(CASES[name], store)
    request()
    store.calls.clear()
    request()
    assert " ".join(store.calls) == CASES[name].store_calls


@pytest.mark.both
@pytest.mark.parametrize("name", [name for name in CASES if name != "new"])
def test_nothing_is_left_behind(name: str) -> None:
    """Hundreds of requests leave no block of memory and no cycle for the collector."""
    request, count = prepared(CASES[name]), breadth.much(200, 1000)
    gc.collect()
    gc.disable()
    try:
        for _ in range(count):  # the collector has emptied the interpreter's own reserves
            request()
        before = sys.getallocatedblocks()
        for _ in range(count):
            request()
        grown = sys.getallocatedblocks() - before
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert grown < 50


def test_an_application_may_keep_what_it_was_given() -> None:
    """Also ``start_response`` in its environ makes no cycle, whatever the body is."""
    kept: list[weakref.ref[Any]] = []

    class Environ(dict[str, Any]):
        """A dict that can be referred to weakly."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["kept"] = start_response
        environ["wsgisession.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"] if environ["PATH_INFO"] == "/whole" else iter([b"ok"])

    serve = wrap(app)
    gc.collect()
    gc.disable()
    try:
        for path in ("/whole", "/stream"):
            environ = Environ(PATH_INFO=path)
            setup_testing_defaults(environ)
            kept.append(weakref.ref(environ))
            body = serve(environ, lambda status, headers, exc_info=None: lambda data: None)
            assert list(body) == [b"ok"]
            getattr(body, "close", lambda: None)()
            del environ, body
        assert [ref() for ref in kept] == [None, None]
    finally:
        gc.enable()


STATEMENTS = {"read": "SELECT", "read and write": "SELECT UPDATE", "new": "INSERT"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_sql_statements(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load is one statement, a write is one more, and no transaction is opened around either."""
    seen: list[str] = []
    monkeypatch.setattr(sqlite_file, "Connection", traced(seen))
    # Expired rows are looked for at the sixteenth write.
    monkeypatch.setattr("random.randrange", lambda stop: 1)
    store = SQLiteStore(tmp_path / "sessions.db")
    request = prepared(CASES[name], store)
    request()
    seen.clear()
    request()
    assert " ".join(statement.split()[0] for statement in seen) == STATEMENTS[name]
    store.close()
