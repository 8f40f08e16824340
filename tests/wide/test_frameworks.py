"""The applications of docs/how-to/frameworks, as printed, in the real frameworks; alone and with requests that overlap."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from support.frameworks import RECIPES, lines_of, load, manager
from support.server import Server
from support.web import together
from webtest import TestApp

from wsgisession import SessionManager

pytestmark = pytest.mark.wide


@pytest.fixture(params=RECIPES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(name: str) -> Any:
    return load(name).application


@pytest.fixture
def sessions(name: str) -> SessionManager:
    return manager(name)


COOKIES = tuple({f"{recipe.cookie}=" for recipe in RECIPES.values()})


class Visitor:
    """A browser that keeps its cookies and does not follow redirects."""

    def __init__(self, app: Any, cookie: str = "") -> None:
        self.app, self.cookie = TestApp(app), cookie

    def send(self, path: str, form: dict[str, str] | None = None) -> Any:
        """Get a page, or post a form."""
        ask = self.app.get if form is None else self.app.post
        headers = {"Cookie": self.cookie} if self.cookie else {}
        answer = ask(path, form, headers=headers, expect_errors=True)
        self.app.reset()
        for value in set_cookies(answer):
            self.cookie = "" if "Max-Age=0" in value else value.partition(";")[0]
        return answer

    def add(self, sku: str, qty: str = "1") -> Any:
        return self.send("/cart/add", {"sku": sku, "qty": qty})

    def login(self, user: str) -> Any:
        return self.send("/login", {"user": user})

    def logout(self) -> Any:
        return self.send("/logout", {})

    def show(self) -> dict[str, Any]:
        return dict(json.loads(self.send("/").text))

    def skus(self) -> list[str]:
        return [item["sku"] for item in self.show()["cart"]["items"]]


def set_cookies(answer: Any) -> list[str]:
    return [value for value in answer.headers.getall("Set-Cookie") if value.startswith(COOKIES)]


@pytest.fixture
def visitor(app: Any) -> Visitor:
    return Visitor(app)


@pytest.fixture
def after_load(
    sessions: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Any]], None]:
    """``after_load(act)``: from now on every request acts between reading its session and going on."""

    def hold(act: Callable[[], Any]) -> None:
        load_record = sessions.store.load

        def load(key: str) -> Any:
            found = load_record(key)
            act()
            return found

        monkeypatch.setattr(sessions.store, "load", load)

    return hold


T = TypeVar("T")


def meanwhile(act: Callable[[], T]) -> T:
    """Act in another thread and wait for it, as a server would: several frameworks know one request per thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result(30)


def once(act: Callable[[], Any]) -> Callable[[], None]:
    """Act the first time only: what is done in between loads too."""
    steps: Iterator[Callable[[], Any]] = iter([act])
    return lambda: meanwhile(next(steps, lambda: None))


def test_the_recipe_is_short(name: str) -> None:
    """About forty lines of at most 78 characters."""
    assert lines_of(RECIPES[name]) <= 46


def test_login_cart_stream_logout(visitor: Visitor) -> None:
    """What index.md says it does, request by request."""
    assert visitor.show() == {"owner": None} and visitor.cookie == ""
    assert visitor.add("tea", "2").status_int in (302, 303)
    anonymous = visitor.cookie
    assert visitor.show() == {"owner": None, "cart": {"items": [{"sku": "tea", "qty": 2}]}}

    answer = visitor.login("ada")
    assert answer.status_int in (302, 303) and answer.location.endswith("/")
    assert visitor.cookie not in ("", anonymous)
    visitor.add("milk")
    items = [{"sku": "tea", "qty": 2}, {"sku": "milk", "qty": 1}]
    assert visitor.show() == {"owner": "ada", "cart": {"items": items}}
    assert Visitor(visitor.app.app, anonymous).show() == {"owner": None}

    assert visitor.send("/stream").text == "tea 2\nmilk 1\n"
    assert visitor.show() == {"owner": "ada", "cart": {"items": items}, "streamed": 2}

    logged_in = visitor.cookie
    assert visitor.logout().status_int in (302, 303)
    assert visitor.cookie == ""
    assert Visitor(visitor.app.app, logged_in).show() == {"owner": None}


# The error page of web.py shows lines of files that it leaves open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_error_saves_nothing(visitor: Visitor, sessions: SessionManager) -> None:
    """Neither for a new visitor, who gets no cookie, nor for a known one."""
    before = sessions.count()
    fail(visitor)
    assert visitor.cookie == "" and sessions.count() == before
    visitor.login("ada")
    fail(visitor)
    assert visitor.show() == {"owner": "ada"}


