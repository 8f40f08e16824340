"""Who is logged in where, for any store: revocation against everything that may happen meanwhile, call by call.

A script of requests is run again and again; each time another action steps in before the next call to the store, until
there is no further call. So every interleaving at the store's interface is tried, and none depends on luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.store_double import StoreDouble
from support.web import Site

from wsgisession import Session, StoreError

Action = Callable[[Site, str], Any]
"""What steps in; it is given a site without hooks and the cookie of ada's first session."""


def log_in(site: Site, cookie: str) -> str:
    """A new visitor logs in as ada."""
    return site.request(lambda session: setattr(session, "owner", "ada")).cookie


def log_in_with_a_session(site: Site, cookie: str) -> str:
    """A visitor who has a session without an owner logs in as ada."""
    return site.request(lambda session: setattr(session, "owner", "ada"), site.start({"cart": 1})).cookie


def save(site: Site, cookie: str) -> str:
    """A request of ada's first session saves."""
    site.request(lambda session: session.update(saved=True), cookie)
    return cookie


def regenerate(site: Site, cookie: str) -> str:
    """A request of ada's first session changes its id."""
    answer = site.request(Session.regenerate, cookie)
    return answer.cookie if answer.set_cookie else cookie


def become_somebody_else(site: Site, cookie: str) -> str:
    """A request of ada's first session logs bob in."""
    answer = site.request(lambda session: setattr(session, "owner", "bob"), cookie)
    return answer.cookie if answer.set_cookie else cookie


LOGINS = [log_in, log_in_with_a_session]
OLD = [save, regenerate]
NAMES = ["a" * 255, "ü" * 255, "*", "owner:{x}", "a b\n\x1b[31m\u202e", "%00", "\\", "'"]


def name_of(action: Any) -> str:
    return str(action.__name__)


