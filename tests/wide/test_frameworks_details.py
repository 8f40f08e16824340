"""What users of one framework rely on: flash messages, after_request, cookies of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support.web import SECRET, together
from webtest import TestApp

from wsgisession import SessionMiddleware, get_session
from wsgisession.flask import Sessions

pytestmark = pytest.mark.wide


@pytest.fixture
def flask_app() -> Iterator[Any]:
    import flask

    app = flask.Flask("details")
    app.secret_key = SECRET
    Sessions(app)
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

    cookie = {"Cookie": flask_app.extensions["wsgisession"].manager.issue({"user": 1})}
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
    assert "Max-Age=2678400" in browser.get("/").headers["Set-Cookie"]
    assert browser.get("/").json == {"after": True, "teardown": True}


def test_bottles_own_cookies_go_along() -> None:
    """Both are set, and both come back."""
    import bottle

    app = bottle.Bottle()

    @app.get("/")
    def view() -> dict[str, Any]:
        session = get_session(bottle.request.environ)
        session["n"] = session.get("n", 0) + 1
        bottle.response.set_cookie("theme", "dark")
        return {"n": session["n"], "theme": bottle.request.get_cookie("theme")}

    browser = TestApp(SessionMiddleware(app, secret=SECRET))
    first = browser.get("/")
    assert sorted(value.partition("=")[0] for value in first.headers.getall("Set-Cookie")) == ["sid", "theme"]
    assert browser.get("/").json == {"n": 2, "theme": "dark"}
