"""Logins as the web really sends them: twice, late, over each other, with a cookie too many, after a revocation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support.one_login import one_login_per_user, only_here
from support.schedules import plans
from support.store_double import StoreDouble
from support.visitor import Visitor
from support.web import Answer, Site, together

from wsgisession import Cookie, Session, StoreError, UnsupportedType
from wsgisession.record import Marker

MINUTE = 60.01  # seconds, and what a store may add by rounding


@pytest.fixture
def double() -> StoreDouble:
    return StoreDouble()


class InEveryStore:
    """The tests of a subclass run in each kind of store."""

    @pytest.fixture
    def double(self, every_store: Any) -> StoreDouble:
        return StoreDouble(every_store)


@pytest.fixture
def site(double: StoreDouble) -> Site:
    return Site(double)


@pytest.fixture
def visitor(site: Site) -> Visitor:
    """Somebody with a cart, whom nobody knows yet."""
    visitor = Visitor(site)
    visitor.visit(lambda session: session.update(cart=["tea"]))
    return visitor


def log_in(session: Session) -> None:
    session.get("csrf")  # every form does
    session.owner = "ada"


def as_owner(owner: str | None) -> Callable[[Session], None]:
    return lambda session: setattr(session, "owner", owner)


def after(first: Callable[[], Any], then: Callable[[Session], Any]) -> Callable[[Session], Any]:
    """Return a handler that looks at its session, waits until ``first`` is done, and goes on."""

    def handler(session: Session) -> Any:
        session.get("csrf")
        first()
        return then(session)

    return handler


def write(session: Session) -> bool:
    session["late"] = True
    return session.gone


def write_again(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def seen(session: Session) -> tuple[str | None, Any]:
    return session.owner, session.get("cart")


def keys_of(site: Site, owner: str) -> set[str]:
    return {info.key for info in site.manager.owned_by(owner)}


# The cookie of a session that is no more, or never was


def ended(site: Site, visitor: Visitor) -> None:
    (key,) = site.live()
    assert site.manager.destroy(key)


def expired(site: Site, visitor: Visitor) -> None:
    (key,) = site.live()
    assert site.manager.store.touch(key, 0.001)
    time.sleep(0.005)


def unknown(site: Site, visitor: Visitor) -> None:
    ended(site, visitor)
    identity = site.manager.identity
    assert identity is not None
    visitor.jar = {("sid", "", "/"): identity.sign("sid", identity.new_id())}


def live(site: Site, visitor: Visitor) -> None:
    pass


BEFORE = pytest.mark.parametrize("before", [live, ended, expired, unknown])


class TestTheFormIsSentTwice(InEveryStore):
    @pytest.mark.parametrize("kept", ["first", "second"])
    @pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "one after the other"])
    def test_the_visitor_is_logged_in_with_the_cart(
        self, site: Site, visitor: Visitor, overlap: bool, kept: str
    ) -> None:
        """It does not matter which response arrives last."""
        first, second = send_twice(visitor, log_in, overlap)
        for answer in (second, first) if kept == "first" else (first, second):
            visitor.take(answer)
        assert visitor.visit(seen) == ("ada", ["tea"])

    @BEFORE
    @pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "one after the other"])
    def test_the_first_ones_session_ends_within_a_minute(
        self, site: Site, visitor: Visitor, overlap: bool, before: Any
    ) -> None:
        """Unless the browser kept it: then the next request gives it its time back."""
        before(site, visitor)
        first, second = send_twice(visitor, log_in, overlap)
        kept = site.request(lambda session: session.key, second.cookie).result
        (other,) = keys_of(site, "ada") - {kept}
        assert site.left(other) <= MINUTE < site.left(kept)
        visitor.take(first)
        assert visitor.key() == other
        assert site.left(other) > MINUTE

    def test_what_the_first_one_wrote_goes_along(self, site: Site, visitor: Visitor) -> None:
        """The second session is the merge of what was loaded, of what this request did, and of the first session."""

        def first_form(session: Session) -> None:
            log_in(session)
            session["cart"].append("milk")

        def second_form(session: Session) -> None:
            log_in(session)
            session["form"] = 2

        first, answer = send_twice(visitor, first_form, True, second_form)
        assert site.read(answer.cookie) == {"cart": ["tea", "milk"], "form": 2}
        assert site.read(first.cookie) == {"cart": ["tea", "milk"]}

    @pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "one after the other"])
    def test_somebody_else_gets_nothing_of_the_first_one(
        self, site: Site, visitor: Visitor, overlap: bool
    ) -> None:
        """The second form logs another one in: no data goes along, and the first session keeps its time."""

        def private(session: Session) -> None:
            log_in(session)
            session["diagnosis"] = "private"

        _, answer = send_twice(visitor, private, overlap, as_owner("bob"))
        assert "diagnosis" not in site.read(answer.cookie)
        (key,) = keys_of(site, "ada")
        assert site.left(key) > MINUTE

    @pytest.mark.parametrize("call", ["touch", "load"])
    def test_the_store_fails_once_both_are_stored(
        self, site: Site, double: StoreDouble, visitor: Visitor, call: str, caplog: Any
    ) -> None:
        """Then the first session just lives on. One logged error, and the login stands."""
        visitor.send(log_in)
        fail_once_begun = StoreError("the store is down")
        double.after("create", lambda: double.fail(call, fail_once_begun, times=None))
        answer = visitor.send(log_in)
        double.rest()
        assert site.request(seen, answer.cookie).result == ("ada", ["tea"])
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == (call == "touch")

    @pytest.mark.parametrize(
        ("act", "times", "ends"),
        [
            pytest.param(write, 1, True, id="is written"),
            pytest.param(write_again, None, False, id="is written without a pause"),
            pytest.param(as_owner("bob"), 1, False, id="is somebody else's by then"),
            pytest.param(Session.destroy, 1, False, id="ended by then"),
        ],
    )
    def test_the_first_ones_session_changes_at_that_moment(
        self, site: Site, double: StoreDouble, visitor: Visitor, act: Any, times: int | None, ends: bool
    ) -> None:
        """It is given its minute unless it is used, or what somebody else began. The login does not wait for it."""
        first = visitor.send(log_in)
        double.before("touch", lambda: site.request(act, first.cookie), times=times)
        answer = visitor.send(log_in)
        double.rest()
        assert site.request(seen, answer.cookie).result == ("ada", ["tea"])
        lasting = [site.left(key) for key in keys_of(site, "ada") | keys_of(site, "bob")]
        assert (min(lasting) <= MINUTE) is ends

    def test_the_first_ones_session_changed_its_id(self, site: Site, visitor: Visitor) -> None:
        """The data is found under its newest id."""
        first = visitor.send(log_in)
        site.request(lambda session: (session.update(more=1), session.regenerate()), first.cookie)
        answer = visitor.send(log_in)
        assert site.read(answer.cookie) == {"cart": ["tea"], "more": 1}


def send_twice(
    visitor: Visitor,
    form: Callable[[Session], Any],
    overlap: bool,
    then: Callable[[Session], Any] | None = None,
) -> tuple[Answer, Answer]:
    """Send a form, and again, or ``then``, with the same cookies; return both responses, neither of which has arrived."""
    first: list[Answer] = []
    then = then or form
    if overlap:
        second = visitor.send(after(lambda: first.append(visitor.send(form)), then))
    else:
        first.append(visitor.send(form))
        second = visitor.send(then)
    return first[0], second


BEGIN = pytest.mark.parametrize(
    "begin", [log_in, lambda s: (s.destroy(), s.update(a=1))], ids=["login", "destroy"]
)


class TestLateRequests(InEveryStore):
    @BEFORE
    @BEGIN
    def test_one_that_comes_afterwards(self, site: Site, visitor: Visitor, before: Any, begin: Any) -> None:
        """With a cookie of before: it finds its session gone and sets no cookie over the new one."""
        before(site, visitor)
        visitor.send(begin)
        answer = visitor.send(write)
        assert answer.result is True and answer.set_cookie is None

    @BEFORE
    @BEGIN
    def test_one_that_was_at_work_meanwhile(
        self, site: Site, visitor: Visitor, before: Any, begin: Any
    ) -> None:
        """It had looked before the login and saves after it: its data is dropped, and it sets no cookie."""
        before(site, visitor)
        answer = visitor.send(
            after(lambda: visitor.send(begin), lambda session: (write(session), session.save()))
        )
        assert answer.result[1] is False and answer.set_cookie is None

    @BEFORE
    def test_one_that_ends_its_session_and_begins_another(
        self, site: Site, visitor: Visitor, before: Any
    ) -> None:
        """A logout that was overtaken by a login writes nothing over it either."""
        before(site, visitor)

        def again(session: Session) -> None:
            session.destroy()
            login = visitor.send(log_in)
            session["flash"] = "You are logged out"
            assert session.save() is False and session.gone
            visitor.take(login)

        answer = visitor.send(again)
        assert not [
            value for name, value in answer.headers if name == "Set-Cookie" and "Max-Age=0" not in value
        ]

    def test_ending_and_beginning_several_times_in_one_request(self, site: Site, visitor: Visitor) -> None:
        """What this request itself left behind is no other request's."""

        def handler(session: Session) -> Any:
            for number in range(3):
                session.destroy()
                session["n"] = number
                assert session.save()

        answer = visitor.send(handler)
        assert site.read(answer.cookie) == {"n": 2} and len(site.live()) == 1

    def test_a_login_that_is_taken_back_leads_nowhere(self, site: Site, visitor: Visitor) -> None:
        """A late form whose login fails after all writes nothing and sets no cookie."""
        visitor.send(log_in)

        def refused(session: Session) -> None:
            session.owner = "ada"
            session.owner = None
            session["flash"] = "wrong password"

        answer = visitor.send(refused)
        assert answer.set_cookie is None and len(site.live()) == 1

    def test_a_login_that_is_dropped_by_reload_leads_nowhere(self, site: Site, visitor: Visitor) -> None:
        """The same by ``reload()``; a ``regenerate()`` stays pending."""
        visitor.send(log_in)

        def handler(act: Any) -> Any:
            return lambda session: (act(session), session.reload(), session.update(a=1), session.gone)

        answer = visitor.send(handler(log_in))
        assert answer.result[-1] is True and answer.set_cookie is None
        assert site.read(visitor.send(handler(Session.regenerate)).cookie) == {"a": 1}

    def test_a_store_that_fails_as_the_markers_are_left(
        self, site: Site, double: StoreDouble, visitor: Visitor, caplog: Any
    ) -> None:
        """The login stands; the failure is logged."""
        ended(site, visitor)
        double.fail("create", call=2)
        answer = visitor.send(log_in)
        assert site.request(lambda session: session.owner, answer.cookie).result == "ada"
        assert [record.levelname for record in caplog.records].count("ERROR") == 1


