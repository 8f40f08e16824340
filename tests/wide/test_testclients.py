"""log_in with the clients and the applications of frameworks."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from pyramid.config import Configurator
from support.web import SECRET
from webtest import TestApp
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from wsgisession import Cookie, SessionMiddleware, get_session
from wsgisession.flask import Sessions
from wsgisession.testclient import log_in

pytestmark = pytest.mark.wide


def with_adapter(app: flask.Flask) -> None:
    Sessions(app)


def behind_a_proxy(app: flask.Flask) -> None:
    Sessions(app)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]


def by_hand(app: flask.Flask) -> None:
    app.wsgi_app = SessionMiddleware(app.wsgi_app, secret=SECRET)  # type: ignore[method-assign]


@pytest.mark.parametrize("prepare", [with_adapter, behind_a_proxy, by_hand])
@pytest.mark.parametrize(
    "client", [flask.Flask.test_client, Client, TestApp], ids=["flask", "werkzeug", "webtest"]
)
def test_flask(prepare: Any, client: Any) -> None:
    """However the application got its sessions."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    prepare(app)

    @app.get("/")
    def greet() -> str:
        session = get_session(flask.request.environ)
        return f"{session.owner} {session.get('cart')}"

    browser = client(app)
    log_in(browser, "ada", {"cart": ["A1"]})
    assert browser.get("/").text == "ada ['A1']"


def test_pyramid() -> None:
    """The application is found by its registry."""
    with Configurator(settings={"wsgisession.secret": SECRET}) as config:
        config.include("wsgisession.pyramid")
        config.add_route("greet", "/")
        config.add_view(lambda request: {"owner": request.session.owner}, route_name="greet", renderer="json")
        client = TestApp(config.make_wsgi_app())
    log_in(client, "ada")
    assert client.get("/").json == {"owner": "ada"}


def test_werkzeug_with_a_domain() -> None:
    """Sent to its subdomains too."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(get_session(environ).owner).encode()]

    client = Client(SessionMiddleware(app, secret=SECRET, cookie=Cookie(domain="shop.test")))
    log_in(client, "ada")
    assert client.get("/", base_url="http://www.shop.test").text == "ada"
    assert client.get("/", base_url="http://other.test").text == "None"
