"""What docs/how-to/migrating.md says of Beaker and Flask-Session as the reason for a difference, seen in them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import flask_session
import pytest
from beaker.middleware import SessionMiddleware as Beaker
from support.redis_servers import shared_redis
from webtest import TestApp

pytestmark = pytest.mark.wide

Act = Callable[[Any], Any]


class Visit:
    """Applications whose requests say what they do with the session, and one cookie for all of them."""

    def __init__(self, make: Callable[[Callable[[Any], str]], Any]) -> None:
        self.app, self.cookie = make(lambda session: str(self.act(session))), ""

    def __call__(self, act: Act) -> str:
        """Do it in a request with the cookie of the first answer, and return what it returned."""
        self.act = act
        with ThreadPoolExecutor(1) as pool:  # a thread of its own, so that one request can hold another
            browser = TestApp(self.app, lint=False)
            answer = pool.submit(
                browser.get, "/", headers={"Cookie": self.cookie} if self.cookie else {}
            ).result(30)
        self.cookie = self.cookie or answer.headers["Set-Cookie"].strip().partition(";")[0]
        return str(answer.text)

    def late(self, end: Act) -> None:
        """Let a request that writes be overtaken by one that ends the session."""

        def overtaken(session: Any) -> None:
            assert cart(session) is not None
            self(end)
            assert self(cart) == "None"
            keep(session)

        self(overtaken)


def keep(session: Any) -> None:
    session["cart"] = ("tea", "milk")
    getattr(session, "save", lambda: None)()


def cart(session: Any) -> Any:
    return session.get("cart")


@pytest.fixture
def beaker(tmp_path: Path) -> Visit:
    def make(act: Callable[[Any], str]) -> Any:
        def app(environ: Any, start_response: Any) -> list[bytes]:
            body = act(environ["beaker.session"])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [body.encode()]

        return Beaker(app, {"session.type": "file", "session.data_dir": str(tmp_path), "session.secret": "x"})

    return Visit(make)


@pytest.fixture
def flask_sessions() -> Visit:
    def make(act: Callable[[Any], str]) -> Any:
        app = flask.Flask("theirs")
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=shared_redis().client())
        flask_session.Session(app)
        app.add_url_rule("/", "act", lambda: act(flask.session._get_current_object()))
        return app

    return Visit(make)


def test_beaker_drops_what_is_not_saved(beaker: Visit) -> None:
    """As long as ``session.auto`` is not set."""
    beaker(keep)
    beaker(lambda session: session.update(cart="other"))
    assert beaker(cart) == "('tea', 'milk')"


def test_a_late_save_brings_beakers_session_back(beaker: Visit) -> None:
    """After a ``delete()`` in another request."""
    beaker(keep)
    beaker.late(lambda session: session.delete())
    assert beaker(cart) == "('tea', 'milk')"


@pytest.mark.parametrize("end", ["invalidate", "regenerate_id"])
def test_beakers_old_cookie_stays_open(end: str, beaker: Visit) -> None:
    """With the data that was there."""
    beaker(keep)
    beaker(lambda session: (getattr(session, end)(), session.save()))
    assert beaker(cart) == "('tea', 'milk')"


@pytest.mark.parametrize(
    "end",
    [
        lambda session: flask.current_app.session_interface.regenerate(session),
        lambda session: session.clear(),
    ],
    ids=["regenerate", "clear"],
)
def test_a_late_save_brings_flask_sessions_session_back(end: Act, flask_sessions: Visit) -> None:
    """Under the old id, and after a logout. The tuple comes back as a list, without a word."""
    flask_sessions(keep)
    flask_sessions.late(end)
    assert flask_sessions(cart) == "['tea', 'milk']"


def test_beaker_reverts_to_what_it_read(beaker: Visit) -> None:
    """Not to what another request has saved meanwhile."""
    beaker(keep)

    def revert(session: Any) -> Any:
        session["cart"] = "changed"
        beaker(lambda other: (other.update(cart="newer"), other.save()))
        assert beaker(cart) == "newer"
        session.revert()
        return session["cart"]

    assert beaker(revert) == "('tea', 'milk')"


def test_beaker_saves_later(beaker: Visit) -> None:
    """Another request does not see what ``save()`` was called for, before the headers leave."""
    beaker(keep)

    def saved(session: Any) -> str:
        session["cart"] = "changed"
        session.save()
        return beaker(cart)

    assert beaker(saved) == "('tea', 'milk')" and beaker(cart) == "changed"


def test_beaker_writes_with_every_use(beaker: Visit, tmp_path: Path) -> None:
    """The time of the last access, even if a request only reads."""
    beaker(keep)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*.cache")}

    before = files()
    beaker(cart)
    assert files().keys() == before.keys() and files() != before


def test_flask_session_writes_with_every_response(flask_sessions: Visit) -> None:
    """To a known visitor, even if a request only reads: the key lives for 31 days again."""
    flask_sessions(keep)
    redis, key = shared_redis().client(), f"session:{flask_sessions.cookie.partition('=')[2]}"
    assert redis.expire(key, 100)
    flask_sessions(cart)
    assert redis.ttl(key) == pytest.approx(31 * 86400, abs=60)


def test_flask_sessions_sid_is_in_the_store(flask_sessions: Visit) -> None:
    """Who reads the store can use the sessions."""
    flask_sessions(keep)
    sid = flask_sessions.cookie.partition("=")[2]
    assert shared_redis().client().exists(f"session:{sid}")
