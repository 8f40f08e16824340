"""wsgisession.flask: ``flask.session`` is our session, and everything that Flask's own does works with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from flask_babel import Babel, lazy_gettext
from markupsafe import Markup
from support.clock import Clock
from support.store_double import StoreDouble
from support.web import SECRET

import wsgisession.flask
from wsgisession import (
    Cookie,
    HeadersSent,
    MemoryStore,
    Session,
    SessionManager,
    SessionTooLarge,
    get_session,
)
from wsgisession.flask import FlaskSession, Sessions

pytestmark = pytest.mark.wide


def make(**options: Any) -> flask.Flask:
    """An application that does to its session what a test says."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    app.config.update(options.pop("config", {}))
    app.extensions["sessions"] = Sessions(app, **options)

    @app.route("/", methods=["GET", "POST"], defaults={"path": ""})
    @app.route("/<path:path>")
    def act(path: str) -> Any:
        answer = app.extensions["act"](flask.session)
        return answer if isinstance(answer, flask.Response) else {"answer": answer}

    return app


def send(client: Any, act: Any, path: str = "/", **options: Any) -> Any:
    """Do something with the session of a request, and return the answer."""
    client.application.extensions["act"] = act
    return client.get(path, **options)


def ask(client: Any, act: Any = lambda session: dict(session), **options: Any) -> Any:
    """Do something with the session of a request, and return what came of it."""
    answer = send(client, act, **options)
    assert answer.status_code == 200, answer.text
    return answer.json["answer"]


def manager(app: flask.Flask) -> SessionManager:
    sessions: Sessions = app.extensions["sessions"]
    return sessions.manager


def set_cookie(app: flask.Flask, path: str = "/", **options: Any) -> str:
    """Return the Set-Cookie header of a first visit that writes."""
    answer = send(app.test_client(), lambda session: [session.update(n=1)], path, **options)
    return str(answer.headers["Set-Cookie"])


# The session


def test_it_is_one_object() -> None:
    """flask.session, ours of the same name and get_session(environ) are one Session."""

    def act(session: Any) -> bool:
        here = session._get_current_object()
        assert wsgisession.flask.session is flask.session and get_session(flask.request.environ) is here
        return isinstance(here, Session) and isinstance(here, flask.sessions.SessionMixin)

    assert ask(make().test_client(), act) is True


def test_templates_read_it() -> None:
    """As ``session`` and ``session.key``; it is an item if the session has no such member."""
    text = "{{ session.cart }} {{ session['cart'] }} {{ session.owner }} {{ session.get('x', 'none') }}"
    client = make().test_client()
    ask(client, lambda session: session.update(cart=["tea"]))
    assert ask(
        client, lambda session: flask.render_template_string(text)
    ) == "['tea'] ['tea'] None none".replace("'", "&#39;")


def lazy(app: flask.Flask) -> Any:
    Babel(app)
    return lazy_gettext("good <b>day</b>")


class Shouted(str):
    """A str that is no plain one, as translation libraries have them."""


@pytest.mark.parametrize(
    ("make_message", "kept"),
    [
        pytest.param(lambda app: "a < b", "a < b", id="text"),
        pytest.param(lambda app: Markup("press <b>play</b>"), Markup("press <b>play</b>"), id="markup"),
        pytest.param(lazy, Markup("good <b>day</b>"), id="lazy"),
        pytest.param(lambda app: Shouted("HEY"), "HEY", id="subclass of str"),
        pytest.param(lambda app: {"text": "a", "level": 3}, {"text": "a", "level": 3}, id="data"),
    ],
)
def test_flash(make_message: Any, kept: Any) -> None:
    """A message comes back as from Flask's own session: HTML as Markup, a lazy text as its translation."""
    app = make()
    message = make_message(app)
    client = app.test_client()
    ask(client, lambda session: flask.flash(message, "note"))

    def shown(session: Any) -> None:
        [(category, found)] = flask.get_flashed_messages(with_categories=True)
        assert category == "note" and found == kept and type(found) is type(kept)

    ask(client, shown)
    assert ask(client, lambda session: flask.get_flashed_messages()) == []


