"""What the pages about logins, other sites, devices and jobs promise, done with their own examples."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from support.clock import Clock
from support.docs import examples
from support.store_double import StoreDouble
from support.web import Site
from webtest import TestApp

from wsgisession import MemoryStore, SessionManager, UnsupportedType

CROSS_SITE = {"Origin": "https://bank.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


# What a session can hold


def test_values() -> None:
    """The example's order comes back, and a message reads as printed."""
    page, site = examples("docs/how-to/values.md"), Site()
    cookie = site.request(page["order"]).cookie
    held = site.read(cookie)
    assert held["cart"] == [{"sku": "tea", "price": Decimal("2.50")}] and held["tags"] == {"new", "gift"}
    with pytest.raises(
        UnsupportedType, match=r"^session\['way'\]: range cannot be stored; store \[x\.start, "
    ):
        site.request(lambda session: session.update(way=range(3)))


def test_a_list_that_does_not_grow() -> None:
    """However often the visitor comes."""
    page, site = examples("docs/how-to/values.md"), Site()
    cookie = site.start({"a": 1})
    for number in range(30):
        site.request(lambda session, number=number: page["visited"](session, f"/{number}"), cookie)
    assert site.read(cookie)["visited"] == [f"/{number}" for number in range(10, 30)]


# Coming back from another site


def test_coming_back_from_a_payment() -> None:
    """The provider's POST brings no cookie and sets none; after the redirect the visitor is who they were, and has paid."""
    shop = examples("docs/how-to/returning.md")["shop"]
    browser, visitor = TestApp(shop), {"Cookie": shop.manager.issue(owner="ada")}
    browser.get("/order", headers=visitor)
    assert browser.get("/thanks", headers=visitor).text == "Thank you, ada: order A17 is not paid"
    answer = browser.post("/paid", {"order": "A17", "status": "ok"}, headers=CROSS_SITE)
    assert answer.status_int == 303 and "Set-Cookie" not in answer.headers
    assert (
        browser.get(answer.headers["Location"], headers=visitor).text == "Thank you, ada: order A17 is paid"
    )


def test_a_login_elsewhere() -> None:
    """It counts in the session that began it, with its cart, once, and in no other."""
    page, site = examples("docs/how-to/returning.md"), Site()
    begun = site.request(lambda session: session.update(cart=[1]) or page["begin"](session))
    page["assertion_consumer"](begun.result, "ada")
    finish: Callable[..., Any] = page["finish"]
    stranger = site.request(page["begin"])
    assert site.request(lambda session: finish(session, begun.result), stranger.cookie).result is None
    finished = site.request(lambda session: finish(session, begun.result), begun.cookie)
    assert finished.result == "ada" and finished.cookie != begun.cookie
    assert site.read(finished.cookie)["cart"] == [1]
    assert page["logins"] == {}


def test_a_login_elsewhere_in_two_tabs() -> None:
    """Both tabs begin at the same moment, and come back in either order. The oldest of many is forgotten."""
    page, site = examples("docs/how-to/returning.md"), Site()
    visitor = site.start({"cart": [1]})
    tabs = []

    def begin(session: Any) -> None:
        session.get("cart")
        tabs.append(site.request(page["begin"], visitor).result)
        tabs.append(page["begin"](session))

    site.request(begin, visitor)
    for tab in tabs:
        page["assertion_consumer"](tab, "ada")
    for tab in tabs:
        answer = site.request(lambda session, tab=tab: page["finish"](session, tab), visitor)
        assert answer.result == "ada"
        visitor = answer.cookie if answer.set_cookie else visitor
    for _ in range(9):
        site.request(page["begin"], visitor)
    assert len(site.read(visitor)["login states"]) == 5


# CSRF tokens


