"""How long a session lasts: a timeout of its own, limits that were made shorter, requests that are no use of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from support.clock import Clock
from support.server import Server, late, wrap
from support.store_double import StoreDouble
from support.web import Site

from wsgisession import HeadersSent, MemoryStore, Session, SessionError
from wsgisession.stores.base import NO_EXPIRY

DAY, REMEMBER = 86400, 2592000


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=2)


def put(**facts: Any) -> Callable[[Session], None]:
    """Return a handler that sets attributes."""

    def handler(session: Session) -> None:
        for name, value in facts.items():
            setattr(session, name, value)

    return handler


class TestIdleTimeout:
    @pytest.fixture
    def site(self) -> Site:
        return Site()

    def test_it_is_this_sessions_alone(self, site: Site) -> None:
        """An administrator's session ends earlier than others."""
        site.request(put(owner="root", idle_timeout=900))
        assert site.left() == about(900)
        site.manager.destroy_owned("root")
        site.start({"a": 1})
        assert site.left() == about(7200)

    @pytest.mark.parametrize(
        ("given", "kept", "lasts"),
        [
            (900, 900.0, 900),
            (30.5, 30.5, 30.5),
            (timedelta(minutes=5), 300.0, 300),
            (10 * DAY, 864000.0, DAY),
            (None, None, 7200),
        ],
        ids=["int", "float", "timedelta", "past the lifetime", "None"],
    )
    def test_what_it_may_be(self, site: Site, given: Any, kept: Any, lasts: float) -> None:
        """Seconds as a number or a timedelta, never past the lifetime; None: the configured one."""
        cookie = site.start({"a": 1})
        site.request(put(idle_timeout=3600), cookie)
        site.request(put(idle_timeout=given), cookie)
        assert site.left() == about(lasts)
        assert site.request(lambda s: s.idle_timeout, cookie).result == kept

    def test_of_a_persistent_session(self, site: Site) -> None:
        """It counts instead of ``remember``, the lifetime does not, and the cookie's Max-Age follows."""
        cookie = site.request(put(owner="ada", persistent=True, idle_timeout=10 * DAY)).cookie
        assert site.left() == about(10 * DAY)
        answer = site.request(put(idle_timeout=None), cookie)
        assert site.left() == about(REMEMBER) and f"Max-Age={REMEMBER}" in str(answer.set_cookie)

    def test_it_moves_by_a_tenth_of_itself(self, site: Site) -> None:
        """A request that uses the session moves its expiry when that is due by its own timeout."""
        cookie = site.start({"a": 1})
        site.request(put(idle_timeout=1000), cookie)
        (key,) = site.live()
        for before, after in ((950, 950), (890, 1000)):
            site.manager.store.touch(key, before)
            site.read(cookie)
            assert site.left() == about(after)

    @pytest.mark.parametrize(
        ("ours", "stays"), [({}, 900), ({"idle_timeout": 600}, 600)], ids=["data", "both"]
    )
    def test_it_is_merged(self, site: Site, ours: dict[str, Any], stays: float) -> None:
        """An overlapping request that saves something else keeps it; if both set it, the later save wins."""
        cookie = site.start({"a": 1})

        def handler(session: Session) -> None:
            put(**ours)(session)
            session["b"] = 2
            site.request(put(idle_timeout=900), cookie)

        site.request(handler, cookie)
        assert site.read(cookie) == {"a": 1, "b": 2} and site.left() == about(stays)
        assert site.request(lambda s: s.idle_timeout, cookie).result == stays

    @pytest.mark.parametrize("act", [Session.regenerate, put(owner="ada")], ids=["regenerate", "login"])
    def test_it_is_kept_over_a_change_of_id(self, site: Site, act: Any) -> None:
        """The new id has it too."""
        cookie = site.start({"a": 1})
        site.request(put(idle_timeout=900), cookie)
        fresh = site.request(act, cookie).cookie
        assert site.request(lambda s: s.idle_timeout, fresh).result == 900 and site.left() == about(900)

    def test_it_is_listed(self, site: Site) -> None:
        """What a listing says of the last use and of the end goes by it."""
        site.request(put(owner="ada", idle_timeout=900))
        (info,) = site.manager.owned_by("ada")
        assert info.expires - info.used == about(900)

    def test_from_outside(self, site: Site) -> None:
        """A session opened by its key may have it set too."""
        site.start({"a": 1}, "ada")
        (key,) = site.live()
        opened = site.manager.open(key)
        assert opened is not None
        opened.idle_timeout = 900
        assert opened.save() and site.left() == about(900)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("900", TypeError),
        (True, TypeError),
        (0, ValueError),
        (-1, ValueError),
        (math.inf, ValueError),
        (math.nan, ValueError),
        (10**400, ValueError),
        (timedelta(0), ValueError),
    ],
    ids=repr,
)
def test_what_it_may_not_be(wrong: Any, error: type[Exception]) -> None:
    """An error at once, which names the attribute."""
    with pytest.raises(error, match="idle_timeout"):
        Site().request(put(idle_timeout=wrong))


