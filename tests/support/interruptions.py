"""An exception from outside at every line of the core: a signal handler's, a time-out's, a lack of memory.

It goes through unchanged, and whatever was half done, the promises hold: nothing of one owner shows to another, never two
ids that somebody holds, a cookie that is set works, and the next request finds a whole session.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.web import Site

import wsgisession
from wsgisession import MemoryStore, Session

PACKAGE = Path(wsgisession.__file__).parent
WATCHED = {
    str(PACKAGE / f"{name}.py")
    for name in ("visit", "commit", "records", "draft", "session", "record", "limits", "turns")
}


class Interrupted(BaseException):
    """What a signal handler raised."""


class Interruption:
    """Raises before the n-th line of the core that runs inside it; ``happened`` says whether there were so many."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.happened = False

    def __enter__(self) -> None:
        self.before = sys.gettrace()  # what measures the coverage, for example
        sys.settrace(self._call)

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: Any, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in WATCHED else None

    def _line(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and not self.happened:
            self.left -= 1
            if self.left < 0:
                self.happened = True
                raise Interrupted
        return self._line


def login(owner: str | None) -> Callable[[Session], None]:
    def handler(session: Session) -> None:
        session["before"] = 1
        session.owner = owner
        session["after"] = 1
        session.save()

    return handler


def write(session: Session) -> None:
    session["log"].append("x")
    session["n"] = 1
    session.save()


def renew(session: Session) -> None:
    write(session)
    session.regenerate()
    session.save()


def begin_again(session: Session) -> None:
    session.destroy()
    session["fresh"] = 1
    session.save()


def atomic(session: Session) -> None:
    session.atomic(lambda session: session["log"].append("x"))


REQUESTS = {
    "write": write,
    "atomic": atomic,
    "regenerate": renew,
    "login": login("bob"),
    "logout": login(None),
    "destroy": Session.destroy,
    "destroy, write": begin_again,
    "siblings": lambda session: session.owner and session.destroy_siblings(),
    "reload": lambda session: (session.update(dropped=1), session.reload(), session.save()),
}


def interrupted(
    site: Site, act: Callable[[Session], Any], cookie: str, at: int, swallowed: bool
) -> tuple[bool, Any]:
    """Send a request that is interrupted; return whether it was, and the answer, if there was one.

    Args:
        swallowed: the application catches the exception and answers all the same.
    """
    interruption = Interruption(at)

    def handler(session: Session) -> None:
        try:
            with interruption:
                act(session)
        except Interrupted:
            if not swallowed:
                raise

    try:
        answer = site.request(handler, cookie)
    except Interrupted:
        return True, None
    return interruption.happened, answer


def at_every_line(request_: str, owner: str | None, swallowed: bool, step: int = 1) -> None:
    """Send a request again and again, each time interrupted a line later, or ``step`` lines; look at what is left."""
    at, happened = -1, True
    while happened:
        at += step
        site = Site(MemoryStore())
        cookie = site.start({"log": [], "private": owner}, owner)
        if owner is not None:
            site.start({"log": [], "private": owner}, owner)
        happened, answer = interrupted(site, REQUESTS[request_], cookie, at, swallowed)
        try:
            check(site, cookie, answer, dropped=request_ == "reload" and not swallowed)
        except AssertionError as error:
            error.add_note(f"at line {at} of {request_!r}")
            raise
    assert at > 10


def check(site: Site, cookie: str, answer: Any, *, dropped: bool) -> None:
    """Ask for each cookie that the browser may hold by now."""
    held = [cookie]
    if answer is not None and answer.set_cookie is not None and "Max-Age=0" not in answer.set_cookie:
        assert site.request(lambda s: s.key, answer.cookie).result is not None, "a cookie that works"
        held.append(answer.cookie)
    found = [site.request(lambda s: (s.key, s.owner, dict(s)), item).result for item in held]
    live = [item for item in found if item[0] is not None]
    assert len({key for key, _, _ in live}) <= 1, "two ids"
    for _, who, data in live:
        assert "private" not in data or data["private"] is None or data["private"] == who, (
            "another owner's data"
        )
        assert data.get("log", []) in ([], ["x"]), "a write twice"
        assert not (dropped and "dropped" in data)
    for item in held:
        site.request(lambda s: s.update(again=1), item)