def test_a_csrf_token() -> None:
    """It stays the same, is right in its own session alone, and another one comes with a login."""
    page, site = examples("docs/how-to/csrf.md"), Site()
    first = site.request(page["csrf_token"])
    assert site.request(page["csrf_token"], first.cookie).result == first.result
    right: Callable[..., bool] = page["csrf_is_right"]
    assert site.request(lambda session: right(session, first.result), first.cookie).result
    for wrong in ("", "é", first.result[1:]):
        assert not site.request(lambda session, wrong=wrong: right(session, wrong), first.cookie).result
        assert not site.request(lambda session, wrong=wrong: right(session, wrong)).result
    logged_in = site.request(lambda session: page["login"](session, "ada"), first.cookie)
    assert not site.request(lambda session: right(session, first.result), logged_in.cookie).result
    assert site.request(page["csrf_token"], logged_in.cookie).result != first.result


def test_a_favicon_beside_the_first_page() -> None:
    """The form of the first page is taken, although the browser asked for a favicon without a cookie meanwhile."""
    page = examples("docs/how-to/csrf.md")
    browser = TestApp(page["site"])
    token = browser.get("/").text
    favicon = TestApp(page["site"]).get("/favicon.ico", status=404)
    assert "Set-Cookie" not in favicon.headers
    assert browser.post("/", headers={"X-CSRF-Token": token}).text == "taken"
    browser.post("/", headers={"X-CSRF-Token": "another"}, status=403)
    assert page["is_page"]({}) and not page["is_page"]({"HTTP_SEC_FETCH_DEST": "image"})


# Clients without cookies


def test_a_token_instead_of_a_cookie() -> None:
    """It is handed out at login, is taken from Authorization, and is empty after the logout."""
    app = examples("docs/how-to/tokens.md")["app"]
    client = TestApp(app)
    answer = client.get("/login")
    token = answer.headers["X-Session-Token"]
    assert "Set-Cookie" not in answer.headers and "no-store" in answer.headers.getall("Cache-Control")
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/", headers=bearer).text == "ada"
    assert "X-Session-Token" not in client.get("/", headers=bearer).headers
    assert client.get("/logout", headers=bearer).headers["X-Session-Token"] == ""
    assert client.get("/", headers=bearer).text == "None"


@pytest.mark.parametrize("sent", [None, "Basic YTpi", "Bearer", "Bearer x"])
def test_no_token(sent: str | None) -> None:
    """A browser's cookie does not count there, and what is no token is nobody."""
    app = examples("docs/how-to/tokens.md")["app"]
    headers = {"Cookie": app.app.manager.issue(owner="ada")}
    assert TestApp(app.app).get("/", headers=headers).text == "ada"
    if sent is not None:
        headers["Authorization"] = sent
    assert TestApp(app).get("/", headers=headers).text == "None"


def test_a_browsers_cookie_is_no_token() -> None:
    """Even with the same secret: its signature is for another name."""
    app = examples("docs/how-to/tokens.md")["app"]
    secret = "a string of at least 32 bytes, kept out of the repository"  # the page's own
    site = SessionManager(app.app.manager.store, secret=secret)
    token = site.issue(owner="ada").partition("=")[2]
    assert TestApp(app).get("/", headers={"Authorization": f"Bearer {token}"}).text == "None"


# When a session ends


@pytest.fixture
def handlers() -> Iterator[None]:
    """The log as it was."""
    log = logging.getLogger("wsgisession")
    before = log.handlers[:], log.level
    yield
    log.handlers[:], level = before
    log.setLevel(level)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("how", ["logout", "revoked", "expired"])
def test_what_belongs_to_a_session_goes_with_it(clock: Clock, how: str) -> None:
    """At once if the log can tell, and else with the next sweep; over a login it stays."""
    page = examples("docs/how-to/ended.md")
    site = Site(MemoryStore(clock=clock), clock=clock)
    first = site.request(page["upload"])
    folder = first.result
    fresh = site.request(lambda session: setattr(session, "owner", "ada"), first.cookie)
    assert site.request(page["upload"], fresh.cookie).result == folder
    page["sweep"](site.manager)
    assert Path(folder).is_dir()
    if how == "logout":
        site.request(lambda session: session.destroy(), fresh.cookie)
    elif how == "revoked":
        site.manager.destroy_owned("ada")
    else:
        clock.advance(86400)
        assert Path(folder).is_dir()
        page["sweep"](site.manager)
    assert not Path(folder).exists() and page["folders"] == {}


