"""SESSION_ENGINE = "wsgisession.django": what the README promises, in Django's requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import auth
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.db.models import IntegerChoices, TextChoices
from django.test import override_settings
from django.utils.safestring import SafeString, mark_safe
from support.clock import Clock
from support.django_site import Browser, items, log_in, own_store, put, user
from support.store_double import StoreDouble
from support.web import SECRET

from wsgisession import MemoryStore, UnsupportedType
from wsgisession.django import SessionStore, get_session, manager

pytestmark = pytest.mark.wide


@pytest.fixture(autouse=True)
def store(clock: Clock) -> Iterator[StoreDouble]:
    """Each test has a store of its own."""
    with own_store(MemoryStore(clock=clock)) as store:
        yield store


@pytest.fixture
def browser() -> Browser:
    return Browser()


def live() -> int:
    return sum(1 for _ in manager().sessions())


# No lost writes


def test_nested_changes_are_saved_and_merged(browser: Browser) -> None:
    """Nobody sets ``modified``: lists that two requests append to, and dicts they put keys into, have both."""
    browser.visit(put(cart={"items": []}))

    def add(item: str) -> Any:
        return lambda request: request.session["cart"]["items"].append(item)

    def slow(request: Any) -> None:
        request.session["cart"]["coupon"] = "A"
        add("slow")(request)
        browser.twin().visit(add("quick"))

    browser.visit(slow)
    assert browser.visit(items) == {"cart": {"items": ["quick", "slow"], "coupon": "A"}}


def test_what_changes_after_an_explicit_save_is_saved_too(browser: Browser) -> None:
    """In a list that the view goes on holding."""

    def act(request: Any) -> None:
        cart = request.session.setdefault("cart", [])
        cart.append(1)
        request.session.save()
        cart.append(2)

    browser.visit(act)
    assert browser.visit(items) == {"cart": [1, 2]}


def test_atomic(browser: Browser) -> None:
    """A read-modify-write is run again if another request saved meanwhile; the new session's cookie is set."""
    browser.visit(lambda request: get_session(request).atomic(lambda session: session.update(count=1)))
    runs: list[int] = []

    def count(session: Any) -> None:
        if not runs:
            browser.twin().visit(put(count=10))
        runs.append(session["count"])
        session["count"] += 1

    browser.visit(lambda request: get_session(request).atomic(count))
    assert browser.visit(items) == {"count": 11} and runs == [1, 10]


# Gone is gone


def test_a_request_overtaken_by_a_logout_is_interrupted(browser: Browser) -> None:
    """Its data is dropped and it sets no cookie; Django's middleware answers it with a 400, as with Django's own stores."""
    browser.visit(log_in("ada"))
    late = browser.twin()

    def slow(request: Any) -> None:
        request.session["late"] = True
        browser.visit(auth.logout)

    late.visit(slow)
    assert late.answer.status_code == 400 and late.cookie is None
    assert late.visit(items) == {} and live() == 0


def test_a_request_that_only_read_is_not_interrupted(browser: Browser) -> None:
    """Nothing of it is lost."""
    browser.visit(put(cart={"items": [1]}))
    late = browser.twin()

    def slow(request: Any) -> None:
        assert request.session["cart"]["items"] == [1]
        browser.visit(lambda request: request.session.flush())

    late.visit(slow)
    assert late.answer.status_code == 200 and late.cookie is None


@pytest.mark.parametrize(
    "change", [lambda request: request.session.cycle_key(), log_in("ada")], ids=["cycle", "login"]
)
def test_a_late_request_with_the_cookie_of_before(change: Any, browser: Browser) -> None:
    """It is answered; what it wrote is dropped, and it neither sets nor deletes a cookie: the browser has a newer one."""
    browser.visit(put(cart=[1]))
    late = browser.twin()
    browser.visit(change)
    assert browser.cookie.value != late.cookies["sessionid"].value
    late.visit(put(late=True))
    assert late.answer.status_code == 200 and late.cookie is None
    assert browser.visit(items)["cart"] == [1] and "late" not in browser.visit(items)


def test_a_save_by_hand_of_a_session_that_is_gone(browser: Browser) -> None:
    """It raises Django's ``UpdateError``."""
    browser.visit(put(a=1))
    late = browser.twin()
    browser.visit(lambda request: request.session.cycle_key())
    with pytest.raises(UpdateError):
        late.visit(lambda request: request.session.save())


def test_a_login_with_the_cookie_of_before_starts_a_session(browser: Browser) -> None:
    """A login form that was sent with a cookie from before another login leads in all the same."""
    browser.visit(put(a=1))
    late = browser.twin()
    browser.visit(log_in("ada"))
    late.visit(log_in("grace"))
    assert late.visit(lambda request: request.user.username) == "grace"
    assert late.visit(lambda request: get_session(request).owner) == str(user("grace").pk)


# Nothing for nothing


