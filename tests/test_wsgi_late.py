"""Failures of the application, and changes that come after the headers: what is saved and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.server import KEY, TEXT, Body, Server, late, stored, wrap
from support.web import Site

from wsgisession import HeadersSent, Session


@pytest.mark.parametrize("where", ["first chunk", "second chunk", "close", "iter", "call"])
def test_a_failing_application(where: str) -> None:
    """Its error goes on, close is called, and late changes are not saved."""
    log: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        session = environ[KEY]
        start_response("200 OK", TEXT)

        def change() -> bytes:
            session["a"] = 3
            return b"x"

        if where == "call":
            change()
            raise ZeroDivisionError
        if where == "iter":

            class Bad:
                def __iter__(self) -> Iterator[bytes]:
                    raise ZeroDivisionError

                def close(self) -> None:
                    log.append("closed")

            change()
            return Bad()
        if where == "first chunk":
            change()
            return Body(log, [ZeroDivisionError()])
        if where == "second chunk":
            return Body(log, [b"1", change, ZeroDivisionError()])
        return Body(log, [b"1", change], close=ZeroDivisionError())

    middleware = wrap(app)
    cookie = middleware.manager.issue({"a": 1})
    with pytest.raises(ZeroDivisionError):
        Server(middleware, cookie).run()
    assert log.count("closed") == (0 if where == "call" else 1)
    assert stored(middleware, cookie) == {"a": 1}


def test_late_changes_are_saved_after_the_application_closed() -> None:
    """Also those its own close() makes, for a session this very response began."""

    def app(environ: Any, start_response: Any) -> Any:
        session = environ[KEY]
        session["log"] = ["start"]
        start_response("200 OK", TEXT)
        try:
            yield b"1"
            session["log"].append("late")
            yield b"2"
        finally:
            session["log"].append("closed")

    middleware = wrap(app)
    server = Server(middleware).run()
    assert stored(middleware, server.cookie) == {"log": ["start", "late", "closed"]}


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.update(a=1),
        Session.regenerate,
        lambda s: setattr(s, "owner", "ada"),
        lambda s: setattr(s, "persistent", True),
    ],
    ids=["write", "regenerate", "owner", "persistent"],
)
def test_what_can_no_longer_reach_the_client(act: Any) -> None:
    """HeadersSent, where it is done; the response goes on."""

    def change(session: Session) -> None:
        with pytest.raises(HeadersSent):
            act(session)

    middleware = wrap(late(change))
    assert Server(middleware).run().log == ["200 OK", b"1"]
    assert middleware.manager.count() == 0


def test_a_late_logout_acts() -> None:
    """And raises nothing."""
    middleware = wrap(late(Session.destroy))
    cookie = middleware.manager.issue({"a": 1})
    assert Server(middleware, cookie).run().cookie is None
    assert stored(middleware, cookie) == {}


def test_after_a_5xx_late_changes_are_dropped() -> None:
    """save() says False."""
    told: list[bool] = []
    middleware = wrap(late(lambda s: (s.update(a=2), told.append(s.save())), "500 Internal Server Error"))
    cookie = middleware.manager.issue({"a": 1})
    Server(middleware, cookie).run()
    assert told == [False] and stored(middleware, cookie) == {"a": 1}


@pytest.mark.parametrize(
    ("persistent", "seconds"), [(True, 500), (False, 7200)], ids=["remember me", "usual"]
)
@pytest.mark.parametrize("act", [dict, lambda s: s.update(b=2)], ids=["read", "write"])
def test_a_persistent_expiry_stays_once_the_headers_have_left(
    act: Any, persistent: bool, seconds: int
) -> None:
    """Its cookie could no longer follow; a session that ends with the browser has nothing to follow, and is refreshed."""
    middleware = wrap(late(act))
    site = Site(middleware.manager.store)
    cookie = site.request(lambda s: (s.update(a=1), setattr(s, "persistent", persistent))).cookie
    middleware.manager.store.touch(*site.live(), 500)
    assert Server(middleware, cookie).run().cookie is None
    assert round(site.left()) == seconds


def test_late_changes_of_a_session_that_is_gone_raise_nothing() -> None:
    """They show in this request and are dropped."""
    seen: list[Any] = []

    def change(session: Session) -> None:
        session["a"], session.persistent = 2, True
        seen.append((session.gone, session["a"], session.persistent, session.save()))

    middleware = wrap(late(change))
    cookie = middleware.manager.issue({"a": 1})
    Site(middleware.manager.store).request(Session.regenerate, cookie)
    assert Server(middleware, cookie).run().cookie is None
    assert seen == [(True, 2, True, False)] and stored(middleware, cookie) == {}
