"""Flask-Login and Flask-WTF over the sessions of ``wsgisession.flask``, with the lines of Flask's page."""

from __future__ import annotations

from typing import Any

import flask
import flask_login
import pytest
from flask_wtf.csrf import generate_csrf
from support.docs import titled
from support.frameworks import RECIPES
from support.web import SECRET
from webtest import TestApp

from wsgisession.flask import Sessions

pytestmark = pytest.mark.wide

LOGIN, LOGOUT = (titled(RECIPES["flask"].path, title) for title in ("login", "logout"))


class User(flask_login.UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


class Shop:
    """An application whose login and logout are lines of the page, and a browser."""

    def __init__(self, login: str = LOGIN, logout: str = LOGOUT, *, ours: bool = True, **config: Any) -> None:
        self.app = flask.Flask("shop")
        self.app.config.update(SECRET_KEY=SECRET, **config)
        if ours:
            self.manager = Sessions(self.app).manager
        flask_login.LoginManager(self.app).user_loader(User)
        names = {**vars(flask_login), "session": flask.session, "remember": False}
        views = {
            "/": lambda: {
                "user": flask_login.current_user.get_id(),
                "owner": getattr(flask.session, "owner", None),
            },
            "/cart": lambda: flask.session.update(cart=["tea"]) or "",
            "/login": lambda: (
                exec(login, {**names, "user": User(flask.request.args.get("user", "ada"))}) or ""
            ),
            "/logout": lambda: exec(logout, names) or "",
            "/permanent": lambda: setattr(flask.session, "permanent", True) or "",
            "/fresh": lambda: {
                "user": flask_login.current_user.get_id(),
                "fresh": flask.session.get("_fresh"),
            },
            "/token": generate_csrf,
            "/items": lambda: sorted(flask.session),
        }
        for path, view in views.items():
            self.app.add_url_rule(path, path, view)
        self.browser = TestApp(self.app)

    def show(self, **headers: str) -> Any:
        return self.browser.get(
            "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
        ).json


@pytest.mark.parametrize(
    ("login", "kept"), [(LOGIN, False), ("login_user(user)", True)], ids=["as printed", "no owner"]
)
def test_a_login_changes_the_id(login: str, kept: bool) -> None:
    """With the lines of the page; ``login_user`` alone keeps it."""
    shop = Shop(login)
    shop.browser.get("/cart")
    anonymous = shop.browser.cookies["session"]
    shop.browser.get("/login")
    assert shop.show()["user"] == "ada"
    assert (shop.browser.cookies["session"] == anonymous) is kept
    assert [info.owner for info in shop.manager.sessions()] == [None if kept else "ada"]


def test_a_logout_ends_all() -> None:
    """The session, and the remember cookie of one who has it."""
    shop = Shop("login_user(user, remember=True)")
    shop.browser.get("/login")
    assert shop.browser.cookies.keys() == {"session", "remember_token"}
    shop.browser.get("/logout")
    assert shop.browser.cookies == {} and shop.show() == {"user": None, "owner": None}
    assert [*shop.manager.sessions()] == []


def test_a_logout_the_other_way_round_keeps_the_remember_cookie() -> None:
    """The reason for the order that the page prints."""
    shop = Shop("login_user(user, remember=True)", "".join(reversed(LOGOUT.splitlines(keepends=True))))
    shop.browser.get("/login")
    shop.browser.get("/logout")
    assert shop.browser.cookies.keys() == {"remember_token"}


def test_a_remember_cookie_outlives_what_is_ended_here() -> None:
    """It logs its user in again, without an owner; ``persistent`` does not."""
    shop = Shop(LOGIN.replace("login_user(user)", "login_user(user, remember=True)"))
    shop.browser.get("/login")
    assert shop.show() == {"user": "ada", "owner": "ada"}
    assert shop.manager.destroy_owned("ada") == 1
    assert shop.show() == {"user": "ada", "owner": None}


@pytest.mark.parametrize("permanent", [False, True], ids=["session", "permanent"])
@pytest.mark.parametrize("protection", ["basic", "strong", None])
def test_protection_is_as_with_flasks_own_sessions(protection: str | None, permanent: bool) -> None:
    """Flask-Login's ``SESSION_PROTECTION``: what another user agent may do, and what is left afterwards."""
    seen = []
    for ours in (False, True):
        shop = Shop("login_user(user)", ours=ours, SESSION_PROTECTION=protection)
        for path in ("/login", *(["/permanent"] if permanent else [])):
            shop.browser.get(path, headers={"User-Agent": "one"})
        agents = ("one", "another", "one", "another")
        seen.append([shop.browser.get("/fresh", headers={"User-Agent": agent}).json for agent in agents])
    theirs, here = seen
    assert theirs == here and theirs[0] == {"user": "ada", "fresh": True}


def test_protection_keeps_the_owner() -> None:
    """As the page says: the login is lost, the owner stays until the session is destroyed."""
    shop = Shop(SESSION_PROTECTION="strong")
    shop.browser.get("/login")
    assert shop.show() == {"user": "ada", "owner": "ada"}
    assert shop.show(User_Agent="another") == {"user": None, "owner": "ada"}


def test_another_user_finds_an_empty_session() -> None:
    """The owner changes first, so nothing of the last one is left, and no token."""
    shop = Shop()
    shop.browser.get("/token")
    before = shop.browser.get("/token").text
    shop.browser.get("/login")
    assert shop.browser.get("/token").text != before
    shop.browser.get("/cart")
    shop.browser.get("/login?user=ben")
    assert shop.browser.get("/items").json == ["_fresh", "_id", "_user_id"]
