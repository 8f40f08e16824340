"""wsgisession.pyramid: ``request.session`` is our session, with the whole of Pyramid's ISession."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyramid.authentication import SessionAuthenticationHelper
from pyramid.config import Configurator
from pyramid.events import NewResponse
from pyramid.httpexceptions import HTTPBadRequest, HTTPSeeOther
from pyramid.i18n import TranslationString
from pyramid.interfaces import ISession, ISessionFactory
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from pyramid.security import forget, remember
from pyramid.testing import DummyRequest
from support.clock import Clock
from support.docs import titled
from support.frameworks import PAGES
from support.store_double import StoreDouble
from support.web import SECRET
from webtest import TestApp
from zope.interface.verify import verifyObject

import wsgisession.pyramid
from wsgisession import Cookie, JSONCodec, MemoryStore, Session, SessionManager, get_session
from wsgisession.pyramid import get_manager

pytestmark = pytest.mark.wide


class Shop:
    """An application that does to its session what a test says, and a browser."""

    def __init__(self, configure: Any = lambda config: None, **settings: Any) -> None:
        self.act: Any = lambda request: None
        named = {f"wsgisession.{name.replace('__', '.')}": value for name, value in settings.items()}
        with Configurator(settings={"wsgisession.secret": SECRET, **named}) as config:
            config.include("wsgisession.pyramid")
            config.add_route("act", "/*path")
            config.add_view(self.view, route_name="act")
            configure(config)
            self.app = config.make_wsgi_app()
        self.manager: SessionManager = get_manager(self.app.registry)
        self.browser = TestApp(self.app)

    def view(self, request: Any) -> Any:
        answer = self.act(request)
        return answer if isinstance(answer, Response) else Response(json_body={"answer": answer})

    def send(self, act: Any, path: str = "/", **options: Any) -> Any:
        self.act = act
        return self.browser.get(path, **options)

    def ask(self, act: Any = lambda request: dict(request.session), **options: Any) -> Any:
        return self.send(act, **options).json["answer"]

    def begin(self, **data: Any) -> None:
        self.ask(lambda request: request.session.update(data))


# The session


def test_it_is_a_session_and_all_of_isession() -> None:
    """Pyramid's interface holds, and get_session(environ) is the same object."""

    def act(request: Any) -> bool:
        session = request.session
        assert verifyObject(ISession, session) and get_session(request.environ) is session
        assert wsgisession.pyramid.get_session(request) is session
        return isinstance(session, Session) and session.new and type(session.created) is int

    assert Shop().ask(act) is True


def test_changes_inside_a_value_are_saved() -> None:
    """changed() does nothing, and is not needed."""
    shop = Shop()
    for _ in range(2):
        shop.ask(lambda request: request.session.setdefault("cart", []).append("tea"))
    assert shop.ask(lambda request: request.session.changed()) is None
    assert shop.ask() == {"cart": ["tea", "tea"]}


def test_flash_queues() -> None:
    """Messages wait in their queue for the request that pops it; a duplicate can be refused."""
    shop = Shop()

    def fill(request: Any) -> None:
        for message, queue, twice in (("a", "", True), ("a", "", True), ("a", "", False), ("b", "q", False)):
            request.session.flash(message, queue, twice)

    shop.ask(fill)
    for read, found in (
        (lambda session: [session.peek_flash(), session.peek_flash("q")], [["a", "a"], ["b"]]),
        (lambda session: [session.pop_flash(), session.pop_flash()], [["a", "a"], []]),
        (lambda session: [session.peek_flash(), session.pop_flash("q")], [[], ["b"]]),
    ):
        assert shop.ask(lambda request, read=read: read(request.session)) == found


def test_a_translated_message_is_text() -> None:
    """As with Pyramid's own session, whose format is JSON too."""
    shop = Shop()
    shop.ask(lambda request: request.session.flash(TranslationString("hello", default="Hello")))
    assert shop.ask(lambda request: request.session.pop_flash()) == ["hello"]
    shop.ask(lambda request: request.session.flash({"text": "data"}))
    assert shop.ask(lambda request: request.session.pop_flash()) == [{"text": "data"}]


