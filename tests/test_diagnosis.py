"""Diagnosis: each reason why a session seems not to work is one warning, once, that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import Server, wrap
from support.web import Site

from wsgisession import Cookie, HeadersSent, MemoryStore, Session, SessionManager, SessionMiddleware
from wsgisession.diagnosis import REASONS, SUSPICIOUS
from wsgisession.stores import SQLiteStore

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


def whole(act: Callable[[Session], Any] = write, **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that answers with a list."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])
        return [b"ok"]

    return wrap(app, **options)


def streaming(act: Callable[[Session], Any] = write, **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that is a generator, so that all happens with its first chunk."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])
        yield b"ok"

    return wrap(app, **options)


def writing(act: Callable[[Session], Any] = write, **options: Any) -> SessionMiddleware:
    """Return a middleware around an application that calls write() before it returns a body."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        act(environ["wsgisession.session"])
        start_response("200 OK", [])(b"ok")
        return iter([])

    return wrap(app, **options)


SHAPES = pytest.mark.parametrize("make", [whole, streaming, writing])
SECURE, SHOP = Cookie(secure=True), Cookie(path="/shop")
CROSS = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}
MANY, HTTPS = {"wsgi.multiprocess": True}, {"wsgi.url_scheme": "https"}


def ask(app: Any, times: int = 1, **environ: Any) -> None:
    """Send the same request so many times."""
    for _ in range(times):
        Server(app, **environ).run()


class TestMemoryStore:
    @pytest.mark.parametrize("act", [write, lambda session: None], ids=["written", "untouched"])
    def test_several_processes(self, reasons: Reasons, caplog: pytest.LogCaptureFixture, act: Any) -> None:
        """MemoryStore keeps sessions in one process; a server with more of them is told once what else there is."""
        ask(whole(act), 3, **MANY)
        assert reasons() == ["memory store"]
        assert all(word in caplog.text for word in ("sqlite:", "redis:", "postgresql:"))


class TestScheme:
    @SHAPES
    def test_secure_over_http(self, make: Any, reasons: Reasons) -> None:
        """No browser sends the cookie back; told once."""
        ask(make(cookie=SECURE), 2)
        assert reasons() == ["secure over http"]

    @SHAPES
    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("HTTP_X_FORWARDED_PROTO", "https"),
            ("HTTP_X_FORWARDED_PROTO", "HTTPS,http"),
            ("HTTP_FORWARDED", "for=1;Proto=https"),
        ],
    )
    def test_tls_ended_by_a_proxy(self, make: Any, header: str, value: str, reasons: Reasons) -> None:
        """Under "auto" the cookie is not Secure although the visitor came over https: pass secure=True."""
        ask(make(log_in), 2, **{header: value})
        assert reasons() == ["tls proxy"]

    def test_a_proxy_that_is_believed_too_late(self, reasons: Reasons) -> None:
        """ProxyFix inside the middleware: the cookie was decided on before the application is told of https."""

        def fixed(environ: Any, start_response: Any) -> Any:
            environ["wsgi.url_scheme"] = "https"
            write(environ["wsgisession.session"])
            start_response("200 OK", [])
            return [b""]

        ask(wrap(fixed), HTTP_X_FORWARDED_PROTO="https")
        assert reasons() == ["tls proxy"]

    def test_a_cookie_that_becomes_secure_keeps_who_is_logged_in(self) -> None:
        """What the advice on proxies says to pass does: the session goes on under the new name."""
        store = MemoryStore()
        cookie = whole(store=store).manager.issue({"a": 1})
        seen: list[dict[str, Any]] = []
        assert "formerly=('sid',)" in REASONS["tls proxy"]
        after = Cookie(secure=True, formerly=("sid",))
        act = whole(lambda session: seen.append(session.copy()), store=store, cookie=after)
        ask(act, HTTP_COOKIE=cookie, **HTTPS)
        assert seen == [{"a": 1}]


