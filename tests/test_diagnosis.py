"""Diagnosis: each reason why a session seems not to work is one warning, once, that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from support.web import SECRET, Site

from wsgisession import Cookie, HeadersSent, MemoryStore, Session, SessionManager, SessionMiddleware
from wsgisession.diagnosis import REASONS, SUSPICIOUS
from wsgisession.stores import SQLiteStore


@pytest.fixture
def reasons(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the reasons that were told so far."""
    caplog.set_level(logging.DEBUG, "wsgisession")
    return lambda: [record.reason for record in caplog.records if record.event == "misconfiguration"]  # type: ignore[attr-defined]


Reasons = Callable[[], list[str]]


def ask(app: Any, scheme: str = "http", **environ: Any) -> None:
    """Send one request that begins a session."""
    setup_testing_defaults(environ)
    environ["wsgi.url_scheme"] = scheme
    list(app(environ, lambda status, headers, exc_info=None: lambda data: None))


def site(
    session_of: Callable[[Session], Any] = lambda session: session.update(a=1), **options: Any
) -> SessionMiddleware:
    """Return a middleware around an application that does this with its session."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        session_of(environ["wsgisession.session"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    return SessionMiddleware(app, secret=SECRET, **options)


def streaming(**options: Any) -> SessionMiddleware:
    """Return a middleware around an application that touches its session before it returns a generator."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        environ["wsgisession.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"ok"])

    return SessionMiddleware(app, secret=SECRET, **options)


class TestMemoryStore:
    def test_several_processes(self, reasons: Reasons) -> None:
        """MemoryStore keeps sessions in one process; a server with more of them is told once."""
        app = site()
        for _ in range(3):
            ask(app, **{"wsgi.multiprocess": True})
        assert reasons() == ["memory store"]

    def test_another_store_suits(self, reasons: Reasons, tmp_path: Any) -> None:
        """A shared store needs no warning."""
        ask(site(store=SQLiteStore(tmp_path / "sessions.db")), **{"wsgi.multiprocess": True})
        assert reasons() == []

    def test_one_process_suits(self, reasons: Reasons) -> None:
        """Neither does one process with threads."""
        ask(site(), **{"wsgi.multithread": True, "wsgi.multiprocess": False})
        assert reasons() == []


class TestScheme:
    SECURE = Cookie(secure=True)

    @pytest.mark.parametrize("make", [site, streaming])
    def test_secure_over_http(self, make: Callable[..., Any], reasons: Reasons) -> None:
        """No browser sends the cookie back; told once."""
        app = make(cookie=self.SECURE)
        ask(app)
        ask(app)
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
        """Where any trace of a proxy came along, secure=True over http is just right."""
        ask(site(cookie=self.SECURE), **{header: "1.1 proxy"})
        assert reasons() == []

    def test_secure_over_https(self, reasons: Reasons) -> None:
        """As it should be."""
        ask(site(cookie=self.SECURE), "https")
        assert reasons() == []

    @pytest.mark.parametrize(
        "handler", [lambda session: None, lambda session: session.get("a")], ids=["untouched", "read"]
    )
    def test_who_begins_no_session_is_not_told(
        self, handler: Callable[[Session], Any], reasons: Reasons
    ) -> None:
        """A load balancer's health check over http is no mistake."""
        ask(site(handler, cookie=self.SECURE))
        assert reasons() == []

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("HTTP_X_FORWARDED_PROTO", "https"),
            ("HTTP_X_FORWARDED_PROTO", "HTTPS,http"),
            ("HTTP_FORWARDED", "for=1;Proto=https"),
        ],
    )
    def test_tls_ended_by_a_proxy(self, header: str, value: str, reasons: Reasons) -> None:
        """Under "auto" the cookie is not Secure although the visitor came over https: pass secure=True."""
        app = site()
        ask(app, **{header: value})
        ask(app, **{header: value})
        assert reasons() == ["tls proxy"]

    @pytest.mark.parametrize("value", ["http", ""])
    def test_a_proxy_over_http(self, value: str, reasons: Reasons) -> None:
        """A proxy that speaks http to the visitor too is no mistake."""
        ask(site(), HTTP_X_FORWARDED_PROTO=value)
        assert reasons() == []

    def test_never_secure_is_the_developers_word(self, reasons: Reasons) -> None:
        """secure=False is not second-guessed."""
        ask(site(cookie=Cookie(secure=False)), HTTP_X_FORWARDED_PROTO="https")
        assert reasons() == []


def test_a_session_after_the_response_began(reasons: Reasons) -> None:
    """The error is raised where the session is written; the log says once how to do it right."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        environ["wsgisession.session"]["a"] = 1

    for _ in range(2):
        with pytest.raises(HeadersSent):
            ask(middleware := SessionMiddleware(app, secret=SECRET))
    assert reasons() == ["late session"] * 2  # one for each middleware
    with pytest.raises(HeadersSent):
        ask(middleware)
    assert reasons() == ["late session"] * 2


def test_two_live_cookies_of_one_name(reasons: Reasons, caplog: pytest.LogCaptureFixture) -> None:
    """Told once, with the cookie's name and both keys."""
    place = Site()
    both = f"{place.start({'a': 1})}; {place.start({'a': 2})}"
    assert place.read(both) == place.read(both) == {}
    assert reasons() == ["two cookies"]
    [record] = caplog.records[-1:]
    assert record.cookie == "sid" and sorted(record.keys) == sorted(place.live())  # type: ignore[attr-defined]