# Outside a request


def test_a_job_that_goes_on_after_the_response() -> None:
    """Its result is in the session, beside what the visitor changed meanwhile; after a logout it is dropped."""
    page = examples("docs/how-to/outside.md")
    browser = TestApp(page["site"])
    later: list[Later] = []
    page["threading"] = SimpleNamespace(Thread=lambda **work: later.append(Later(**work)) or later[-1])
    assert browser.get("/export").text == "running"
    [job] = later
    job.target(*job.args)
    assert browser.get("/").text == "done"
    page["manager"].destroy(*job.args)
    job.target(*job.args)
    assert browser.get("/").text == "none"


class Later(NamedTuple):
    """Stands for a thread that does not begin."""

    target: Callable[..., None]
    args: tuple[str, ...]

    def start(self) -> None:
        """Nothing yet."""


def test_whose_websocket_it_is() -> None:
    """The session of the cookie, for our own origin; it ends while the connection is open."""
    page = examples("docs/how-to/outside.md")
    manager = page["manager"]
    ours = {"Origin": "https://www.example.com"}
    cookie = manager.issue({"room": "tea"}, "ada", secure=True)
    session = page["session_of"]({**ours, "Cookie": f"a=b; {cookie}"})
    assert session.owner == "ada" and session["room"] == "tea"
    for headers in (
        ours,
        {"Cookie": cookie},
        {"Origin": "https://other.example", "Cookie": cookie},
        {**ours, "Cookie": "a=b"},
    ):
        assert page["session_of"](headers) is None
    assert page["still_there"](session)
    manager.destroy(session.key)
    assert not page["still_there"](session)


# Behind a proxy


def test_cookies_that_come_one_by_one() -> None:
    """An ASGI application gets them in one header, and the session is found; a single one passes as it came."""
    page, site = examples("docs/how-to/proxy.md"), Site()
    cookie, seen = site.start({"a": 1}).encode(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])

    host = (b"host", b"shop.example")
    for cookies in ([b"theme=dark", cookie], [cookie], []):
        scope = {"type": "http", "headers": [*((b"cookie", value) for value in cookies), host]}
        asyncio.run(page["joined"](app)(scope, None, None))
    assert seen == [[host, (b"cookie", b"theme=dark; " + cookie)], [(b"cookie", cookie), host], [host]]
    assert site.read(seen[0][1][1].decode()) == {"a": 1}


# Several tenants


def test_tenants_are_apart() -> None:
    """One tenant's cookie is worthless at another one, under either name; a host that is none is not served."""
    sites = examples("docs/how-to/tenants.md")["sites"]
    acme = TestApp(sites, extra_environ={"HTTP_HOST": "acme.example.com"})
    globex = TestApp(sites, extra_environ={"HTTP_HOST": "globex.example.com"})
    assert acme.get("/login").text == "acme: acme:7" and acme.get("/").text == "acme: acme:7"
    assert globex.get("/").text == "globex: None"
    [(name, token)] = acme.cookies.items()
    for sent in (name, "sid-globex"):
        assert globex.get("/", headers={"Cookie": f"{sent}={token}"}).text == "globex: None"
    assert globex.get("/login").text == "globex: globex:7" and acme.get("/").text == "acme: acme:7"
    TestApp(sites, extra_environ={"HTTP_HOST": "evil.example"}).get("/", status=404)


# Consent