class TestTwoCookies:
    """The site's cookie has another domain now, and browsers send the old one too."""

    @pytest.fixture
    def both(self, site: Site) -> Visitor:
        moved = Site(site.manager.store, cookie=Cookie(domain="example.org"))
        visitor = Visitor(site)
        visitor.visit(lambda session: session.update(cart=["tea"]))
        other = Visitor(moved)
        other.visit(lambda session: session.update(cart=["milk"]))
        return Visitor(moved, visitor.jar | other.jar)

    def test_who_logs_in_is_logged_in(self, site: Site, both: Visitor) -> None:
        """With the next request, and the sessions of both cookies have ended."""
        assert both.visit(lambda session: (session.gone, log_in(session), session.gone)) == (
            True,
            None,
            False,
        )
        assert len(both.jar) == 2 and both.visit(seen) == ("ada", None)
        assert len(site.live()) == 1

    def test_regenerate_leads_on_too(self, site: Site, both: Visitor) -> None:
        """To a new session with what this request wrote."""
        both.visit(lambda session: (session.update(note=1), session.regenerate()))
        assert both.visit(dict) == {"note": 1} and len(site.live()) == 1

    @pytest.mark.parametrize(
        "begin", [log_in, lambda s: (s.update(a=1), s.regenerate())], ids=["login", "new id"]
    )
    def test_a_late_request_overwrites_nothing(self, both: Visitor, begin: Any) -> None:
        """One with both cookies of before finds its session gone."""
        late = Visitor(both.site, both.jar)
        both.visit(begin)
        answer = late.send(write)
        assert answer.result is True and answer.set_cookie is None

    def test_a_login_that_cannot_be_stored_ends_nobody(self, site: Site, both: Visitor) -> None:
        """The request fails cleanly, before anything was ended."""

        def handler(session: Session) -> None:
            session["bad"] = [object()]
            session.owner = "ada"

        with pytest.raises(UnsupportedType):
            both.send(handler)
        assert len(site.live()) == 2

    @pytest.mark.parametrize("call", ["delete", "create"])
    def test_a_store_that_fails_on_the_way_fails_the_login(
        self, site: Site, double: StoreDouble, both: Visitor, call: str
    ) -> None:
        """Never two sessions that somebody holds: at worst the visitor has to log in again."""
        double.fail(call)
        with pytest.raises(StoreError):
            both.send(log_in)
        assert keys_of(site, "ada") == set()
        both.visit(log_in)
        assert both.visit(lambda session: session.owner) == "ada"

    def test_nothing_to_store_is_no_session(self, site: Site, both: Visitor) -> None:
        """A regenerate() that wrote nothing ends both and sets no cookie."""
        assert both.send(Session.regenerate).set_cookie is None
        assert site.live() == []


