"""Session: all that dict offers, and its life."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from support.breadth import breadth
from support.clock import Clock
from support.store_double import StoreDouble
from support.versions import SMALL
from support.web import SECRET, Site

from wsgisession import (
    Cookie,
    HeadersSent,
    MemoryStore,
    Session,
    SessionError,
    UnreadableValue,
    UnsupportedType,
)


@pytest.fixture
def site() -> Site:
    return Site()


def inside(site: Site, data: dict[str, Any], check: Callable[[Session], Any]) -> Any:
    """Run ``check`` in a request whose session holds ``data``."""
    return site.request(check, site.start(data)).result


DATA = {"a": 1, "b": [1, 2], "c": {"d": None}}


class TestMapping:
    """Session behaves as a dict with the same content."""

    @pytest.mark.parametrize(
        "act",
        [
            lambda m: m["a"],
            lambda m: m["missing"],
            lambda m: m.get("b"),
            lambda m: m.get("missing", 7),
            lambda m: ("a" in m, "z" in m, len(m), bool(m), list(m), list(reversed(m))),
            lambda m: (list(m.keys()), list(reversed(m.keys()))),
            lambda m: (list(m.values()), list(reversed(m.values()))),
            lambda m: (list(m.items()), list(reversed(m.items()))),
            lambda m: [item in m.items() for item in [("a", 1), ("a", 2), ("z", 1), ("a",), 5, ["a", 1]]],
            lambda m: (m.keys() & ["a", "z"], m.keys() | {"z"}, m.keys() - ["a"], m.keys() ^ {"z"}),
            lambda m: m.pop("a"),
            lambda m: m.pop("missing"),
            lambda m: m.pop("missing", 3),
            lambda m: (m.popitem(), m.popitem(), m.popitem()),
            lambda m: [m.popitem() for _ in range(4)],
            lambda m: m.setdefault("b", 3),
            lambda m: m.setdefault("z", []).append(1),
            lambda m: m.update({"a": 2}, z=3),
            lambda m: m.update([("a", 2)]),
            lambda m: m.clear(),
            lambda m: m.__delitem__("b"),
            lambda m: m.__delitem__("missing"),
            lambda m: m.__setitem__("a", [1]),
            lambda m: (m == DATA, m != DATA, m == {}, m == 3, m == [("a", 1)]),
            lambda m: m | {"z": 1},
            lambda m: {"z": 1, "a": 0} | m,
            lambda m: m | 3,
            lambda m: 3 | m,
            lambda m: m.__ior__({"z": 1}) is m,
            lambda m: m.__ior__([("z", 1)]) is m,
            lambda m: (m.copy(), type(m.copy())),
            lambda m: (copy.copy(m), copy.deepcopy(m) == DATA, copy.deepcopy(m)["b"].append(3)),
            lambda m: dict(m),
            lambda m: {**m},
            lambda m: m["b"].append(3),
            lambda m: [m.__delitem__(key) for key in m],
            lambda m: [m.update({"z": 1}) for key in m],
            lambda m: [(value, m.__setitem__("a", 99)) for value in reversed(m.values())],
            lambda m: [(item, m.__setitem__("a", 99)) for item in reversed(m.items())],
            lambda m: [m.__delitem__(key) for key in reversed(m.keys())],
            lambda m: [m.popitem() for _ in reversed(m.items())],
            lambda m: m.__setitem__("z", m.pop("a")),
            lambda m: m.__setitem__("a", m.pop("a")),
            lambda m: hash(m),
        ],
    )
    def test_it_does_what_a_dict_does(self, site: Site, act: Any) -> None:
        """The same result or the same kind of error, and the same content in the same order afterwards."""

        def outcome(mapping: Any) -> Any:
            try:
                result = act(mapping)
            except (KeyError, TypeError, RuntimeError) as error:
                result = type(error)
            return result, list(mapping.items())

        cookie = site.start(copy.deepcopy(DATA))
        expected = outcome(copy.deepcopy(DATA))
        assert site.request(outcome, cookie).result == expected
        assert list(site.read(cookie).items()) == expected[1]

    @pytest.mark.parametrize(
        "act",
        [
            lambda s: s[1],
            lambda s: s.__setitem__(1, 1),
            lambda s: s.__delitem__(1),
            lambda s: 1 in s,
            lambda s: s.get(None),
            lambda s: s.__setitem__(type("Text", (str,), {})("a"), 1),
        ],
        ids=["get", "set", "delete", "in", "get()", "a subclass of str"],
    )
    def test_keys_are_str(self, site: Site, act: Any) -> None:
        """Any other key is a TypeError at once."""
        with pytest.raises(TypeError, match="keys are str"):
            inside(site, DATA, act)

    def test_it_is_not_pickled(self, site: Site) -> None:
        """The id must not leave the process."""
        with pytest.raises(TypeError, match="dict"):
            inside(site, DATA, pickle.dumps)

    def test_repr_says_what_it_is_and_loads_nothing(self, site: Site) -> None:
        """Untouched, new, live."""
        assert inside(site, DATA, repr) == "<Session, not touched>"
        assert site.request(lambda s: len(s) or repr(s)).result == "<Session new, key None>"
        told = inside(site, DATA, lambda s: (len(s), repr(s), s.key))
        assert told[1] == f"<Session live, key {told[2]}>"

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("ownr", "did you mean 'owner'?"),
            ("is_new", "here it is session.new"),
            ("invalidate", "here it is session.destroy()"),
            ("modified", "changes are noticed"),
            ("adjust_timeout_for_session", "here it is session.idle_timeout = seconds"),
            ("cart", "store a value as session['cart']"),
            ("mro", "store a value as session['mro']"),
        ],
    )
    def test_a_slip_is_named(self, site: Site, name: str, said: str) -> None:
        """An attribute that a session does not have is an error that helps, whether it is read or set."""

        def slips(session: Session) -> None:
            with pytest.raises(AttributeError) as read:
                getattr(session, name)
            with pytest.raises(AttributeError) as written:
                setattr(session, name, "ada")
            assert said in str(read.value) and str(written.value) == str(read.value)

        site.request(slips)
        assert not any(name in kind.__dict__ for kind in Session.__mro__)

    def test_an_underscored_name_is_no_slip(self, site: Site) -> None:
        """Who probes for one is told that it is not there, and nothing else."""

        def probe(session: Session) -> str:
            with pytest.raises(AttributeError) as caught:
                getattr(session, "_name")  # noqa: B009
            return str(caught.value)

        assert site.request(probe).result == "a session has no attribute '_name'"

    @pytest.mark.parametrize("name", ["owner", "created", "key", "new"])
    def test_an_attribute_error_of_a_store_is_no_slip(self, name: str) -> None:
        """It is a bug of the store, and goes on as it is, also through a property."""
        store = StoreDouble()
        site = Site(store)
        cookie = site.start({"a": 1})
        store.fail("load", AttributeError("a bug of the store"), times=None)
        with pytest.raises(AttributeError, match="^a bug of the store$"):
            site.request(lambda s: getattr(s, name), cookie)


class TestLife:
    """key, new, gone, created, expires, owner, persistent, and what changes them."""

    def test_a_new_session(self, site: Site) -> None:
        """It has no key until it is saved; then it is live, and one cookie is set."""

        def handler(s: Session) -> Any:
            before = s.new, s.gone, s.key
            s["a"] = 1
            assert s.save() is True and s.save() is True
            return before, (s.new, s.gone, s.key in site.live())

        answer = site.request(handler)
        assert answer.result == ((True, False, None), (False, False, True))
        assert answer.set_cookie is not None and "Max-Age" not in answer.set_cookie

    def test_times(self, clock: Clock) -> None:
        """created and expires are POSIX seconds; both limits count."""
        site = Site(clock=clock, idle_timeout=100, lifetime=150)
        start = clock()
        assert site.request(lambda s: (s.created, s.expires)).result == (start, start + 100)
        cookie = site.start({"a": 1})
        assert site.request(lambda s: s.created, cookie).result == start
        assert site.request(lambda s: s.expires, cookie).result == pytest.approx(start + 100, abs=1)

    def test_a_session_begins_when_it_is_stored(self, clock: Clock) -> None:
        """Before that, and while an owner leaves, it begins now."""
        site = Site(clock=clock)
        start = clock()

        def slow(session: Session) -> list[float]:
            seen = [session.created]
            clock.advance(5)
            session.owner = "ada"
            seen.append(session.created)
            session.save()
            clock.advance(5)
            seen.append(session.created)
            session.owner = None
            return [*seen, session.created]

        answer = site.request(slow)
        assert answer.result == [start, start + 5, start + 5, start + 10]
        assert site.request(lambda s: s.created, answer.cookie).result == start + 10

    def test_a_wrong_clock_kills_nothing(self, clock: Clock) -> None:
        """A day ahead: the session lives on, its expiry is no longer moved, and a write keeps what is left."""
        site = Site(clock=clock, idle_timeout=100, lifetime=150)
        cookie = site.start({"a": 1})
        clock.advance(86400)
        site.request(lambda s: s.update(a=2), cookie)
        assert site.read(cookie) == {"a": 2}
        clock.advance(-2 * 86400)
        assert site.read(cookie) == {"a": 2}

    def test_login_and_logout_by_owner(self, clock: Clock) -> None:
        """A different owner is a new id and a new beginning; the same owner is nothing."""
        site = Site(clock=clock)
        cookie = site.start({"a": 1})
        clock.advance(10)
        login = site.request(lambda s: setattr(s, "owner", "ada"), cookie)
        assert site.request(lambda s: (s.owner, s.created), login.cookie).result == ("ada", clock())
        again = site.request(lambda s: setattr(s, "owner", "ada"), login.cookie)
        assert again.set_cookie is None
        out = site.request(lambda s: setattr(s, "owner", None), login.cookie)
        assert site.request(lambda s: (s.owner, dict(s)), out.cookie).result == (None, {})

    @pytest.mark.parametrize("before", [None, "eve"], ids=["nobody", "somebody"])
    @pytest.mark.parametrize("after", ["ada", None], ids=["login", "logout"])
    def test_created_begins_again_as_the_owner_is_set(
        self, before: str | None, after: str | None, clock: Clock
    ) -> None:
        """The request that logs in or out sees it at once, also if it takes the session from another owner."""
        site = Site(clock=clock)
        cookie = site.start({"a": 1}, before)
        start = clock()
        clock.advance(10)

        def view(session: Session) -> tuple[float, float]:
            seen = session.created
            session.owner = after
            return seen, session.created

        begun = start if before == after else clock()
        assert site.request(view, cookie).result == (start, begun)

    @pytest.mark.parametrize("owner", ["", "x" * 256, "a\0b", "\ud800", 1, b"ada", True], ids=ascii)
    def test_owners_are_text_within_bounds(self, site: Site, owner: Any) -> None:
        """1 to 255 characters without NUL or lone surrogates. For another type the error says what to pass."""
        error, said = (ValueError, "owner") if isinstance(owner, str) else (TypeError, r"str\(user\.id\)")
        with pytest.raises(error, match=said):
            site.request(lambda s: setattr(s, "owner", owner))

    def test_created_stays_with_regenerate(self, clock: Clock) -> None:
        """A new id for the same session; a regenerate of a new one is nothing."""
        site = Site(clock=clock)
        start, cookie = clock(), site.start({"a": 1}, "ada")
        clock.advance(10)
        fresh = site.request(lambda s: s.regenerate(), cookie).cookie
        assert fresh != cookie
        assert site.request(lambda s: s.created, fresh).result == start
        assert site.request(lambda s: s.regenerate()).set_cookie is None

    def test_a_regenerate_does_not_outlive_the_lifetime(self, clock: Clock) -> None:
        """Nothing of it is left: the new id ends when the old one would have."""
        site = Site(idle_timeout=100, lifetime=200, clock=clock)
        cookie = site.start({"a": 1})
        site.manager.store.touch(*site.live(), 20)
        clock.advance(250)
        site.request(Session.regenerate, cookie)
        assert site.left() == pytest.approx(20, abs=1)

    def test_reload_drops_changes_and_keeps_a_regenerate(self, site: Site) -> None:
        """Held containers show what is stored."""
        cookie = site.start({"a": [1], "gone": [1], "n": 1})

        def handler(s: Session) -> Any:
            held = s["a"]
            held.append(2)
            s["b"], s["n"] = 1, 5
            s["gone"].append(2)
            s.regenerate()
            site.request(lambda other: other.pop("gone"), cookie)
            s.reload()
            return held, held is s["a"], dict(s)

        answer = site.request(handler, cookie)
        assert answer.result == ([1], True, {"a": [1], "n": 1})
        assert answer.cookie != cookie

    def test_reload_of_nothing_and_of_what_vanished(self, site: Site) -> None:
        """A new session is empty again; one that vanished is gone."""
        assert site.request(lambda s: s.update(a=1) or s.reload() or dict(s)).result == {}
        cookie = site.start({"a": 1})

        def handler(s: Session) -> Any:
            s["a"] = 2
            site.request(lambda other: other.destroy(), cookie)
            s.reload()
            return s.gone, dict(s)

        assert site.request(handler, cookie).result == (True, {})

    def test_destroy_and_write_is_one_new_session(self, site: Site) -> None:
        """One Set-Cookie, the new one; the old is dead."""
        cookie = site.start({"a": 1}, "ada")

        def handler(s: Session) -> Any:
            s.destroy()
            seen = s.new, s.gone, dict(s), s.owner
            s["b"] = 2
            return seen

        answer = site.request(handler, cookie)
        assert answer.result == (True, False, {}, None)
        assert site.read(answer.cookie) == {"b": 2} and site.read(cookie) == {}

    def test_destroying_a_session_made_in_this_request(self, site: Site) -> None:
        """The request brought no cookie, so none is deleted."""
        answer = site.request(lambda s: s.update(a=1) or s.save() and s.destroy())
        assert answer.set_cookie is None and site.live() == []

    def test_an_old_secret_is_replaced(self) -> None:
        """Its token verifies and is signed again when the session is touched; a token of a removed secret is worthless."""
        store, new = MemoryStore(), "another secret of at least 32 bytes"
        cookie = Site(store).start({"a": 1})
        site = Site(store, secret=[new, SECRET])
        assert site.request(lambda s: None, cookie).set_cookie is None
        answer = site.request(dict, cookie)
        assert answer.result == {"a": 1} and answer.cookie != cookie
        assert site.request(dict, answer.cookie).set_cookie is None
        assert Site(store, secret=new).read(answer.cookie) == {"a": 1}
        assert Site(store, secret=new).read(cookie) == {}

    def test_two_tokens_of_one_id_are_one_session(self) -> None:
        """A cookie before and after the rotation of the secret do not contradict each other."""
        store, new = MemoryStore(), "another secret of at least 32 bytes"
        old = Site(store).start({"a": 1})
        site = Site(store, secret=[new, SECRET])
        fresh = site.request(dict, old).cookie
        assert site.read(f"{fresh}; {old}") == {"a": 1}

    def test_a_dead_cookie_beside_a_live_one(self, site: Site) -> None:
        """The one whose record lives is used."""
        dead, live = site.start({"a": 1}), site.start({"b": 2})
        site.request(lambda s: s.destroy(), dead)
        assert site.read(f"{dead}; {live}") == {"b": 2}


class TestPersistent:
    """ "Remember me"."""

    def site(self) -> Site:
        return Site(idle_timeout=100, lifetime=200, remember=1000)

    def test_it_sets_a_max_age_and_counts_instead_of_both_limits(self) -> None:
        """The cookie follows, once, and the expiry too."""
        site = self.site()
        cookie = site.start({"a": 1})
        answer = site.request(lambda s: setattr(s, "persistent", True), cookie)
        assert "Max-Age=1000" in str(answer.set_cookie) and answer.cookie == cookie
        later = site.request(lambda s: (s.persistent, s.expires - s.created), cookie)
        assert later.result[0] is True and later.result[1] == pytest.approx(1000, abs=2)
        assert later.set_cookie is None

    def test_a_failing_response_says_what_is_stored(self) -> None:
        """Saved, then switched, then an error: the cookie that goes out with the error page ends with the browser."""

        def handler(session: Session) -> None:
            session["a"] = 1
            session.save()
            session.persistent = True

        answer = self.site().request(handler, status="500 Internal Server Error")
        assert answer.set_cookie is not None and "Max-Age" not in answer.set_cookie

    def test_a_refresh_takes_the_cookie_along(self) -> None:
        """When the expiry moves, so does Max-Age; by the manager neither does."""
        site = self.site()
        cookie = site.start({"a": 1})
        site.request(lambda s: setattr(s, "persistent", True), cookie)
        (key,) = site.live()
        site.manager.store.touch(key, 500)
        opened = site.manager.open(key)
        assert opened is not None and opened.save()
        assert site.left() == pytest.approx(500, abs=1)
        assert "Max-Age=1000" in str(site.request(dict, cookie).set_cookie)

    def test_forgetting_sets_it_anew(self, clock: Clock) -> None:
        """The cookie ends with the browser again; past the lifetime one idle timeout is left."""
        site = Site(idle_timeout=100, lifetime=200, remember=1000, clock=clock)
        cookie = site.start({"a": 1})
        site.request(lambda s: setattr(s, "persistent", True), cookie)
        clock.advance(500)
        answer = site.request(lambda s: setattr(s, "persistent", False), cookie)
        assert "Max-Age" not in str(answer.set_cookie)
        assert site.left() == pytest.approx(100, abs=1)

    def test_by_default(self) -> None:
        """Cookie(persistent=True) makes every new session one."""
        site = Site(cookie=Cookie(persistent=True), remember=1000)
        assert "Max-Age=1000" in str(site.request(lambda s: s.update(a=1)).set_cookie)


class TestTooLate:
    """After the headers."""

    def test_after_a_failure_changes_are_dropped(self, site: Site) -> None:
        """save() says False, atomic() runs, nothing is stored; a new id is still an error."""
        cookie = site.start({"a": 1})
        session: Session = site.request(lambda s: s, cookie, status="500 Internal Server Error").result
        session["a"] = 2
        assert session.save() is False
        assert session.atomic(lambda s: s["a"]) == 2
        session.owner = "bob"
        with pytest.raises(HeadersSent):
            session.regenerate()
        assert site.read(cookie) == {"a": 1}


class TestOwner:
    """siblings() and destroy_siblings()."""

    def test_other_sessions_of_the_owner(self, site: Site) -> None:
        """Listed newest first, ended at once, this one never among them, not even across its login."""
        first, second = site.start({"n": 1}, "ada"), site.start({"n": 2}, "ada")
        site.start({}, "bob")
        anonymous = site.start({"x": 1})

        def login(s: Session) -> Any:
            s.owner = "ada"
            s.save()
            return [info.owner for info in s.siblings()], s.destroy_siblings(), s.siblings()

        answer = site.request(login, anonymous)
        assert answer.result == (["ada", "ada"], 2, [])
        assert site.read(answer.cookie) == {"x": 1}
        assert site.read(first) == site.read(second) == {}
        assert len(site.manager.owned_by("bob")) == 1

    def test_a_login_over_a_broken_value_leaves_it_behind(self, site: Site) -> None:
        """Another owner begins without the data of the last one, readable or not."""
        cookie = site.start({"a": 1}, "ada")
        (key,) = site.live()
        site.rewrite(key, lambda payload: payload[:-1] + b"}")

        def login(session: Session) -> int:
            with pytest.raises(UnreadableValue):
                session.get("a")
            session.owner = "bob"
            return len(session)

        assert site.request(login, cookie).result == 0
        assert len(site.live()) == 1 and key not in site.live()

    def test_a_login_with_a_value_that_cannot_be_stored(self, site: Site) -> None:
        """It fails before anything was written: the old id lives, and no new one was made."""
        cookie = site.start({"cart": []})

        def login(session: Session) -> None:
            session["cart"].append(object())
            session.owner = "ada"

        with pytest.raises(UnsupportedType, match=r"session\['cart'\]\[0\]"):
            site.request(login, cookie)
        assert site.read(cookie) == {"cart": []} and len(site.live()) == 1

    def test_without_an_owner(self, site: Site) -> None:
        """SessionError, which says what to do."""
        for act in (lambda s: s.siblings(), lambda s: s.destroy_siblings()):
            with pytest.raises(SessionError, match="owner"):
                site.request(act)

    @pytest.mark.parametrize("end", ["ended meanwhile", "another id"])
    def test_a_session_that_is_gone_has_none(self, site: Site, end: str) -> None:
        """A late "log out everywhere" of a session that is gone is no error, and it ends nobody."""
        cookie = site.start({}, "ada")
        site.start({}, "ada")
        if end == "another id":
            site.request(lambda s: s.regenerate(), cookie)

        def view(session: Session) -> tuple[bool, list[Any], int, int]:
            if session.key is not None:
                site.manager.destroy(session.key)
                session["late"] = 1
                session.save()
            return session.gone, session.siblings(), session.destroy_siblings(), session.destroy_siblings()

        left = 1 if end == "ended meanwhile" else 2
        assert site.request(view, cookie).result == (True, [], 0, 0)
        assert len(site.manager.owned_by("ada")) == left


KEYS = st.sampled_from(["a", "b", "c", "d", "é\ud800"])


class SessionMachine(RuleBasedStateMachine):
    """A browser's session through the middleware, against a plain dict."""

    values = Bundle("values")

    @initialize()
    def start(self) -> None:
        self.site, self.model, self.cookie = Site(max_size=10**6), {}, ""

    def request(self, handler: Any) -> Any:
        answer = self.site.request(handler, self.cookie)
        if answer.set_cookie is not None:
            self.cookie = "" if "Max-Age=0" in answer.set_cookie else answer.cookie
        return answer.result

    @rule(key=KEYS, value=SMALL)
    def assign(self, key: str, value: Any) -> None:
        self.request(lambda s: s.__setitem__(key, value))
        self.model[key] = copy.deepcopy(value)

    @rule(key=KEYS)
    def pop(self, key: str) -> None:
        assert self.request(lambda s: s.pop(key, None)) == self.model.pop(key, None)

    @rule(key=KEYS, value=SMALL)
    def mutate(self, key: str, value: Any) -> None:
        def change(mapping: Any) -> None:
            held = mapping.get(key)
            if isinstance(held, list):
                held.append(copy.deepcopy(value))
            elif isinstance(held, dict):
                held["x"] = copy.deepcopy(value)

        self.request(change)
        change(self.model)

    @rule(key=KEYS, value=SMALL)
    def change_and_fail(self, key: str, value: Any) -> None:
        def handler(s: Session) -> None:
            s[key] = value
            s.clear()
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.request(handler)

    @rule(key=KEYS, value=SMALL)
    def several_saves(self, key: str, value: Any) -> None:
        def handler(s: Session) -> None:
            s[key] = value
            s.save()
            s.atomic(lambda s: s.update(d=[value]))

        self.request(handler)
        self.model[key] = copy.deepcopy(value)
        self.model["d"] = [copy.deepcopy(value)]

    @rule(owner=st.sampled_from([None, "ada", "bob"]))
    def log_in_or_out(self, owner: str | None) -> None:
        def handler(s: Session) -> bool:
            left = s.owner is not None and s.owner != owner
            s.owner = owner
            return left

        if self.request(handler):
            self.model.clear()

    @rule()
    def regenerate(self) -> None:
        self.request(lambda s: s.regenerate())

    @rule()
    def clear(self) -> None:
        self.request(lambda s: s.clear())
        self.model.clear()

    @rule()
    def destroy(self) -> None:
        self.request(lambda s: s.destroy())
        self.model.clear()

    @invariant()
    def the_session_is_the_model(self) -> None:
        if hasattr(self, "site"):
            assert list(self.request(lambda s: s.copy()).items()) == list(self.model.items())
            assert len(self.site.live()) <= 1


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(
    max_examples=breadth.much(10, 40), stateful_step_count=20, deadline=None
)