def test_no_cookie_before_consent() -> None:
    """Looking sets none; agreeing begins a session; withdrawing ends it."""
    page, site = examples("docs/how-to/consent.md"), Site()
    look = lambda session: page["seen"](session, "tea")  # noqa: E731
    assert site.request(look).set_cookie is None and site.live() == []
    cookie = site.request(page["accept"]).cookie
    site.request(look, cookie)
    assert site.read(cookie) == {"consent": True, "seen": ["tea"]}
    assert "Max-Age=0" in (site.request(page["withdraw"], cookie).set_cookie or "") and site.live() == []


def test_what_is_stored_about_somebody() -> None:
    """Each of their sessions, and nobody else's; deleted with the account."""
    page, site = examples("docs/how-to/consent.md"), Site()
    for owner, cart in (("ada", "tea"), ("ada", "milk"), ("ben", "cocoa")):
        site.start({"cart": cart}, owner)
    stored = page["stored_about"](site.manager, "ada")
    assert {row["cart"] for row in stored} == {"tea", "milk"} and all(row["since"] > 0 for row in stored)
    assert page["delete_account"](site.manager, "ada") == 2
    assert page["stored_about"](site.manager, "ada") == [] and len(site.live()) == 1


def test_an_emptied_session_stays() -> None:
    """It has its cookie and no data; ended, it has neither."""
    page, site = examples("docs/how-to/consent.md"), Site()
    cookie = site.start({"a": 1})
    assert site.request(page["empty"], cookie).set_cookie is None
    assert site.read(cookie) == {} and len(site.live()) == 1
    site.request(page["end"], cookie)
    assert site.live() == []


# Devices


def agent(name: str) -> dict[str, Any]:
    return {"HTTP_USER_AGENT": name, "REMOTE_ADDR": "192.0.2.7"}


def test_devices(clock: Clock) -> None:
    """A user sees each device, this one first and marked, with address and last use, and ends one of them, or this one."""
    page, site = examples("docs/how-to/devices.md"), Site(MemoryStore(clock=clock), clock=clock)

    def login(name: str, owner: str = "ada") -> str:
        clock.advance(10)
        return site.request(lambda session: page["login"](session, agent(name), owner)).cookie

    phone, tablet, _ = login("phone"), login("<tablet>"), login("other", "bob")
    rows = site.request(page["devices"], phone).result
    assert [(row["device"], row["here"]) for row in rows] == [("phone", True), ("<tablet>", False)]
    assert rows[1]["address"] == "192.0.2.7" and abs(rows[1]["used"] - (clock() - 10)) < 1
    text = site.request(lambda session: page["page"](session, "token"), phone).result
    assert "&lt;tablet&gt;" in text and "<tablet>" not in text and text.count("<button") == 2
    assert "other" not in text

    def end(key: str) -> Any:
        return site.request(lambda session: page["end"](session, site.manager, key), phone).result

    [strangers] = [info.key for info in site.manager.owned_by("bob")]
    assert end(strangers) is False and site.manager.open(strangers) is not None
    assert end(rows[1]["key"]) is True and site.read(tablet) == {}
    assert end(rows[1]["key"]) is False
    assert end(rows[0]["key"]) is True and site.read(phone) == {}


MOMENTS = pytest.mark.parametrize("moment", [StoreDouble.before, StoreDouble.after], ids=["before", "after"])


@MOMENTS
def test_one_login_per_user(moment: Any) -> None:
    """An older login is ended; of two that overlap exactly one stays."""
    page, store = examples("docs/how-to/devices.md"), StoreDouble()
    site = Site(store)

    def login(name: str) -> None:
        site.request(lambda session: page["login_here_only"](session, agent(name), "ada"))

    login("first")
    login("second")
    assert [info.data["device"] for info in site.manager.owned_by("ada")] == ["second"]
    moment(store, "owned_by", lambda: login("phone"))  # its first listing of the others
    login("tablet")
    [left] = site.manager.owned_by("ada")
    assert left.data["device"] in ("phone", "tablet")