def test_flash_messages_of_overlapping_requests_are_all_shown() -> None:
    """Each request adds its own; the list is merged."""
    app = make()
    client, other = app.test_client(), app.test_client()
    ask(client, lambda session: session.update(n=1))
    cookie = client.get_cookie("session")
    assert cookie is not None
    other.set_cookie("session", cookie.value)

    def late(session: Any) -> None:
        flask.flash("first")
        with app.app_context():
            ask(other, lambda session: flask.flash("second"))

    ask(client, late)
    assert ask(client, lambda session: sorted(flask.get_flashed_messages())) == ["first", "second"]


def test_permanent_is_persistent() -> None:
    """It dates the cookie with PERMANENT_SESSION_LIFETIME, twice, and is still True in the next request."""
    client = make(config={"PERMANENT_SESSION_LIFETIME": 7200}).test_client()
    answer = send(client, lambda session: [session.update(n=1), setattr(session, "permanent", 1)])
    assert "Max-Age=7200" in answer.headers["Set-Cookie"]
    cookie = client.get_cookie("session")
    assert cookie is not None and cookie.expires is not None
    assert abs(cookie.expires.timestamp() - time.time() - 7200) < 60
    assert ask(client, lambda session: [session.permanent, session.persistent]) == [True, True]
    after = send(client, lambda session: setattr(session, "permanent", False)).headers["Set-Cookie"]
    assert "Max-Age" not in after and "Expires" not in after


@pytest.mark.parametrize(
    ("act", "modified"),
    [
        pytest.param(lambda session: None, False, id="nothing"),
        pytest.param(lambda session: session.get("a"), False, id="read"),
        pytest.param(lambda session: session["cart"], False, id="a list read"),
        pytest.param(lambda session: session["cart"].append("milk"), True, id="changed inside"),
        pytest.param(lambda session: session.update(b=1), True, id="assigned"),
        pytest.param(lambda session: session.pop("a"), True, id="deleted"),
        pytest.param(lambda session: session.clear(), True, id="cleared"),
        pytest.param(lambda session: setattr(session, "modified", True), True, id="said so"),
    ],
)
def test_modified(act: Any, modified: bool) -> None:
    """True from the first assignment or deletion on, as with Flask's own session, and after a change inside a value."""
    client = make().test_client()
    ask(client, lambda session: session.update(a=1, cart=["tea"]))
    assert ask(client, lambda session: [act(session), session.modified][1]) is modified


def test_a_slip_is_an_error_that_helps() -> None:
    """An attribute that no session has cannot be set by mistake."""

    def act(session: Any) -> str:
        with pytest.raises(AttributeError) as caught:
            session.ownr = "ada"
        return str(caught.value)

    assert "did you mean 'owner'" in ask(make().test_client(), act)


def test_what_is_not_touched_costs_nothing() -> None:
    """No call of the store, and a response without our headers."""
    store = StoreDouble()
    client = make(store=store).test_client()
    ask(client, lambda session: session.update(n=1))
    before = len(store.calls)
    answer = send(client, lambda session: 1)
    assert len(store.calls) == before
    assert {"Vary", "Cache-Control", "Set-Cookie"} & {*answer.headers.keys()} == set()


def test_a_stream_saves_at_its_end() -> None:
    """What changes while the body streams is in the store when it is over."""

    def act(session: Any) -> flask.Response:
        session["begun"] = True

        def lines() -> Iterator[str]:
            yield "one"
            flask.session["ended"] = True

        return flask.Response(flask.stream_with_context(lines()))

    client = make().test_client()
    assert send(client, act, buffered=True).text == "one"
    assert ask(client) == {"begun": True, "ended": True}


def test_what_a_hook_changes_is_saved() -> None:
    """after_request and teardown_request come after the view."""
    app = make()

    @app.after_request
    def after(response: Any) -> Any:
        flask.session["after"] = True
        return response

    @app.teardown_request
    def teardown(error: Any) -> None:
        flask.session["teardown"] = True

    client = app.test_client()
    ask(client)
    assert ask(client) == {"after": True, "teardown": True}


def test_an_error_saves_nothing() -> None:
    """A view that raises leaves neither a record nor a cookie."""
    app = make()

    def act(session: Any) -> Any:
        session["n"] = 1
        raise ValueError

    answer = send(app.test_client(), act)
    assert answer.status_code == 500 and "Set-Cookie" not in answer.headers and manager(app).count() == 0


