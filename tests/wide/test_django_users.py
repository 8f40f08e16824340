"""Django's users and our owners: a login names the owner, and an owner can be logged out everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.sessions.backends.signed_cookies import SessionStore as Signed
from django.http import HttpRequest
from support.django_site import Browser, log_in, own_store, user
from support.store_double import StoreDouble

from wsgisession import SessionError
from wsgisession.django import get_session, manager
from wsgisession.django.engine import SessionStore

pytestmark = pytest.mark.wide


@pytest.fixture(autouse=True)
def store() -> Iterator[StoreDouble]:
    """Each test has a store of its own."""
    with own_store() as store:
        yield store


def log_out(request: HttpRequest) -> None:
    auth.logout(request)


def owner(request: HttpRequest) -> str | None:
    return get_session(request).owner


def username(request: Any) -> str:
    return str(request.user.username)


def test_a_login_names_the_owner() -> None:
    """``str(user.pk)``, with the visitor's cart under a new key; a logout ends the session."""
    browser = Browser()
    browser.visit(lambda request: request.session.update({"cart": [1]}))
    anonymous = browser.cookie.value
    browser.visit(log_in("ada"))
    assert browser.cookie.value != anonymous
    assert browser.visit(owner) == str(user("ada").pk) and browser.visit(username) == "ada"
    assert browser.visit(lambda request: request.session["cart"]) == [1]
    [info] = manager().owned_by(str(user("ada").pk))
    assert info.key == browser.visit(lambda request: get_session(request).key)
    browser.visit(log_out)
    assert manager().owned_by(str(user("ada").pk)) == [] and browser.visit(username) == ""


def test_logged_out_everywhere_else() -> None:
    """Two devices: one ends the other's session, and goes on."""
    here, there = Browser(), Browser()
    for browser in (here, there):
        browser.visit(log_in("ada"))
    assert here.visit(lambda request: get_session(request).destroy_siblings()) == 1
    assert (here.visit(username), there.visit(username)) == ("ada", "")


def test_the_next_user_does_not_see_what_the_last_one_left() -> None:
    """Also if the application had taken the login out of the session by hand, which Django's login() cannot see."""
    browser = Browser()
    browser.visit(log_in("ada"))

    def leave(request: Any) -> None:
        request.session.clear()
        request.session["diary"] = "Ada's"

    browser.visit(leave)
    browser.visit(log_in("grace"))
    assert browser.visit(username) == "grace" and browser.visit(owner) == str(user("grace").pk)
    assert browser.visit(lambda request: "diary" in request.session) is False


@pytest.mark.parametrize("before", ["nobody", "a cart", "another user"])
def test_the_session_key_is_final_after_a_login(before: str) -> None:
    """Applications write it down, as for a single logout: it is what the cookie holds, and it ends the session."""
    browser = Browser()
    if before == "a cart":
        browser.visit(lambda request: request.session.update({"cart": [1]}))
    if before == "another user":
        browser.visit(log_in("grace"))

    def act(request: HttpRequest) -> tuple[str | None, str | None]:
        auth.login(request, user("ada"))
        return request.session.session_key, get_session(request).key

    token, key = browser.visit(act)
    assert token is not None and browser.cookies["sessionid"].value == token
    assert key is not None and browser.visit(lambda request: get_session(request).key) == key
    SessionStore(token).delete()
    assert browser.visit(username) == "" and manager().owned_by(str(user("ada").pk)) == []


AUDIT = """
from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in

class Audit(AppConfig):
    name = "audit"

    def ready(self):
        user_logged_in.connect(self.note)

    def note(self, request, **_):
        self.noted = request.session.session_key
"""

SITE = """
import django
from django.apps import apps
from django.conf import settings

settings.configure(
    SECRET_KEY="x" * 50,
    INSTALLED_APPS=[
        "audit", "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "wsgisession.django"
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SESSION_ENGINE="wsgisession.django",
    WSGISESSION={"store": "memory:"},
)
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_user("ada"))
assert client.cookies["sessionid"].value == apps.get_app_config("audit").noted
"""


def test_the_session_key_is_final_in_other_receivers_of_the_login(tmp_path: Path) -> None:
    """INSTALLED_APPS names ours, so its receiver is the first one, although the line is the last one."""
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "__init__.py").touch()
    (tmp_path / "audit" / "apps.py").write_text(AUDIT)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    subprocess.run([sys.executable, "-c", SITE], env=environ, check=True, timeout=60)


def test_a_login_in_a_session_that_ends_meanwhile_is_told() -> None:
    """Nobody is told that they are logged in while nothing is stored and no cookie is set."""
    browser = Browser()
    browser.visit(log_in("ada"))

    def act(request: HttpRequest) -> None:
        request.session["seen"] = True
        assert manager().destroy_owned(str(user("ada").pk)) == 1
        auth.login(request, user("ada"))

    browser.visit(act)
    assert browser.answer.status_code == 400 and browser.cookie is None
    browser.visit(log_in("ada"))
    assert browser.visit(username) == "ada"


def test_a_session_created_after_a_login_keeps_its_owner() -> None:
    """An application that needs a session key asks for one with ``create()``, in the request that logs somebody in."""
    browser = Browser()

    def change_user(request: HttpRequest) -> None:
        auth.login(request, user("grace"))  # over Ada's session: Django's login() flushes it
        if not request.session.session_key:
            request.session.create()

    browser.visit(log_in("ada"))
    browser.visit(change_user)
    assert browser.visit(username) == "grace" and browser.visit(owner) == str(user("grace").pk)
    assert manager().destroy_owned(str(user("grace").pk)) == 1 and browser.visit(username) == ""


@pytest.mark.parametrize(
    ("session", "expected"),
    [(None, "MIDDLEWARE"), (Signed(), "SESSION_ENGINE")],
    ids=["no middleware", "another engine"],
)
def test_get_session_says_what_is_missing(session: Any, expected: str) -> None:
    """A SessionError that names the setting; a login without our session does not mind."""
    request = HttpRequest()
    if session is not None:
        request.session = session
    with pytest.raises(SessionError, match=expected):
        get_session(request)
    auth.user_logged_in.send(auth.get_user_model(), request=request, user=user("ada"))
