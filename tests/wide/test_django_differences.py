"""What the page says of Django's own engines, where ours differs from them. Ours is in the other test_django files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from support.django_site import Browser, Row, items, log_in, put

pytestmark = pytest.mark.wide

ENGINES = ["db", "cache"]


@pytest.fixture(params=ENGINES)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser of a site with one of Django's engines."""
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{request.param}"):
        yield Browser()


def test_the_later_request_overwrites(browser: Browser) -> None:
    """What the earlier one saved is lost."""
    browser.visit(put(first=1))

    def slow(request: Any) -> None:
        request.session["slow"] = request.session["first"]
        browser.twin().visit(put(quick=2))

    browser.visit(slow)
    assert browser.visit(items) == {"first": 1, "slow": 1}


def test_a_request_overtaken_by_a_logout(browser: Browser) -> None:
    """Is answered with a 400."""
    browser.visit(put(a=1))
    late = browser.twin()

    def slow(request: Any) -> None:
        request.session["late"] = True
        browser.visit(lambda request: request.session.flush())

    late.visit(slow)
    assert late.answer.status_code == 400


def test_a_late_request_with_the_cookie_of_before_a_login(browser: Browser) -> None:
    """It begins a session, and its cookie takes the place of the login's."""
    browser.visit(put(a=1))
    late = browser.twin()
    browser.visit(log_in("ada"))
    late.visit(put(late=True))
    assert late.cookie.value not in ("", browser.cookie.value)


def test_a_tuple_comes_back_as_a_list() -> None:
    """Without a word, from the database."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
        browser = Browser()
        browser.visit(put(pair=(1, 2)))
        assert browser.visit(items) == {"pair": [1, 2]}


def test_reading_is_no_use() -> None:
    """The record ends when it would have ended."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"):
        browser = Browser()
        browser.visit(put(a=1))
        found = Row.objects.get(session_key=browser.cookie.value)
        found.expire_date = found.expire_date.replace(year=found.expire_date.year + 1)
        found.save()
        browser.visit(items)
        assert Row.objects.get(session_key=found.session_key).expire_date == found.expire_date
        assert browser.cookie is None and len(found.session_key) == 32 and found.session_key.isalnum()


def test_a_forged_cookie_is_looked_up() -> None:
    """In the database."""
    with (
        override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"),
        CaptureQueriesContext(connection) as queries,
    ):
        browser = Browser()
        browser.cookies["sessionid"] = "x" * 32
        browser.visit(items)
    assert len(queries) == 1


def test_a_cache_that_is_down_begins_an_empty_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the good cookie is deleted."""
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        browser = Browser()
        browser.visit(put(a=1))

        def down(*_: object, **__: object) -> None:
            raise OSError("down")

        with monkeypatch.context() as patch:
            patch.setattr(LocMemCache, "get", down)
            browser.visit(lambda request: request.session.get("a"))
        assert browser.cookie["max-age"] == 0
