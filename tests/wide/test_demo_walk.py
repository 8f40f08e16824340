"""A walk through all of the demo's page in a real browser, with the keyboard alone: on a screen and on a phone, light and dark."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

pytest.importorskip("selenium")

import demo  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from support.browser import Browser, launching, serving  # noqa: E402
from support.clock import Clock  # noqa: E402
from support.demo_process import PATIENCE  # noqa: E402
from support.web import SECRET  # noqa: E402

from wsgisession import MemoryStore, SessionMiddleware  # noqa: E402

pytestmark = pytest.mark.wide

SIZES = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]


class Walk:
    """One browser, and the site it looks at."""

    def __init__(self, browser: Browser, site: SessionMiddleware, clock: Clock, url: str) -> None:
        self.browser = browser
        self.site = site
        self.clock = clock
        self.url = url

    def begin(self) -> None:
        """Open the page as a new visitor, when ada is logged in nowhere."""
        self.site.manager.destroy_owned("ada")
        self.browser.driver.delete_all_cookies()
        self.browser.visit(self.url)

    def text(self, name: str) -> str:
        """What one section shows."""
        return self.browser.driver.find_element(By.ID, name).text

    def shows(self, name: str, words: str) -> None:
        """Wait until a section shows this; then look whether everything can still be read."""
        self.browser.until(f"return document.getElementById({name!r})?.innerText.includes({words!r})")
        self.browser.check_looks()

    def names(self, selector: str) -> list[str]:
        """The accessible names of what is on the page."""
        found = self.browser.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element.accessible_name for element in found if element.is_displayed()]

    def heard(self) -> str:
        """What a screen reader says last: the live region."""
        [live] = self.browser.driver.find_elements(By.CSS_SELECTOR, "[role=status]")
        return str(live.get_property("textContent"))

    def log_in(self, name: str) -> None:
        """Type a name into the first field, and press Enter there."""
        field = self.browser.driver.find_element(By.NAME, "name")
        assert field.accessible_name == "Your name (no password: a demo)"
        field.send_keys(name, Keys.ENTER)
        self.shows("who", f"Logged in as {name}")


@pytest.fixture(scope="module", params=SIZES, ids=[f"{width}, {scheme}" for width, scheme in SIZES])
def posed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A browser of one size, light or dark."""
    width, scheme = request.param
    clock = Clock()
    site = demo.with_sessions(secret=SECRET, store=MemoryStore(clock=clock))
    with serving(site) as port, launching(tmp_path_factory.mktemp("walk")) as launch:
        browser = launch()
        browser.pose(width, 800, scheme)
        yield Walk(browser, site, clock, f"http://127.0.0.1:{port}/")


@pytest.fixture
def walk(posed: Walk) -> Walk:
    posed.begin()
    return posed


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Say what the demo's slow requests wait for, instead of some seconds."""

    def pause(wait: Callable[[], object]) -> None:
        monkeypatch.setattr(demo, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: wait()}))

    return pause


def test_the_links_lead_to_their_sections(walk: Walk) -> None:
    """By keyboard."""
    walk.browser.press("Both sides")
    walk.browser.until("return location.hash === '#sides'")


def test_everything_has_a_name(walk: Walk) -> None:
    """A screen reader can tell every button, field, link and section, and no two buttons are called the same."""
    walk.log_in("ada")
    walk.browser.press("Pretend a second device")
    walk.shows("where", "A pretended phone")
    walk.browser.press("Give it 20 seconds")
    walk.shows("timeout", "has a time-out of its own")
    assert all(walk.names("a, section[aria-labelledby], nav"))
    buttons = walk.names("button")
    assert all(buttons) and len(set(buttons)) == len(buttons)
    assert {"End the session of Chrome on Linux, this device", "Log out meanwhile"} <= set(buttons)
    assert walk.names("input:not([type=hidden])") == ["New item"]


def test_two_requests_at_once(walk: Walk, pausing: Callable[..., None]) -> None:
    """Both items are kept; beside them stands what load and overwrite loses. The focus stays on the button."""
    pausing(threading.Barrier(2, timeout=PATIENCE).wait)
    walk.browser.press("Add tea and milk at once")
    walk.shows("race", "Added tea. Added milk. Both ran at the same time, and both are kept.")
    kept, overwritten = walk.browser.driver.find_elements(By.CSS_SELECTOR, "#race ol")
    assert sorted(kept.text.split("\n")) == ["milk", "tea"]
    assert sorted(overwritten.text.split("\n")) in (["milk", "tea lost"], ["milk lost", "tea"])
    assert walk.heard() == "Added tea. Added milk. Both ran at the same time, and both are kept."
    assert walk.browser.driver.switch_to.active_element.accessible_name == "Add tea and milk at once"


def test_the_late_request(walk: Walk, pausing: Callable[..., None]) -> None:
    """Log out while it runs: it is dropped, and its answer sets no cookie."""
    over = threading.Event()
    pausing(lambda: over.wait(PATIENCE))
    walk.log_in("ada")
    walk.browser.press("Start the late request")
    walk.shows("late", "The request is running. Log out now.")
    assert walk.browser.driver.switch_to.active_element.accessible_name == "Log out meanwhile"
    ActionChains(walk.browser.driver).send_keys(Keys.ENTER).perform()
    walk.shows("late", "You are logged out. The late request is still running.")
    assert walk.browser.cookie() is None
    over.set()
    walk.shows(
        "late", "was dropped: session.save() returned False. Its answer set no cookie: the browser has none."
    )
    assert "Logged in as" not in walk.browser.text and "late" not in walk.text("sides")
    assert walk.browser.driver.switch_to.active_element.accessible_name == "Start the late request"