class TestEndedElsewhere:
    @pytest.mark.parametrize(
        "end",
        [
            lambda site: site.manager.destroy(*site.live()),
            lambda site: site.manager.destroy_owned("ada"),
            lambda site: site.request(
                lambda session: (as_owner("ada")(session), session.save(), session.destroy_siblings())
            ),
        ],
        ids=["by an administrator", "all of the owner's", "from another device"],
    )
    def test_the_login_form_works_at_once(self, site: Site, visitor: Visitor, end: Any) -> None:
        """The form's page begins a session, so that its token is there when the form comes back."""
        visitor.visit(log_in)
        end(site)
        assert visitor.visit(lambda session: (session.owner, session.new, session.gone)) == (
            None,
            True,
            False,
        )
        visitor.visit(lambda session: session.update(csrf="token"))
        assert visitor.visit(lambda session: (session["csrf"], log_in(session)))[0] == "token"
        assert visitor.visit(lambda session: session.owner) == "ada"

    @pytest.mark.parametrize("overlap", [True, False], ids=["overlapping", "one after the other"])
    def test_a_logout_that_is_clicked_twice(self, site: Site, visitor: Visitor, overlap: bool) -> None:
        """The second one removes the cookie too: the first response may never arrive."""
        visitor.visit(log_in)
        _, second = send_twice(visitor, Session.destroy, overlap)
        visitor.take(second)
        assert visitor.jar == {}

    def test_a_late_logout_keeps_the_cookie_of_a_login(self, site: Site, visitor: Visitor) -> None:
        """Only a login's marker stands under its cookie: the browser has a newer one. Beside a dead cookie as well."""
        answer = visitor.send(log_in)
        assert visitor.send(Session.destroy).set_cookie is None
        identity = site.manager.identity
        assert identity is not None
        dead = identity.sign("sid", identity.new_id())
        assert site.request(Session.destroy, f"{visitor.cookies}; sid={dead}").set_cookie is None
        assert site.request(seen, answer.cookie).result == ("ada", ["tea"])

    def test_a_logout_in_a_request_that_had_changed_its_id(self, site: Site, visitor: Visitor) -> None:
        """What the request made is ended, and the cookie it came with is removed."""

        def handler(session: Session) -> None:
            session.regenerate()
            assert session.save()
            log_in(session)
            assert session.save()
            session.destroy()

        visitor.visit(handler)
        assert visitor.jar == {} and site.live() == []

    def test_a_record_of_a_later_version_can_be_ended(self, site: Site, visitor: Visitor) -> None:
        """It is an error to read it, and none to log out."""
        (key,) = site.live()
        site.rewrite(key, lambda _: b'[9,"n0nce",{}]')
        with pytest.raises(StoreError, match="later version"):
            visitor.send(dict)
        visitor.visit(Session.destroy)
        assert site.manager.store.load(key) is None and visitor.jar == {}