class Owners:
    """What must hold for the owners of every store. Subclasses give ``make_store``."""

    def make_store(self, place: Path) -> Any:
        """Return a new, empty store; ``place`` is a directory of its own."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def sites(self, tmp_path: Path) -> Iterator[None]:
        store = self.make_store(tmp_path)
        self.double = StoreDouble(store)
        self.site = Site(store)  # nothing steps in here
        self.slow = Site(self.double)
        yield
        store.close()

    def clear(self) -> None:
        """End what an earlier round left."""
        self.site.manager.destroy_owned("ada")

    def live(self) -> set[str]:
        """Return the keys of ada's live sessions."""
        return {info.key for info in self.site.manager.owned_by("ada")}

    def moments(self, work: Callable[[], Any], action: Callable[[], Any]) -> Iterator[list[str]]:
        """Run ``work`` with ``action`` before its first call to the store, its second, …; yield what was called."""

        def step_in() -> None:
            self.double.calls.insert(-1, "action")  # before the call that is under way
            action()

        for call in range(1, 101):
            self.clear()
            self.prepare()
            self.double.rest()
            self.double.calls.clear()
            self.double.before(None, step_in, call=call)
            work()
            if "action" not in self.double.calls:
                assert call > 1, "nothing was tried"
                return
            yield self.double.calls
        raise AssertionError("there is no end to it")

    def prepare(self) -> None:
        """Log ada in twice; ``first`` is a cookie."""
        self.first, self.second = self.site.start({"n": 1}, "ada"), self.site.start({"n": 2}, "ada")

    # A revocation, and what comes in between

    @pytest.mark.parametrize("action", OLD, ids=name_of)
    def test_what_began_before_a_revocation_ends(self, action: Action) -> None:
        """Whenever a session is saved, or its id changed, while a revocation runs: it is dead afterwards."""
        cookies: list[str] = []
        for log in self.moments(
            lambda: self.slow.manager.destroy_owned("ada"),
            lambda: cookies.append(action(self.site, self.first)),
        ):
            assert self.live() == set(), log
            for cookie in (self.first, self.second, cookies[-1]):
                assert self.site.read(cookie) == {}, log

    @pytest.mark.parametrize("action", LOGINS, ids=name_of)
    def test_a_login_during_a_revocation(self, action: Action) -> None:
        """It is ended, unless the last listing was under way already: then it began after the revocation."""
        cookies: list[str] = []
        for log in self.moments(
            lambda: self.slow.manager.destroy_owned("ada"),
            lambda: cookies.append(action(self.site, self.first)),
        ):
            listed_afterwards = "owned_by" in log[log.index("action") :]
            assert len(self.live()) == (0 if listed_afterwards else 1), log

    def test_another_login_on_the_way_out(self) -> None:
        """A session that becomes bob's while ada's are revoked is bob's, or was ended before; ada has none."""
        cookies: list[str] = []
        for log in self.moments(
            lambda: self.slow.manager.destroy_owned("ada"),
            lambda: cookies.append(become_somebody_else(self.site, self.first)),
        ):
            assert self.live() == set(), log
            owner = self.site.request(lambda session: session.owner, cookies[-1]).result
            assert owner in ("bob", None), log

    def test_the_only_session_changes_its_id(self) -> None:
        """Between the listing and the reading of it: the listing is repeated, and the new id dead as well."""
        for log in self.moments(
            lambda: self.slow.manager.destroy_owned("ada", keep=self.key_of(self.second)),
            lambda: regenerate(self.site, self.first),
        ):
            assert self.live() == {self.key_of(self.second)}, log

    # A request, and a revocation that comes in between

    @pytest.mark.parametrize("action", OLD, ids=name_of)
    def test_a_revocation_during_a_request(self, action: Action) -> None:
        """At any step, a session that began before it is dead, under its old id and its new one."""
        cookies: list[str] = []
        for log in self.moments(
            lambda: cookies.append(action(self.slow, self.first)),
            lambda: self.site.manager.destroy_owned("ada"),
        ):
            assert self.live() == set(), log
            assert self.site.read(cookies[-1]) == self.site.read(self.first) == {}, log

    @pytest.mark.parametrize("action", LOGINS, ids=name_of)
    def test_a_revocation_during_a_login(self, action: Action) -> None:
        """It ends the session if that was stored already; otherwise the session began after it."""
        for log in self.moments(
            lambda: action(self.slow, self.first), lambda: self.site.manager.destroy_owned("ada")
        ):
            created_afterwards = "create" in log[log.index("action") :]
            assert len(self.live()) == (1 if created_afterwards else 0), log

    def test_kept_sessions_stay(self) -> None:
        """Whatever happens to it meanwhile, the one that is kept lives on; keep is a key or several."""
        for keep in (lambda key: key, lambda key: [key, "A" * 43], lambda key: iter([key])):
            for log in self.moments(
                lambda keep=keep: self.slow.manager.destroy_owned("ada", keep=keep(self.key_of(self.first))),  # type: ignore[misc]
                lambda: save(self.site, self.first),
            ):
                assert self.live() == {self.key_of(self.first)}, log
                assert self.site.read(self.first) == {"n": 1, "saved": True}, log
                assert self.site.read(self.second) == {}, log

    def test_a_record_of_a_later_version_keeps_no_other_session_alive(self) -> None:
        """All that can be read ends, and then the error says that this was not all."""
        self.prepare()
        assert self.site.manager.store.create("k" * 43, b'[9,"n0nce",{}]', 60.0, "ada")
        for act in (lambda: self.site.manager.destroy_owned("ada"), self.live):
            with pytest.raises(StoreError, match="later version"):
                act()
            assert [self.site.read(cookie) for cookie in (self.first, self.second)] == [{}, {}]

    def test_a_new_id_meanwhile_and_a_record_of_a_later_version(self) -> None:
        """The session under the new id ends too, before the error says that this was not all."""
        store, key = self.site.manager.store, "k" * 43

        def revoke() -> None:
            assert store.create(key, b'[9,"n0nce",{}]', 60.0, "ada")
            with pytest.raises(StoreError, match="later version"):
                self.slow.manager.destroy_owned("ada")
            assert store.delete(key)

        for log in self.moments(revoke, lambda: regenerate(self.site, self.first)):
            assert self.live() == set(), log

    # The index

    def key_of(self, cookie: str) -> str:
        key = self.site.request(lambda session: session.key, cookie).result
        assert isinstance(key, str)
        return key

    def test_the_index_follows_the_owner(self) -> None:
        """Another owner, and none: the listings of both say so at once."""
        cookie = self.site.start({"n": 1}, "ada")
        moved = become_somebody_else(self.site, cookie)
        assert self.live() == set()
        assert [info.key for info in self.site.manager.owned_by("bob")] == [self.key_of(moved)]
        out = self.site.request(lambda session: setattr(session, "owner", None), moved).cookie
        assert self.live() == set() and self.site.manager.owned_by("bob") == []
        assert self.site.read(out) == {}

    def test_the_index_survives_use(self) -> None:
        """Saving, and a new id, keep a session in its owner's listing; under one key."""
        cookie = self.site.start({"n": 1}, "ada")
        save(self.site, cookie)
        fresh = regenerate(self.site, cookie)
        assert self.live() == {self.key_of(fresh)}

    @pytest.mark.parametrize("owner", NAMES, ids=lambda owner: ascii(owner)[:12])
    def test_every_name_is_an_owner(self, owner: str) -> None:
        """Listed and ended alone, whatever it is made of."""
        self.site.start({}, owner)
        other = self.site.start({"n": 1}, "other")
        assert [info.owner for info in self.site.manager.owned_by(owner)] == [owner]
        assert self.site.manager.destroy_owned(owner) == 1
        assert self.site.manager.owned_by(owner) == [] and self.site.read(other) == {"n": 1}

    # This session and its siblings

    @pytest.mark.parametrize(
        "act", [repr, Session.regenerate, lambda s: s.update(x=1)], ids=["read", "new id", "save"]
    )
    def test_this_session_is_no_sibling(self, act: Any) -> None:
        """Before and after its id changes and it is saved, listed and ended are only the others."""
        self.prepare()
        second = self.key_of(self.second)

        def handler(session: Session) -> Any:
            act(session)
            before = [info.key for info in session.siblings()]
            session.save()
            after = [info.key for info in session.siblings()]
            return before, after, session.destroy_siblings(), session.siblings()

        answer = self.site.request(handler, self.first)
        assert answer.result == ([second], [second], 1, [])
        cookie = answer.cookie if answer.set_cookie else self.first
        assert self.site.read(cookie)["n"] == 1 and len(self.live()) == 1

    def test_siblings_of_a_login(self) -> None:
        """A login sees the owner's other sessions before it is saved, and not itself afterwards."""
        self.prepare()
        anonymous = self.site.start({"cart": 1})

        def handler(session: Session) -> Any:
            session.owner = "ada"
            before = len(session.siblings())
            session.save()
            return before, len(session.siblings()), session.destroy_siblings()

        answer = self.site.request(handler, anonymous)
        assert answer.result == (2, 2, 2)
        assert self.live() == {self.key_of(answer.cookie)}

    def test_another_tab_changes_this_sessions_id(self) -> None:
        """What this session has become is no sibling either; and from a session that is gone nobody is logged out."""
        self.prepare()
        second, cookies = self.key_of(self.second), []

        def handler(session: Session) -> Any:
            assert session.owner == "ada"
            cookies.append(regenerate(self.site, regenerate(self.site, self.first)))
            return [info.key for info in session.siblings()], session.destroy_siblings(), session.gone

        assert self.site.request(handler, self.first).result == ([second], 0, True)
        assert self.live() == {self.key_of(cookies[0]), second}

    @pytest.mark.parametrize("action", [save, regenerate, *LOGINS], ids=name_of)
    def test_logging_out_elsewhere_while_others_are_busy(self, action: Action) -> None:
        """destroy_siblings() against requests of another session: that one is dead, or began after; this one lives."""
        cookies: list[str] = []
        for log in self.moments(
            lambda: self.slow.request(Session.destroy_siblings, self.first),
            lambda: cookies.append(action(self.site, self.second)),
        ):
            late = action in LOGINS and "owned_by" not in log[log.index("action") :]
            assert len(self.live()) == (2 if late else 1), log
            assert self.site.read(self.first) == {"n": 1}, log
            assert self.site.read(self.second) == {}, log