@MOMENTS
def test_three_logins_per_user(moment: Any) -> None:
    """The oldest are ended; of two that overlap none is too many."""
    page, store = examples("docs/how-to/devices.md"), StoreDouble()
    site = Site(store)

    def login(name: str) -> None:
        site.request(
            lambda session: page["login_on_three_devices"](session, site.manager, agent(name), "ada")
        )

    def devices() -> list[str]:
        return [info.data["device"] for info in site.manager.owned_by("ada")]

    for name in ("first", "second", "third", "fourth"):
        login(name)
    assert sorted(devices()) == ["fourth", "second", "third"]
    moment(store, "owned_by", lambda: login("phone"))  # its first listing of the others
    login("tablet")
    assert sorted(devices()) == ["fourth", "phone", "tablet"]


# Flash messages


def test_a_flash_message() -> None:
    """It is on the next page, once, escaped; a visitor without one gets no session."""
    page = examples("docs/how-to/flash.md")
    browser = TestApp(page["site"])
    assert "Set-Cookie" not in browser.get("/").headers
    assert browser.post("/").status_int == 303
    assert "<p class=flash>Your order has been sent.</p>" in browser.get("/").text
    assert "flash" not in browser.get("/").text


def test_flash_messages_of_requests_that_overlap() -> None:
    """Two that add keep both; one that adds while a page shows is for the next page."""
    page, site = examples("docs/how-to/flash.md"), Site()
    cookie = site.start({"flashes": ["one"]})

    def flash(text: str) -> Any:
        return lambda session: page["flash"](session, text)

    def while_another_adds(session: Any) -> None:
        page["flash"](session, "two")
        site.request(flash("three"), cookie)

    def shown_while_another_adds(session: Any) -> Any:
        shown = page["take_flashes"](session)
        site.request(flash("four"), cookie)
        return shown

    site.request(while_another_adds, cookie)
    assert sorted(site.request(shown_while_another_adds, cookie).result) == ["one", "three", "two"]
    assert site.request(page["take_flashes"], cookie).result == ["four"]


def test_a_page_that_nobody_sees_takes_no_flash_message() -> None:
    """A prefetch by a browser or by Turbo, and a HEAD; the page that is opened shows it."""
    page, site = examples("docs/how-to/flash.md"), Site()
    cookie = site.request(lambda session: page["flash"](session, "sent")).cookie
    unseen = [
        {"HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {"HTTP_X_SEC_PURPOSE": "prefetch"},
        {"HTTP_PURPOSE": "prefetch"},
        {"REQUEST_METHOD": "HEAD"},
    ]
    shown: Callable[..., Any] = page["texts_to_show"]
    for headers in unseen:
        environ = {"REQUEST_METHOD": "GET", **headers}
        assert site.request(lambda session, environ=environ: shown(environ, session), cookie).result == []
    opened = site.request(lambda session: shown({"REQUEST_METHOD": "GET"}, session), cookie)
    assert opened.result == ["sent"]


def test_a_flash_message_for_one_page() -> None:
    """Another tab does not get it; the page of that name does, once. Only ten are kept."""
    page, site = examples("docs/how-to/flash.md"), Site()
    begun = site.request(lambda session: page["flash_for"](session, "sent"))
    take: Callable[..., Any] = page["take_flash"]
    for name, text in (("another", None), (begun.result, "sent"), (begun.result, None)):
        assert site.request(lambda session, name=name: take(session, name), begun.cookie).result == text
    for _ in range(20):
        site.request(lambda session: page["flash_for"](session, "lost"), begun.cookie)
    assert len(site.read(begun.cookie)["named flashes"]) == 10


def test_a_flash_message_after_a_logout() -> None:
    """It is in a new session, whose owner is nobody."""
    page, site = examples("docs/how-to/flash.md"), Site()
    cookie = site.start({"cart": [1]}, "ada")
    fresh = site.request(page["logout"], cookie).cookie
    assert site.read(fresh) == {"flashes": ["You are logged out."]} and site.read(cookie) == {}
    assert site.request(lambda session: session.owner, fresh).result is None


# Log in and come back


def test_log_in_and_come_back() -> None:
    """The login leads to the page that was wanted, query and accents included; before it there is no cookie."""
    browser = TestApp(examples("docs/how-to/come-back.md")["site"])
    answer = browser.get("/caf%C3%A9/orders?year=2026&page=2")
    assert answer.status_int == 303 and "Set-Cookie" not in answer.headers
    form = browser.get(answer.headers["Location"]).form
    form["user"] = "ada"
    answer = form.submit()
    assert answer.status_int == 303
    assert answer.headers["Location"] == "/caf%C3%A9/orders?year=2026&page=2"
    assert browser.get(answer.headers["Location"]).text == "/caf%C3%A9/orders?year=2026&page=2 of ada"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "/\x00/evil.example/",
        "/a b",
        "/a\\b",
        "javascript:alert(1)",
        "evil.example",
        "",
    ],
)
def test_no_login_leads_to_another_site(address: str) -> None:
    """Neither by the form's address nor by what the form sends."""
    page = examples("docs/how-to/come-back.md")
    assert page["own"](address) == "/"
    browser = TestApp(page["site"])
    assert 'value="/"' in browser.get("/login", {"next": address}).text
    answer = browser.post("/login", {"user": "ada", "next": address})
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("address", ["/", "/orders", "/orders?page=2&next=//x", "/a/../b", "/%0a/x"])
def test_addresses_on_this_site(address: str) -> None:
    """They are left as they are."""
    assert examples("docs/how-to/come-back.md")["own"](address) == address