class TestAnOwnerLeaves:
    @pytest.mark.parametrize("then", ["bob", None])
    def test_what_was_theirs_leaves_too(self, visitor: Visitor, then: str | None) -> None:
        """Data, "remember me" and a timeout of its own, as it is set; what is written after it stays."""

        def settle(session: Session) -> None:
            log_in(session)
            session.persistent, session.idle_timeout = True, 900

        def leave(session: Session) -> Any:
            session["doomed"] = 1
            session.owner = then
            found = dict(session), session.persistent, session.idle_timeout
            session["fresh"] = 1
            return found

        visitor.visit(settle)
        assert visitor.visit(leave) == ({}, False, None)
        found = visitor.visit(lambda s: (dict(s), s.persistent, s.idle_timeout, s.owner))
        assert found == ({"fresh": 1}, False, None, then)

    @pytest.mark.parametrize("then", ["bob", None])
    def test_what_is_saved_late_goes_nowhere_after_errors_either(
        self, visitor: Visitor, double: StoreDouble, then: str | None
    ) -> None:
        """The application goes on after two errors of the store: a lost reply, and a change of owner half way."""
        visitor.visit(log_in)
        early = Visitor(visitor.site, visitor.jar)

        def leave(session: Session) -> None:
            session["doomed"] = 1
            double.lose_reply("replace")
            with pytest.raises(StoreError):
                session.save()
            session.owner = then
            session["fresh"] = 1
            double.fail("replace", call=2)  # the first one is to leave the marker, and is refused
            with pytest.raises(StoreError):
                session.save()
            double.before("create", lambda: early.visit(write))

        visitor.visit(leave)
        assert visitor.visit(lambda s: (dict(s), s.owner)) == ({"fresh": 1}, then)

    def test_back_to_the_same_owner_in_one_request(self, site: Site, visitor: Visitor) -> None:
        """Ada leaves and comes back: a new id, and nothing of what was there."""
        visitor.visit(log_in)
        before = visitor.key()
        visitor.visit(lambda session: (as_owner("bob")(session), as_owner("ada")(session)))
        assert visitor.key() not in (None, before)
        assert visitor.visit(seen) == ("ada", None)


