"""Sessions that move from one store to another, for any two of them."""

from __future__ import annotations

from support.web import SECRET, Site

from wsgisession import SessionManager
from wsgisession.cli.copying import Copied, copy_all
from wsgisession.cli.reader import Reader
from wsgisession.stores import Store


class Move:
    """Two stores, a site over each, and ``copy`` between them."""

    def __init__(self, source: Store, target: Store) -> None:
        self.old, self.new = Site(source), Site(target)
        self.records = 0

    def copy(self) -> Copied:
        """Copy from the old store to the new one."""
        self.reader = Reader(SessionManager(self.old.manager.store, secret=SECRET))
        return copy_all(self.reader, self.new.manager, self._step)

    def _step(self, count: int) -> None:
        self.records += count


def check_a_move(move: Move) -> None:
    """Cookies of the old store work in the new one, with data, owner and time left; a second run brings what is new."""
    ada = move.old.start({"cart": [1], "tags": {"x"}}, "ada")
    long = move.old.request(
        lambda session: setattr(session, "persistent", True) or session.update(a=1)
    ).cookie
    nobody = move.old.start({"n": 1})
    changed = move.old.request(
        lambda session: session.regenerate(), before := move.old.start({"b": 2}, "bo")
    ).cookie
    assert move.copy() == Copied(copied=4, already_there=0, markers=1)
    for cookie in (ada, long, nobody, changed):
        assert move.new.read(cookie) == move.old.read(cookie) != {}
    _check_expiries(move)
    assert [info.key for info in move.new.manager.owned_by("ada")] == [
        info.key for info in move.old.manager.owned_by("ada")
    ]
    # The marker says to a late request that its cookie is an old one: it reads nothing and sets no cookie.
    late = move.new.request(lambda session: session.update(late=1), before)
    assert late.set_cookie is None and move.new.read(changed) == {"b": 2}

    move.new.request(lambda session: session.update(moved=True), ada)
    meanwhile = move.old.start({"m": 1}, "mo")
    move.old.request(lambda session: session.update(lost=True), ada)
    assert move.copy() == Copied(copied=1, already_there=4, markers=0)
    assert move.new.read(ada) == {"cart": [1], "tags": {"x"}, "moved": True}
    assert move.new.read(meanwhile) == {"m": 1} and move.new.manager.destroy_owned("mo") == 1
    assert move.reader.unreadable == 0


def _check_expiries(move: Move) -> None:
    ends = {info.key: info.expires for info in move.new.manager.sessions()}
    for info in move.old.manager.sessions():
        assert abs(ends.pop(info.key) - info.expires) < 5
    assert ends == {}
