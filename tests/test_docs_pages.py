"""What the pages about logins, other sites, devices and jobs promise, done with their own examples."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from support.clock import Clock
from support.docs import examples
from support.web import Site
from webtest import TestApp

from wsgisession import MemoryStore, SessionManager, UnsupportedType

CROSS_SITE = {"Origin": "https://bank.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


def cookies(browser: TestApp) -> dict[str, str]:
    return dict(browser.cookies)


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
    stranger = site.request(page["begin"])
    assert site.request(page["finish"], stranger.cookie).result is None
    finished = site.request(page["finish"], begun.cookie)
    assert finished.result == "ada" and finished.cookie != begun.cookie
    assert site.read(finished.cookie) == {"cart": [1]}
    assert page["logins"] == {}


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


# Several tenants


def test_tenants_are_apart() -> None:
    """One tenant's cookie is worthless at another one, under either name; a host that is none is not served."""
    sites = examples("docs/how-to/tenants.md")["sites"]
    acme = TestApp(sites, extra_environ={"HTTP_HOST": "acme.example.com"})
    globex = TestApp(sites, extra_environ={"HTTP_HOST": "globex.example.com"})
    assert acme.get("/login").text == "acme: acme:7" and acme.get("/").text == "acme: acme:7"
    assert globex.get("/").text == "globex: None"
    [(name, token)] = cookies(acme).items()
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
    assert (
        "&lt;tablet&gt;" in text
        and "<tablet>" not in text
        and text.count("<button") == 2
        and "other" not in text
    )

    def end(key: str) -> Any:
        return site.request(lambda session: page["end"](session, site.manager, key), phone).result

    [strangers] = [info.key for info in site.manager.owned_by("bob")]
    assert end(strangers) is False and site.manager.open(strangers) is not None
    assert end(rows[1]["key"]) is True and site.read(tablet) == {}
    assert end(rows[1]["key"]) is False
    assert end(rows[0]["key"]) is True and site.read(phone) == {}


def _nothing() -> None:
    pass


class Meeting(MemoryStore):
    """Calls ``meanwhile`` once, before or after the first listing of an owner's sessions."""

    def __init__(self, before: bool) -> None:
        super().__init__()
        self.before, self.meanwhile = before, _nothing

    def owned_by(self, owner: str) -> Iterator[str]:
        meanwhile, self.meanwhile = self.meanwhile, _nothing
        if self.before:
            meanwhile()
        keys = list(super().owned_by(owner))
        if not self.before:
            meanwhile()
        return iter(keys)


@pytest.mark.parametrize("before", [True, False], ids=["before it lists others", "after"])
def test_one_login_per_user(before: bool) -> None:
    """An older login is ended; of two that overlap exactly one stays."""
    page, store = examples("docs/how-to/devices.md"), Meeting(before)
    site = Site(store)

    def login(name: str) -> None:
        site.request(lambda session: page["login_here_only"](session, agent(name), "ada"))

    login("first")
    login("second")
    assert [info.data["device"] for info in site.manager.owned_by("ada")] == ["second"]
    store.meanwhile = lambda: login("phone")
    login("tablet")
    [left] = site.manager.owned_by("ada")
    assert left.data["device"] in ("phone", "tablet")
