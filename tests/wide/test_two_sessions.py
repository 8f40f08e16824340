"""A Flask application that is wrapped by hand and still uses Flask's own session: noticed, and said once."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from support.web import SECRET
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from wsgisession import SessionMiddleware, get_session

pytestmark = pytest.mark.wide


def make(wrap: Any) -> flask.Flask:
    app = flask.Flask("shop")
    app.secret_key = SECRET

    @app.get("/theirs")
    def theirs() -> str:
        flask.session["n"] = 1
        return "x"

    @app.get("/ours")
    def ours() -> flask.Response:
        get_session(flask.request.environ)["n"] = 1
        response = flask.Response("x")
        response.set_cookie("theme", "dark")
        return response

    @app.get("/broken")
    def broken() -> str:
        raise ValueError

    wrap(app)
    return app


def by_hand(app: flask.Flask) -> None:
    app.wsgi_app = SessionMiddleware(app.wsgi_app, secret=SECRET)  # type: ignore[method-assign]


def behind_a_proxy(app: flask.Flask) -> None:
    inner = DispatcherMiddleware(ProxyFix(app.wsgi_app))
    app.wsgi_app = SessionMiddleware(inner, secret=SECRET)  # type: ignore[method-assign]


def around(app: flask.Flask) -> None:
    app.extensions["outer"] = SessionMiddleware(app, secret=SECRET)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [record for record in caplog.records if getattr(record, "reason", "") == "flask session"]
    return [record.getMessage() for record in told]


@pytest.mark.parametrize("wrap", [by_hand, behind_a_proxy, around])
def test_two_sessions_are_noticed(wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When Flask's own session sets its cookie; the message says what to write instead."""
    app = make(wrap)
    client = Client(app.extensions.get("outer", app))
    client.get("/ours")
    assert said(caplog) == []
    for _ in range(2):
        assert client.get("/theirs").status_code == 200
    [message] = said(caplog)
    assert "wsgisession.flask" in message and "get_session(request.environ)" in message


def test_an_error_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """What is watched goes its way: status, headers and errors."""
    client = make(by_hand).test_client()
    assert client.get("/broken").status_code == 500 and client.get("/nowhere").status_code == 404
    assert "theme=dark" in client.get("/ours").headers["Set-Cookie"]
    assert said(caplog) == []


def test_the_cookie_may_have_another_name(caplog: pytest.LogCaptureFixture) -> None:
    """As SESSION_COOKIE_NAME says."""
    app = make(by_hand)
    app.config["SESSION_COOKIE_NAME"] = "shop"
    app.test_client().get("/theirs")
    assert len(said(caplog)) == 1
