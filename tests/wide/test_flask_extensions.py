"""Extensions of Flask over the sessions of ``wsgisession.flask``, with the lines of Flask's page."""

from __future__ import annotations

import re
from typing import Any

import flask
import flask_login
import pytest
from authlib.oauth2.rfc6749 import OAuth2Token
from authlib.oidc.core import UserInfo
from flask_dance.consumer.storage.session import SessionStorage
from flask_socketio import SocketIO
from flask_talisman import Talisman
from flask_wtf.csrf import CSRFProtect, generate_csrf
from oauthlib.oauth2.rfc6749 import tokens
from support.docs import ROOT, titled
from support.frameworks import RECIPES
from support.web import SECRET
from webtest import TestApp
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from wsgisession import HeadersSent, MemoryStore, SessionError, UnsupportedType
from wsgisession.flask import Sessions

pytestmark = pytest.mark.wide

PAGE = RECIPES["flask"].path
LOGIN, LOGOUT, SIGNALS = (titled(PAGE, title) for title in ("login", "logout", "signals"))


class User(flask_login.UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id
        self.email = f"{id}@example.com"


class Shop:
    """An application whose login and logout are lines of the page, and a browser."""

    def __init__(
        self, login: str = LOGIN, logout: str = LOGOUT, *, signals: str = "", ours: bool = True, **config: Any
    ) -> None:
        self.app = flask.Flask("shop")
        self.app.config.update(SECRET_KEY=SECRET, **config)
        if ours:
            self.manager = Sessions(self.app).manager
        flask_login.LoginManager(self.app).user_loader(User)
        exec(signals, {"app": self.app, "session": flask.session})
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
            "/contents": lambda: dict(flask.session),
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


# What the page says of other extensions


def test_an_extension_that_logs_in_by_itself() -> None:
    """The signals of the page name the owner, over another user's login too, and a logout leaves nothing."""
    shop = Shop("login_user(user)", "logout_user()", signals=SIGNALS)
    shop.browser.get("/cart")
    for user in ("ada", "ben"):
        shop.browser.get(f"/login?user={user}")
        assert shop.show() == {"user": user, "owner": user}
    assert shop.browser.get("/items").json == ["_fresh", "_id", "_user_id"]
    shop.browser.get("/logout")
    assert shop.show() == {"user": None, "owner": None} and shop.browser.get("/items").json == []


def test_a_remember_cookie_of_an_extension_names_the_owner() -> None:
    """With the page's signals, the session that it begins is one of that owner's."""
    shop = Shop("login_user(user, remember=True)", "logout_user()", signals=SIGNALS)
    shop.browser.get("/login")
    assert shop.manager.destroy_owned("ada") == 1
    assert shop.show() == {"user": "ada", "owner": "ada"}
    assert [info.owner for info in shop.manager.sessions()] == ["ada"]


def test_a_remember_cookie_over_another_users_login() -> None:
    """With the page's signals, the new owner empties the session, and still gets a remember cookie."""
    shop = Shop("login_user(user, remember=user.id == 'ben')", "logout_user()", signals=SIGNALS)
    shop.browser.get("/login")
    assert "remember_token" not in shop.browser.cookies
    shop.browser.get("/login?user=ben")
    assert shop.browser.cookies["remember_token"].startswith("ben|")


def test_an_extensions_note_survives_its_logout() -> None:
    """Flask-Security leaves one for the end of the request, which deletes its CSRF cookie."""
    shop = Shop("login_user(user)", "session['fs_cc'] = 'clear'; logout_user()", signals=SIGNALS)
    for path in ("/cart", "/login", "/logout"):
        shop.browser.get(path)
    assert shop.browser.get("/items").json == ["fs_cc"]


def test_an_extensions_logout_removes_a_remember_cookie() -> None:
    """The note that Flask-Login leaves for that survives the change of owner."""
    shop = Shop("login_user(user, remember=True)", "logout_user()", signals=SIGNALS)
    for path in ("/login", "/logout"):
        shop.browser.get(path)
    assert shop.browser.cookies.keys() == {"session"} and shop.show() == {"user": None, "owner": None}


@pytest.mark.parametrize("stable", [True, False], ids=["as the page says", "by get_id"])
def test_a_user_whose_get_id_changes(stable: bool) -> None:
    """Flask-Security's does with the password. The cart stays if the owner is named by what does not change."""
    assert "user.get_id()" in SIGNALS
    signals = SIGNALS.replace("user.get_id()", "user.email") if stable else SIGNALS
    shop = Shop("login_user(user)", signals=signals)
    shop.app.add_url_rule("/password", view_func=lambda: str(flask_login.login_user(NewPassword("ada"))))
    for path in ("/cart", "/login", "/password"):
        shop.browser.get(path)
    assert ("cart" in shop.browser.get("/items").json) is stable
    assert len(shop.manager.owned_by("ada@example.com")) == stable


class NewPassword(User):
    """A user after the password changed."""

    def get_id(self) -> str:
        return "another name for the same user"


def test_flask_dance_keeps_its_token() -> None:
    """With the page's codec it comes back of its own class; without it, that is refused."""
    token = tokens.OAuth2Token({"access_token": "x", "token_type": "Bearer", "expires_in": 60})
    names = {"app": (app := flask.Flask("shop")), "Sessions": Sessions}
    app.secret_key = SECRET
    exec(titled(PAGE, "dance"), names)
    with app.test_request_context():
        SessionStorage().set(Provider, token)
        assert flask.session["example_oauth_token"] == token
        assert type(flask.session["example_oauth_token"]) is tokens.OAuth2Token
    with Shop().app.test_request_context(), pytest.raises(UnsupportedType, match="OAuth2Token cannot be"):
        SessionStorage().set(Provider, token)


def test_authlib_keeps_its_token() -> None:
    """With the page's codec the token, and the user in it, come back of their classes; without it, the error says what
    to write.
    """
    user = UserInfo({"sub": "ada", "email": "ada@example.com"})
    token = OAuth2Token({"access_token": "x", "expires_in": 60, "userinfo": user})
    names = {"app": (app := flask.Flask("shop")), "Sessions": Sessions}
    app.secret_key = SECRET
    exec(titled(PAGE, "authlib"), names)
    app.add_url_rule(
        "/login", view_func=lambda: flask.session.update(token=token, user=user) or "", endpoint="in"
    )
    app.add_url_rule("/", view_func=lambda: app.extensions.update(found=dict(flask.session)) or "")
    client = app.test_client()
    for path in "/login", "/":
        client.get(path)
    found = app.extensions["found"]
    assert found == {"token": token, "user": user}
    assert type(found["token"]) is OAuth2Token
    assert type(found["user"]) is type(found["token"]["userinfo"]) is UserInfo
    with Shop().app.test_request_context():
        with pytest.raises(
            UnsupportedType, match=r"^session\['user'\]: UserInfo cannot be stored; store dict\(x\)$"
        ):
            flask.session["user"] = user
        flask.session["user"] = dict(user)


@pytest.mark.parametrize("shared", [True, False], ids=["as the page says", "by default"])
def test_flask_socketio(shared: bool) -> None:
    """Each message reads the session as it is now, and what it changes is stored; by default it has a copy."""
    shop = Shop()
    socketio = SocketIO(shop.app, manage_session=not shared, async_mode="threading")
    socketio.on_event("add", lambda word: flask.session["cart"].append(word))
    socketio.on_event("show", lambda: dict(flask.session))
    browser = shop.app.test_client()
    browser.get("/cart")
    messages = socketio.test_client(shop.app, flask_test_client=browser)
    messages.emit("add", "milk", callback=True)
    assert browser.get("/contents").json == {"cart": ["tea", "milk"] if shared else ["tea"]}
    browser.get("/logout")
    assert messages.emit("show", callback=True) == ({} if shared else {"cart": ["tea", "milk"]})


def test_flask_socketio_without_a_session() -> None:
    """What a handler writes for a visitor who has no session is not found again."""
    shop = Shop()
    socketio = SocketIO(shop.app, manage_session=False, async_mode="threading")
    socketio.on_event("add", lambda word: flask.session.setdefault("cart", []).append(word))
    socketio.on_event("show", lambda: dict(flask.session))
    messages = socketio.test_client(shop.app, flask_test_client=shop.app.test_client())
    messages.emit("add", "tea", callback=True)
    assert messages.emit("show", callback=True) == {}
    assert shop.manager.count() == 1


@pytest.mark.parametrize("shared", [False, True], ids=["each its own store", "one store"])
def test_two_applications_under_one_server(shared: bool) -> None:
    """One cookie name and one key: with one store they share the session, otherwise one ends the other's."""
    mine, theirs = MemoryStore(), MemoryStore()
    one, other = make("one", mine), make("other", mine if shared else theirs)
    browser = TestApp(DispatcherMiddleware(one, {"/other": other}))
    browser.get("/?who=ada")
    browser.get("/other/?lang=de")
    assert browser.get("/").json == ({"who": "ada", "lang": "de"} if shared else {})


def make(name: str, store: Any) -> flask.Flask:
    """An application that stores the arguments of each request."""
    app = flask.Flask(name)
    app.secret_key = SECRET
    Sessions(app, store=store)
    app.add_url_rule(
        "/", view_func=lambda: [flask.session.update(flask.request.args), dict(flask.session)][1]
    )
    return app


@pytest.mark.parametrize("first", [True, False], ids=["as the page says", "before Sessions"])
def test_another_middleware_comes_after_sessions(first: bool) -> None:
    """A dispatcher around ``wsgi_app``: the other application's requests must not pass through our middleware."""
    outer = flask.Flask("outer")
    outer.secret_key = SECRET
    if first:
        Sessions(outer)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/other": make("other", None)})  # type: ignore[method-assign]
    if first:
        assert outer.test_client().get("/other/?n=1").json == {"n": "1"}
    else:
        Sessions(outer)
        with pytest.raises(SessionError, match="another SessionMiddleware already serves environ"):
            outer.test_client().get("/other/")


def test_a_form_is_refused() -> None:
    """In the words of the page."""
    [words] = re.findall(r"\*\"(session\['form'\].*?)\"\*", (ROOT / PAGE).read_text())
    with Shop().app.test_request_context("/", method="POST", data={"a": "b"}):
        with pytest.raises(UnsupportedType) as refused:
            flask.session["form"] = flask.request.form
        assert str(refused.value) == words
        flask.session["form"] = flask.request.form.to_dict(flat=False)


class Provider:
    """What Flask-Dance's storage asks of a blueprint."""

    name = "example"


@pytest.mark.parametrize("said", [True, False], ids=["as the page says", "left to Talisman"])
def test_flask_talisman(said: bool) -> None:
    """The first request of a worker finds the session, if the setting does not change with that very request."""
    app = flask.Flask("shop")
    app.config.update(SECRET_KEY=SECRET, SESSION_COOKIE_SECURE=True)
    sessions = Sessions(app)
    Talisman(app)
    app.add_url_rule("/", view_func=lambda: str(flask.session.get("n")))
    browser = {"base_url": "https://localhost", "headers": {"Cookie": sessions.manager.issue({"n": 1})}}
    app.config["SESSION_COOKIE_SECURE"] = said
    first, second = [app.test_client(use_cookies=False).get("/", **browser).text for _ in range(2)]
    # The second one finds it in any case.
    assert (first, second) == ("1" if said else "None", "1")


@pytest.mark.parametrize("first", [True, False], ids=["as the page says", "in the template alone"])
def test_a_csrf_token_in_a_streamed_template(first: bool) -> None:
    """A session can begin before the first chunk, and not in the middle of the template."""
    app = Shop().app
    CSRFProtect(app)

    def form() -> Any:
        if first:
            generate_csrf()
        return flask.stream_template_string("<form><input value={{ csrf_token() }}></form>")

    app.add_url_rule("/form", view_func=form)
    if first:
        answer = app.test_client().get("/form", buffered=True)
        assert "Set-Cookie" in answer.headers and "<input value=" in answer.text
    else:
        with pytest.raises(HeadersSent):
            app.test_client().get("/form", buffered=True)


def test_a_stream_is_over_when_it_is_closed() -> None:
    """What a test of an application has to know: ``buffered=True`` closes it."""
    app, text = Shop().app, "<p>{% for text in get_flashed_messages() %}{{ text }}{% endfor %}"
    app.add_url_rule("/shown", "shown", lambda: flask.stream_template_string(text))
    app.add_url_rule("/flash", "flash", lambda: flask.flash("hello") or "")
    client = app.test_client()
    client.get("/flash")
    assert [client.get("/shown", buffered=True).text for _ in range(2)] == ["<p>hello", "<p>"]


def test_a_form_that_was_open_when_the_key_changed() -> None:
    """Its visitor stays logged in, and Flask-WTF refuses the form; loaded again, it is taken."""
    shop = Shop()
    CSRFProtect(shop.app)
    shop.app.add_url_rule("/send", view_func=lambda: "taken", methods=["POST"])
    shop.browser.get("/login")
    token = shop.browser.get("/token").text
    shop.app.config.update(SECRET_KEY="another key of at least 32 bytes", SECRET_KEY_FALLBACKS=[SECRET])
    shop.browser.post("/send", {"csrf_token": token}, status=400)
    token = shop.browser.get("/token").text
    assert shop.browser.post("/send", {"csrf_token": token}).text == "taken"
    assert shop.show() == {"user": "ada", "owner": "ada"}
