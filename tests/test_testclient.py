"""log_in: a test client has a session as a browser would, after one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from support.web import SECRET
from webtest import TestApp

from wsgisession import Cookie, SessionMiddleware, get_session
from wsgisession.testclient import log_in


def greet(environ: Any, start_response: Any) -> Iterable[bytes]:
    session = get_session(environ)
    if environ["PATH_INFO"].startswith("/again"):
        session.regenerate()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{session.owner} {session.get('cart')}".encode()]


def make(**cookie: Any) -> SessionMiddleware:
    return SessionMiddleware(greet, secret=SECRET, cookie=Cookie(**cookie))


@pytest.mark.parametrize(
    ("cookie", "host"),
    [
        ({}, "localhost"),
        ({}, "shop.test:8080"),
        ({"path": "/again"}, "localhost"),
        ({"domain": "shop.test"}, "www.shop.test"),
    ],
    ids=["localhost", "a host", "a path", "a domain"],
)
def test_webtest(cookie: dict[str, Any], host: str) -> None:
    """The client follows a change of the id: the cookie of the response takes the place of the first."""
    client = TestApp(make(**cookie), extra_environ={"HTTP_HOST": host})
    log_in(client, "ada", {"cart": ["A1"]})
    for _ in range(3):
        assert client.get("/again").text == "ada ['A1']"
    assert [*client.cookies] == ["sid"]


def test_a_domain_that_the_host_is_not_in() -> None:
    """The client does not send the cookie, as a browser would not."""
    client = TestApp(make(domain="shop.test"))
    log_in(client, "ada")
    assert client.get("/").text == "None None"


def test_the_cookie_of_a_domain() -> None:
    """A request to a host of that domain sends it, although the client itself has another host."""
    client = TestApp(make(domain="shop.test"))
    log_in(client, "ada")
    assert client.get("/", extra_environ={"HTTP_HOST": "www.shop.test"}).text.startswith("ada")


def test_over_https() -> None:
    """secure=True is for a client that sends its requests there."""
    client = TestApp(make(), extra_environ={"wsgi.url_scheme": "https"})
    log_in(client, "ada", secure=True)
    assert [*client.cookies] == ["__Host-sid"] and client.get("/").text == "ada None"


def test_an_application_that_something_wraps() -> None:
    """Its manager is passed; without it the error says so."""
    inner = make()
    client = TestApp(lambda environ, start_response: inner(environ, start_response))
    with pytest.raises(TypeError, match="pass manager=…"):
        log_in(client, "ada")
    log_in(client, "ada", manager=inner.manager)
    assert client.get("/").text == "ada None"


def test_no_client() -> None:
    """The error says what it takes."""
    with pytest.raises(TypeError, match="takes a client of Flask, Werkzeug or WebTest, not object"):
        log_in(object(), "ada", manager=make().manager)
