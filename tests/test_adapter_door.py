"""What an adapter asks a visit if its framework sets the cookie: the token, and whether there is something to save."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.clock import Clock
from support.web import SECRET

from wsgisession import MemoryStore, Session, SessionManager, SessionMiddleware, get_session
from wsgisession.exchange import Exchange, exchanges
from wsgisession.session import session_of, visit_of
from wsgisession.visit import new_visit


@pytest.fixture
def manager(clock: Clock) -> SessionManager:
    return SessionManager(MemoryStore(clock=clock), secret=SECRET, clock=clock, idle_timeout=1000)


def visit(manager: SessionManager, pair: str = "") -> Session:
    """Return the session of a request with this cookie."""
    return session_of(new_visit(manager.setup, pair))


def test_the_token_is_what_the_cookie_should_hold(manager: SessionManager) -> None:
    """None before something is stored; another one after a change of id; none for what has ended or was opened by its key."""
    session = visit(manager)
    assert visit_of(session).token is None
    session["a"] = 1
    assert session.save()
    first = visit_of(session).token
    assert visit(manager, f"sid={first}") == {"a": 1}
    session.regenerate()
    session.save()
    second = visit_of(session).token
    assert second not in (None, first) and visit(manager, f"sid={second}") == {"a": 1}
    assert session.key is not None
    opened = manager.open(session.key)
    assert opened is not None and visit_of(opened).token is None
    session.destroy()
    assert visit_of(session).token is None


def test_an_old_secret_gets_a_new_token(manager: SessionManager) -> None:
    """Of the same id, so that the old secret can be taken away."""
    rotated = SessionManager(manager.store, secret=["another secret of 32 bytes or more", SECRET])
    _, _, token = manager.issue({"a": 1}).partition("=")
    again = visit_of(visit(rotated, f"sid={token}")).token
    assert again not in (None, token) and str(again).partition(".")[0] == token.partition(".")[0]


def read(session: Session) -> None:
    assert session["list"] == [1]


def nested(session: Session) -> None:
    session["list"].append(2)


def as_it_was(session: Session) -> None:
    session["list"] = [1]


def nothing(session: Session) -> None:
    """Not even touched."""


@pytest.mark.parametrize(
    ("act", "passed", "unsaved"),
    [
        (nothing, 500, False),
        (read, 0, False),
        (read, 99, False),
        (read, 100, True),
        (nested, 0, True),
        (as_it_was, 0, False),
        (lambda session: session.clear(), 0, True),
        (lambda session: session.regenerate(), 0, True),
        (lambda session: setattr(session, "owner", "ada"), 0, True),
        (lambda session: setattr(session, "persistent", True), 0, True),
        (lambda session: setattr(session, "passive", True), 500, False),
        (lambda session: session.destroy(), 0, False),
        (lambda session: nested(session) or session.save(), 0, False),
    ],
    ids="nothing read early due nested same clear regenerate owner persistent passive destroy saved".split(),
)
def test_something_to_save(
    act: Callable[[Session], object], passed: float, unsaved: bool, manager: SessionManager, clock: Clock
) -> None:
    """A commit would write: a change, a new id, an expiry that is due. Exact, so that reading sets no cookie."""
    pair = manager.issue({"list": [1]})
    clock.advance(passed)
    session = visit(manager, pair)
    act(session)
    assert visit_of(session).unsaved is unsaved


def test_what_is_gone_is_not_saved(manager: SessionManager) -> None:
    """So there is nothing to save."""
    pair = manager.issue({"a": 1})
    late = visit(manager, pair)
    assert late == {"a": 1}
    session = visit(manager, pair)
    session.regenerate()
    session.save()
    late["b"] = 2
    assert visit_of(late).unsaved and not late.save() and not visit_of(late).unsaved
    late["b"] = 3
    assert not visit_of(late).unsaved


@pytest.mark.parametrize("ends", [True, False], ids=["a response", "no response"])
def test_an_exchange_makes_no_cycle(ends: bool) -> None:
    """Neither with a response nor without one does a request wait for the collector."""

    class Environ(dict[str, Any]):
        """A dict that can be referred to weakly."""

    middleware = SessionMiddleware(exchanges, secret=SECRET)
    gc.collect()
    gc.disable()
    try:
        environ = Environ({"wsgi.url_scheme": "http"})
        exchange = Exchange(middleware, environ)
        session = weakref.ref(get_session(environ))
        get_session(environ)["a"] = 1
        if ends:
            assert dict(exchange.respond("200 OK", []))["Set-Cookie"]
            exchange.close()
        kept = [weakref.ref(environ), weakref.ref(exchange), session]
        del environ, exchange
        assert [ref() for ref in kept] == [None, None, None]
    finally:
        gc.enable()
