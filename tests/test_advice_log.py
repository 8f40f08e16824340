"""A warning where there was silence: each reason why a session does not come back is told once, with what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.server import Server, wrap
from support.web import SECRET, Site

from wsgisession import Cookie, Session, SessionMiddleware

Reasons = Callable[[], list[str]]


@pytest.fixture
def reasons(caplog: pytest.LogCaptureFixture) -> Reasons:
    """Return the reasons that were told so far."""
    caplog.set_level(logging.DEBUG, "wsgisession")
    return lambda: [record.reason for record in caplog.records if record.event == "misconfiguration"]  # type: ignore[attr-defined]


def write(session: Session) -> None:
    session["a"] = 1


def log_in(session: Session) -> None:
    session.owner = "ada"


def whole(act: Callable[[Session], Any], **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that answers with a list."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])
        return [b"ok"]

    return wrap(app, **options)


def streaming(act: Callable[[Session], Any], **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that is a generator, so that all happens with its first chunk."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])
        yield b"ok"

    return wrap(app, **options)


def writing(act: Callable[[Session], Any], **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that calls write() before it returns a body."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])(b"ok")
        return iter([])

    return wrap(app, **options)


SHAPES = pytest.mark.parametrize("make", [whole, streaming, writing])


class TestJoinedCookies:
    """A proxy or gateway joined several Cookie headers with a comma."""

    @pytest.mark.parametrize(
        "header",
        ["a=b, {}", "{}, a=b", "theme=dark; a=b,{}; c=d", "a=b,\t{}"],
        ids=["behind", "before", "inside", "tab"],
    )
    def test_it_is_told_once(self, reasons: Reasons, header: str) -> None:
        """Where the cookie is not found for it."""
        site = Site()
        joined = header.format(site.start({"a": 1}))
        for _ in range(2):
            assert site.read(joined) == {}
        assert reasons() == ["joined cookies"]

    @pytest.mark.parametrize(
        "header",
        ["a=b,c; d=e", "a=1, 2, 3", "sid=x,y", "xsid=1, ysid=2", "," * 60_000, "sid=" + "," * 60_000],
        ids=lambda h: h[:9],
    )
    def test_other_commas_are_none(self, reasons: Reasons, header: str) -> None:
        """A comma in somebody's value is no joined header."""
        Site().read(header)
        assert reasons() == []

    def test_a_session_that_was_found_is_no_reason(self, reasons: Reasons) -> None:
        """Whatever other cookies look like."""
        site = Site()
        assert site.read(f"{site.start({'a': 1})}; b=1, sid=2") == {"a": 1}
        assert reasons() == []


class TestTooManyCookies:
    def test_more_than_are_looked_at(self, reasons: Reasons) -> None:
        """More validly signed ones than eight: none of those seen lives, so the visitor's may be among the rest."""
        site = Site()
        identity = site.manager.identity
        assert identity is not None
        dead = [f"sid={identity.sign('sid', identity.new_id())}" for _ in range(8)]
        mine = site.start({"a": 1})
        for _ in range(2):
            answer = site.request(lambda s: (write(s), s.gone), "; ".join([*dead, mine]))
            assert answer.result[1] is True and answer.set_cookie is None
        assert reasons() == ["too many cookies"]
        assert site.read("; ".join([*dead[:7], mine])) == {"a": 1}

    def test_worthless_ones_in_front_hide_nothing(self, reasons: Reasons) -> None:
        """A neighbour may plant 63: the visitor's own session is found behind them."""
        site = Site()
        planted = [f"sid=x{number}" for number in range(63)]
        cookie = "; ".join([*planted, site.start({"a": 1})])
        assert site.request(lambda s: (dict(s), write(s)), cookie).result[0] == {"a": 1}
        assert reasons() == []

    @pytest.mark.parametrize(
        "planted",
        [[f"sid=x{number}" for number in range(64)], ["z=" + "x" * 65536]],
        ids=["of the same name", "of another name, long"],
    )
    def test_those_in_front_replace_nothing(self, planted: list[str]) -> None:
        """What the visitor does meanwhile sets no cookie over theirs; when they are gone, the session is there again."""
        site = Site()
        mine = site.start({"views": 1}, "ada")
        assert site.request(write, "; ".join([*planted, mine])).set_cookie is None
        assert site.request(lambda s: s.owner, mine).result == "ada"