@pytest.mark.parametrize(
    ("act", "error"),
    [
        pytest.param(lambda session: session.update(a=[object()]), "UnsupportedType", id="inside a value"),
        pytest.param(lambda session: session.update(a="x" * 99999), "SessionTooLarge", id="too large"),
        pytest.param(lambda session: session.update(a=1), "StoreError", id="store"),
    ],
)
def test_what_cannot_be_saved_is_handled_by_the_application(act: Any, error: str) -> None:
    """With its own page for errors, as with Flask's own session. Nothing is stored, and no cookie is set."""
    store = StoreDouble()
    store.fail("create")
    app = make(store=store)

    @app.errorhandler(500)
    def broken(found: Any) -> Any:
        return type(found.original_exception).__name__, 500

    answer = send(app.test_client(), act)
    assert (answer.status_code, answer.text) == (500, error)
    assert "Set-Cookie" not in answer.headers and manager(app).count() == 0


def test_saving_costs_what_it_costs_elsewhere() -> None:
    """A first visit is one call, reading is one, writing two; moving the expiry is one more than reading."""
    clock = Clock()
    store = StoreDouble(MemoryStore(clock=clock))
    app = make(store=store, clock=clock, config={"PERMANENT_SESSION_LIFETIME": 1000})
    client = app.test_client()

    def calls(act: Any) -> list[str]:
        store.calls.clear()
        ask(client, act)
        return store.calls

    assert calls(lambda session: [setattr(session, "permanent", True), session.update(n=[1])]) == ["create"]
    assert calls(lambda session: session["n"]) == ["load"]
    assert calls(lambda session: session["n"].append(2)) == ["load", "replace"]
    clock.advance(500)
    assert calls(lambda session: session["n"]) == ["load", "touch"]


def test_a_session_that_was_ended_gets_no_cookie_if_its_touch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A touch that failed does not show that the session lives, so the store is asked before the cookie is set."""
    store = StoreDouble(MemoryStore())
    app = make(store=store, config={"PERMANENT_SESSION_LIFETIME": 1000})
    client = app.test_client()
    ask(client, lambda session: session.update(n=1))

    def act(session: Any) -> None:
        session.regenerate()
        assert session.save()
        later = time.monotonic() + 3000
        monkeypatch.setattr("wsgisession.records.monotonic", lambda: later)
        assert manager(app).destroy(session.key)
        store.fail("touch")

    answer = send(client, act)
    assert "touch" in store.calls and "Set-Cookie" not in answer.headers


def test_a_session_that_is_ended_while_its_stream_begins_gets_no_cookie() -> None:
    """The view's changes are saved before the stream begins, and its headers leave with its first chunk."""
    app = make()
    pair = manager(app).issue({}, "ada")

    def act(session: Any) -> flask.Response:
        session.regenerate()

        def lines() -> Iterator[str]:
            assert manager(app).destroy_owned("ada") == 1
            yield "one"

        return flask.Response(lines())

    answer = send(app.test_client(use_cookies=False), act, headers={"Cookie": pair})
    assert answer.text == "one" and "Set-Cookie" not in answer.headers


# Without a request


def test_session_transaction() -> None:
    """The test client's session is read and written between requests; an empty one makes no record."""
    app = make()
    client = app.test_client()
    with client.session_transaction():
        pass
    assert manager(app).count() == 0
    with client.session_transaction() as session:
        session["cart"] = ["tea"]
        session.permanent = True
    assert ask(client) == {"cart": ["tea"]}
    with client.session_transaction() as session:
        assert session["cart"] == ["tea"] and session.permanent is True
        session["cart"].append("milk")
    assert ask(client) == {"cart": ["tea", "milk"]} and manager(app).count() == 1


def test_session_transaction_over_https() -> None:
    """base_url says which of the two cookies it is, of one that has another name over https."""
    app = make(cookie=Cookie())
    client = app.test_client()
    with client.session_transaction(base_url="https://shop.test") as session:
        session["n"] = 1
    assert ask(client, base_url="https://shop.test") == {"n": 1}


def test_request_context() -> None:
    """A view is tested without a server: it reads and writes, nothing is stored, and no cookie is needed."""
    app = make()
    with app.test_request_context("/"):
        assert flask.session.get("cart") is None
        flask.session["cart"] = ["tea"]
        assert flask.session["cart"] == ["tea"]
    assert manager(app).count() == 0


