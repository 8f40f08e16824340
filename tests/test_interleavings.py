"""What overlapping requests of one browser may do to each other, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.breadth import breadth
from support.store_double import StoreDouble
from support.web import SECRET, Answer, Handler, Site

from wsgisession import Cookie, Session, StoreError
from wsgisession.record import Marker

OLD_SECRET = "an old secret of at least 32 bytes"


def login(session: Session) -> None:
    session.owner = "ada"


ENDS: dict[str, Handler] = {"destroy": Session.destroy, "regenerate": Session.regenerate, "login": login}


def due(site: Site) -> None:
    """Let little be left of the one session, so that its expiry is to be moved."""
    (key,) = site.live()
    assert site.manager.store.touch(key, 100)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("persistent", [True, False], ids=["remember me", "idle timeout"])
def test_a_refresh_does_not_prolong_what_stands_for_a_dead_session(end: str, persistent: bool) -> None:
    """A request that only read, while its session ended elsewhere, sets no cookie, and the tombstone stays a minute."""
    site = Site(StoreDouble())
    cookie = site.start({"a": 1})
    if persistent:
        site.request(lambda session: setattr(session, "persistent", True), cookie)
    due(site)

    def read(session: Session) -> Any:
        assert session["a"] == 1
        site.request(ENDS[end], cookie)
        return session.save(), session.gone

    answer = site.request(read, cookie)
    assert answer.result == (False, True)
    assert answer.set_cookie is None
    assert max(markers(site), default=0) <= 60


def stale(site: Site) -> tuple[str, Handler]:
    cookie = Site(site.manager.store, secret=OLD_SECRET).start({"a": 1})
    return cookie, dict


def switched(site: Site) -> tuple[str, Handler]:
    def handler(session: Session) -> None:
        session.persistent = True
        assert session.save()

    return site.start({"a": 1}), handler


def moved(site: Site) -> tuple[str, Handler]:
    return Site(site.manager.store, cookie=Cookie(name="old")).start({"a": 1}), dict


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "why", [stale, switched, moved], ids=["an old secret", "persistence was saved", "a former name"]
)
def test_a_cookie_that_was_due_is_not_set_once_the_session_is_gone(
    why: Callable[[Site], tuple[str, Handler]], end: str, status: str
) -> None:
    """It would take the place of the one that the login, or whatever came meanwhile, has just set."""
    site = Site(StoreDouble(), secret=[SECRET, OLD_SECRET], cookie=Cookie(formerly=("old",)))
    cookie, first = why(site)

    def handler(session: Session) -> None:
        first(session)
        site.request(ENDS[end], cookie)

    assert site.request(handler, cookie, status=status).set_cookie is None


def test_an_outage_does_not_keep_a_new_id_from_its_visitor() -> None:
    """What save() gave a new id has its cookie on the error page too, where the store can no longer be asked."""
    store = StoreDouble()
    site = Site(store)

    def handler(session: Session) -> None:
        session.regenerate()
        session.save()
        store.fail("load")

    answer: Answer = site.request(handler, site.start({"a": 1}), status="503 Service Unavailable")
    assert site.read(answer.cookie) == {"a": 1}


def test_an_outage_sends_no_cookie_that_the_visitor_has() -> None:
    """Whether its session still lives cannot be asked, and another request may have set a newer cookie."""
    store = StoreDouble()
    site = Site(store, secret=[SECRET, OLD_SECRET])
    cookie, read = stale(site)

    def handler(session: Session) -> None:
        read(session)
        site.request(Session.regenerate, cookie)
        store.fail("load")

    assert site.request(handler, cookie).set_cookie is None


@pytest.mark.parametrize("owner", [None, "ada"], ids=["a visitor", "a login"])
def test_a_session_that_nobody_has_is_taken_back(owner: str | None) -> None:
    """If the reply to its making is lost, its cookie is never set. Then no listing shows it."""
    store = StoreDouble()
    site = Site(store)
    store.lose_reply("create")

    def handler(session: Session) -> None:
        session["a"] = 1
        session.owner = owner

    with pytest.raises(StoreError):
        site.request(handler)
    assert site.live() == []


def follow(store: StoreDouble, script: list[str]) -> None:
    """Let the next replaces fail as a script says: "lost" does it and loses the reply, "down" does nothing."""
    for call, word in enumerate(script, 1):
        step_in = store.lose_reply if word == "lost" else store.fail
        step_in("replace", call=call)


def again(session: Session) -> None:
    """Save until it works."""
    for _ in range(5):
        try:
            session.save()
            return
        except StoreError:
            pass


def give_up(session: Session) -> None:
    with pytest.raises(StoreError):
        session.save()


def give_up_and_renew(session: Session) -> None:
    give_up(session)
    session.regenerate()


def give_up_and_log_in(session: Session) -> None:
    give_up(session)
    session.owner = "ada"


@pytest.mark.parametrize(
    ("script", "then"),
    [
        (["lost"], again),
        (["lost", "down", "down"], again),
        (["down", "lost", "down"], again),
        (["lost"], give_up_and_renew),
        (["lost"], give_up_and_log_in),
    ],
    ids=["once", "then an outage", "during an outage", "regenerate", "login"],
)
def test_a_lost_reply_doubles_nothing(script: list[str], then: Handler) -> None:
    """A draft knows each of its own writes, however many failed after it, and under whatever id it saves in the end."""
    store = StoreDouble()
    site = Site(store)
    cookie = site.start({"log": []})

    def handler(session: Session) -> None:
        session["log"].append("x")
        follow(store, script)
        then(session)

    answer = site.request(handler, cookie)
    assert site.read(answer.cookie if answer.set_cookie else cookie) == {"log": ["x"]}


def test_an_undone_write_whose_reply_was_lost_meets_another_request() -> None:
    """What atomic() undid is no value that was handed out, and is merged all the same."""
    store = StoreDouble()
    site = Site(store)
    cookie = site.start({"n": 0})

    def handler(session: Session) -> None:
        store.lose_reply("replace")
        with pytest.raises(StoreError):
            session.atomic(lambda session: session.update(n=1))
        session["mine"] = 1
        store.before("replace", lambda: site.request(theirs, cookie), call=2)

    def theirs(session: Session) -> None:
        session["n"] += 1

    site.request(handler, cookie)
    assert site.read(cookie)["mine"] == 1


# Every pair of requests, the second inside every store call of the first.


def write(session: Session, name: str) -> None:
    session[name] = 1


def save_and_write(session: Session, name: str) -> None:
    session[name] = 1
    session.save()
    session["more"] = 1


def reload_and_write(session: Session, name: str) -> None:
    session["dropped"] = 1
    session.reload()
    session[name] = 1


def regenerate_and_save(session: Session, name: str) -> None:
    session.regenerate()
    session.save()
    session[name] = 1


def begin(owner: str | None) -> Callable[[Session, str], None]:
    def change(session: Session, name: str) -> None:
        session.owner = owner
        session[name] = 1

    return change


def switch(session: Session, name: str) -> None:
    session[name] = 1
    session.persistent = not session.persistent


def limit(session: Session, name: str) -> None:
    session[name] = 1
    session.idle_timeout = 900 if session.idle_timeout is None else None


def quietly(session: Session, name: str) -> None:
    session.passive = True
    session[name] = 1


def log_out_elsewhere(session: Session, name: str) -> None:
    session[name] = 1
    if session.owner is not None:
        session.destroy_siblings()


def count(session: Session) -> None:
    session["count"] = session.get("count", 0) + 1


def atomic(session: Session, name: str) -> None:
    session[name] = 1
    session.atomic(count)


REQUESTS: dict[str, Callable[[Session, str], object]] = {
    "read": lambda session, name: session.get(name),
    "write": write,
    "save": save_and_write,
    "reload": reload_and_write,
    "atomic": atomic,
    "persistent": switch,
    "idle_timeout": limit,
    "passive": quietly,
    "siblings": log_out_elsewhere,
    "regenerate": lambda session, name: (write(session, name), session.regenerate()),
    "regenerate, save": regenerate_and_save,
    "login": begin("bob"),
    "logout": begin(None),
    "destroy": lambda session, name: session.destroy(),
}


class Pair:
    """Two requests with one cookie, ``second`` inside the n-th store call of ``first``."""

    def __init__(self, owner: str | None, first: str, second: str, step: int) -> None:
        self.names, self.owner, self.step = {"a": first, "b": second}, owner, step
        self.gone: dict[str, tuple[bool, bool]] = {}  # when it began, when it ended
        self.began_new: dict[str, bool] = {}  # its cookie's session had ended already
        self.answers: dict[str, Answer] = {}
        self.store = StoreDouble()
        self.site = Site(self.store, secret=[SECRET, OLD_SECRET], cookie=Cookie(formerly=("old",)))
        self.site.manager.records.sleep = lambda seconds: None
        # Under a former name, and signed with an old secret: so that a cookie is always due.
        self.cookie = Site(self.store, secret=OLD_SECRET, cookie=Cookie(name="old")).start({}, owner)
        due(self.site)
        self.store.before(None, lambda: self.run("b"), call=step + 1)
        self.run("a")
        self.store.rest()

    def run(self, name: str) -> None:
        def handler(session: Session) -> Session:
            self.gone[name] = session.gone, False
            self.began_new[name] = session.new
            REQUESTS[self.names[name]](session, name)
            return session

        answer = self.answers[name] = self.site.request(handler, self.cookie)
        self.gone[name] = self.gone[name][0], answer.result.gone

    def check(self) -> None:
        """What holds however two requests overlap."""
        assert all(seconds <= 60 for seconds in markers(self.site)), "a marker stays for a minute"
        for name, answer in self.answers.items():
            assert not self.gone[name][1] or answer.set_cookie is None, (
                "who finds the session gone sets no cookie"
            )
        live = list(self.site.manager.sessions())
        last = self.answers["a"].set_cookie
        if last is not None and "Max-Age=0" not in last:
            assert (
                self.site.request(lambda session: session.gone, self.answers["a"].cookie).result is False
            ), "a dead cookie"
        logins = ("login", "regenerate", "regenerate, save")
        if any(self.gone[name][0] and self.names[name] in logins or self.began_new[name] for name in "ab"):
            return  # it began a session of its own
        if self.names["a"] == "login" and self.names["b"] in (
            "regenerate",
            "regenerate, save",
            "login",
            "logout",
            "destroy",
        ):
            return  # a login that was overtaken leads on to a new session
        assert len(live) <= 1, "one browser, one session"
        assert not (
            live and any("Max-Age=0" in str(answer.set_cookie) for answer in self.answers.values())
        ), "a logout stands"
        for key in (info.key for info in live):
            self.check_data(dict(self.site.manager.open(key) or {}))

    def check_data(self, data: dict[str, Any]) -> None:
        """Disjoint writes are all there, but for those of one owner in the session of another."""
        changes = self.owner is not None and self.names["a"] in ("login", "logout") and not self.gone["a"][1]
        assert "dropped" not in data
        for name in "ab":
            if self.names[name] not in ("read", "destroy") and not self.gone[name][1]:
                assert (name in data) is not (name == "b" and changes)
        if self.names["a"] == self.names["b"] == "atomic":
            assert data["count"] == 2


def markers(site: Site) -> list[float]:
    """Return the seconds left of each marker."""
    store, unpack = site.manager.store, site.manager.codec.unpack
    found = [store.load(key) for key in store.keys()]
    return [item[1] for item in found if item is not None and isinstance(unpack(item[0]), Marker)]


@pytest.mark.both
@pytest.mark.parametrize("owner", [None, "ada"], ids=["anonymous", "logged in"])
@pytest.mark.parametrize("first", REQUESTS)
def test_any_two_requests_interleaved_anywhere(first: str, owner: str | None) -> None:
    """At every store call of the first, each other request (the narrow suite: a third of them) comes in between and leaves a sound state."""
    for second in list(REQUESTS)[:: breadth.much(3, 1)]:
        step = 0
        while "b" in (pair := Pair(owner, first, second, step)).answers:
            try:
                pair.check()
            except AssertionError as error:
                error.add_note(f"{second!r} before call {step} of {first!r}: {pair.store.calls}")
                raise
            step += 1
        assert step > 0