class TestCrossSitePost:
    ENVIRON = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}

    @SHAPES
    def test_it_is_told_once(self, reasons: Reasons, make: Any) -> None:
        """Coming back from a payment: browsers send no Lax cookie, and this response's takes the place of it."""
        app = make(write)
        for _ in range(2):
            assert Server(app, **self.ENVIRON).run().cookie is not None
        assert reasons() == ["cross-site post"]

    def test_a_login_that_comes_by_it_is_meant(self, reasons: Reasons) -> None:
        """SAML does that. It works, and is no reason to warn."""
        assert Server(whole(log_in), **self.ENVIRON).run().cookie is not None
        assert reasons() == []

    @pytest.mark.parametrize(
        ("act", "environ", "options"),
        [
            (len, {}, {}),
            (write, {"HTTP_COOKIE": "theme=dark"}, {}),
            (write, {"REQUEST_METHOD": "GET"}, {}),
            (write, {"HTTP_SEC_FETCH_SITE": "same-origin"}, {}),
            (write, {"wsgi.url_scheme": "https"}, {"cookie": Cookie(samesite="None", secure=True)}),
        ],
        ids=["no session begins", "a cookie came", "GET", "same origin", "SameSite=None"],
    )
    def test_others_are_no_reason(self, reasons: Reasons, act: Any, environ: Any, options: Any) -> None:
        """Only what replaces the visitor's cookie."""
        Server(whole(act, **options), **{**self.ENVIRON, **environ}).run()
        assert reasons() == []


class TestOutsideThePath:
    @SHAPES
    @pytest.mark.parametrize("act", [write, log_in], ids=["write", "login"])
    def test_it_is_told_once(self, reasons: Reasons, make: Any, act: Any) -> None:
        """A session begun where its cookie is not sent: each request there begins another one."""
        app = make(act, cookie=Cookie(path="/shop"))
        for _ in range(2):
            Server(app, PATH_INFO="/login").run()
        assert reasons() == ["outside the path"]

    @pytest.mark.parametrize(
        ("path", "script_name", "path_info", "outside"),
        [
            ("/", "", "/", False),
            ("/", "", "", False),
            ("/", "", "/a/b", False),
            ("/shop", "", "/shop", False),
            ("/shop", "", "/shop/cart", False),
            ("/shop", "/shop", "/cart", False),
            ("/shop", "/shop", "", False),
            ("/shop/", "", "/shop/cart", False),
            ("/caf%C3%A9", "", "/caf\xc3\xa9/menu", False),
            ("/shop", "", "/shopping", True),
            ("/shop/", "", "/shop", True),
            ("/shop", "/other", "/shop", True),
            ("/shop", "", "", True),
        ],
    )
    def test_what_a_path_covers(
        self, reasons: Reasons, path: str, script_name: str, path_info: str, outside: bool
    ) -> None:
        """As browsers match paths; the environ has them decoded."""
        Server(whole(write, cookie=Cookie(path=path)), SCRIPT_NAME=script_name, PATH_INFO=path_info).run()
        assert reasons() == (["outside the path"] if outside else [])

    def test_a_read_is_no_reason(self, reasons: Reasons) -> None:
        """Nothing begins."""
        Server(whole(len, cookie=Cookie(path="/shop")), PATH_INFO="/").run()
        assert reasons() == []


@pytest.mark.parametrize("make", [streaming, writing])
def test_other_reasons_are_told_in_a_stream_too(reasons: Reasons, make: Any) -> None:
    """A session that begins with the first chunk of a generator, behind a proxy that ended TLS."""
    app = make(log_in)
    for _ in range(2):
        Server(app, HTTP_X_FORWARDED_PROTO="https").run()
    assert reasons() == ["tls proxy"]


def test_every_text_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    """The message names the setting, or what to change, in words."""
    site = Site()
    site.read(f"a=b, {site.start({'a': 1})}")
    Server(whole(write), REQUEST_METHOD="POST", HTTP_SEC_FETCH_SITE="cross-site").run()
    Server(whole(write, cookie=Cookie(path="/shop")), PATH_INFO="/").run()
    told = {record.reason: record.message for record in caplog.records if hasattr(record, "reason")}
    assert "Make it join them with '; '" in told["joined cookies"]
    assert "redirect" in told["cross-site post"]
    assert "path='/'" in told["outside the path"]
    assert SECRET not in caplog.text


def test_a_first_look_after_the_headers(reasons: Reasons) -> None:
    """The response that depends on the session does not say so to caches. Told once, and not of a look before."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        session = environ["wsgisession.session"]
        if environ["PATH_INFO"] == "/before":
            session.get("name")
        start_response("200 OK", [])
        yield b"Hello "
        yield str(session.get("name")).encode()

    middleware = wrap(app)
    cookie = middleware.manager.issue({"name": "ada"})
    Server(middleware, cookie, PATH_INFO="/before").run()
    Server(middleware).run()
    assert reasons() == []
    for _ in range(2):
        Server(middleware, cookie).run()
    assert reasons() == ["late read"]