def test_request_context_with_a_session() -> None:
    """A pair from the manager is the session of the context; save() stores what the view changed."""
    app = make()
    pair = manager(app).issue({"cart": []}, "ada")
    with app.test_request_context("/", headers={"Cookie": pair}):
        session = wsgisession.flask.session
        assert session.owner == "ada"
        session["cart"].append("tea")
        assert session.save()
    [info] = manager(app).owned_by("ada")
    assert info.data["cart"] == ["tea"]


def test_process_response_saves() -> None:
    """As Flask's own session does there: the response has the cookie, and afterwards it is too late."""
    app = make()
    with app.test_request_context("/"):
        flask.session["n"] = 1
        response = app.process_response(flask.make_response("text"))
        assert response.headers["Set-Cookie"].startswith("session=") and response.headers["Vary"] == "Cookie"
        assert app.process_response(flask.make_response("again")).headers.get("Set-Cookie") is None
        with pytest.raises(HeadersSent):
            flask.session["n"] = 2
    assert manager(app).count() == 1


def test_an_environ_is_used_again() -> None:
    """As a WebSocket's is, for each of its messages: each time there is a session that can be saved."""
    app = make()
    pair = manager(app).issue({"n": 0})
    with app.test_request_context("/", headers={"Cookie": pair}) as context:
        environ = context.request.environ
    for _ in range(2):
        with app.request_context(environ):
            flask.session["n"] += 1
            app.process_response(flask.make_response("text"))
    [info] = manager(app).sessions()
    assert info.data["n"] == 2


def test_an_environ_is_used_again_after_reading() -> None:
    """A message that only reads keeps nothing: the next one sees that the visitor logged out."""
    app = make()
    pair = manager(app).issue({"user": "ada"})
    with app.test_request_context("/", headers={"Cookie": pair}) as context:
        assert flask.session["user"] == "ada"
    [info] = manager(app).sessions()
    manager(app).destroy(info.key)
    with app.request_context(context.request.environ):
        assert "user" not in flask.session


def test_an_environ_is_used_again_inside_its_request() -> None:
    """As if a server sent a WebSocket's request through the middleware, which waits until the connection ends."""
    app = make()
    seen = []

    def messages(session: Any) -> None:
        assert session["user"] == "ada"
        [info] = manager(app).sessions()
        manager(app).destroy(info.key)
        with app.request_context(flask.request.environ):
            seen.append(dict(flask.session))

    client = app.test_client()
    ask(client, lambda session: session.update(user="ada"))
    ask(client, messages)
    assert seen == [{}]


def test_a_request_keeps_its_session_in_its_environ() -> None:
    """Also after a context inside it: what get_session(environ) gives is saved with the request."""
    app = make()

    def act(session: Any) -> None:
        with app.request_context(flask.request.environ):
            assert "n" not in flask.session
        get_session(flask.request.environ)["n"] = 1

    client = app.test_client()
    ask(client, act)
    assert ask(client) == {"n": 1}