@pytest.mark.parametrize("switch", [{"idle_timeout": 900}, {"persistent": True}], ids=["idle", "persistent"])
def test_it_alone_makes_no_session(switch: Any) -> None:
    """Visitors who store nothing get no cookie."""
    site = Site()
    assert site.request(put(**switch)).set_cookie is None and site.live() == []


def test_on_a_session_that_is_gone_it_only_shows() -> None:
    """Nothing is stored, and no cookie is set."""
    site = Site()
    both = f"{site.start({'a': 1})}; {site.start({'a': 2})}"
    change = put(idle_timeout=900, persistent=True)
    answer = site.request(lambda s: (change(s), s.idle_timeout, s.persistent, s.gone), both)
    assert answer.result[1:] == (900, True, True) and answer.set_cookie is None


@pytest.mark.parametrize(
    "facts", [{"idle_timeout": 900.0}, {"persistent": False}, {"owner": "ada"}], ids=repr
)
def test_the_same_again_is_no_change(facts: Any) -> None:
    """Nothing is written, and no cookie is set."""
    store = StoreDouble()
    site = Site(store)
    cookie = site.start({"a": 1}, "ada")
    site.request(put(idle_timeout=900), cookie)
    store.calls.clear()
    assert site.request(put(**facts), cookie).set_cookie is None
    assert store.calls == ["load"]


class TestWithoutACookieThatFollows:
    """After the headers, and from the manager."""

    @pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "not persistent"])
    def test_after_the_headers(self, persistent: bool) -> None:
        """A persistent session's Max-Age could not follow: it is refused. Another one's needs no cookie."""

        def act(session: Session) -> None:
            with pytest.raises(HeadersSent) if persistent else nullcontext():
                session.idle_timeout = 900

        middleware = wrap(late(act))
        site = Site(middleware.manager.store)
        cookie = site.request(lambda s: (s.update(a=1), put(persistent=persistent)(s))).cookie
        Server(middleware, cookie).run()
        assert site.left() == about(REMEMBER if persistent else 900)

    def test_by_its_key(self) -> None:
        """The same: a SessionError, and nothing is changed."""
        site = Site()
        site.request(put(owner="ada", persistent=True))
        opened = site.manager.open(site.live()[0])
        assert opened is not None
        with pytest.raises(SessionError, match="cookie"):
            opened.idle_timeout = 900
        opened["a"] = 1
        assert opened.save() and site.left() == about(REMEMBER)


@pytest.mark.parametrize("progress", [True, False], ids=["a page asks for its progress", "nobody asks"])
def test_an_upload_that_takes_longer_than_the_timeout(progress: bool, clock: Clock) -> None:
    """A request is a use when it is answered. Another request in the meantime keeps the session."""
    site = Site(MemoryStore(clock=clock), clock=clock, idle_timeout=100)
    cookie = site.start({"a": 1})

    def upload(session: Session) -> None:
        assert session["a"] == 1
        for _ in range(3):
            clock.advance(50)
            if progress:
                site.read(cookie)
        session["uploaded"] = True

    site.request(upload, cookie)
    assert site.read(cookie) == ({"a": 1, "uploaded": True} if progress else {})


