"""Flask-Login and Flask-WTF over the session interface that Flask's page prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import flask_login
import pytest
from flask_wtf.csrf import generate_csrf
from support.docs import titled
from support.frameworks import RECIPES, module
from support.web import SECRET
from webtest import TestApp

from wsgisession import SessionMiddleware

pytestmark = pytest.mark.wide

LOGIN, LOGOUT = (titled(RECIPES["flask"].path, title) for title in ("login", "logout"))


class Shop:
    """An application whose login and logout are lines of the page, and a browser."""

    def __init__(self, folder: Path, login: str = LOGIN, logout: str = LOGOUT, **config: Any) -> None:
        self.app = flask.Flask("shop")
        self.app.config.update(SECRET_KEY="for the remember cookie", **config)
        self.app.session_interface = module("flask.session", folder).Sessions()
        self.app.wsgi_app = SessionMiddleware(self.app.wsgi_app, secret=SECRET)  # type: ignore[method-assign]
        self.manager = self.app.wsgi_app.manager
        user_class = type("User", (flask_login.UserMixin,), {"id": "ada"})
        flask_login.LoginManager(self.app).user_loader(lambda _: user_class())
        names = {**vars(flask_login), "session": flask.session, "user": user_class(), "remember": False}
        views = {
            "/": lambda: {"user": flask_login.current_user.get_id(), "owner": flask.session.owner},
            "/cart": lambda: flask.session.update(cart=["tea"]) or "",
            "/login": lambda: exec(login, names) or "",
            "/logout": lambda: exec(logout, names) or "",
            "/token": generate_csrf,
        }
        for path, view in views.items():
            self.app.add_url_rule(path, path, view)
        self.browser = TestApp(self.app)

    def show(self, **headers: str) -> Any:
        return self.browser.get("/", headers={name.replace("_", "-"): value for name, value in headers.items()}).json


@pytest.mark.parametrize(("login", "kept"), [(LOGIN, False), ("login_user(user)", True)], ids=["as printed", "no owner"])
def test_a_login_changes_the_id(login: str, kept: bool, tmp_path: Path) -> None:
    """With the lines of the page; ``login_user`` alone keeps it."""
    shop = Shop(tmp_path, login)
    shop.browser.get("/cart")
    anonymous = shop.browser.cookies["sid"]
    shop.browser.get("/login")
    assert shop.show()["user"] == "ada"
    assert (shop.browser.cookies["sid"] == anonymous) is kept
    assert [info.owner for info in shop.manager.sessions()] == [None if kept else "ada"]


def test_a_logout_ends_all(tmp_path: Path) -> None:
    """The session, and the remember cookie of one who has it."""
    shop = Shop(tmp_path, "login_user(user, remember=True)")
    shop.browser.get("/login")
    assert shop.browser.cookies.keys() == {"sid", "remember_token"}
    shop.browser.get("/logout")
    assert shop.browser.cookies == {} and shop.show() == {"user": None, "owner": None}
    assert [*shop.manager.sessions()] == []


def test_a_logout_the_other_way_round_keeps_the_remember_cookie(tmp_path: Path) -> None:
    """The reason for the order that the page prints."""
    shop = Shop(tmp_path, "login_user(user, remember=True)", "".join(reversed(LOGOUT.splitlines(keepends=True))))
    shop.browser.get("/login")
    shop.browser.get("/logout")
    assert shop.browser.cookies.keys() == {"remember_token"}


def test_a_remember_cookie_outlives_what_is_ended_here(tmp_path: Path) -> None:
    """It logs its user in again, without an owner; ``persistent`` does not."""
    shop = Shop(tmp_path, LOGIN.replace("login_user(user)", "login_user(user, remember=True)"))
    shop.browser.get("/login")
    assert shop.show() == {"user": "ada", "owner": "ada"}
    assert shop.manager.destroy_owned("ada") == 1
    assert shop.show() == {"user": "ada", "owner": None}


def test_strong_protection_logs_a_stolen_cookie_out(tmp_path: Path) -> None:
    """Flask-Login's ``SESSION_PROTECTION``: another user agent ends the login."""
    shop = Shop(tmp_path, SESSION_PROTECTION="strong")
    shop.browser.get("/login")
    assert shop.show()["user"] == "ada"
    assert shop.show(User_Agent="another")["user"] is None


def test_the_secret_key_still_signs_flask_wtfs_tokens(tmp_path: Path) -> None:
    """Without it there are sessions, and no tokens."""
    shop = Shop(tmp_path)
    token = shop.browser.get("/token").text
    assert shop.browser.get("/token").text == token
    shop.app.secret_key = None
    shop.browser.get("/cart")
    shop.browser.get("/token", status=500)
