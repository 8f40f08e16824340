"""Sessions outside a request: by a Cookie header, by key, and in listings with their last use and their items."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from support.clock import Clock
from support.store_double import StoreDouble
from support.web import SECRET, Site

from wsgisession import (
    MemoryStore,
    Session,
    SessionError,
    SessionManager,
    StoreError,
    UnreadableValue,
)

HTTP, HTTPS, EITHER = False, True, None


class TestFromCookie:
    @pytest.mark.parametrize(
        ("issued", "asked", "found"),
        [
            (HTTP, HTTP, True),
            (HTTP, EITHER, True),
            (HTTP, HTTPS, False),
            (HTTPS, HTTPS, True),
            (HTTPS, EITHER, True),
            (HTTPS, HTTP, False),
        ],
    )
    def test_it_finds_the_session_of_a_header(self, issued: bool, asked: bool | None, found: bool) -> None:
        """Over https, over http, or over the one of the two that has it."""
        manager = SessionManager(secret=SECRET)
        header = f"theme=dark; {manager.issue({'room': 'tea'}, 'ada', secure=issued)}; lang=en"
        session = manager.from_cookie(header, secure=asked)
        assert (session is not None) is found
        if session is not None:
            assert (session.owner, dict(session), session.key) == (
                "ada",
                {"room": "tea"},
                manager.owned_by("ada")[0].key,
            )

    @pytest.mark.parametrize(
        "header", ["", "sid=", "theme=dark", "sid=forged", "sid=a.b", "\xff;;=,"], ids=repr
    )
    def test_no_cookie_of_ours(self, header: str) -> None:
        """None, whatever it is; nothing raises."""
        assert SessionManager(secret=SECRET).from_cookie(header) is None

    @pytest.mark.parametrize(
        "act", [Session.destroy, Session.regenerate, lambda s: setattr(s, "owner", "ada")]
    )
    def test_a_session_that_is_no_more(self, act: Any) -> None:
        """Ended, or under a new id: None."""
        site = Site()
        cookie = site.start({"a": 1})
        site.request(act, cookie)
        assert site.manager.from_cookie(cookie) is None

    @pytest.mark.parametrize("by_key", [False, True], ids=["by its cookie", "by its key"])
    def test_what_is_written_is_saved_by_save(self, by_key: bool) -> None:
        """It merges like any commit, and sees what requests wrote when it reloads."""
        site = Site()
        cookie = site.start({"a": 1, "list": []}, "ada")
        (key,) = site.live()
        session = site.manager.open(key) if by_key else site.manager.from_cookie(cookie)
        assert session is not None and session.key == key and not session.new
        session["list"].append("socket")
        site.request(lambda s: (s["list"].append("request"), s.update(page=2)), cookie)
        assert session.save()
        assert site.read(cookie) == {"a": 1, "list": ["request", "socket"], "page": 2} == dict(session)
        site.request(lambda s: s.update(page=3), cookie)
        session.reload()
        assert session["page"] == 3

    @pytest.mark.parametrize(
        "act",
        [
            lambda s: setattr(s, "owner", "bob"),
            lambda s: setattr(s, "owner", None),
            lambda s: setattr(s, "persistent", True),
            Session.regenerate,
        ],
        ids=["login", "logout", "persistent", "regenerate"],
    )
    def test_what_needs_the_visitors_cookie_is_refused(self, act: Any) -> None:
        """Nobody could give the browser another one."""
        site = Site()
        session = site.manager.from_cookie(site.start({}, "ada"))
        with pytest.raises(SessionError, match="cookie"):
            act(session)

    def test_a_manager_without_a_secret(self) -> None:
        """A SessionError that says what to pass: without one, any cookie would do."""
        with pytest.raises(SessionError, match="secret="):
            SessionManager().from_cookie("sid=a.b")

    def test_a_store_that_is_down(self) -> None:
        """An error, and never "there is none"."""
        store = StoreDouble()
        site = Site(store)
        cookie = site.start({"a": 1})
        store.fail("load", times=None)
        with pytest.raises(StoreError):
            site.manager.from_cookie(cookie)


class TestUsed:
    def test_it_is_when_the_expiry_was_last_moved(self, clock: Clock) -> None:
        """At most a tenth of the timeout before the last use."""
        site = Site(MemoryStore(clock=clock), clock=clock, idle_timeout=1000)
        cookie, start = site.start({"a": 1}, "ada"), clock()
        used = []
        for seconds in (50, 49, 2, 600):
            clock.advance(seconds)
            site.read(cookie)
            (info,) = site.manager.owned_by("ada")
            used.append(info.used - start)
        assert used == [pytest.approx(at, abs=1) for at in (0, 0, 101, 701)]

    def test_where_the_lifetime_caps_the_expiry(self, clock: Clock) -> None:
        """The earliest it can have been; never before it began, and never later than now."""
        site = Site(MemoryStore(clock=clock), clock=clock, idle_timeout=1000, lifetime=1500)
        cookie, start = site.start({}, "ada"), clock()
        clock.advance(900)
        site.read(cookie)
        (info,) = site.manager.owned_by("ada")
        assert info.used == pytest.approx(start + 500, abs=1)

    def test_it_stays_within_its_bounds(self) -> None:
        """Limits that were changed put it neither before the beginning nor after now."""
        store = MemoryStore()
        Site(store).start({}, "ada")
        for idle in (60, 80000):
            manager = Site(store, idle_timeout=idle).manager
            (info,) = manager.owned_by("ada")
            assert info.created <= info.used <= manager.records.clock()


class TestData:
    DATA = {"device": "phone", "seen": {"where": ["Paris"]}}

    def test_each_listing_has_the_items(self) -> None:
        """owned_by(), sessions() and siblings() show them; ``data`` is a mapping that cannot be written."""
        site = Site()
        site.start(self.DATA, "ada")
        here = site.start({}, "ada")
        (there,) = site.request(Session.siblings, here).result
        for info in (there, site.manager.owned_by("ada")[1], *site.manager.sessions()):
            if len(info.data):
                assert dict(info.data) == self.DATA and info.data == self.DATA
                assert list(info.data) == ["device", "seen"] and "device" in info.data
                assert info.data.get("nothing") is None
                with pytest.raises(TypeError):
                    info.data["device"] = "x"
                with pytest.raises(KeyError):
                    info.data["nothing"]

    def test_one_look_at_the_store_for_all(self) -> None:
        """A listing is one look at the index and one at the records."""
        store = StoreDouble()
        site = Site(store)
        for number in range(5):
            site.start({"device": number}, "ada")
        store.calls.clear()
        found = site.manager.owned_by("ada")
        assert store.calls == ["owned_by", "load_many"]
        assert sorted(info.data["device"] for info in found) == [0, 1, 2, 3, 4]

    def test_nothing_is_decoded_before_it_is_looked_at(self) -> None:
        """A value that cannot be read is an error where it is looked at, and nowhere else; others and the list work."""
        site = Site()
        site.start({"good": 1, "bad": 2}, "ada")
        (key,) = site.live()
        site.rewrite(key, lambda payload: payload.rpartition(b"\n")[0] + b"\nnonsense")
        (info,) = site.manager.owned_by("ada")
        assert info.data["good"] == 1 and list(info.data) == ["good", "bad"] and len(info.data) == 2
        with pytest.raises(UnreadableValue, match=r"session\['bad'\]"):
            info.data["bad"]

    def test_what_is_changed_in_it_changes_no_session(self) -> None:
        """Each look is a copy."""
        site = Site()
        site.start(self.DATA, "ada")
        (info,) = site.manager.owned_by("ada")
        info.data["seen"]["where"].append("Rome")
        assert info.data["seen"] == {"where": ["Paris"]}

    def test_a_print_shows_no_values(self) -> None:
        """A listing in a log or a traceback tells nobody what a session holds."""
        site = Site()
        site.start(self.DATA, "ada")
        assert "phone" not in repr(site.manager.owned_by("ada"))


class TestABrokenRecordInAListing:
    @pytest.fixture
    def site(self) -> Site:
        site = Site(StoreDouble())
        for number in range(3):
            site.start({"n": number}, "ada")
        return site

    def test_one_that_nobody_can_read(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        """It is skipped, and one logged error."""
        site.rewrite(site.live()[1], lambda _: b"nonsense")
        caplog.clear()
        assert len(list(site.manager.sessions())) == len(site.manager.owned_by("ada")) == 2
        errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert {record.event for record in errors} == {"unreadable"}

    def test_one_of_a_later_version(self, site: Site) -> None:
        """A listing raises after what it could read; the record can be ended all the same."""
        key = site.live()[1]
        site.rewrite(key, lambda _: b'[9,"n0nce",{}]')
        found = []
        with pytest.raises(StoreError, match="later version"):
            for info in site.manager.sessions():
                found.append(info)
        assert len(found) == 2
        assert site.manager.destroy(key) is True
        assert len(site.manager.owned_by("ada")) == 2

    def test_a_page_that_cannot_be_read_at_once(self, site: Site) -> None:
        """It is read key by key; one that the store cannot give is an error after all others."""
        store: Any = site.manager.store
        store.fail("load_many", times=None)
        store.fail("load", call=2)
        found = []
        with pytest.raises(StoreError):
            for info in site.manager.sessions():
                found.append(info)
        assert len(found) == 2

    def test_many_of_a_later_version(self, site: Site) -> None:
        """A listing keeps one of the errors, and not a page of payloads for each."""
        for key in site.live():
            site.rewrite(key, lambda _: b'[9,"n0nce",{}]')
        kept: list[int] = []

        def count() -> None:
            gc.collect()
            kept.append(sum(type(thing) is StoreError for thing in gc.get_objects()))

        store: Any = site.manager.store
        store.fail("load_many", times=None)
        store.before("load", count, times=None)
        with pytest.raises(StoreError, match="later version"):
            list(site.manager.sessions())
        assert len(kept) == 3 and kept[2] <= kept[1]

    def test_an_outage_ends_those_that_were_read(self, site: Site) -> None:
        """A user who logs out everywhere is logged out there, and gets the error."""
        store: Any = site.manager.store
        for number in range(17):
            site.start({"n": number}, "ada")
        store.fail("load_many", times=None)
        store.fail("load", call=6, times=None)
        with pytest.raises(StoreError):
            site.manager.destroy_owned("ada")
        store.rest()
        assert len(site.manager.owned_by("ada")) == 15

    def test_an_outage_ends_a_listing(self, site: Site) -> None:
        """Three failures in a row: it is the store, and nobody waits for each of a thousand keys."""
        for number in range(20):
            site.start({"n": number})
        store: Any = site.manager.store
        store.fail("load_many", times=None)
        store.fail("load", times=None)
        store.calls.clear()
        with pytest.raises(StoreError):
            list(site.manager.sessions())
        assert store.calls.count("load") == 3