class TestAfterTheHeaders:
    def test_a_session_after_the_response_began(self, reasons: Reasons) -> None:
        """The error is raised where the session is written; each middleware logs once how to do it right."""

        def app(environ: Any, start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"first"
            environ["wsgisession.session"]["a"] = 1

        for middleware in (wrap(app), wrap(app)):
            for _ in range(2):
                with pytest.raises(HeadersSent):
                    ask(middleware)
        assert reasons() == ["late session"] * 2

    def test_a_first_look_after_the_headers(self, reasons: Reasons) -> None:
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
        ask(middleware, HTTP_COOKIE=cookie, PATH_INFO="/before")
        ask(middleware)
        assert reasons() == []
        ask(middleware, 2, HTTP_COOKIE=cookie)
        assert reasons() == ["late read"]


class TestCookieHeaders:
    """A session that seems lost because of what came with its cookie, or became of the header on its way."""

    def test_two_live_cookies_of_one_name(self, reasons: Reasons, caplog: pytest.LogCaptureFixture) -> None:
        """Told once, with the cookie's name and both keys."""
        place = Site()
        both = f"{place.start({'a': 1})}; {place.start({'a': 2})}"
        assert place.read(both) == place.read(both) == {}
        assert reasons() == ["two cookies"]
        [record] = caplog.records[-1:]
        assert record.cookie == "sid" and sorted(record.keys) == sorted(place.live())  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "header",
        ["a=b, {}", "{}, a=b", "theme=dark; a=b,{}; c=d", "a=b,\t{}"],
        ids=["behind", "before", "inside", "tab"],
    )
    def test_headers_that_were_joined_by_a_comma(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture, header: str
    ) -> None:
        """A gateway that splits cookies over HTTP/2 must join them with a semicolon; told once, with the cookie's name."""
        place = Site()
        joined = header.format(place.start({"a": 1}))
        assert place.read(joined) == place.read(joined) == {}
        assert reasons() == ["joined cookies"] and caplog.records[-1].cookie == "sid"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "header",
        [
            *("theme=a, b", "theme=dark; {}", "when=Fri, 27 Nov; {}", "a=1, b=2; {}", "{}; b=1, sid=2"),
            *("a=b,c; d=e", "a=1, 2, 3", "sid=x,y", "xsid=1, ysid=2", "," * 60_000, "sid=" + "," * 60_000),
        ],
        ids=lambda header: header[:20],
    )
    def test_commas_that_harm_nobody(self, header: str, reasons: Reasons) -> None:
        """Other cookies may have commas in them, and so may somebody's value."""
        place = Site()
        cookie = place.start({"a": 1})
        assert place.read(header.format(cookie)) == ({"a": 1} if "{}" in header else {})
        assert reasons() == []

    def test_more_cookies_than_are_looked_at(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The visitor's own may be among the rest, so their session is left alone; told once, with the cookie's name."""
        place = Site()
        identity = place.manager.identity
        assert identity is not None
        crowd = [identity.sign("sid", identity.new_id()) for _ in range(8)]
        header = "; ".join([*(f"sid={token}" for token in crowd), place.start({"a": 1})])
        for _ in range(2):
            answer = place.request(lambda session: (write(session), session.gone), header)
            assert answer.result[1] is True and answer.set_cookie is None
        [told] = [record for record in caplog.records if record.event == "misconfiguration"]  # type: ignore[attr-defined]
        assert reasons() == ["too many cookies"] and told.cookie == "sid"  # type: ignore[attr-defined]

    def test_as_many_as_are_looked_at(self, reasons: Reasons) -> None:
        """Seven signed ones, or 63 that a neighbour planted: the visitor's own session is found behind them."""
        place = Site()
        identity, mine = place.manager.identity, place.start({"a": 1})
        assert identity is not None
        for crowd in ([identity.sign("sid", identity.new_id()) for _ in range(7)], map(str, range(63))):
            assert place.read("; ".join([*(f"sid={token}" for token in crowd), mine])) == {"a": 1}
        assert reasons() == []


class TestPosts:
    """Coming back from a payment: the browser keeps the cookie at home, and gets another one."""

    @SHAPES
    def test_one_from_another_site_that_begins_a_session(self, reasons: Reasons, make: Any) -> None:
        """Browsers send no Lax cookie, and this response's takes the place of the visitor's own; told once."""
        app = make()
        for _ in range(2):
            assert Server(app, **CROSS).run().cookie is not None
        assert reasons() == ["cross-site post"]


class TestPaths:
    @SHAPES
    @pytest.mark.parametrize("act", [write, log_in], ids=["write", "login"])
    def test_a_session_outside_the_cookies_path(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture, make: Any, act: Any
    ) -> None:
        """Browsers do not send the cookie there: each request begins another session. Told once, with the path."""
        ask(make(act, cookie=SHOP), 2, PATH_INFO="/login")
        assert reasons() == ["outside the path"] and "path='/shop'" in caplog.text

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
        """As browsers match paths, and with the part that the server cut off; the environ has them decoded."""
        ask(whole(cookie=Cookie(path=path)), SCRIPT_NAME=script_name, PATH_INFO=path_info)
        assert reasons() == (["outside the path"] if outside else [])


class TestSecrets:
    def test_workers_with_different_secrets(self, reasons: Reasons) -> None:
        """Many cookies of the right form with a bad signature: the workers' secrets differ, or it was changed."""
        other, place = SessionManager(secret="another worker's secret, long enough"), Site()
        for _ in range(SUSPICIOUS * 2):
            place.read(other.issue({"a": 1}))
        assert reasons() == ["secrets differ"]

    def test_one_old_cookie_again_and_again_is_no_sign(self, reasons: Reasons) -> None:
        """A browser that polls with a cookie of yesterday's secret is one, however often it comes."""
        cookie, place = SessionManager(secret="yesterday's secret, which was dropped").issue({"a": 1}), Site()
        for _ in range(SUSPICIOUS * 2):
            place.read(cookie)
        assert reasons() == []

    def test_nonsense_is_no_sign(self, reasons: Reasons) -> None:
        """A scanner's cookies do not have the form of ours."""
        place = Site()
        for number in range(SUSPICIOUS * 2):
            place.read(f"sid={number}.x")
        assert reasons() == []


HARMLESS: dict[str, tuple[Callable[[Session], Any], dict[str, Any], dict[str, Any]]] = {
    "threads of one process": (write, {"wsgi.multithread": True, "wsgi.multiprocess": False}, {}),
    # If any trace of a proxy came along, it may have ended TLS, and secure=True over http is just right.
    "X-Forwarded-Proto": (write, {"HTTP_X_FORWARDED_PROTO": "1.1 proxy"}, {"cookie": SECURE}),
    "X-Forwarded-For": (write, {"HTTP_X_FORWARDED_FOR": "1.1 proxy"}, {"cookie": SECURE}),
    "X-Forwarded-Host": (write, {"HTTP_X_FORWARDED_HOST": "1.1 proxy"}, {"cookie": SECURE}),
    "Forwarded": (write, {"HTTP_FORWARDED": "1.1 proxy"}, {"cookie": SECURE}),
    "Via": (write, {"HTTP_VIA": "1.1 proxy"}, {"cookie": SECURE}),
    "secure over https": (write, HTTPS, {"cookie": SECURE}),
    "a health check over http": (lambda session: None, {}, {"cookie": SECURE}),
    "read over http": (len, {}, {"cookie": SECURE}),
    "a proxy that speaks http": (write, {"HTTP_X_FORWARDED_PROTO": "http"}, {}),
    "a proxy that says nothing": (write, {"HTTP_X_FORWARDED_PROTO": ""}, {}),
    "never secure": (write, {"HTTP_X_FORWARDED_PROTO": "https"}, {"cookie": Cookie(secure=False)}),
    "read outside the path": (len, {"PATH_INFO": "/"}, {"cookie": SHOP}),
    # From another site, only what replaces a cookie is a reason. SAML's login comes so, and is meant.
    "no session begins": (len, CROSS, {}),
    "a login by POST": (log_in, CROSS, {}),
    "a link": (write, {**CROSS, "REQUEST_METHOD": "GET"}, {}),
    "the same site": (write, {**CROSS, "HTTP_SEC_FETCH_SITE": "same-site"}, {}),
    "the same origin": (write, {**CROSS, "HTTP_SEC_FETCH_SITE": "same-origin"}, {}),
    "an old browser": (write, {**CROSS, "HTTP_SEC_FETCH_SITE": ""}, {}),
    "a browser that sends cookies": (write, {**CROSS, "HTTP_COOKIE": "theme=dark"}, {}),
    "SameSite=None": (write, {**CROSS, **HTTPS}, {"cookie": Cookie(samesite="None", secure=True)}),
}


@pytest.mark.parametrize(("act", "environ", "options"), HARMLESS.values(), ids=HARMLESS.keys())
def test_requests_that_harm_nobody(reasons: Reasons, act: Any, environ: Any, options: Any) -> None:
    """What is as it should be, or what the developer said, is no reason to warn."""
    ask(whole(act, **options), **environ)
    assert reasons() == []


def test_another_store_suits_several_processes(reasons: Reasons, tmp_path: Path) -> None:
    """A shared store needs no warning."""
    ask(whole(store=SQLiteStore(tmp_path / "sessions.db")), **MANY)
    assert reasons() == []


def test_every_reason_says_what_to_do() -> None:
    """Each text names what to pass, do or call."""
    assert all(
        any(word in text.lower() for word in ("pass", "call", "give", "serve")) for text in REASONS.values()
    )