def fail(visitor: Visitor) -> None:
    try:
        assert visitor.add("tea", "many").status_int == 500
    except ValueError as error:  # frameworks that leave errors to the server
        assert "many" in str(error)


def test_overlapping_requests_lose_nothing(
    visitor: Visitor, after_load: Callable[[Callable[[], Any]], None]
) -> None:
    """Eight at once, each of which has read the session before any has saved: all their items are in the cart, once."""
    visitor.login("ada")
    visitor.add("first")
    read = threading.Barrier(8)
    first = threading.local()

    def wait() -> None:
        if not hasattr(first, "passed"):
            first.passed = True
            read.wait(30)

    after_load(wait)
    answers: list[Any] = []
    together(8, lambda number: answers.append(Visitor(visitor.app.app, visitor.cookie).add(f"sku{number}")))
    first.passed = True
    assert sorted(visitor.skus()) == ["first", *(f"sku{number}" for number in range(8))]
    assert [set_cookies(answer) for answer in answers] == [[]] * 8


def test_a_request_overtaken_by_a_logout_changes_nothing(
    visitor: Visitor, after_load: Callable[[Callable[[], Any]], None]
) -> None:
    """It raises nothing, sets no cookie, and the session stays ended."""
    visitor.login("ada")
    late = Visitor(visitor.app.app, visitor.cookie)
    after_load(once(visitor.logout))
    answer = late.add("late")
    assert answer.status_int in (302, 303) and set_cookies(answer) == []
    assert visitor.cookie == "" and late.show() == {"owner": None}


def test_a_request_overtaken_by_a_login_does_not_undo_it(
    visitor: Visitor, after_load: Callable[[Callable[[], Any]], None]
) -> None:
    """Its own change is lost with the anonymous session; the login stands, with what was in the cart."""
    visitor.add("tea")
    late = Visitor(visitor.app.app, visitor.cookie)
    after_load(once(lambda: visitor.login("ada")))
    assert set_cookies(late.add("late")) == []
    assert visitor.show() == {"owner": "ada", "cart": {"items": [{"sku": "tea", "qty": 1}]}}


def test_a_login_that_is_sent_twice(
    visitor: Visitor, after_load: Callable[[Callable[[], Any]], None]
) -> None:
    """Two logins with one anonymous cookie: the visitor is logged in and has the cart, in any order of the responses."""
    visitor.add("tea")
    other = Visitor(visitor.app.app, visitor.cookie)
    after_load(once(lambda: visitor.login("ada")))
    other.login("ada")
    assert other.cookie != visitor.cookie and other.skus() == visitor.skus() == ["tea"]
    assert other.show()["owner"] == visitor.show()["owner"] == "ada"
    other.logout()
    visitor.logout()


def test_a_stream_passes_through_and_keeps_what_others_save_meanwhile(app: Any, visitor: Visitor) -> None:
    """The first chunk is there before the last is made; what is saved at the end is merged with what came in between."""
    visitor.login("ada")
    for sku in ("a", "b", "c"):
        visitor.add(sku)
    server = Server(app, visitor.cookie, PATH_INFO="/stream")
    body = app(server.environ, server.start_response)
    chunks = [chunk for chunk in [next(iter(body))] if chunk]
    steps = iter(body)
    while not chunks:
        chunks += [chunk for chunk in [next(steps)] if chunk]
    assert chunks == [b"a 1\n"] and server.status.startswith("200")

    assert "streamed" not in meanwhile(visitor.show)
    meanwhile(lambda: visitor.add("d"))
    chunks += [chunk for chunk in steps if chunk]
    body.close()
    assert chunks == [b"a 1\n", b"b 1\n", b"c 1\n"]
    assert visitor.show()["streamed"] == 3 and visitor.skus() == ["a", "b", "c", "d"]


def test_a_stream_that_outlives_its_session_revives_nothing(app: Any, visitor: Visitor) -> None:
    """The user logs out while the body streams: it ends in peace, and the session stays gone."""
    visitor.login("ada")
    visitor.add("a")
    cookie = visitor.cookie
    server = Server(app, cookie, PATH_INFO="/stream")
    body = app(server.environ, server.start_response)
    steps = iter(body)
    first = next(steps)
    meanwhile(visitor.logout)
    assert b"".join([first, *steps]) == b"a 1\n"
    body.close()
    assert Visitor(app, cookie).show() == {"owner": None}