@pytest.mark.parametrize("owner", [None, "ada"], ids=["a write", "a login"])
@pytest.mark.parametrize("known", [True, False])
def test_an_application_is_called_twice_in_a_request(known: bool, owner: str | None) -> None:
    """By a middleware inside, which tries another page: one session with both changes, and one cookie that is valid."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    inside = app.wsgi_app

    def twice(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/missing":
            inside(environ, lambda *response: None).close()
            environ["PATH_INFO"] = "/found"
        return inside(environ, start_response)

    app.wsgi_app = twice  # type: ignore[method-assign]
    app.extensions["sessions"] = Sessions(app)

    @app.before_request
    def count() -> None:
        flask.session["hits"] = flask.session.get("hits", 0) + 1

    @app.get("/found")
    def found() -> Any:
        if "login" in flask.request.args:
            wsgisession.flask.session.owner = owner
            flask.session["found"] = True
        return dict(flask.session)

    client = app.test_client()
    if known:
        client.get("/found")
    assert len(client.get("/missing?login").headers.getlist("Set-Cookie")) == (not known or owner is not None)
    assert client.get("/found").json == {"hits": 4 if known else 3, "found": True}
    assert [info.owner for info in manager(app).sessions()] == [owner]


def test_an_environ_that_grows_meanwhile() -> None:
    """Another thread opens its context at the same moment, and Flask puts its request into the environ."""
    app = make()

    class Key(str):
        """Python code that runs while the environ is copied, in which another thread may take over."""

        def __hash__(self) -> int:
            environ[f"another {len(environ)}"] = 1
            return str.__hash__(self)

    environ = app.test_request_context("/").request.environ
    environ[Key("first")] = 1
    with app.request_context(environ):
        assert dict(flask.session) == {}


def test_an_environ_is_used_by_two_threads_at_once() -> None:
    """Neither sees what the other has not saved yet, and both changes are kept."""
    app = make()
    environ = {"HTTP_COOKIE": manager(app).issue({"words": []})}
    environ = app.test_request_context("/", environ_overrides=environ).request.environ
    together = threading.Barrier(2)

    def message(word: str) -> None:
        with app.request_context(environ):
            flask.session["words"].append(word)
            together.wait(10)
            assert flask.session["words"] == [word]
            app.process_response(flask.make_response("text"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(message, ["tea", "milk"]))
    [info] = manager(app).sessions()
    assert sorted(info.data["words"]) == ["milk", "tea"]


def test_process_response_saves_nothing_after_an_error() -> None:
    """A response of 500 has no cookie and leaves no record."""
    app = make()
    with app.test_request_context("/"):
        flask.session["n"] = 1
        response = app.process_response(flask.make_response("broken", 500))
    assert "Set-Cookie" not in response.headers and manager(app).count() == 0


def test_a_transaction_that_cannot_be_stored_is_an_error() -> None:
    """The test that wrote too much is told so."""
    client = make(max_size=100).test_client()
    with pytest.raises(SessionTooLarge), client.session_transaction() as session:
        session["text"] = "x" * 200


# Configuration


@pytest.mark.parametrize(
    ("config", "cookie"),
    [
        ({}, "session; Path=/; HttpOnly; SameSite=Lax"),
        ({"NAME": "shop"}, "shop; Path=/; HttpOnly; SameSite=Lax"),
        ({"DOMAIN": "shop.test"}, "session; Domain=shop.test; Path=/; HttpOnly; SameSite=Lax"),
        ({"DOMAIN": ".shop.test:8080"}, "session; Domain=shop.test; Path=/; HttpOnly; SameSite=Lax"),
        ({"DOMAIN": "läden.test"}, "session; Domain=xn--lden-loa.test; Path=/; HttpOnly; SameSite=Lax"),
        ({"PATH": "/shop"}, "session; Path=/shop; HttpOnly; SameSite=Lax"),
        ({"HTTPONLY": False}, "session; Path=/; SameSite=Lax"),
        ({"SAMESITE": "strict"}, "session; Path=/; HttpOnly; SameSite=Strict"),
        ({"SECURE": True}, "__Host-session; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            {"SECURE": True, "PARTITIONED": True, "SAMESITE": "None"},
            "__Host-session; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
    ],
    ids=lambda value: (
        " ".join(map(str, sum(value.items(), ()))) or "default" if isinstance(value, dict) else ""
    ),
)
def test_cookie_settings(config: dict[str, Any], cookie: str) -> None:
    """Each SESSION_COOKIE_ setting is an attribute of our cookie."""
    app = make(config={f"SESSION_COOKIE_{name}": value for name, value in config.items()})
    pair, *attributes = set_cookie(app, config.get("PATH", "/")).split("; ")
    name, *expected = cookie.split("; ")
    assert pair.startswith(f"{name}=") and sorted(attributes) == sorted(expected)


def test_the_path_is_that_of_the_application() -> None:
    """APPLICATION_ROOT, as long as SESSION_COOKIE_PATH says nothing else."""
    assert "; Path=/shop;" in set_cookie(make(config={"APPLICATION_ROOT": "/shop"}))


def test_a_session_goes_on_from_http_to_https() -> None:
    """As with Flask's own cookie, one name serves both. Over https the cookie is Secure."""
    app = make()
    client = app.test_client()
    ask(client, lambda session: session.update(n=1), base_url="http://shop.test")
    assert ask(client, base_url="https://shop.test") == {"n": 1}
    assert "Secure" in set_cookie(app, base_url="https://shop.test")


def test_a_cookie_of_ones_own() -> None:
    """cookie= takes the place of all settings."""
    app = make(cookie=Cookie(name="mine", samesite="Strict"), config={"SESSION_COOKIE_NAME": "other"})
    found = set_cookie(app)
    assert found.startswith("mine=") and "SameSite=Strict" in found


