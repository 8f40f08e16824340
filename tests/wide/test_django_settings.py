"""What is wrong with a project's settings is found by ``manage.py check``, and is an error in every request."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from support.django_site import Browser
from support.web import SECRET, together

from wsgisession import JSONCodec, MemoryStore, SessionManager
from wsgisession.django import configuration, manager

pytestmark = pytest.mark.wide

SQLITE = {"store": "sqlite:////nowhere/at/all/sessions.db"}
MEMORY = {"store": "memory:"}

WRONG = {
    "no store at all": ({"WSGISESSION": {"store": MemoryStore}}, "store must be a Store such as MemoryStore"),
    "no dict": ({"WSGISESSION": "redis://localhost"}, "must be a dict"),
    "an unknown store": ({"WSGISESSION": {"store": "mongodb://localhost"}}, "no store has a URL like this"),
    "a near name": ({"WSGISESSION": MEMORY | {"idle_timout": 60}}, "did you mean 'idle_timeout'"),
    "an unknown name": ({"WSGISESSION": MEMORY | {"prefix": "x"}}, "no option 'prefix': there are store, "),
    "the cookie": ({"WSGISESSION": MEMORY | {"cookie": None}}, "SESSION_COOKIE_… settings"),
    "idle_timeout": ({"WSGISESSION": MEMORY | {"idle_timeout": None}}, r"\['idle_timeout'\] must be seconds"),
    "negative": ({"WSGISESSION": MEMORY | {"idle_timeout": timedelta(-1)}}, "must be a positive"),
    "max_size": ({"WSGISESSION": MEMORY | {"max_size": 0}}, "max_size must be a positive number"),
    "plain_enums": ({"WSGISESSION": MEMORY | {"plain_enums": "yes"}}, "plain_enums must be True or False"),
    "plain_enums beside a codec": (
        {"WSGISESSION": MEMORY | {"codec": JSONCodec(), "plain_enums": True}},
        r"belongs there: JSONCodec\(plain_enums=True\)",
    ),
    "SESSION_COOKIE_AGE": ({"SESSION_COOKIE_AGE": 0}, "SESSION_COOKIE_AGE must be a positive, finite number"),
    "SameSite": ({"SESSION_COOKIE_SAMESITE": "None"}, 'SESSION_COOKIE_… settings .* cookie samesite="None"'),
    "a short key": ({"SECRET_KEY": "too short"}, "SECRET_KEY .* at least 32 bytes"),
    "a short secret": ({"WSGISESSION": MEMORY | {"secret": "too short"}}, "WSGISESSION .* at least 32 bytes"),
}


def found(*, deploy: bool = False) -> list[tuple[str, str]]:
    """Return what ``manage.py check`` says of sessions."""
    said = checks.run_checks(include_deployment_checks=deploy)
    return [(str(check.id), check.msg) for check in said if str(check.id).startswith("wsgisession.")]


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting(wrong: Any, message: str) -> None:
    """The check and every request say what to write instead, and show no secret."""
    with override_settings(**wrong):
        with pytest.raises(ImproperlyConfigured, match=message) as raised:
            Browser().visit(lambda request: None)
        assert found() == [("wsgisession.E001", str(raised.value))] and "too short" not in str(raised.value)
    assert found() == []


def test_a_store_that_cannot_be_opened() -> None:
    """Is found too."""
    with override_settings(WSGISESSION=SQLITE):
        [(name, message)] = found(deploy=True)
    assert name == "wsgisession.E001" and "/nowhere/at/all/sessions.db" in message


@pytest.mark.parametrize(
    ("doubtful", "deploy", "name"),
    [
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.db"}, False, "wsgisession.W001"),
        ({"SESSION_SERIALIZER": "django.core.signing.JSONSerializer"}, False, "wsgisession.W002"),
        ({"WSGISESSION": MEMORY | {"lifetime": 7200}}, False, "wsgisession.W003"),
        ({"WSGISESSION": {}}, False, "wsgisession.W004"),
        ({"WSGISESSION": MEMORY}, True, "wsgisession.W004"),
    ],
    ids=["engine", "serializer", "lifetime", "no store", "memory"],
)
def test_a_setting_that_does_nothing(doubtful: Any, deploy: bool, name: str) -> None:
    """Is a warning."""
    with override_settings(**doubtful):
        assert [number for number, _ in found(deploy=deploy)] == [name]


@pytest.mark.parametrize(
    "right",
    [
        {"SECRET_KEY": "x" * 50, "SECRET_KEY_FALLBACKS": ["short", b"y" * 50]},
        {"SECRET_KEY": b"x" * 50},
        {"SECRET_KEY": "short", "WSGISESSION": MEMORY | {"secret": SECRET}},
        {"WSGISESSION": {"store": MemoryStore(), "max_size": 1000, "idle_timeout": timedelta(hours=1)}},
        {"WSGISESSION": MEMORY | {"codec": JSONCodec()}},
        {"WSGISESSION": MEMORY | {"plain_enums": True}},
        {"WSGISESSION": MEMORY | {"lifetime": 7200}, "SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
        {"SESSION_COOKIE_NAME": "__Host-sessionid", "SESSION_COOKIE_SECURE": True},
        {"SESSION_COOKIE_SAMESITE": False, "SESSION_COOKIE_HTTPONLY": False},
        {"SESSION_COOKIE_DOMAIN": ".example.org", "SESSION_COOKIE_PATH": "/shop/"},
    ],
)
def test_right_settings(right: Any) -> None:
    """Nothing is found."""
    with override_settings(**right):
        assert found() == []


def test_a_store_is_opened_once(tmp_path: Path) -> None:
    """A change of other settings, as tests make them, keeps it."""
    with override_settings(WSGISESSION={"store": f"sqlite:///{tmp_path}/sessions.db"}):
        store = manager().store
        with override_settings(SESSION_COOKIE_AGE=60):
            assert manager().store is store
        with override_settings(LANGUAGE_CODE="de"):
            assert manager().store is store


def test_a_subclass_is_our_engine_too() -> None:
    """A project may have a module of its own."""
    with override_settings(SESSION_ENGINE="support.django_engine"):
        assert found() == []


def test_an_engine_without_a_session_store() -> None:
    """A module that is no engine at all is not ours."""
    with override_settings(SESSION_ENGINE="support.web"):
        assert [name for name, _ in found()] == ["wsgisession.W001"]


def test_first_requests_at_once_share_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one in memory, which is opened while another request waits for it."""
    both = threading.Barrier(2)

    def slow(url: str) -> MemoryStore:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.1)
        return MemoryStore()

    monkeypatch.setattr(configuration, "from_url", slow)
    found: list[SessionManager] = []
    with override_settings(WSGISESSION={"store": "memory:?"}):
        together(2, lambda number: found.append(manager()))
    assert found[0] is found[1]


def test_without_any_option() -> None:
    """The sessions are in memory, and there for as long as the process is."""
    browser = Browser()
    with override_settings(WSGISESSION={}):
        browser.visit(lambda request: request.session.update({"a": 1}))
        assert browser.visit(lambda request: request.session["a"]) == 1
    with override_settings():
        del settings.WSGISESSION
        assert browser.visit(lambda request: request.session["a"]) == 1


def test_less_than_a_second() -> None:
    """Is rounded up in what Django asks, so that no session ends with the response that begins it."""
    browser = Browser()
    with override_settings(WSGISESSION={"idle_timeout": 0.4}):
        assert browser.visit(lambda request: request.session.get_expiry_age()) == 1
