"""Diagnosis: each reason why a session seems not to work is one warning, once, that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
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

    def test_another_store_suits(self, reasons: Reasons, tmp_path: Any) -> None:
        """A shared store needs no warning."""
        ask(whole(store=SQLiteStore(tmp_path / "sessions.db")), **MANY)
        assert reasons() == []

    def test_one_process_suits(self, reasons: Reasons) -> None:
        """Neither does one process with threads."""
        ask(whole(), **{"wsgi.multithread": True, "wsgi.multiprocess": False})
        assert reasons() == []


class TestScheme:
    SECURE = Cookie(secure=True)

    @SHAPES
    def test_secure_over_http(self, make: Any, reasons: Reasons) -> None:
        """No browser sends the cookie back; told once."""
        ask(make(cookie=self.SECURE), 2)
        assert reasons() == ["secure over http"]

    @pytest.mark.parametrize(
        "header",
        [
            "HTTP_X_FORWARDED_PROTO",
            "HTTP_X_FORWARDED_FOR",
            "HTTP_X_FORWARDED_HOST",
            "HTTP_FORWARDED",
            "HTTP_VIA",
        ],
    )
    def test_a_proxy_may_have_ended_tls(self, header: str, reasons: Reasons) -> None:
        """If any trace of a proxy came along, secure=True over http is just right."""
        ask(whole(cookie=self.SECURE), **{header: "1.1 proxy"})
        assert reasons() == []

    def test_secure_over_https(self, reasons: Reasons) -> None:
        """As it should be."""
        ask(whole(cookie=self.SECURE), **HTTPS)
        assert reasons() == []

    @pytest.mark.parametrize(
        "act", [lambda session: None, lambda session: session.get("a")], ids=["untouched", "read"]
    )
    def test_who_begins_no_session_is_not_told(self, act: Any, reasons: Reasons) -> None:
        """A load balancer's health check over http is no mistake."""
        ask(whole(act, cookie=self.SECURE))
        assert reasons() == []

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

    @pytest.mark.parametrize("value", ["http", ""])
    def test_a_proxy_over_http(self, value: str, reasons: Reasons) -> None:
        """A proxy that speaks http to the visitor too is no mistake."""
        ask(whole(), HTTP_X_FORWARDED_PROTO=value)
        assert reasons() == []

    def test_never_secure_is_the_developers_word(self, reasons: Reasons) -> None:
        """secure=False is not second-guessed."""
        ask(whole(cookie=Cookie(secure=False)), HTTP_X_FORWARDED_PROTO="https")
        assert reasons() == []

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

    CROSS = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}

    @SHAPES
    def test_one_from_another_site_that_begins_a_session(self, reasons: Reasons, make: Any) -> None:
        """Browsers send no Lax cookie, and this response's takes the place of the visitor's own; told once."""
        app = make()
        for _ in range(2):
            assert Server(app, **self.CROSS).run().cookie is not None
        assert reasons() == ["cross-site post"]

    def test_a_login_that_comes_by_it_is_meant(self, reasons: Reasons) -> None:
        """SAML does that. It works, and is no reason to warn."""
        assert Server(whole(log_in), **self.CROSS).run().cookie is not None
        assert reasons() == []

    @pytest.mark.parametrize(
        ("act", "environ", "options"),
        [
            (len, {}, {}),
            (write, {"REQUEST_METHOD": "GET"}, {}),
            (write, {"HTTP_SEC_FETCH_SITE": "same-site"}, {}),
            (write, {"HTTP_SEC_FETCH_SITE": "same-origin"}, {}),
            (write, {"HTTP_SEC_FETCH_SITE": ""}, {}),
            (write, {"HTTP_COOKIE": "theme=dark"}, {}),
            (write, HTTPS, {"cookie": Cookie(samesite="None", secure=True)}),
        ],
        ids=[
            *("no session begins", "a link", "the same site", "the same origin"),
            *("an old browser", "a browser that sends cookies", "SameSite=None"),
        ],
    )
    def test_requests_that_harm_nobody(self, reasons: Reasons, act: Any, environ: Any, options: Any) -> None:
        """Only what replaces a cookie is a reason."""
        ask(whole(act, **options), **{**self.CROSS, **environ})
        assert reasons() == []


class TestPaths:
    @SHAPES
    @pytest.mark.parametrize("act", [write, log_in], ids=["write", "login"])
    def test_a_session_outside_the_cookies_path(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture, make: Any, act: Any
    ) -> None:
        """Browsers do not send the cookie there: each request begins another session. Told once, with the path."""
        ask(make(act, cookie=Cookie(path="/shop")), 2, PATH_INFO="/login")
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

    def test_a_read_is_no_reason(self, reasons: Reasons) -> None:
        """Nothing begins."""
        ask(whole(len, cookie=Cookie(path="/shop")), PATH_INFO="/")
        assert reasons() == []


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


def test_every_reason_says_what_to_do() -> None:
    """Each text names what to pass, do or call."""
    assert all(
        any(word in text.lower() for word in ("pass", "call", "give", "serve")) for text in REASONS.values()
    )