def test_a_time_of_ones_own() -> None:
    """remember= takes the place of PERMANENT_SESSION_LIFETIME."""
    app = make(remember=300, config={"PERMANENT_SESSION_LIFETIME": 7200})
    answer = send(
        app.test_client(), lambda session: [session.update(n=1), setattr(session, "permanent", True)]
    )
    assert "Max-Age=300" in answer.headers["Set-Cookie"]


def test_a_wrong_cookie_setting_names_its_place() -> None:
    """The note says that it is a setting of the application."""
    with pytest.raises(ValueError) as caught:
        make(config={"SESSION_COOKIE_SAMESITE": "None"})
    assert "SESSION_COOKIE" in caught.value.__notes__[0]


def test_what_is_set_later_counts() -> None:
    """The configuration is that of the moment; the sessions stay."""
    app = make()
    client = app.test_client()
    ask(client, lambda session: session.update(n=1))
    before = manager(app)
    assert manager(app) is before
    app.config["SESSION_COOKIE_NAME"] = "later"
    assert set_cookie(app).startswith("later=") and manager(app).count() == 2


SHORT = "sessions need at least 32 bytes, and this has 3; make a key with: python -m wsgisession secret"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"SECRET_KEY": "dev"}, f"SECRET_KEY: {SHORT}"),
        ({"SECRET_KEY_FALLBACKS": ["old"]}, f"SECRET_KEY_FALLBACKS: {SHORT}"),
        ({"SECRET_KEY": 12345}, "SECRET_KEY: a key is a str or bytes, not int"),
        ({"SECRET_KEY_FALLBACKS": SECRET}, "SECRET_KEY_FALLBACKS must be a list of keys"),
        ({"PERMANENT_SESSION_LIFETIME": 0}, "PERMANENT_SESSION_LIFETIME must be a positive"),
        ({"PERMANENT_SESSION_LIFETIME": None}, "PERMANENT_SESSION_LIFETIME must be seconds"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], text: str) -> None:
    """When the sessions are set up."""
    with pytest.raises((ValueError, TypeError), match=text):
        make(config=config)


@pytest.mark.parametrize("secret", ["", []], ids=["empty", "none"])
def test_an_empty_secret_is_a_mistake(secret: Any) -> None:
    """And no application without a key."""
    with pytest.raises(ValueError, match="secret must"):
        make(secret=secret)


def test_a_store_is_not_an_application() -> None:
    """The error says where it belongs."""
    with pytest.raises(TypeError, match=r"not str; a store is Sessions\(app, store=…\)"):
        Sessions("redis://localhost:6379")  # type: ignore[arg-type]


def test_a_key_is_measured_in_bytes() -> None:
    """16 characters of two bytes each are enough."""
    client = make(config={"SECRET_KEY": "é" * 16}).test_client()
    ask(client, lambda session: session.update(n=1))
    assert ask(client) == {"n": 1}


def test_a_short_key_that_comes_later_is_an_error() -> None:
    """With the first request."""
    app = flask.Flask("shop")
    Sessions(app)
    app.secret_key = "dev"
    with pytest.raises(ValueError, match="at least 32 bytes"):
        app.test_client().get("/")


def test_without_a_key_there_is_flasks_null_session() -> None:
    """It reads as empty, and writing is Flask's own error, which asks for the key. Then there is one."""
    app = make(config={"SECRET_KEY": None})
    client = app.test_client()

    def write(session: Any) -> str:
        with pytest.raises(RuntimeError) as caught:
            session["n"] = 1
        return str(caught.value)

    assert ask(client) == {} and "secret_key" in ask(client, write)
    with pytest.raises(RuntimeError, match="app.secret_key"):
        manager(app)
    app.secret_key = SECRET
    ask(client, lambda session: session.update(n=1))
    assert ask(client) == {"n": 1}


def test_an_old_key_still_verifies() -> None:
    """SECRET_KEY_FALLBACKS keeps visitors logged in, and their cookie is signed with the new key."""
    app = make()
    client = app.test_client()
    ask(client, lambda session: session.update(n=1))
    app.config.update(SECRET_KEY="another key that has at least 32 bytes", SECRET_KEY_FALLBACKS=[SECRET])
    assert ask(client) == {"n": 1}
    app.config["SECRET_KEY_FALLBACKS"] = None
    assert ask(client) == {"n": 1}


def test_a_secret_of_ones_own() -> None:
    """secret= takes the place of SECRET_KEY, which may then be as short as Flask allows."""
    client = make(secret=SECRET, config={"SECRET_KEY": "dev"}).test_client()
    ask(client, lambda session: session.update(n=1))
    assert ask(client) == {"n": 1}