class TestShorterLimits:
    """The limits were made shorter, and the site was started again."""

    @pytest.mark.parametrize(
        ("persistent", "before", "now", "lasts"),
        [
            (True, {}, {"remember": DAY}, DAY),
            (False, {}, {"idle_timeout": 300}, 300),
            (False, {"idle_timeout": None}, {"idle_timeout": None, "lifetime": 3600}, 3600),
            (False, {}, {"lifetime": 600}, 600),
        ],
        ids=["remember", "idle_timeout", "lifetime", "lifetime below the idle timeout"],
    )
    def test_they_reach_who_is_logged_in(
        self, every_store: Any, persistent: bool, before: Any, now: Any, lasts: float
    ) -> None:
        """With the next request: what is left is cut to what is allowed now. The cookie follows."""
        site = Site(every_store, **before)
        cookie = site.request(put(owner="ada", persistent=persistent)).cookie
        site = Site(every_store, **now)
        answer = site.request(lambda s: s.owner, cookie)
        assert answer.result == "ada" and site.left() == about(lasts)
        assert (f"Max-Age={lasts}" in str(answer.set_cookie)) is persistent

    def test_with_a_write(self) -> None:
        """A request that changes something needs no second one for it."""
        store = StoreDouble()
        cookie = Site(store).start({"a": 1})
        site = Site(store, idle_timeout=300)
        store.calls.clear()
        site.request(lambda s: s.update(a=2), cookie)
        assert store.calls == ["load", "replace"] and site.left() == about(300)

    def test_of_an_old_session_one_timeout_is_left(self, clock: Clock) -> None:
        """Nothing is left of its lifetime either: it ends when it was not used for one timeout."""
        store = MemoryStore()
        cookie = Site(store, clock=clock, lifetime=10 * DAY, idle_timeout=5 * DAY).start({"a": 1})
        clock.advance(3 * DAY)
        site = Site(store, clock=clock, lifetime=DAY, idle_timeout=300)
        assert site.read(cookie) == {"a": 1} and site.left() == about(300)

    def test_a_persistent_session_from_outside(self) -> None:
        """Its cookie cannot follow, so its expiry stays as it is."""
        store = MemoryStore()
        Site(store).request(put(owner="ada", persistent=True))
        site = Site(store, remember=DAY)
        opened = site.manager.open(site.live()[0])
        assert opened is not None
        opened["a"] = 1
        assert opened.save() and site.left() == about(REMEMBER)


def quiet(act: Callable[[Session], Any]) -> Callable[[Session], Any]:
    """Return a handler whose request is no use of the session."""

    def handler(session: Session) -> Any:
        session.passive = True
        return act(session)

    return handler


class TestPassive:
    @pytest.fixture
    def site(self) -> Site:
        return Site()

    @pytest.fixture
    def cookie(self, site: Site) -> str:
        """A session of which little is left."""
        cookie = site.start({"a": 1}, "ada")
        site.manager.store.touch(site.live()[0], 1000)
        return cookie

    @pytest.mark.parametrize(
        "act",
        [
            lambda s: s["a"],
            lambda s: s.expires,
            lambda s: s.update(b=1),
            lambda s: s.save(),
            lambda s: s.atomic(lambda s: s.update(b=1)),
            lambda s: s.reload(),
        ],
        ids=["read", "expires", "write", "save", "atomic", "reload"],
    )
    def test_the_expiry_is_not_moved(self, site: Site, cookie: str, act: Any) -> None:
        """Neither by a read nor by a write; a request that is not passive moves it."""
        assert site.request(quiet(act), cookie).set_cookie is None
        assert site.left() == about(1000)
        site.request(act, cookie)
        assert site.left() == about(7200)

    @pytest.mark.parametrize(
        ("switch", "lasts"),
        [({"persistent": True}, REMEMBER), ({"idle_timeout": 5000}, 5000)],
        ids=["persistent", "idle"],
    )
    def test_a_switch_sets_it(self, site: Site, cookie: str, switch: Any, lasts: float) -> None:
        """What the application sets is set."""
        site.request(quiet(put(**switch)), cookie)
        assert site.left() == about(lasts)

    def test_a_new_id_gets_the_seconds_left(self, site: Site, cookie: str) -> None:
        """And not a whole timeout."""
        fresh = site.request(quiet(Session.regenerate), cookie).cookie
        assert site.left() == about(1000) and site.read(fresh) == {"a": 1}

    def test_a_login_begins_all_the_same(self, site: Site, cookie: str) -> None:
        """It is another session."""
        site.request(quiet(put(owner="bob")), cookie)
        assert site.left() == about(7200)

    def test_a_new_session_begins_all_the_same(self, site: Site) -> None:
        """With a whole timeout."""
        site.request(quiet(lambda s: s.update(a=1)))
        assert site.left() == about(7200)

    def test_it_holds_for_one_request(self, site: Site, cookie: str) -> None:
        """It is False at the beginning, and may be taken back."""

        def taken_back(session: Session) -> bool:
            before = session.passive
            session.passive = True
            session.passive = False
            return before

        assert site.request(taken_back, cookie).result is False
        assert site.left() == about(7200)

    @pytest.mark.parametrize("name", ["passive", "persistent"])
    def test_it_is_a_bool(self, name: str) -> None:
        """Anything else is a TypeError. So it is for ``persistent``."""
        with pytest.raises(TypeError, match=f"{name}.*True or False"):
            Site().request(put(**{name: 1}))