def test_types(walk: Walk) -> None:
    """They come back; an object is refused, with its place. The focus is on the sentence that says so."""
    walk.browser.press("Put them in")
    walk.shows("types", "4 of 4 came back equal, of the same type.")
    walk.browser.press("Store an object")
    walk.shows("types", "Refused. session['order']['lines'][2]: object cannot be stored")
    assert walk.browser.driver.switch_to.active_element.text.startswith("Refused.")


def test_who_is_where(walk: Walk) -> None:
    """Devices are listed, with when they were used, and ended one by one."""
    walk.site.manager.issue({"device": "A long lost laptop", "seen": time.time() - 120}, "ada")
    walk.log_in("ada")
    walk.shows("where", "used 2 minutes ago")
    walk.browser.press("Pretend a second device")
    walk.shows("where", "A second device is logged in.")
    walk.browser.press("End the session of A long lost laptop, used 2 minutes ago")
    walk.shows("where", "Ended: A long lost laptop.")
    walk.browser.press("Log out everywhere else")
    walk.shows("where", "Sessions that ended: 1.")
    walk.browser.press("End the session of Chrome on Linux, this device")
    walk.shows("where", "Nobody is logged in.")


def test_remember_me(walk: Walk) -> None:
    """The browser keeps the cookie for 30 days, and the page says so on both sides."""
    box = walk.browser.driver.find_element(By.NAME, "remember")
    assert box.accessible_name == "Remember me"
    box.send_keys(Keys.SPACE)
    walk.log_in("ada")
    walk.shows("sides", "30 days after the last use")
    cookie = walk.browser.cookie()
    assert cookie is not None and "expiry" in cookie


def test_a_timeout_runs_down_while_the_page_polls(walk: Walk) -> None:
    """No poll keeps the session alive. When it has ended, the page says so by itself."""
    walk.browser.press("Give it 20 seconds")
    walk.shows("timeout", "has a time-out of its own")
    walk.browser.until("return Number(document.getElementById('polls').textContent) >= 2")
    walk.clock.advance(15)
    walk.shows("timeout", "ends in 5 seconds")
    walk.clock.advance(6)
    walk.shows("timeout", "polls did not keep it alive.")
    assert walk.heard().startswith("The session has ended.") and "Number of views 1" in walk.browser.text


def test_both_sides(walk: Walk) -> None:
    """The server's key is not the browser's id, and no script sees the cookie."""
    cookie = walk.browser.cookie()
    assert cookie is not None
    session = walk.site.manager.from_cookie(f"sid={cookie['value']}")
    assert session is not None and str(session.key) in walk.text("sides").replace("\n", "")
    assert "nothing (HttpOnly)" in walk.text("sides")
    assert cookie["value"].partition(".")[0] not in walk.browser.driver.page_source


def test_an_old_form(walk: Walk) -> None:
    """It was open while the session ended: a page of the same looks says what happened, and leads back."""
    walk.browser.press("End it from elsewhere")
    walk.shows("old", "The session has ended, and this browser does not know.")
    walk.browser.press("Add biscuits to the cart")
    walk.browser.until("return document.title === 'Your session has ended'")
    walk.browser.check_looks()
    assert "nothing was changed" in walk.browser.text
    walk.browser.press("Open the page again")
    walk.browser.until("return document.querySelector('h1')?.innerText === 'Number of views 1'")
    assert "biscuits" not in walk.text("race").partition("New item")[0]


def test_an_old_form_is_not_taken_away(walk: Walk) -> None:
    """A page whose session was ended from elsewhere stays as it is, although it polled until then."""
    walk.browser.press("Give it 20 seconds")
    walk.browser.until("return Number(document.getElementById('polls')?.textContent) >= 1")
    walk.browser.run(
        """window.turns = 0;
        const wait = setTimeout;
        window.setTimeout = turn => wait(() => { turns += 1; turn() }, 10);"""
    )
    walk.browser.until("return turns > 3")
    walk.browser.press("End it from elsewhere")
    walk.shows("old", "this browser does not know")
    turns = walk.browser.run("return turns")
    walk.browser.until(f"return turns > {turns} + 3")
    assert "this browser does not know" in walk.text("old") and "asked" in walk.text("timeout")


def test_a_server_that_is_gone(walk: Walk, pausing: Callable[..., None]) -> None:
    """The page says so, and the button can be pressed again."""
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    walk.browser.driver.execute_cdp_cmd("Network.enable", {})
    walk.browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        walk.browser.press("Add tea and milk at once")
        walk.shows("race", "The server does not answer.")
    finally:
        walk.browser.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            offline | {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1},
        )
    pausing(lambda: None)
    walk.browser.press("Add tea and milk at once")
    walk.shows("race", "Both ran at the same time")


def test_without_javascript(walk: Walk, pausing: Callable[..., None]) -> None:
    """Every form works; what needs requests that overlap opens a tab."""
    pausing(lambda: None)
    walk.browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        walk.begin()
        assert "Add tea and milk at once" not in walk.browser.text
        assert "Each opens a tab." in walk.browser.text
        walk.log_in("ada")
        assert "A pretended phone" in walk.browser.submit("/pretend")
        first = walk.browser.driver.current_window_handle
        walk.browser.press("Start the late request")
        [tab] = [handle for handle in walk.browser.driver.window_handles if handle != first]
        walk.browser.driver.switch_to.window(tab)
        walk.shows("late", "The late request was saved")
        walk.browser.driver.close()
        walk.browser.driver.switch_to.window(first)
    finally:
        walk.browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