@pytest.mark.parametrize(
    ("refresh", "act", "moved"),
    [
        pytest.param(True, lambda session: session.get("n"), True, id="on, read"),
        pytest.param(False, lambda session: session.get("n"), False, id="off, read"),
        pytest.param(False, lambda session: session["cart"], False, id="off, a list read"),
        pytest.param(False, lambda session: session.update(n=2), True, id="off, written"),
        pytest.param(
            False,
            lambda s: [setattr(s, "passive", True), s.update(n=2)][1],
            False,
            id="off, written in passing",
        ),
        pytest.param(False, lambda session: session["cart"].append("tea"), True, id="off, changed inside"),
        pytest.param(False, lambda session: None, False, id="off, not touched"),
    ],
)
def test_refresh_each_request(refresh: bool, act: Any, moved: bool) -> None:
    """SESSION_REFRESH_EACH_REQUEST: off, only requests that change something move the expiry of a permanent session."""
    clock = Clock()
    config = {"SESSION_REFRESH_EACH_REQUEST": refresh, "PERMANENT_SESSION_LIFETIME": 1000}
    app = make(store=MemoryStore(clock=clock), clock=clock, config=config)
    client = app.test_client()
    ask(client, lambda session: [setattr(session, "permanent", True), session.update(n=1, cart=[])][1])
    clock.advance(500)
    answer = send(client, lambda session: [act(session)])
    assert ("Max-Age=1000" in answer.headers.get("Set-Cookie", "")) is moved


def test_refresh_leaves_other_sessions_alone() -> None:
    """A session that is not permanent moves its expiry with every use, whatever the setting says."""
    clock = Clock()
    app = make(
        store=MemoryStore(clock=clock),
        clock=clock,
        idle_timeout=1000,
        config={"SESSION_REFRESH_EACH_REQUEST": False},
    )
    client = app.test_client()
    ask(client, lambda session: session.update(n=1))
    for _ in range(3):
        clock.advance(600)
        assert ask(client) == {"n": 1}


# Applications


def test_a_factory_and_a_blueprint() -> None:
    """init_app serves several applications, each with a store of its own; manager is the current one's."""
    sessions = Sessions()
    pages = flask.Blueprint("pages", __name__)

    @pages.get("/")
    def count() -> dict[str, int]:
        flask.session["n"] = flask.session.get("n", 0) + 1
        return {"n": flask.session["n"]}

    def create_app() -> flask.Flask:
        app = flask.Flask("shop")
        app.secret_key = SECRET
        sessions.init_app(app)
        app.register_blueprint(pages)
        return app

    one, two = create_app(), create_app()
    client = one.test_client()
    answers = [visitor.get("/").json for visitor in (client, client, two.test_client(), two.test_client())]
    assert answers == [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 1}]
    for app, count_ in ((one, 1), (two, 2)):
        with app.app_context():
            assert sessions.manager.count() == count_
    with pytest.raises(RuntimeError, match="app_context"):
        sessions.manager.count()
    with flask.Flask("without").app_context(), pytest.raises(RuntimeError, match="init_app"):
        sessions.manager.count()


def by_hand(app: flask.Flask) -> None:
    del app.extensions["wsgisession"]
    app.wsgi_app = wsgisession.SessionMiddleware(app.wsgi_app, secret=SECRET)  # type: ignore[method-assign]


def interface(app: flask.Flask) -> None:
    del app.extensions["wsgisession"]


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda app: None, "has its sessions already"),
        (by_hand, "in a SessionMiddleware already"),
        (interface, "session_interface is _Served already"),
    ],
    ids=["twice", "wrapped by hand", "another library"],
)
def test_set_up_twice(prepare: Any, text: str) -> None:
    """A second way to sessions is an error that says what to remove."""
    app = make()
    prepare(app)
    with pytest.raises(ValueError, match=text):
        Sessions(app)


def test_another_environ_key() -> None:
    """The session is where environ_key says, for other middleware."""

    def act(session: Any) -> bool:
        return get_session(flask.request.environ, "shop.session") is session._get_current_object()

    app = make(environ_key="shop.session")
    assert ask(app.test_client(), act) is True
    with app.test_request_context("/"):
        assert isinstance(get_session(flask.request.environ, "shop.session"), FlaskSession)