def test_an_untouched_session_costs_nothing(browser: Browser, store: StoreDouble) -> None:
    """No store call, no header."""
    browser.visit(put(a=1))
    store.calls.clear()
    browser.visit(lambda request: None)
    assert store.calls == [] and browser.cookie is None and "Vary" not in browser.answer.headers


def test_reading_writes_nothing(browser: Browser, store: StoreDouble) -> None:
    """One load, no cookie; the response varies by cookie."""
    browser.visit(put(cart=[1]))
    store.calls.clear()
    assert browser.visit(items) == {"cart": [1]}
    assert store.calls == ["load"] and browser.cookie is None and browser.answer.headers["Vary"] == "Cookie"


def test_visitors_who_store_nothing_get_nothing(browser: Browser, store: StoreDouble) -> None:
    """Neither a cookie nor a record."""
    browser.visit(lambda request: request.session.get("a"))
    assert store.calls == [] and browser.cookie is None and live() == 0


def test_a_forged_cookie_never_reaches_the_store(browser: Browser, store: StoreDouble) -> None:
    """It is no session, and the browser is told to drop it."""
    browser.visit(put(a=1))
    token = browser.cookie.value
    store.calls.clear()
    for forged in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token.partition(".")[0],
        "x" * 32,
        "é" * 20,
    ):
        browser.cookies["sessionid"] = forged
        assert browser.visit(items) == {}
        assert browser.cookie["max-age"] == 0
    assert store.calls == []


def test_changes_can_be_taken_back(browser: Browser) -> None:
    """``modified = False`` keeps what was changed by then from being saved; what is assigned later is saved with it."""

    def undone(request: Any) -> None:
        request.session["a"] = 1
        request.session.modified = False

    browser.visit(undone)
    assert browser.cookie is None

    def redone(request: Any) -> None:
        undone(request)
        request.session["b"] = 2

    browser.visit(redone)
    assert browser.visit(items) == {"a": 1, "b": 2}


# What you put in


def test_values_come_back_as_they_were(browser: Browser) -> None:
    """Tuples, sets, and Django's safe strings."""
    browser.visit(put(pair=(1, 2), tags={"a"}, html=mark_safe("<b>")))
    found = browser.visit(items)
    assert found == {"pair": (1, 2), "tags": {"a"}, "html": "<b>"} and type(found["html"]) is SafeString


class Verification(TextChoices):
    MANDATORY = "mandatory"


class Step(IntegerChoices):
    FIRST = 1


LOGIN = {"steps": [Step.FIRST], "how": Verification.MANDATORY}


def test_choices_come_back_as_text_and_numbers_if_a_setting_says_so(store: StoreDouble) -> None:
    """Nested too, as with Django's own engines. They equal the member. The same member again is no change."""
    browser = Browser()
    with override_settings(WSGISESSION={"store": store, "plain_enums": True}):
        browser.visit(put(how=Verification.MANDATORY, login=LOGIN))
        found = browser.visit(items)
        assert found == {"how": "mandatory", "login": {"steps": [1], "how": "mandatory"}}
        assert type(found["how"]) is str and found["how"] == Verification.MANDATORY
        store.calls.clear()
        browser.visit(put(how=Verification.MANDATORY))
        assert store.calls == ["load"]


def test_choices_are_refused_otherwise(browser: Browser) -> None:
    """The error names the path, and what to do."""
    with pytest.raises(
        UnsupportedType,
        match=r"^session\['login'\]\['steps'\]\[0\]: .*store x\.value, or teach the codec: JSONCodec\(plain_enums=True\)",
    ):
        browser.visit(put(login=LOGIN))


def test_what_would_not_come_back_is_refused(browser: Browser) -> None:
    """With its path, while the request can still fail cleanly."""
    browser.visit(put(a=[1]))
    with pytest.raises(UnsupportedType, match=r"session\['a'\]\[1\]"):
        browser.visit(lambda request: request.session["a"].append(object()))
    assert browser.visit(items) == {"a": [1]}


# The id lives only in the cookie


def test_the_store_knows_only_the_key(browser: Browser, store: StoreDouble) -> None:
    """The SHA-256 of what the cookie holds: ``get_session(request).key``."""
    browser.visit(put(a=1))
    key = browser.visit(lambda request: get_session(request).key)
    assert list(store.keys()) == [key]
    assert all(
        part not in repr(store.load(key)) for part in [key, *browser.cookies["sessionid"].value.split(".")]
    )


def test_a_former_secret_still_opens(browser: Browser) -> None:
    """One of SECRET_KEY_FALLBACKS; the response sets a cookie that the present one signed."""
    browser.visit(put(a=1))
    former = browser.cookie.value
    with override_settings(SECRET_KEY="b" * 50, SECRET_KEY_FALLBACKS=["short", SECRET]):
        assert browser.visit(items) == {"a": 1}
        present = browser.cookie.value
        assert present != former and present.partition(".")[0] == former.partition(".")[0]
        assert browser.visit(items) == {"a": 1} and browser.cookie is None
    with override_settings(SECRET_KEY="b" * 50):
        assert browser.visit(items) == {"a": 1}
        browser.cookies["sessionid"] = former
        assert browser.visit(items) == {}


