"""How long a session of Django lives: set_expiry() and the settings, in the store and in the cookie."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from support.clock import Clock
from support.django_site import Browser, own_store, put
from support.store_double import StoreDouble

from wsgisession import MemoryStore
from wsgisession.django import get_session, manager

pytestmark = pytest.mark.wide

WEEKS = 1209600  # Django's SESSION_COOKIE_AGE


@pytest.fixture(autouse=True)
def store(clock: Clock) -> Iterator[StoreDouble]:
    """Each test has a store of its own."""
    with own_store(MemoryStore(clock=clock)) as store:
        yield store


@pytest.fixture
def browser() -> Browser:
    return Browser()


def read(request: Any) -> Any:
    return request.session.get("a")


def expire(value: Any) -> Any:
    def act(request: Any) -> None:
        request.session["a"] = 1
        request.session.set_expiry(value)

    return act


def left(store: StoreDouble) -> float:
    """Return the seconds that the one session has."""
    [info] = manager().sessions()
    found = store.load(info.key)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    ("value", "seconds", "max_age"),
    [
        (None, WEEKS, WEEKS),
        (300, 300, 300),
        (0, WEEKS, ""),
        (timedelta(minutes=5), 300, 300),
        (lambda: timezone.now() + timedelta(minutes=5), 300, 300),
    ],
    ids=["default", "seconds", "browser", "timedelta", "date"],
)
def test_set_expiry(value: Any, seconds: int, max_age: Any, browser: Browser, store: StoreDouble) -> None:
    """The record ends and the cookie is dated as Django says; a known visitor's session as well as a new one's."""
    browser.visit(expire(value() if callable(value) else value))
    assert seconds - 2 <= left(store) <= seconds
    assert browser.cookie["max-age"] in (max_age, max_age and max_age - 1)
    browser.visit(expire(60))
    assert 58 <= left(store) <= 60
    browser.visit(expire(value() if callable(value) else value))
    assert seconds - 2 <= left(store) <= seconds


def test_reading_is_use(browser: Browser, clock: Clock, store: StoreDouble) -> None:
    """After a tenth of its time a session that is only read lives on, and so does its cookie; before, nothing is written."""
    browser.visit(put(a=1))
    clock.advance(WEEKS / 20)
    store.calls.clear()
    browser.visit(read)
    assert store.calls == ["load"] and browser.cookie is None
    clock.advance(WEEKS / 10)
    browser.visit(read)
    assert left(store) == pytest.approx(WEEKS, abs=1) and browser.cookie["max-age"] == WEEKS


@pytest.mark.parametrize("act", [read, put(b=2)], ids=["reading", "writing"])
def test_use_does_not_move_a_date(act: Any, browser: Browser, clock: Clock, store: StoreDouble) -> None:
    """A session that ends at a date ends then."""
    date = timezone.now() + timedelta(seconds=1000)
    browser.visit(expire(date))
    clock.advance(500)
    assert browser.visit(lambda request: request.session.get_expiry_date()) == date
    browser.visit(act)
    assert left(store) <= 500


def test_a_new_key_keeps_the_date(browser: Browser, store: StoreDouble) -> None:
    """The record under it ends then, too."""
    browser.visit(expire(timedelta(seconds=1000)))
    browser.visit(lambda request: request.session.cycle_key())
    assert left(store) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("value", [-10, timedelta(seconds=-10)], ids=["seconds", "timedelta"])
def test_what_has_passed_ends_it(value: Any, browser: Browser) -> None:
    """At once."""
    browser.visit(put(a=1))
    browser.visit(expire(value))
    assert list(manager().sessions()) == [] and browser.visit(read) is None


def test_a_browser_session(browser: Browser, store: StoreDouble) -> None:
    """SESSION_EXPIRE_AT_BROWSER_CLOSE: no Max-Age, not persistent; set_expiry(seconds) makes one persistent."""
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        browser.visit(put(a=1))
        assert browser.cookie["max-age"] == ""
        assert browser.visit(lambda request: get_session(request).persistent) is False
        browser.visit(expire(300))
        assert browser.cookie["max-age"] == 300
        assert browser.visit(lambda request: get_session(request).persistent) is True
        browser.visit(expire(None))
        assert browser.cookie["max-age"] == "" and left(store) == pytest.approx(WEEKS, abs=1)


def test_the_lifetime_of_a_browser_session(browser: Browser, store: StoreDouble) -> None:
    """The option ``lifetime`` ends it, however much it is used."""
    options = {"store": store, "lifetime": 7200}
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True, WSGISESSION=options):
        browser.visit(put(a=1))
        assert left(store) == pytest.approx(7200, abs=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"SESSION_COOKIE_AGE": 600},
        {"WSGISESSION": {"idle_timeout": 600}},
        {"WSGISESSION": {"idle_timeout": timedelta(minutes=10)}},
    ],
    ids=["Django's", "ours", "timedelta"],
)
def test_the_idle_timeout(settings: Any, browser: Browser, store: StoreDouble) -> None:
    """SESSION_COOKIE_AGE, or the option in its place: in the store, in the cookie, and in what Django asks."""
    with override_settings(**settings | {"WSGISESSION": {"store": store, **settings.get("WSGISESSION", {})}}):
        browser.visit(put(a=1))
        assert left(store) == pytest.approx(600, abs=1) and browser.cookie["max-age"] == 600
        assert browser.visit(lambda request: request.session.get_expiry_age()) == 600


def test_saving_every_request(browser: Browser, store: StoreDouble) -> None:
    """With SESSION_SAVE_EVERY_REQUEST every response sets a new date of the cookie, and no more is written than is due."""
    browser.visit(put(a=1))
    store.calls.clear()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        browser.visit(lambda request: None)
    assert browser.cookie["max-age"] == WEEKS and store.calls == ["load"]


def test_clearsessions(browser: Browser, store: StoreDouble, clock: Clock) -> None:
    """Expired records are removed, live ones stay."""
    browser.visit(expire(300))
    Browser().visit(expire(1000))
    clock.advance(500)
    call_command("clearsessions")
    assert len(list(store.keys())) == 1 and store.purge() == 0