# A wizard


def test_a_wizard() -> None:
    """It leads through its steps, back too, and its answers are taken once; a run that is unknown begins again."""
    page, site = examples("docs/how-to/wizard.md"), Site()
    begun = site.request(page["begin"])
    cookie, run = begun.cookie, begun.result

    def ask(name: str, *arguments: Any) -> Any:
        return site.request(lambda session: page[name](session, *arguments), cookie).result

    assert ask("next_step", run) == "address"
    assert ask("keep", run, "address", "1 Tea Street") and ask("next_step", run) == "payment"
    assert ask("keep", run, "payment", "card") and ask("next_step", run) == "confirm"
    assert ask("keep", run, "address", "2 Tea Street")
    assert ask("finish", run) == {"address": "2 Tea Street", "payment": "card"}
    assert ask("finish", run) is None and ask("keep", run, "address", "x") is False
    assert ask("next_step", run) == ask("next_step", "another") == "begin"


def test_two_tabs_and_a_double_click() -> None:
    """Answers of two runs that are sent at the same time are kept; of two that finish one run, one has the answers."""
    page, site = examples("docs/how-to/wizard.md"), Site()
    begun = site.request(lambda session: [page["begin"](session), page["begin"](session)])
    cookie, (one, two) = begun.cookie, begun.result

    def in_both(session: Any) -> None:
        page["keep"](session, one, "address", "A")
        site.request(lambda session: page["keep"](session, two, "address", "B"), cookie)

    def clicked_twice(session: Any) -> Any:
        page["next_step"](session, one)  # read before the other request finishes it
        first = site.request(lambda session: page["finish"](session, one), cookie).result
        return first, page["finish"](session, one)

    site.request(in_both, cookie)
    assert site.request(clicked_twice, cookie).result == ({"address": "A"}, None)
    assert site.read(cookie)["orders"] == {two: {"address": "B"}}


def test_old_runs_are_forgotten() -> None:
    """A session keeps the newest five."""
    page, site = examples("docs/how-to/wizard.md"), Site()
    begun = site.request(lambda session: [page["begin"](session) for _ in range(7)])
    assert list(site.read(begun.cookie)["orders"]) == begun.result[-5:]