class TestSiblings(InEveryStore):
    def two(self, site: Site) -> tuple[Visitor, Visitor]:
        devices = Visitor(site), Visitor(site)
        for device in devices:
            device.visit(log_in)
        return devices

    @pytest.mark.parametrize("listed", [False, True], ids=["before", "between listing and ending"])
    def test_a_session_that_was_ended_ends_nobody(
        self, site: Site, double: StoreDouble, listed: bool
    ) -> None:
        """It returns 0, and it is gone."""
        one, other = self.two(site)
        key = one.key()
        assert key is not None

        def handler(session: Session) -> Any:
            assert session.owner == "ada"
            if listed:
                double.before("replace", lambda: site.manager.destroy(key))
            else:
                site.manager.destroy(key)
            return session.destroy_siblings(), session.gone

        assert one.visit(handler) == (0, True)
        assert other.visit(lambda session: session.owner) == "ada"

    def test_a_pending_login_still_begins(self, site: Site, visitor: Visitor) -> None:
        """Its own session was ended meanwhile: nobody else is ended, and the login starts a new one at the commit."""
        other = Visitor(site)
        other.visit(log_in)
        key = visitor.key()
        assert key is not None

        def handler(session: Session) -> Any:
            log_in(session)
            site.manager.destroy(key)
            return session.destroy_siblings(), session.gone

        assert visitor.visit(handler) == (0, False)
        assert visitor.visit(lambda session: session.owner) == "ada"
        assert other.visit(lambda session: session.owner) == "ada"

    def test_another_request_saves_meanwhile(self, site: Site, double: StoreDouble) -> None:
        """What it saved to this session stays, and so does what this request changed."""
        one, other = self.two(site)
        double.before("replace", lambda: one.send(write))

        def handler(session: Session) -> int:
            session["mine"] = 1
            return session.destroy_siblings()

        assert one.visit(handler) == 1
        assert one.visit(dict) == {"mine": 1, "late": True}
        assert other.visit(lambda session: session.owner) is None

    def test_a_form_that_was_sent_twice_is_one_login(self, site: Site, visitor: Visitor) -> None:
        """With one login per user the session of the first response is no sibling of the second's either."""

        first, second = send_twice(visitor, only_here, False)
        assert second.result == 0
        visitor.take(first)
        assert visitor.visit(seen) == ("ada", ["tea"])


def markers(site: Site) -> list[Marker]:
    store = site.manager.store
    found = [store.load(key) for key in store.keys()]
    contents = [site.manager.codec.unpack(item[0]) for item in found if item is not None]
    return [content for content in contents if isinstance(content, Marker)]


@BEFORE
def test_a_login_leaves_a_marker_under_each_old_cookie(site: Site, visitor: Visitor, before: Any) -> None:
    """It names the new key and says that the owner changed; a minute later nothing of it is left."""
    before(site, visitor)
    answer = visitor.send(log_in)
    key = site.request(lambda session: session.key, answer.cookie).result
    assert markers(site) == [Marker(key, True)]


def test_ending_leaves_no_marker(site: Site, visitor: Visitor) -> None:
    """Neither a logout nor a revocation does."""
    visitor.visit(Session.destroy)
    visitor.visit(log_in)
    for _ in range(2):
        site.manager.destroy_owned("ada")
    assert markers(site) == []


class TestOneLoginPerUser:
    """``owner = …; save(); destroy_siblings()`` on two devices at the same moment."""

    @pytest.mark.parametrize("before", [None, {"cart": 1}], ids=["new visitors", "with carts"])
    def test_whoever_comes_in_where_one_is_left(self, before: dict[str, Any] | None) -> None:
        """Each call of the store of one device in between any two of the other's, with up to two switches."""
        for plan in plans(2, 12):
            one_login_per_user(before, plan)

    def test_in_every_store(self, every_store: Any) -> None:
        """Sixteen threads log the same user in at once: one login is left."""
        site = Site(every_store)
        together(16, lambda number: site.request(only_here))
        assert len(keys_of(site, "ada")) == 1
