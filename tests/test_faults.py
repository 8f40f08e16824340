"""A store that fails at each single call of each kind of request: with the work done or not, once or from then on."""

from __future__ import annotations

from typing import Any

import pytest
from support.store_double import StoreDouble
from support.web import Handler, Site

from wsgisession import Session, StoreError

# How a call fails: before anything is done, with the reply lost, or as the first of all that follow.
WAYS = ("refused", "reply lost", "down from here on")


def fail(store: StoreDouble, way: str, call: int) -> None:
    """Let the call with this number, counted from now, fail in one of WAYS."""
    store.calls.clear()
    if way == "reply lost":
        store.lose_reply(None, call=call)
    else:
        store.fail(None, call=call, times=1 if way == "refused" else None)


def append(session: Session) -> None:
    session.setdefault("log", []).append("x")


def tried_twice(session: Session) -> None:
    append(session)
    for _ in range(2):
        try:
            session.save()
        except StoreError:
            pass


def renew(session: Session) -> None:
    tried_twice(session)
    session.regenerate()


def log_in(session: Session) -> None:
    append(session)
    session.owner = "ada"


def remember(session: Session) -> None:
    append(session)
    session.persistent = True


def begin_again(session: Session) -> None:
    session.destroy()
    append(session)


REQUESTS: dict[str, Handler] = {
    "read": lambda session: session.get("log"),
    "write": append,
    "save, twice": tried_twice,
    "regenerate": renew,
    "login": log_in,
    "logout": lambda session: setattr(session, "owner", None),
    "persistent": remember,
    "atomic": lambda session: session.atomic(append),
    "reload": lambda session: (session.reload(), append(session)),
    "destroy": Session.destroy,
    "destroy, write": begin_again,
}


@pytest.mark.parametrize("visitor", ["new", "anonymous", "ada", "after a regenerate"])
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_fails_at_any_call(way: str, request_: str, visitor: str) -> None:
    """Whatever fails: a StoreError or a whole success, one id at most that works, nothing twice, and it works again."""
    step, failed = 0, True
    while failed:
        store = StoreDouble()
        site = Site(store)
        cookie = "" if visitor == "new" else site.start({"log": []}, "ada" if visitor == "ada" else None)
        held = [cookie] if cookie else []
        if visitor == "after a regenerate":  # the request is a late one, with the old cookie
            held.append(site.request(lambda session: session.regenerate(), cookie).cookie)
        else:
            for key in site.live():
                store.touch(key, 100)  # the expiry is to be moved
        fail(store, way, step + 1)
        answer = None
        try:
            answer = site.request(REQUESTS[request_], cookie)
        except StoreError:
            pass
        failed = len(store.calls) > step
        store.rest()
        # A late login begins a session of its own; a logout that seems to have worked has.
        late = visitor == "after a regenerate" and request_ in ("login", "regenerate")
        check(
            site, held, answer, most=2 if late else 0 if request_ == "destroy" and answer is not None else 1
        )
        step += 1


def check(site: Site, held: list[str], answer: Any, most: int) -> None:
    """Ask for each cookie the browser may hold by now."""
    if answer is not None and answer.set_cookie is not None and "Max-Age=0" not in answer.set_cookie:
        assert site.request(lambda session: session.key, answer.cookie).result is not None, (
            "a cookie that works"
        )
        held.append(answer.cookie)
    found = {site.request(lambda session: session.key, cookie).result for cookie in held} - {None}
    assert len(found) <= most
    for cookie in dict.fromkeys(held):
        assert site.read(cookie).get("log", []) in ([], ["x"])
        site.request(append, cookie)  # nothing stays broken