def test_csrf() -> None:
    """Pyramid's own protection finds its token here; new_csrf_token() makes the old one worthless."""
    shop = Shop(lambda config: config.set_default_csrf_options(require_csrf=True))
    first = shop.ask(lambda request: request.session.get_csrf_token())
    assert shop.ask(lambda request: request.session.get_csrf_token()) == first
    shop.browser.post("/", {"csrf_token": first})
    shop.browser.post("/", {"csrf_token": "forged"}, status=400)
    second = shop.ask(lambda request: request.session.new_csrf_token())
    shop.browser.post("/", {"csrf_token": first}, status=400)
    shop.browser.post("/", {"csrf_token": second})


def test_invalidate() -> None:
    """The session ends at once; what is written afterwards begins another one."""
    shop = Shop()
    shop.begin(a=1)
    before = shop.browser.cookies["sid"]

    def act(request: Any) -> None:
        request.session.invalidate()
        request.session["b"] = 2

    shop.ask(act)
    assert shop.browser.cookies["sid"] != before and shop.ask() == {"b": 2}
    assert len([*shop.manager.sessions()]) == 1


# Saving


def raised(request: Any) -> None:
    request.session["n"] = 1
    raise HTTPSeeOther("/")


def refused(request: Any) -> None:
    request.session["n"] = 1
    raise HTTPBadRequest


def failed(request: Any) -> Any:
    request.session["n"] = 1
    return Response("broken", status=500)


@pytest.mark.parametrize(
    ("act", "status", "saved"),
    [(raised, 303, True), (refused, 400, True), (failed, 500, False)],
    ids=["raised", "refused", "failed"],
)
def test_responses(act: Any, status: int, saved: bool) -> None:
    """A redirect and a refusal save, an error of the server does not."""
    shop = Shop()
    answer = shop.send(act, status=status)
    assert ("Set-Cookie" in answer.headers) is saved and shop.manager.count() == saved


def test_an_exception_saves_nothing() -> None:
    """It reaches the server."""

    def act(request: Any) -> None:
        request.session["n"] = 1
        raise ValueError

    shop = Shop()
    with pytest.raises(ValueError):
        shop.send(act)
    assert shop.manager.count() == 0


def test_what_is_not_touched_costs_nothing() -> None:
    """No call of the store, and none of our headers; asking for request.session alone is no touch."""
    store = StoreDouble()
    shop = Shop(store=store)
    shop.begin(n=1)
    before = len(store.calls)
    for act in (lambda request: None, lambda request: repr(request.session)):
        answer = shop.send(act)
        assert len(store.calls) == before
        assert {"Vary", "Cache-Control", "Set-Cookie"} & {*answer.headers} == set()


class Chunks:
    """A body that changes the session, counts how often it was closed, and fails if it is told to."""

    closed = 0

    def __init__(self, request: Any, fail: bool = False) -> None:
        self.session, self.fail = request.session, fail
        self.session["begun"] = True

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        self.session["ended"] = True
        if self.fail:
            raise OSError

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def streaming() -> Iterator[tuple[Shop, Any]]:
    """An application, and a view that streams. Its body is closed, once."""
    bodies: list[Chunks] = []

    def act(request: Any) -> Any:
        bodies.append(Chunks(request, "fail" in request.GET))
        return Response(app_iter=bodies[-1], content_length=3)

    yield Shop(), act
    assert [body.closed for body in bodies] == [1]


def test_a_stream_saves_at_its_end(streaming: Any) -> None:
    """Length and chunks stay as they are."""
    shop, act = streaming
    answer = shop.send(act)
    assert (answer.body, answer.headers["Content-Length"]) == (b"one", "3")
    assert shop.ask() == {"begun": True, "ended": True}


def test_a_stream_that_fails_saves_nothing_more(streaming: Any) -> None:
    """What the view had changed is there."""
    shop, act = streaming
    with pytest.raises(OSError):
        shop.send(act, "/?fail=1")
    [info] = shop.manager.sessions()
    assert info.data.keys() == {"begun"}


def test_a_stream_that_nobody_reads(streaming: Any) -> None:
    """A client that leaves, or a HEAD request: what had changed is saved."""
    shop, shop.act = streaming
    shop.browser.head("/")
    assert shop.ask() == {"begun": True}


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    """WebOb sends a part of it, and the server's file_wrapper stays in place."""
    path = tmp_path / "file.txt"
    path.write_text("abcdef")

    def act(request: Any) -> Any:
        request.session["n"] = 1
        response = FileResponse(str(path), request=request)
        response.conditional_response = True
        return response

    shop = Shop()
    assert shop.send(act, headers={"Range": "bytes=1-2"}, status=206).body == b"bc"
    shop.browser.reset()

    class Wrapper:
        def __init__(self, file: Any, size: int = 8192) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter([self.file.read()])

    environ = Request.blank("/", environ={"wsgi.file_wrapper": Wrapper}).environ
    body = shop.app(environ, lambda *args: None)
    assert isinstance(body, Wrapper) and [*body] == [b"abcdef"] and shop.manager.count() == 2
    body.file.close()