# It fails closed


def test_a_store_that_is_down_is_an_error(browser: Browser, store: StoreDouble) -> None:
    """Never a fresh empty session, and never a cookie over a good one."""
    browser.visit(put(a=1))
    browser.raise_request_exception = False

    for name, handler in (("load", items), ("replace", put(b=1))):
        store.fail(name)
        browser.visit(handler)
        assert browser.answer.status_code == 500 and browser.cookie is None
    assert browser.visit(items) == {"a": 1}


# Keys


def test_create_gives_a_key_at_once(browser: Browser) -> None:
    """``if not session_key: create()``, as applications write it; what follows is saved under that key."""

    def act(request: Any) -> Any:
        assert request.session.session_key is None
        request.session.create()
        assert SessionStore().exists(request.session.session_key)
        request.session["a"] = 1
        return request.session.session_key

    key = browser.visit(act)
    assert browser.cookie.value == key and browser.visit(items) == {"a": 1}


def test_cycle_key_takes_along_what_others_saved(browser: Browser) -> None:
    """The old key is dead when it returns; another request's change is in the new one."""
    browser.visit(put(a=1))
    old = browser.cookie.value

    def act(request: Any) -> None:
        request.session["b"] = 2
        browser.twin().visit(put(c=3))
        request.session.cycle_key()
        assert request.session.session_key != old and not SessionStore().exists(old)

    browser.visit(act)
    assert browser.cookie.value != old and browser.visit(items) == {"a": 1, "b": 2, "c": 3}


def test_flush_and_begin_again(browser: Browser) -> None:
    """The session is ended at once; what is written then is in a new one. Without that the cookie is deleted."""
    browser.visit(put(a=1))
    old = browser.cookies["sessionid"].value

    def act(request: Any) -> None:
        request.session.flush()
        assert not SessionStore().exists(old)
        request.session["b"] = 2

    browser.visit(act)
    assert browser.visit(items) == {"b": 2} and browser.cookies["sessionid"].value != old
    browser.visit(lambda request: request.session.flush())
    assert browser.cookie["max-age"] == 0 and live() == 0


def test_a_session_is_ended_by_its_key(browser: Browser) -> None:
    """``delete(session_key)`` from anywhere. Without a key it ends nothing."""
    browser.visit(put(a=1))
    SessionStore().delete()
    assert browser.visit(items) == {"a": 1}
    SessionStore().delete(browser.cookies["sessionid"].value)
    assert browser.visit(items) == {}


def test_a_stream_saves_by_hand(browser: Browser) -> None:
    """What changes while the response is sent is merged and saved by ``save()``, for a visitor who has the cookie."""
    from django.http import StreamingHttpResponse

    browser.visit(put(cart=[1]))

    def stream(request: Any) -> Iterator[bytes]:
        yield b"one"
        request.session["cart"].append(2)
        request.session.save()

    request = browser.visit(lambda request: request)
    assert b"".join(StreamingHttpResponse(stream(request))) == b"one"
    assert browser.visit(items) == {"cart": [1, 2]}


def test_saving_every_request_does_not_undo_a_login(browser: Browser) -> None:
    """A late request with the cookie from before is refused with a 400, and sets no cookie."""
    browser.visit(put(a=1))
    late = browser.twin()
    browser.visit(log_in("ada"))
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        late.visit(lambda request: None)
    assert late.answer.status_code == 400 and late.cookie is None


def test_a_new_visitor_is_no_forgery(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """A request without a cookie says nothing to the log."""
    with caplog.at_level("DEBUG", "wsgisession"):
        browser.visit(lambda request: request.session.get("a"))
    assert caplog.records == []


def test_a_late_logout_does_not_undo_a_login(browser: Browser) -> None:
    """It comes with the cookie from before the login; the browser keeps the newer one."""
    browser.visit(put(a=1))
    late = browser.twin()
    browser.visit(log_in("ada"))
    late.visit(auth.logout)
    assert late.answer.status_code == 200 and late.cookie is None
    assert browser.visit(lambda request: request.user.username) == "ada"


def test_a_late_logout_ends_what_the_key_became(browser: Browser) -> None:
    """With the cookie from before a new key of the same login."""
    browser.visit(log_in("ada"))
    late = browser.twin()
    browser.visit(lambda request: request.session.cycle_key())
    late.visit(auth.logout)
    assert late.cookie["max-age"] == 0 and live() == 0


def test_must_create(browser: Browser) -> None:
    """Refused for a session that is stored; ``load()`` reads again what is."""
    browser.visit(put(a=1))

    def act(request: Any) -> None:
        request.session["a"] = 2
        with pytest.raises(CreateError):
            request.session.save(must_create=True)
        assert request.session.load() == {"a": 1}

    browser.visit(act)
    assert browser.visit(items) == {"a": 2}
