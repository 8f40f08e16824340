"""What users of one framework rely on: flash messages, after_request, cookies of their own, the interface Pyramid asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.frameworks import module
from support.web import SECRET, together
from webtest import TestApp

from wsgisession import SessionMiddleware

pytestmark = pytest.mark.wide


@pytest.fixture
def flask_app(tmp_path: Path) -> Iterator[Any]:
    import flask

    app = flask.Flask("details")
    app.session_interface = module("flask.session", tmp_path).Sessions()
    app.wsgi_app = SessionMiddleware(app.wsgi_app, secret=SECRET)  # type: ignore[method-assign]
    yield app


def test_flask_flash_messages_of_overlapping_requests(flask_app: Any) -> None:
    """Four at once: every message is shown, once."""
    import flask

    barrier = threading.Barrier(4)

    @flask_app.get("/flash/<text>")
    def flash(text: str) -> str:
        assert "user" in flask.session
        barrier.wait(20)
        flask.flash(text)
        return ""

    @flask_app.get("/messages")
    def messages() -> list[str]:
        return sorted(flask.get_flashed_messages())

    cookie = {"Cookie": flask_app.wsgi_app.manager.issue({"user": 1})}
    together(4, lambda number: TestApp(flask_app).get(f"/flash/m{number}", headers=cookie))
    shown = [TestApp(flask_app).get("/messages", headers=cookie).json for _ in range(2)]
    assert shown == [["m0", "m1", "m2", "m3"], []]


def test_flask_after_request_and_permanent(flask_app: Any) -> None:
    """What after_request and teardown_request change is saved; ``permanent`` gives the cookie its Max-Age."""
    import flask

    @flask_app.get("/")
    def view() -> dict[str, Any]:
        flask.session.permanent = True
        return dict(flask.session)

    @flask_app.after_request
    def after(response: Any) -> Any:
        flask.session["after"] = True
        return response

    @flask_app.teardown_request
    def teardown(error: Any) -> None:
        flask.session["teardown"] = True

    browser = TestApp(flask_app)
    assert "Max-Age=2592000" in browser.get("/").headers["Set-Cookie"]
    assert browser.get("/").json == {"after": True, "teardown": True}


def test_flask_untouched_requests_and_contexts_without_one(flask_app: Any) -> None:
    """A view that leaves the session alone costs nothing; test_request_context() has Flask's null session."""
    import flask

    flask_app.get("/plain")(lambda: "x")
    answer = TestApp(flask_app).get("/plain", headers={"Cookie": "sid=forged"})
    assert "Vary" not in answer.headers and "Set-Cookie" not in answer.headers
    with flask_app.test_request_context("/"):
        assert dict(flask.session) == {}


def test_bottles_own_cookies_go_along() -> None:
    """Both are set, and both come back."""
    import bottle

    app = bottle.Bottle()

    @app.get("/")
    def view() -> dict[str, Any]:
        session = bottle.request.environ["wsgisession.session"]
        session["n"] = session.get("n", 0) + 1
        bottle.response.set_cookie("theme", "dark")
        return {"n": session["n"], "theme": bottle.request.get_cookie("theme")}

    browser = TestApp(SessionMiddleware(app, secret=SECRET))
    first = browser.get("/")
    assert sorted(value.partition("=")[0] for value in first.headers.getall("Set-Cookie")) == ["sid", "theme"]
    assert browser.get("/").json == {"n": 2, "theme": "dark"}


def test_pyramids_session_interface(tmp_path: Path) -> None:
    """The printed class has all that ISession names, and its flash messages do what Pyramid says."""
    from pyramid.interfaces import ISession
    from zope.interface.verify import verifyObject

    factory = module("pyramid session factory", tmp_path).Session

    def app(environ: Any, start_response: Any) -> list[bytes]:
        session = factory(type("Request", (), {"environ": environ}))
        assert verifyObject(ISession, session) and session.new and type(session.created) is int
        for text, queue, twice in (("a", "", True), ("a", "", True), ("a", "", False), ("b", "q", True)):
            session.flash(text, queue, twice)
        session.changed()
        assert session.peek_flash() == ["a", "a"] == session.pop_flash() and session.pop_flash() == []
        assert session.pop_flash("q") == ["b"] and dict(session) == {}
        session["x"] = 1
        session.invalidate()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(len(session)).encode()]

    answer = TestApp(SessionMiddleware(app, secret=SECRET)).get("/")
    assert answer.text == "0" and "Set-Cookie" not in answer.headers