def test_what_a_subscriber_changes_is_saved() -> None:
    """Later than the session: in a NewResponse subscriber, or another response callback."""

    def late(event: Any) -> None:
        event.request.session["late"] = True

    shop = Shop(lambda config: config.add_subscriber(late, NewResponse))
    shop.begin(n=1)
    assert shop.ask() == {"n": 1, "late": True}


def test_subrequests() -> None:
    """One that is a copy has the same session; a new one without a cookie has its own."""
    shop = Shop()

    def act(request: Any) -> Any:
        if "sub" in request.GET:
            return Response(json_body=[request.session.get("n"), request.session.setdefault("m", 2)])
        request.session["n"] = 1
        copy = request.copy()
        copy.environ["QUERY_STRING"] = "sub=1"
        return [request.invoke_subrequest(each).json for each in (copy, Request.blank("/?sub=1"))]

    assert shop.ask(act) == [[1, 2], [None, 2]]
    assert shop.ask() == {"n": 1, "m": 2}


def test_a_view_is_tested_with_a_dummy_request() -> None:
    """Through the session factory, for a test that has no application around it."""
    shop = Shop()
    request = DummyRequest()
    session = shop.app.registry.queryUtility(ISessionFactory)(request)
    session["n"] = 1
    assert session.new and dict(session) == {"n": 1} and shop.manager.count() == 0


# Settings


