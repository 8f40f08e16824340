"""demo.py in real browsers: headless Chromium, driven through Selenium."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium")

import demo  # noqa: E402
from support.browser import Browser, Launch, certificate, launching, serving  # noqa: E402
from support.demo_process import PATIENCE, Served  # noqa: E402
from support.web import SECRET  # noqa: E402

from wsgisession import SessionManager, SessionMiddleware  # noqa: E402

pytestmark = pytest.mark.wide

KEY = "wsgisession.session"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start browsers, each with a profile of its own."""
    with launching(tmp_path) as start:
        yield start


@pytest.fixture
def browser(launch: Launch) -> Browser:
    return launch()


def test_two_profiles_have_two_sessions(launch: Launch) -> None:
    """Each counts its own views and has its own cookie, which no script can read."""
    with Served() as site:
        first, second = launch(), launch()
        assert [number(browser.visit(site.url)) for browser in (first, first, second, first)] == [1, 2, 1, 3]
        one, other = first.cookie(), second.cookie()
        assert one is not None and other is not None and one["value"] != other["value"]
        assert (one["httpOnly"], one["sameSite"], one["path"], one["secure"]) == (True, "Lax", "/", False)
        assert first.run("return document.cookie") == ""


def test_login_changes_the_cookie_and_logout_removes_it(browser: Browser) -> None:
    """The cookie is gone with the logout's own response; the page it leads to begins again."""
    with Served() as site:
        browser.visit(site.url)
        anonymous = value(browser)
        assert "Logged in as ada" in browser.submit("/login", name="ada")
        mine = value(browser)
        assert mine != anonymous
        assert (
            browser.run(
                """const body = new URLSearchParams({csrf: document.querySelector("[name=csrf]").value});
            return fetch("/logout", {method: "POST", body, redirect: "manual"}).then(answer => answer.type)"""
            )
            == "opaqueredirect"
        )
        assert browser.cookie() is None
        assert number(browser.visit(site.url)) == 1 and "Log in" in browser.text
        assert value(browser) not in (anonymous, mine)


def test_parallel_requests_from_one_page_lose_nothing(browser: Browser) -> None:
    """Twenty fetches; five at a time have all read the session before any of them counts."""
    barrier = threading.Barrier(5)

    def app(environ: Any, start_response: Any) -> Any:
        if environ["QUERY_STRING"]:
            assert environ[KEY]["views"] >= 1
            barrier.wait(PATIENCE)
        return demo.app(environ, start_response)

    with serving(SessionMiddleware(app, secret=SECRET)) as port:
        assert number(browser.visit(f"http://127.0.0.1:{port}")) == 1
        seen = browser.run(
            """const pages = Array.from({length: 20}, (_, number) => fetch("/views?" + number));
            return Promise.all(pages).then(answers => Promise.all(answers.map(answer => answer.text())))"""
        )
        assert sorted(number(text) for text in seen) == list(range(2, 22))
        assert number(browser.visit(f"http://127.0.0.1:{port}")) == 22


def test_the_host_cookie_over_https(launch: Launch, tmp_path: Path) -> None:
    """Over https the cookie has the prefix ``__Host-`` and is Secure; it logs in and out like the other."""
    browser = launch("--ignore-certificate-errors")
    with serving(SessionMiddleware(demo.app, secret=SECRET), certificate(tmp_path)) as port:
        assert [number(browser.visit(f"https://localhost:{port}")) for _ in range(2)] == [1, 2]
        cookie = browser.cookie("__Host-sid")
        assert cookie is not None and browser.cookie("sid") is None
        assert cookie["secure"] and cookie["httpOnly"]
        assert (cookie["path"], cookie["domain"]) == ("/", "localhost")
        assert "Logged in as ada" in browser.submit("/login", name="ada")
        assert value(browser, "__Host-sid") != cookie["value"]
        assert "Logged in" not in browser.submit("/logout")