class Lasting(MemoryStore):
    """Somebody took the expiries away."""

    lasting = True

    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], NO_EXPIRY if self.lasting else found[1])


class TestAnExpirySomebodyTookAway:
    @pytest.mark.parametrize(
        "act",
        [
            lambda s: s["a"],
            quiet(lambda s: s["a"]),
            lambda s: s.update(a=2),
            quiet(lambda s: s.update(a=2)),
            Session.regenerate,
            quiet(Session.regenerate),
            put(idle_timeout=7200),
        ],
        ids=["read", "passive read", "write", "passive write", "new id", "passive new id", "switch"],
    )
    @pytest.mark.parametrize(
        ("age", "lasts"),
        [(0, 7200), (DAY - 600, 600), (2 * DAY, 7200)],
        ids=["young", "old", "past the lifetime"],
    )
    def test_the_next_request_sets_one(self, act: Any, age: float, lasts: float, clock: Clock) -> None:
        """What is allowed, or one timeout where nothing of the lifetime is left; whatever the request does."""
        store = Lasting()
        site = Site(store, clock=clock)
        cookie = site.start({"a": 1})
        clock.advance(age)
        (key,) = site.live()
        store.touch(key, 10 * DAY)
        site.request(act, cookie)
        store.lasting = False
        assert site.left() == about(lasts)


class TestAtTheEndOfTheLifetime:
    def test_a_slow_store_does_not_move_the_end(self, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        """However long its calls take: a session that is written to all the time lives no longer than its lifetime."""
        for module in ("records", "commit", "visit"):
            monkeypatch.setattr(f"wsgisession.{module}.monotonic", clock)
        store = StoreDouble(MemoryStore(clock=clock))
        site = Site(store, clock=clock, idle_timeout=30, lifetime=100)
        cookie, start = site.start({"n": 0}), clock()
        store.before(None, lambda: clock.advance(1), times=None)
        store.after(None, lambda: clock.advance(1), times=None)
        while site.request(lambda s: s.new or s.update(n=s["n"] + 1), cookie).result is not True:
            assert clock() <= start + 100 + 4

    @pytest.mark.parametrize(
        "act",
        [lambda s: s["a"], lambda s: s.update(a=2), Session.regenerate],
        ids=["read", "write", "a new id"],
    )
    def test_its_last_moment_is_no_missing_expiry(self, act: Any, clock: Clock) -> None:
        """Less than a millisecond is left, and it stays so, under a new id too."""
        site = Site(MemoryStore(clock=clock), clock=clock, idle_timeout=60, lifetime=100)
        cookie = site.start({"a": 1})
        clock.advance(50)
        site.read(cookie)
        clock.advance(49.9996)
        answer = site.request(act, cookie)
        cookie = answer.cookie if answer.set_cookie else cookie
        clock.advance(0.01)
        assert site.request(lambda s: s.new, cookie).result is True
