"""What overlapping requests of one browser may do to each other, whoever comes in where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.counting import Counting
from support.web import SECRET, Answer, Handler, Site

from wsgisession import Session, StoreError

OLD_SECRET = "an old secret of at least 32 bytes"


def login(session: Session) -> None:
    session.owner = "ada"


ENDS: dict[str, Handler] = {"destroy": Session.destroy, "regenerate": Session.regenerate, "login": login}


def due(site: Site) -> None:
    """Let little be left of the one session, so that its expiry is to be moved."""
    (key,) = site.live()
    assert site.manager.store.touch(key, 100)


def left(site: Site) -> list[float]:
    """Return the seconds left of every record in the store, tombstones too."""
    store = site.manager.store
    return [found[1] for found in map(store.load, store.keys()) if found is not None]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("persistent", [True, False], ids=["remember me", "idle timeout"])
def test_a_refresh_does_not_prolong_what_stands_for_a_dead_session(end: str, persistent: bool) -> None:
    """A request that only read, while its session ended elsewhere, sets no cookie, and the tombstone stays a minute."""
    site = Site(Counting())
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
    assert min(left(site)) <= 60


def stale(site: Site) -> tuple[str, Handler]:
    cookie = Site(site.manager.store, secret=OLD_SECRET).start({"a": 1})
    return cookie, dict


def switched(site: Site) -> tuple[str, Handler]:
    def handler(session: Session) -> None:
        session.persistent = True
        assert session.save()

    return site.start({"a": 1}), handler


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("why", [stale, switched], ids=["an old secret", "persistence was saved"])
def test_a_cookie_that_was_due_is_not_set_once_the_session_is_gone(
    why: Callable[[Site], tuple[str, Handler]], end: str, status: str
) -> None:
    """It would take the place of the one that the login, or whatever came meanwhile, has just set."""
    site = Site(Counting(), secret=[SECRET, OLD_SECRET])
    cookie, first = why(site)

    def handler(session: Session) -> None:
        first(session)
        site.request(ENDS[end], cookie)

    assert site.request(handler, cookie, status=status).set_cookie is None


def test_an_outage_does_not_keep_a_new_id_from_its_visitor() -> None:
    """What save() gave a new id has its cookie on the error page too, where the store can no longer be asked."""
    store = Counting()
    site = Site(store)

    def handler(session: Session) -> None:
        session.regenerate()
        session.save()
        store.before["load"] = down

    answer: Answer = site.request(handler, site.start({"a": 1}), status="503 Service Unavailable")
    assert site.read(answer.cookie) == {"a": 1}


def down() -> None:
    raise StoreError("the store is down")


class Unreliable(Counting):
    """A store whose ``replace`` fails as a script says: "lost" does it and loses the reply, "down" does nothing."""

    script: list[str] = []

    def replace(self, *args: Any, **kwargs: Any) -> bool:
        word = self.script.pop(0) if self.script else ""
        if word == "down":
            down()
        done = super().replace(*args, **kwargs)
        if word == "lost":
            down()
        return done


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
    store = Unreliable()
    site = Site(store)
    cookie = site.start({"log": []})

    def handler(session: Session) -> None:
        session["log"].append("x")
        store.script = script
        then(session)

    answer = site.request(handler, cookie)
    assert site.read(answer.cookie if answer.set_cookie else cookie) == {"log": ["x"]}


def test_an_undone_write_whose_reply_was_lost_meets_another_request() -> None:
    """What atomic() undid is no value that was handed out, and is merged all the same."""
    store = Unreliable()
    site = Site(store)
    cookie = site.start({"n": 0})

    def handler(session: Session) -> None:
        store.script = ["lost"]
        with pytest.raises(StoreError):
            session.atomic(lambda session: session.update(n=1))
        session["mine"] = 1
        store.before["replace"] = lambda: store.before.update(replace=lambda: site.request(theirs, cookie))

    def theirs(session: Session) -> None:
        session["n"] += 1

    site.request(handler, cookie)
    assert site.read(cookie)["mine"] == 1
