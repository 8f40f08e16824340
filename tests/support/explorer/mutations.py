"""The package, broken on purpose: one rule taken away at a time, and where the explorer notices. Knows no orders."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from unittest.mock import patch

from wsgisession import StoreError, draft, records
from wsgisession.commit import Commit
from wsgisession.draft import Draft
from wsgisession.merge import MISSING, merge
from wsgisession.middleware import _Response
from wsgisession.record import Marker, Record
from wsgisession.records import End, Records, Stored
from wsgisession.request_cookies import RequestCookies
from wsgisession.visit import KEEP, Visit

from .plan import Meeting

ANONYMOUS, ANONYMOUS_WORN, LOGGED_IN = range(3)


class Mutation(NamedTuple):
    """One rule that is taken away.

    Args:
        promise: the promise that it breaks.
        where, what: the rule.
        instead: what takes its place.
        meeting: where it is noticed.
    """

    name: str
    promise: str
    where: Any
    what: str
    instead: Any
    meeting: Meeting

    def at_work(self) -> AbstractContextManager[object]:
        """Break the package for a while."""
        return patch.object(self.where, self.what, self.instead)


def nothing(self: Any, *args: Any, **options: Any) -> None:
    """Do nothing."""


def say_yes(self: Any, *args: Any, **options: Any) -> bool:
    """Do nothing, as if it were done."""
    return True


# Records

NOBODYS = Record(0.0, None, False, {})
_replace, _end_owned = Records.replace, Records.end_owned


def replace_blindly(self: Records, stored: Stored, payload: bytes, record: Record, ttl: Any) -> Stored | None:
    found = self.store.load(stored.key)
    if found is None:
        return None
    return _replace(self, Stored(stored.key, found[0], record, stored.until), payload, record, ttl)


def replace_or_create(
    self: Records, stored: Stored, payload: bytes, record: Record, ttl: Any
) -> Stored | None:
    done = _replace(self, stored, payload, record, ttl)
    if done is None and self.store.load(stored.key) is None:
        return self.create(stored.key, payload, record, ttl or 60.0)
    return done


def no_marker(self: Records, stored: Any, successor: str, *, owner_changed: bool) -> bool:
    return self.delete(stored.key, stored.payload)


def says(word: bool) -> Callable[..., bool]:
    def leave_marker(self: Records, stored: Any, successor: str, *, owner_changed: bool) -> bool:
        return self.replace(stored, self.codec.pack(Marker(successor, word)), NOBODYS, 60.0) is not None

    return leave_marker


def mark_blindly(self: Records, stored: Any, successor: str, *, owner_changed: bool) -> bool:
    marker = self.codec.pack(Marker(successor, owner_changed))
    return replace_blindly(self, stored, marker, NOBODYS, 60.0) is not None


def touch_blindly(self: Records, stored: Stored, ttl: float) -> Stored | None:
    return stored if self.store.touch(stored.key, ttl, stored.record.owner) else None


def delete_blindly(self: Records, key: str, expected: bytes | None = None) -> bool:
    return self.store.delete(key)


def end_here_only(self: Records, key: str) -> End:
    found = self.store.load(key)
    if found is None or self.marker(key) is not None:
        return End.NOTHING
    return End.ENDED if self.delete(key, found[0]) else End.NOTHING


def end_listed_once(self: Records, owner: str, keep: Any = (), claim: Any = None) -> int:
    return sum(self.delete(stored.key, stored.payload) for stored in self.owned_by(owner, keep))


# Draft


def rebase_on_nothing(self: Draft, theirs: Any, base: Any = None) -> None:
    self._stand_on(theirs, self.record().data)


_rebase = Draft.rebase


def rebase_and_keep_the_base(self: Draft, theirs: Any, base: Any = None) -> None:
    before = self.base
    _rebase(self, theirs, base)
    self.base = before


def rebase_and_keep_our_facts(self: Draft, theirs: Any, base: Any = None) -> None:
    ours = self.record()
    _rebase(self, theirs, base)
    self.facts = theirs.with_facts(*ours.facts)


_set_facts = Draft.set_facts


def created_stays(self: Draft, **changes: Any) -> None:
    changes.pop("created", None)
    _set_facts(self, **changes)


# Commit

_move, _save, _refresh = Commit.move, Commit.save, Commit._refresh


def move_and_mix(self: Commit, *args: Any, **options: Any) -> Any:
    return _move(self, *args, **(options | {"mixes": True}))


def always_moves(self: Commit, *args: Any, **options: Any) -> Any:
    return _save(self, *args, **(options | {"moves": True}))


def refresh_once(self: Commit, stored: Any, ttl: float) -> Any:
    return _refresh(self, stored, ttl) or stored


# Visit

_lose, _load, _commit, _begin = Visit._lose, Visit.load, Visit.commit, Visit._begin


def lose_logins(self: Visit, draft: Draft, marker: Any) -> bool:
    _lose(self, draft, marker)
    self._gone, self._renew = True, False
    self._blank()
    return False


def lead_on(self: Visit, draft: Draft, marker: Any) -> bool:
    assert self.stored is not None
    self._cookies.found[self.stored.key] = marker
    self.stored, self._answer = None, KEEP
    return True


def empty_after_a_failure(self: Visit) -> Draft:
    try:
        return _load(self)
    except StoreError:
        self._blank()
        return _load(self)


def merge_always(self: Visit, overtaken: Any = None) -> bool:
    return _commit(self)


def keep_what_was_loaded(self: Visit, draft: Draft) -> bool:
    with patch.object(Draft, "rebase", nothing):
        return _begin(self, draft)


def end_the_heir(self: Records, heir: Any) -> None:
    self.delete(heir.key)


def send_first(self: _Response, over: bool = False) -> None:
    assert self.held is not None
    status, headers, _ = self.held
    self.held, self.sent = None, True
    self.server_write = self.server_start(status, headers)
    self.visit.leave(status < "500", over)


def _breaks(promise: str) -> Callable[..., Mutation]:
    def mutation(
        name: str, where: Any, what: str, instead: Any, kinds: str, start: int = ANONYMOUS
    ) -> Mutation:
        return Mutation(name, promise, where, what, instead, Meeting(start, tuple(kinds.split("; "))))

    return mutation


lost, gone = _breaks("no lost writes"), _breaks("gone is gone")
sent_first, closed = _breaks("saved before sent"), _breaks("fails closed")
owners, allowed = _breaks("owners do not mix"), _breaks("no more sessions than allowed")

MUTATIONS = [
    lost("a write does not compare", Records, "replace", replace_blindly, "write; append"),
    lost("a merge takes ours", draft, "merge", lambda b, o, t: o, "append; append"),
    lost(
        "a merge of nested dicts takes ours",
        draft,
        "merge",
        lambda b, o, t: o if type(o) is dict else merge(b, o, t),
        "nested write; nested write",
    ),
    lost("a merge has no base", draft, "merge", lambda b, o, t: merge(MISSING, o, t), "append; append"),
    lost("a merge ignores the other request", Draft, "rebase", rebase_on_nothing, "write; delete"),
    lost(
        "the base stays after a merge",
        Draft,
        "rebase",
        rebase_and_keep_the_base,
        "append, save, append; append",
    ),
    lost("the base stays after a save", Draft, "saved", nothing, "append; append, save, append"),
    lost("facts are not merged", Draft, "rebase", rebase_and_keep_our_facts, "persistent; idle_timeout"),
    lost("atomic() merges", Visit, "commit", merge_always, "atomic; atomic"),
    lost("a lost reply is forgotten", Draft, "wrote", lambda self, payload: False, "append, insisting; read"),
    lost("late writes are dropped", Visit, "finish", nothing, "stream, late write; read"),
    lost(
        "a marker overwrites what came in between", Records, "leave_marker", mark_blindly, "write; regenerate"
    ),
    lost("a login sent twice begins empty", RequestCookies, "heir", nothing, "login; login"),
    gone("a write creates a record that is gone", Records, "replace", replace_or_create, "write; destroy"),
    gone("a late write begins a session", Visit, "_lose", lead_on, "write; destroy"),
    gone("the old id lives on", Records, "leave_marker", say_yes, "read; regenerate"),
    gone("no marker is left", Records, "leave_marker", no_marker, "write; login"),
    gone(
        "every marker says that the owner changed", Records, "leave_marker", says(True), "regenerate; destroy"
    ),
    gone("no marker says that the owner changed", Records, "leave_marker", says(False), "login; destroy"),
    gone("a marker stays for an hour", records, "MARKER_SECONDS", 3600.0, "read; login"),
    gone("a refresh does not compare", Records, "touch", touch_blindly, "read; regenerate", ANONYMOUS_WORN),
    gone("an end does not compare", Records, "delete", delete_blindly, "destroy; regenerate"),
    gone("a logout stops at a marker", Records, "end", end_here_only, "destroy; regenerate"),
    gone(
        "a cookie is set without a check that its session lives",
        Visit,
        "_confirm",
        nothing,
        "read; regenerate",
        ANONYMOUS_WORN,
    ),
    gone(
        "a revocation lists once",
        Records,
        "end_owned",
        end_listed_once,
        "destroy_siblings; elsewhere: regenerate",
        LOGGED_IN,
    ),
    gone(
        "two sessions that log each other out both end",
        Visit,
        "_claim",
        say_yes,
        "destroy_siblings; elsewhere: destroy_siblings",
        LOGGED_IN,
    ),
    gone("a login that was overtaken is dropped", Visit, "_lose", lose_logins, "login; destroy"),
    gone("a login keeps what a dead session held", Visit, "_begin", keep_what_was_loaded, "login; destroy"),
    gone("a dead cookie gets no marker", RequestCookies, "mark_others", nothing, "destroy, write; write"),
    sent_first("the headers leave first", _Response, "send", send_first, "write; read"),
    closed("after a failure the session is empty", Visit, "load", empty_after_a_failure, "write; read"),
    closed("a new id is not taken back", Commit, "withdraw", nothing, "regenerate; destroy"),
    owners(
        "what others save is merged into the next owner's data",
        Commit,
        "move",
        move_and_mix,
        "write; login as another",
        LOGGED_IN,
    ),
    owners("a login does not begin again", Draft, "set_facts", created_stays, "login; read", ANONYMOUS_WORN),
    allowed("a login sent twice ends the first", Records, "end_soon", end_the_heir, "login; login"),
    allowed("both sessions of a login sent twice stay", Records, "end_soon", nothing, "login; login"),
    allowed(
        "a passive request is a use", Commit, "save", always_moves, "passive; passive write", ANONYMOUS_WORN
    ),
    allowed(
        "a refresh that was overtaken gives up",
        Commit,
        "_refresh",
        refresh_once,
        "read; passive write",
        ANONYMOUS_WORN,
    ),
]
"""Every rule that is taken away."""