class TestCookieHeaders:
    """A session that seems lost because of what became of the Cookie header on its way."""

    def test_headers_that_were_joined_by_a_comma(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A gateway that splits cookies over HTTP/2 must join them with a semicolon; told once, with the cookie's name."""
        place = Site()
        cookie = place.start({"a": 1})
        assert place.read(f"theme=dark, {cookie}") == place.read(f"theme=dark, {cookie}") == {}
        assert reasons() == ["joined cookies"] and caplog.records[-1].cookie == "sid"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "header", ["theme=a, b", "theme=dark; {}", "when=Fri, 27 Nov; {}", "a=1, b=2; {}"]
    )
    def test_commas_that_harm_nobody(self, header: str, reasons: Reasons) -> None:
        """Other cookies may have commas in them."""
        place = Site()
        place.read(header.format(place.start({"a": 1})))
        assert reasons() == []

    def test_more_cookies_than_are_looked_at(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The visitor's own may be among the rest, so their session is left alone; told once, with the cookie's name."""
        place = Site()
        crowd = "; ".join(f"sid={number}" for number in range(200))
        header = f"{crowd}; {place.start({'a': 1})}"
        assert place.read(header) == place.read(header) == {}
        assert reasons() == ["too many cookies"]
        [told] = [record for record in caplog.records if record.event == "misconfiguration"]  # type: ignore[attr-defined]
        assert told.cookie == "sid"  # type: ignore[attr-defined]


CROSS = {"REQUEST_METHOD": "POST", "HTTP_SEC_FETCH_SITE": "cross-site"}


class TestPosts:
    """Coming back from a payment: the browser keeps the cookie at home, and gets another one."""

    def test_a_post_from_another_site_that_begins_a_session(self, reasons: Reasons) -> None:
        """Its cookie replaces the visitor's own; told once."""
        app = site()
        ask(app, **CROSS)
        ask(app, **CROSS)
        assert reasons() == ["cross-site post"]

    @pytest.mark.parametrize(
        "environ",
        [
            {**CROSS, "REQUEST_METHOD": "GET"},
            {**CROSS, "HTTP_SEC_FETCH_SITE": "same-site"},
            {"REQUEST_METHOD": "POST"},
            {**CROSS, "HTTP_COOKIE": "theme=dark"},
        ],
        ids=["a link", "the same site", "an old browser", "a browser that sends cookies"],
    )
    def test_requests_that_harm_nobody(self, environ: dict[str, str], reasons: Reasons) -> None:
        """Only what replaces a cookie is a reason."""
        ask(site(), **environ)
        assert reasons() == []

    def test_who_only_reads_is_not_told(self, reasons: Reasons) -> None:
        """No session begins, so no cookie is replaced."""
        ask(site(lambda session: session.get("a")), **CROSS)
        assert reasons() == []

    def test_a_cookie_for_other_sites_comes_along(self, reasons: Reasons) -> None:
        """With SameSite=None browsers send it, so a visitor without one is new."""
        ask(site(cookie=Cookie(samesite="None", secure=True)), "https", **CROSS)
        assert reasons() == []


class TestPaths:
    def test_a_session_outside_the_cookies_path(
        self, reasons: Reasons, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Browsers do not send the cookie there; told once, with the path."""
        app = site(cookie=Cookie(path="/shop"))
        ask(app, PATH_INFO="/shopping")
        ask(app, PATH_INFO="/")
        assert reasons() == ["outside the path"] and "path='/shop'" in caplog.text

    @pytest.mark.parametrize("place", [("/shop", ""), ("/shop", "/cart"), ("", "/shop/cart")])
    def test_a_session_inside_it(self, place: tuple[str, str], reasons: Reasons) -> None:
        """The part that the server cut off counts too."""
        ask(site(cookie=Cookie(path="/shop")), SCRIPT_NAME=place[0], PATH_INFO=place[1])
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
        """What a scanner sends has not the form of our cookies."""
        place = Site()
        for number in range(SUSPICIOUS * 2):
            place.read(f"sid={number}.x")
        assert reasons() == []


def test_every_reason_says_what_to_do() -> None:
    """Each text names what to pass, do or call."""
    assert all(
        any(word in text.lower() for word in ("pass", "call", "give", "serve")) for text in REASONS.values()
    )


def test_a_cookie_that_becomes_secure_keeps_who_is_logged_in(reasons: Reasons) -> None:
    """What the advice on proxies says to pass does: the session goes on under the new name."""
    store = MemoryStore()
    before = site(store=store)
    cookie = before.manager.issue({"a": 1})
    seen: list[dict[str, Any]] = []
    assert "formerly=('sid',)" in REASONS["tls proxy"]
    after = site(
        lambda session: seen.append(session.copy()),
        store=store,
        cookie=Cookie(secure=True, formerly=("sid",)),
    )
    ask(after, "https", HTTP_COOKIE=cookie)
    assert seen == [{"a": 1}]


def test_warnings_come_once_for_each_middleware(reasons: Reasons) -> None:
    """Two middlewares over one store each tell their own."""
    store = MemoryStore()
    for app in (site(store=store), site(store=store)):
        ask(app, **{"wsgi.multiprocess": True})
    assert reasons() == ["memory store"] * 2