class Planted:
    """A neighbour under the same domain sets a cookie of our name for the whole domain; the browser sends both."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.site = SessionMiddleware(demo.app, secret=SECRET)

    def login(self, port: int) -> None:
        """Log in at shop.demo.localhost, which every browser finds on this machine (RFC 6761 6.3)."""
        self.shop, self.neighbour = (f"http://{name}.demo.localhost:{port}" for name in ("shop", "neighbour"))
        self.browser.visit(self.shop)
        assert "Logged in as ada" in self.browser.submit("/login", name="ada")

    def plant(self, pair: str, attributes: str = "") -> None:
        self.browser.visit(self.neighbour + "/nothing")
        self.browser.run(f'document.cookie = "{pair}; domain=demo.localhost; path=/{attributes}"')
        self.browser.visit(self.shop + "/nothing")  # counts nothing
        names = [cookie["name"] for cookie in self.browser.driver.get_cookies()]
        assert names == (["sid"] if attributes else ["sid", "sid"])


@pytest.fixture
def planted(browser: Browser) -> Iterator[Planted]:
    """A visitor who is logged in."""
    made = Planted(browser)
    with serving(made.site) as port:
        made.login(port)
        yield made


def ended(site: SessionMiddleware) -> str:
    """The cookie of a session that was there, and was ended."""
    pair = site.manager.issue(owner="mallory")
    assert site.manager.destroy_owned("mallory") == 1
    return pair


@pytest.mark.parametrize(
    "make",
    [lambda site: "sid=nonsense", lambda site: SessionManager(secret=SECRET).issue({"views": 9}), ended],
    ids=["nonsense", "signed, no record", "signed, ended"],
)
def test_a_planted_cookie_without_a_live_record_changes_nothing(planted: Planted, make: Any) -> None:
    """The visitor stays logged in, under the same session."""
    planted.plant(make(planted.site))
    assert [number(planted.browser.visit(planted.shop)) for _ in range(2)] == [3, 4]
    assert "Logged in as ada" in planted.browser.text


def test_a_planted_cookie_with_a_live_record_makes_anonymous_while_it_is_there(planted: Planted) -> None:
    """Neither session is shown or changed; without the planted cookie all is as before."""
    pair = planted.site.manager.issue({"views": 9}, "mallory")
    before = planted.browser.visit(planted.shop)
    planted.plant(pair)
    assert [number(planted.browser.visit(planted.shop)) for _ in range(2)] == [1, 1]
    assert "Logged in" not in planted.browser.text and "none: nothing is stored" in planted.browser.text
    planted.plant(pair, "; max-age=0")
    page = planted.browser.visit(planted.shop)
    assert "Logged in as ada" in page and number(page) == number(before) + 1
    assert [info.owner for info in planted.site.manager.sessions()].count("mallory") == 1


@pytest.mark.parametrize("read_before", [True, False], ids=["read before the login", "read after the login"])
def test_a_poll_in_flight_during_the_login_does_not_undo_it(browser: Browser, read_before: bool) -> None:
    """The page polls with the old cookie while another tab logs in: the poll's answer leaves the new cookie alone."""
    arrived, go_on = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        if environ["QUERY_STRING"] == "poll":
            if read_before:
                assert environ[KEY]["views"] == 1
            arrived.set()
            assert go_on.wait(PATIENCE)
        return demo.app(environ, start_response)

    with serving(SessionMiddleware(app, secret=SECRET)) as port:
        page = f"http://127.0.0.1:{port}/"
        browser.visit(page)
        browser.run('window.poll = fetch("/views?poll").then(answer => answer.text())')
        assert arrived.wait(PATIENCE)
        polling = browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        browser.visit(page)
        assert "Logged in as ada" in browser.submit("/login", name="ada")
        cookie, views = value(browser), number(browser.text)
        go_on.set()
        browser.driver.switch_to.window(polling)
        # Of the session it was sent for, and dropped; or of none.
        told = number(browser.run("return window.poll"))
        assert told == (2 if read_before else 1)
        assert value(browser) == cookie
        assert "Logged in as ada" in browser.visit(page) and number(browser.text) == views + 1


def number(text: str) -> int:
    """The number of views that a page or an answer tells."""
    found = re.search(r"Number of views (\d+)", text)
    assert found is not None, text
    return int(found[1])


def value(browser: Browser, name: str = "sid") -> str:
    cookie = browser.cookie(name)
    assert cookie is not None
    return str(cookie["value"])
