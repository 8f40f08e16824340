"""The package, broken on purpose: one rule taken away at a time, and where the explorer notices. Knows no orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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

ANONYMOUS, ANONYMOUS_WORN, LOGGED_IN, LOGGED_IN_WORN = range(4)


class Mutation(NamedTuple):
    """One rule that is taken away.

    Args:
        promise: the promise that it breaks.
        patches: what takes the place of what.
        meeting: where it is noticed.
    """

    name: str
    promise: str
    patches: tuple[tuple[Any, str, Any], ...]
    meeting: Meeting

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Break the package for a while."""
        with ExitStack() as stack:
            for where, what, instead in self.patches:
                stack.enter_context(patch.object(where, what, instead))
            yield


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


def old_id_lives(self: Records, stored: Any, successor: str, *, owner_changed: bool) -> bool:
    return True


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
    return sum(self.delete(stored.key, stored.payload) for stored in self.others(owner, keep))


# Draft


def rebase_on_nothing(self: Draft, theirs: Any) -> None:
    self._stand_on(theirs, self.record().data)


_rebase = Draft.rebase


def rebase_and_keep_the_base(self: Draft, theirs: Any) -> None:
    base = self.base
    _rebase(self, theirs)
    self.base = base


def rebase_and_keep_our_facts(self: Draft, theirs: Any) -> None:
    ours = self.record()
    _rebase(self, theirs)
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


def nothing(self: Any, *args: Any, **options: Any) -> None:
    """Do nothing."""


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


def _no_heir(self: RequestCookies, owner: str) -> None:
    return None


def _claim_nothing(self: Visit) -> bool:
    return True


LOST, GONE, SENT_FIRST, CLOSED, OWNERS, ALLOWED = (
    "no lost writes",
    "gone is gone",
    "saved before sent",
    "fails closed",
    "owners do not mix",
    "no more sessions than allowed",
)


def _at(start: int, *kinds: str) -> Meeting:
    return Meeting(start, kinds)