@pytest.mark.parametrize(
    ("settings", "cookie"),
    [
        ({}, "sid=; Path=/; HttpOnly; SameSite=Lax"),
        ({"cookie__name": "shop"}, "shop=; Path=/; HttpOnly; SameSite=Lax"),
        ({"cookie__path": "/shop"}, "sid=; Path=/shop; HttpOnly; SameSite=Lax"),
        ({"cookie__httponly": "no"}, "sid=; Path=/; SameSite=Lax"),
        ({"cookie__samesite": "Strict"}, "sid=; Path=/; HttpOnly; SameSite=Strict"),
        ({"cookie__secure": "auto"}, "sid=; Path=/; HttpOnly; SameSite=Lax"),
        ({"cookie__secure": "true"}, "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            {"cookie__secure": "true", "cookie__host_prefix": "false"},
            "sid=; Path=/; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            {"cookie__secure": "true", "cookie__partitioned": "true"},
            "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Partitioned",
        ),
        (
            {"cookie__persistent": "true", "remember": "60"},
            "sid=; Path=/; HttpOnly; SameSite=Lax; Max-Age=60",
        ),
        ({"cookie": Cookie(name="mine")}, "mine=; Path=/; HttpOnly; SameSite=Lax"),
        ({"cookie__secure": False}, "sid=; Path=/; HttpOnly; SameSite=Lax"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, dict) else "",
)
def test_cookie_settings(settings: dict[str, Any], cookie: str) -> None:
    """A string, as in a file, or an object."""
    shop = Shop(**settings)
    header = shop.send(lambda request: request.session.update(n=1), "/shop").headers["Set-Cookie"]
    pair, *attributes = header.split("; ")
    name, *expected = cookie.split("; ")
    assert pair.startswith(name) and sorted(attributes) == sorted(expected)


def test_a_former_cookie() -> None:
    """cookie.formerly names those that are still read."""
    store = MemoryStore()
    before = Shop(store=store)
    before.begin(n=1)
    now = Shop(store=store, cookie__name="shop", cookie__formerly="sid old")
    now.browser.cookiejar = before.browser.cookiejar
    assert now.ask() == {"n": 1} and "shop" in now.browser.cookies


@pytest.mark.parametrize(
    ("settings", "passed", "left"),
    [
        ({"idle_timeout": "100"}, 99, 1),
        ({"idle_timeout": "100"}, 101, 0),
        ({"idle_timeout": timedelta(seconds=100)}, 101, 0),
        ({"idle_timeout": "none"}, 8000, 1),
        ({"idle_timeout": "none", "lifetime": "500"}, 501, 0),
    ],
    ids=["in time", "too late", "timedelta", "none", "lifetime"],
)
def test_timeouts(settings: dict[str, Any], passed: int, left: int) -> None:
    """Seconds as text, or any other value that the option takes."""
    clock = Clock()
    shop = Shop(store=MemoryStore(clock=clock), clock=clock, **settings)
    shop.begin(n=1)
    clock.advance(passed)
    assert len(shop.ask()) == left


def test_secrets_are_lines() -> None:
    """The first signs, the others verify too; a space belongs to a secret."""
    store = MemoryStore()
    old = Shop(store=store)
    old.begin(n=1)
    new = Shop(store=store, secret=f"\n  a new secret, of at least 32 bytes too\n  {SECRET}\n")
    new.browser.cookiejar = old.browser.cookiejar
    assert new.ask() == {"n": 1}
    assert Shop(store=store, secret=[SECRET, SECRET]).manager.issue()


def test_a_dotted_name_is_an_object() -> None:
    """For codec, identity, clock and cookie, and a store's URL is opened."""
    shop = Shop(
        identity="wsgisession.Identity", clock="time.time", codec=JSONCodec(), store="memory:", max_size="200"
    )
    shop.begin(n=1)
    assert shop.ask() == {"n": 1} and type(shop.manager.store) is MemoryStore


def test_another_environ_key() -> None:
    """The session is where environ_key says."""
    shop = Shop(environ_key="shop.session")
    assert shop.ask(lambda request: request.session is get_session(request.environ, "shop.session")) is True


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"secret": "short"}, "at least 32 bytes"),
        ({"idletimeout": "1"}, "did you mean wsgisession.idle_timeout?"),
        ({"xyz": "1"}, "there are secret, store"),
        ({"lifetime": "a day"}, "wsgisession.lifetime: could not convert"),
        ({"cookie__colour": "red"}, "wsgisession.cookie.colour is unknown"),
        ({"cookie": Cookie(), "cookie__name": "x"}, "not both"),
        ({"cookie__samesite": "None"}, "secure"),
        ({"cookie__secure": "ture"}, "wsgisession.cookie.secure: write true or false"),
        ({"cookie__httponly": ""}, "wsgisession.cookie.httponly: write true or false"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_settings(settings: dict[str, Any], text: str) -> None:
    """An error when the application is configured, in words that name the setting."""
    with pytest.raises(ValueError, match=re.escape(text)):
        Shop(**settings)


def test_a_secret_is_needed() -> None:
    """No other setting stands for it."""
    with pytest.raises(ValueError, match="wsgisession.secret is missing"):
        Configurator(settings={"wsgisession.store": "memory:"}).include("wsgisession.pyramid")


# A security policy


def test_the_policy_of_the_page() -> None:
    """Its login gives a new id and a new token, names the owner and keeps the cart; the next user and a logout leave nothing."""
    page: dict[str, Any] = {}
    exec(titled(PAGES.format("pyramid"), "policy"), page)
    shop = Shop(lambda config: config.set_security_policy(page["Policy"]()))

    def log_in(name: str) -> Any:
        return lambda request: remember(request, name)

    shop.begin(cart=["tea"], _csrft_="old")
    anonymous = shop.browser.cookies["sid"]
    assert shop.ask(log_in("ada")) == []
    assert shop.browser.cookies["sid"] != anonymous
    assert shop.ask(lambda request: [request.authenticated_userid, request.identity]) == ["ada", "ada"]
    kept = shop.ask()
    assert kept["cart"] == ["tea"] and kept["_csrft_"] != "old"
    assert [info.owner for info in shop.manager.owned_by("ada")] == ["ada"]
    shop.ask(log_in("ben"))
    assert shop.ask().keys() == {"_csrft_"} and shop.ask(lambda request: request.session.owner) == "ben"
    shop.ask(forget)
    assert shop.browser.cookies == {} and [*shop.manager.sessions()] == []
    assert shop.ask(lambda request: bool(request.has_permission("edit"))) is False


def test_pyramids_own_helper_keeps_the_id() -> None:
    """The reason for the page's policy."""
    helper = SessionAuthenticationHelper()
    shop = Shop()
    shop.begin(cart=["tea"])
    anonymous = shop.browser.cookies["sid"]
    shop.ask(lambda request: helper.remember(request, "ada"))
    assert shop.ask(lambda request: helper.authenticated_userid(request)) == "ada"
    assert shop.browser.cookies["sid"] == anonymous and [*shop.manager.owned_by("ada")] == []