MUTATIONS = [
    Mutation(
        "a write does not compare",
        LOST,
        ((Records, "replace", replace_blindly),),
        _at(ANONYMOUS, "write", "append"),
    ),
    Mutation(
        "a merge takes ours",
        LOST,
        ((draft, "merge", lambda b, o, t: o),),
        _at(ANONYMOUS, "append", "append"),
    ),
    Mutation(
        "a merge of nested dicts takes ours",
        LOST,
        ((draft, "merge", lambda b, o, t: o if type(o) is dict else merge(b, o, t)),),
        _at(ANONYMOUS, "nested write", "nested write"),
    ),
    Mutation(
        "a merge has no base",
        LOST,
        ((draft, "merge", lambda b, o, t: merge(MISSING, o, t)),),
        _at(ANONYMOUS, "append", "append"),
    ),
    Mutation(
        "a merge ignores the other request",
        LOST,
        ((Draft, "rebase", rebase_on_nothing),),
        _at(ANONYMOUS, "write", "delete"),
    ),
    Mutation(
        "the base stays after a merge",
        LOST,
        ((Draft, "rebase", rebase_and_keep_the_base),),
        _at(ANONYMOUS, "append, save, append", "append"),
    ),
    Mutation(
        "the base stays after a save",
        LOST,
        ((Draft, "saved", nothing),),
        _at(ANONYMOUS, "append", "append, save, append"),
    ),
    Mutation(
        "facts are not merged",
        LOST,
        ((Draft, "rebase", rebase_and_keep_our_facts),),
        _at(ANONYMOUS, "persistent", "idle_timeout"),
    ),
    Mutation("atomic() merges", LOST, ((Visit, "commit", merge_always),), _at(ANONYMOUS, "atomic", "atomic")),
    Mutation(
        "a lost reply is forgotten",
        LOST,
        ((Draft, "wrote", lambda self, payload: False),),
        _at(ANONYMOUS, "append, insisting", "read"),
    ),
    Mutation(
        "late writes are dropped",
        LOST,
        ((Visit, "finish", nothing),),
        _at(ANONYMOUS, "stream, late write", "read"),
    ),
    Mutation(
        "a marker overwrites what came in between",
        LOST,
        ((Records, "leave_marker", mark_blindly),),
        _at(ANONYMOUS, "write", "regenerate"),
    ),
    Mutation(
        "a login sent twice begins empty",
        LOST,
        ((RequestCookies, "heir", _no_heir),),
        _at(ANONYMOUS, "login", "login"),
    ),
    Mutation(
        "a write creates a record that is gone",
        GONE,
        ((Records, "replace", replace_or_create),),
        _at(ANONYMOUS, "write", "destroy"),
    ),
    Mutation(
        "a late write begins a session",
        GONE,
        ((Visit, "_lose", lead_on),),
        _at(ANONYMOUS, "write", "destroy"),
    ),
    Mutation(
        "the old id lives on",
        GONE,
        ((Records, "leave_marker", old_id_lives),),
        _at(ANONYMOUS, "read", "regenerate"),
    ),
    Mutation(
        "no marker is left", GONE, ((Records, "leave_marker", no_marker),), _at(ANONYMOUS, "write", "login")
    ),
    Mutation(
        "every marker says that the owner changed",
        GONE,
        ((Records, "leave_marker", says(True)),),
        _at(ANONYMOUS, "regenerate", "destroy"),
    ),
    Mutation(
        "no marker says that the owner changed",
        GONE,
        ((Records, "leave_marker", says(False)),),
        _at(ANONYMOUS, "login", "destroy"),
    ),
    Mutation(
        "a marker stays for an hour",
        GONE,
        ((records, "MARKER_SECONDS", 3600.0),),
        _at(ANONYMOUS, "read", "login"),
    ),
    Mutation(
        "a refresh does not compare",
        GONE,
        ((Records, "touch", touch_blindly),),
        _at(ANONYMOUS_WORN, "read", "regenerate"),
    ),
    Mutation(
        "an end does not compare",
        GONE,
        ((Records, "delete", delete_blindly),),
        _at(ANONYMOUS, "destroy", "regenerate"),
    ),
    Mutation(
        "a logout stops at a marker",
        GONE,
        ((Records, "end", end_here_only),),
        _at(ANONYMOUS, "destroy", "regenerate"),
    ),
    Mutation(
        "a cookie is set without a check that its session lives",
        GONE,
        ((Visit, "_confirm", nothing),),
        _at(ANONYMOUS_WORN, "read", "regenerate"),
    ),
    Mutation(
        "a revocation lists once",
        GONE,
        ((Records, "end_owned", end_listed_once),),
        _at(LOGGED_IN, "destroy_siblings", "elsewhere: regenerate"),
    ),
    Mutation(
        "two sessions that log each other out both end",
        GONE,
        ((Visit, "_claim", _claim_nothing),),
        _at(LOGGED_IN, "destroy_siblings", "elsewhere: destroy_siblings"),
    ),
    Mutation(
        "a login that was overtaken is dropped",
        GONE,
        ((Visit, "_lose", lose_logins),),
        _at(ANONYMOUS, "login", "destroy"),
    ),
    Mutation(
        "a login keeps what a dead session held",
        GONE,
        ((Visit, "_begin", keep_what_was_loaded),),
        _at(ANONYMOUS, "login", "destroy"),
    ),
    Mutation(
        "a dead cookie gets no marker",
        GONE,
        ((RequestCookies, "mark_others", nothing),),
        _at(ANONYMOUS, "destroy, write", "write"),
    ),
    Mutation(
        "the headers leave first",
        SENT_FIRST,
        ((_Response, "send", send_first),),
        _at(ANONYMOUS, "write", "read"),
    ),
    Mutation(
        "after a failure the session is empty",
        CLOSED,
        ((Visit, "load", empty_after_a_failure),),
        _at(ANONYMOUS, "write", "read"),
    ),
    Mutation(
        "a new id is not taken back",
        CLOSED,
        ((Commit, "withdraw", nothing),),
        _at(ANONYMOUS, "regenerate", "destroy"),
    ),
    Mutation(
        "what others save is merged into the next owner's data",
        OWNERS,
        ((Commit, "move", move_and_mix),),
        _at(LOGGED_IN, "write", "login as another"),
    ),
    Mutation(
        "a login does not begin again",
        OWNERS,
        ((Draft, "set_facts", created_stays),),
        _at(ANONYMOUS_WORN, "login", "read"),
    ),
    Mutation(
        "a login sent twice ends the first",
        ALLOWED,
        ((Records, "end_soon", end_the_heir),),
        _at(ANONYMOUS, "login", "login"),
    ),
    Mutation(
        "both sessions of a login sent twice stay",
        ALLOWED,
        ((Records, "end_soon", nothing),),
        _at(ANONYMOUS, "login", "login"),
    ),
    Mutation(
        "a passive request is a use",
        ALLOWED,
        ((Commit, "save", always_moves),),
        _at(ANONYMOUS_WORN, "passive", "passive write"),
    ),
    Mutation(
        "a refresh that was overtaken gives up",
        ALLOWED,
        ((Commit, "_refresh", refresh_once),),
        _at(ANONYMOUS_WORN, "read", "passive write"),
    ),
]
"""Every rule that is taken away."""
