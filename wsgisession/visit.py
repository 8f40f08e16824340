"""Visit: one request's session. It reads the cookie, makes a draft, saves it to the store, and sets the cookie again.

The state of a session follows from the data of its visit. It is live if a record is ``stored``. It is ``gone`` if its
record existed and does not exist any more, or if the browser will get a newer cookie. Then it is empty, and nothing of
it is stored. In all other cases it is new. Nothing happens before the first touch. Knows cookies, but no environ and no
headers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import inf
from time import monotonic
from typing import TypeVar

from wsgisession.commit import Gone, Meet
from wsgisession.draft import Draft
from wsgisession.errors import HeadersSent, SessionError, StoreError
from wsgisession.info import SessionInfo
from wsgisession.log import event
from wsgisession.phase import FAILED, NONE, OPEN, OVER, SENT, Phase
from wsgisession.record import Marker
from wsgisession.records import End, Stored
from wsgisession.request_cookies import RequestCookies
from wsgisession.shared import Setup

T = TypeVar("T")


class Answer(Enum):
    """What the response does to the cookie."""

    KEEP = "nothing"
    SET = "it sets the cookie"
    EXPIRE = "it removes the cookies, because destroy() ended their sessions"


# For speed, as in ``phase``
KEEP, SET, EXPIRE = Answer.KEEP, Answer.SET, Answer.EXPIRE


@dataclass(slots=True, init=False, repr=False, eq=False)
class Visit:
    """What happens to one request's session, whether the application asks for it or not. ``new_visit`` makes one."""

    # From the beginning

    setup: Setup
    """What all requests share."""
    _header: str | None
    scheme: str | None
    """``wsgi.url_scheme`` when the request came. What is inside may change it, as ProxyFix does."""
    draft: Draft | None
    """This request's changes. None: there are none yet."""
    phase: Phase
    """How far the response is."""
    touched: bool
    """True: the application has looked at the session, even if the store failed then."""

    # From the first touch on

    stored: Stored | None
    """The stored record of the session. None: there is none."""
    own: tuple[str, ...]
    """The keys that this session has or had in this request. If there is one, the response may be personal."""
    passive: bool
    """True: this request is no use of the session. Its expiry is not moved."""
    _answer: Answer
    """What the response does to the cookie."""
    _cookies: RequestCookies
    _gone: bool
    """True: the record existed and does not exist any more, or the browser will get a newer cookie."""
    _in_atomic: bool
    _renew: bool
    """True: the next commit gives the session a new id."""
    _reported: tuple[str, ...]
    """The keys of values that cannot be read."""
    _settled: Stored | None
    """What ``settle()`` has stored, if the headers leave at once."""

    @classmethod
    def of_key(cls, setup: Setup, stored: Stored) -> Visit:
        """Return the visit of a stored record, without a cookie."""
        visit = new_visit(setup)
        visit.phase = NONE
        visit.load()
        visit._start(stored)
        return visit

    # From the cookie to a draft

    def load(self) -> Draft:
        """Return the draft, made at the first touch.

        Raises:
            StoreError: The store failed, or a later version of the library wrote the record.
        """
        if self.draft is not None:
            return self.draft
        # A request that leaves its session alone needs none of this.
        names = self.setup.names[self.scheme == "https"]
        cookies = self._cookies = RequestCookies(self.setup, self._header, self.scheme, names, {})
        self.stored = self._settled = None
        self.own = self._reported = ()
        self.passive = self._renew = self._gone = self._in_atomic = False
        self._answer = KEEP
        # Last, so that everything above is set, even if an exception from outside comes in between.
        self.touched = True
        stored = cookies.live() if self._header else None
        if stored is not None:
            return self._start(stored)
        self._gone = cookies.hide
        draft = self.draft = Draft(self.setup.records.codec, self.setup.blank)
        return draft

    def _start(self, stored: Stored) -> Draft:
        """Start from a live record."""
        self.stored = stored
        self.own = (stored.key,)
        if self.phase is SENT:
            self.setup.advice.warn_once("late read")
        draft = self.draft = Draft(self.setup.records.codec, stored.record)
        return draft

    def _blank(self) -> None:
        """Start again with an empty draft and nothing behind it."""
        self.stored = None
        self.draft = Draft(self.setup.records.codec, self.setup.blank)

    # What the application asks for

    @property
    def gone(self) -> bool:
        """True: what this request writes is dropped. (A login starts a new session instead, and ``regenerate()`` may do
        so too.)
        """
        return self._gone and not self._renew

    @property
    def key(self) -> str | None:
        """The key of the stored record. None: there is none."""
        return None if self.stored is None else self.stored.key

    @property
    def token(self) -> str | None:
        """The present token, for an adapter that sets the cookie itself. None: nothing is stored."""
        self.load()
        return None if self.stored is None else self._cookies.token()

    def pass_on(self) -> str | None:
        """Return the Cookie header for another session in the same request. None: nothing is stored, so it has the
        request's own. As the other one may change the id, the store is asked again before this one sets the cookie.
        """
        if self.draft is None or self.stored is None:
            return None
        self._settled = None
        return f"{self._cookies.names[0]}={self._cookies.token()}"

    @property
    def unsaved(self) -> bool:
        """True if a commit would write: something changed, or a new id or expiry is due. For an adapter that asks first."""
        draft = self.draft
        if draft is None or self.gone:
            return False
        if self._renew or draft.record() is not draft.base:
            return True
        if self.stored is None or self.passive:
            return False
        records = self.setup.records
        return records.limits.due(self.stored.record, self.stored.left(), records.clock()) is not None

    @property
    def began(self) -> bool:
        """True if this request has stored a session, and its cookies brought none that lives."""
        return self.stored is not None and self.own[0] not in self._cookies.found

    @property
    def logged_in(self) -> bool:
        """True if the session has an owner in this request."""
        return self.draft is not None and self.draft.facts.owner is not None

    def created(self) -> float:
        """Return when the session began, in POSIX seconds. What is not stored begins now."""
        created = self.load().facts.created
        return self.setup.records.clock() if created == inf else created

    def expires(self) -> float:
        """Return when the session ends unless it is used again, in POSIX seconds."""
        draft, records = self.load(), self.setup.records
        now = records.clock()
        return now + (records.limits.allowed(draft.facts, now) if self.stored is None else self.stored.left())

    def set_owner(self, owner: str | None) -> None:
        """Log somebody in or out: a new id with the next commit. If an owner leaves, their data leaves too."""
        draft = self.load()
        if owner == draft.facts.owner:
            return
        self.outside_atomic("another owner")
        self.phase.check_cookie("a new owner")
        # The new id first: even if an exception from outside comes in between, no data of one owner stays under the old
        # id of another.
        self._renew = owner is not None or not self._gone
        if draft.facts.owner is not None:
            draft.restart(self.setup.blank)
        draft.set_facts(owner=owner, created=inf)

    def set_length(self, **facts: bool | float | None) -> None:
        """Change ``persistent`` or ``idle_timeout``."""
        draft = self.load()
        facts = {name: value for name, value in facts.items() if value != getattr(draft.facts, name)}
        if facts:
            dated = draft.facts.persistent or "persistent" in facts or self.setup.records.limits.dates_cookie
            if dated and not self.gone:
                self.phase.check_cookie(f"a change of {next(iter(facts))}")
            self.check_change()
            draft.set_facts(**facts)

    def regenerate(self) -> None:
        """Give the same data a new id with the next commit."""
        self.load()
        self.outside_atomic("regenerate()")
        self.phase.check_cookie("regenerate()")
        if self.phase is FAILED:
            raise HeadersSent("the response's headers have left: the id can no longer change")
        if not self._gone or any(self._cookies.found.values()):  # something stands under a cookie
            self._renew = True

    def report(self, key: str, error: ValueError) -> None:
        """Log that a value cannot be read, once for each."""
        if key not in self._reported:
            self._reported += (key,)
            shown = self.key and self.setup.records.show(self.key)
            event(logging.ERROR, "unreadable", str(error), key=shown, item=key)

    # What is refused

    def check_change(self) -> None:
        """Refuse a change that cannot be saved any more."""
        if self.phase is OVER:
            self.phase.check_cookie("this change")
        if self.phase is SENT and self.stored is None and not self.gone:
            self.setup.advice.warn_once("late session")
            self.phase.check_cookie("a new session")

    def outside_atomic(self, what: str) -> None:
        """Refuse to save or end the session inside ``atomic()``."""
        if self._in_atomic:
            raise SessionError(f"{what} cannot be used inside atomic(); call it before or after")

    # From the draft to the store

    def save(self) -> bool:
        """Commit now. False: the session is gone, or the response reports a failure."""
        self.load()
        self.outside_atomic("save()")
        return self.phase is not FAILED and self.commit()

    def commit(self, overtaken: Meet | None = None) -> bool:
        """Save the draft. The headers, save(), atomic() and the end of a stream all use this method.

        Args:
            overtaken: what to do instead of merging if another request saved in between.

        Returns:
            False if the session is gone.
        """
        draft = self.draft
        assert draft is not None
        if self._gone and not self._renew:
            return False
        try:
            if self.stored is None:
                return self._begin(draft)
            if self._renew:
                self._move(draft, self.stored)
            else:
                self._save(draft, self.stored, overtaken)
        except Gone as gone:
            return self._lose(draft, gone.marker) and self._begin(draft)
        return True

    def _save(self, draft: Draft, before: Stored, overtaken: Meet | None) -> None:
        setup = self.setup
        dated = setup.records.limits.dated
        moves = not self.passive and (self.phase is OPEN or not dated(draft.facts))
        stored = self.stored = setup.commit.save(draft, before, moves=moves, overtaken=overtaken)
        # The expiry was moved (a change of ``persistent`` moves it too), so the cookie needs a new Max-Age.
        if stored.until != before.until and (dated(stored.record) or dated(before.record)):
            self._answer = SET

    def _move(self, draft: Draft, before: Stored) -> None:
        setup = self.setup
        id = setup.signer.new_id()
        key = setup.signer.key(id)
        # If an owner left, nothing of theirs is below the draft, and the changes of other requests are not merged.
        mixes = draft.base is not setup.blank
        changed = not mixes or draft.facts.owner != before.record.owner
        stored = setup.commit.move(
            draft, before, key, owner_changed=changed, mixes=mixes, moves=not self.passive
        )
        self._has(id, stored)
        if changed:
            self._cookies.mark_others(self.own, key)

    def _begin(self, draft: Draft) -> bool:
        """Store a new session, or one that a login starts. False: it is gone, and the browser will get a newer cookie."""
        setup, cookies, owner = self.setup, self._cookies, draft.facts.owner
        if owner is None and not len(draft):
            if self._renew:
                cookies.end_others(self.own)
            return True
        newer = self._answer is EXPIRE or self._renew
        if newer:
            cookies.find_others()
        if cookies.found and cookies.overtaken(self.own) and not self._renew:
            self._gone = True
            self._blank()
            return False
        heir = None if owner is None else cookies.heir(owner)
        if heir is not None:
            draft.rebase(heir.record)
        elif draft.base.lines:
            draft.rebase(draft.base.with_values(draft.base.created, {}))
        id = setup.signer.new_id()
        key = setup.signer.key(id)
        first = partial(cookies.end_others, self.own) if cookies.found else None
        self._has(id, setup.commit.create(draft, key, first))
        if newer:
            cookies.mark_others(self.own, key)
        if heir is not None:
            setup.records.end_soon(heir)
        return True

    def _has(self, id: str, stored: Stored) -> None:
        """Remember the new id of this session."""
        self._cookies.id, self.stored = id, stored
        self.own += (stored.key,)
        self._answer = SET
        self._renew = self._gone = False

    def _lose(self, draft: Draft, marker: Marker | None) -> bool:
        """Remember that the record does not exist any more. True: a login was pending, and it starts a new session."""
        assert self.stored is not None
        login = self._renew and draft.facts.owner is not None and draft.facts.owner != draft.base.owner
        self._cookies.found[self.stored.key] = marker
        if not login:
            # First, so that a session that is gone never looks new, even if an exception comes in between
            self._gone, self._renew = True, False
        self.stored, self._answer = None, KEEP
        if not login:
            self._blank()
        return login

    def undo(self) -> None:
        """Show what is stored again."""
        if self.stored is None:
            self._blank()
        else:
            self.load().restart(self.stored.record)

    def reload(self) -> None:
        """Drop unsaved changes and read again. A new id that is due stays due."""
        draft = self.load()
        self.outside_atomic("reload()")
        if self.stored is None:
            if self._gone and draft.facts.owner is not None:
                # The login that would have started a new session is dropped
                self._renew = False
            self._blank()
            return
        found = self.setup.records.find(self.stored.key)
        if isinstance(found, Stored):
            self.stored = found
            draft.restart(found.record)
        else:
            draft.restart(draft.base)
            self._lose(draft, found)

    def atomic(self, function: Callable[[], T]) -> T:
        """Save what is pending, run ``function`` and save; run it again on fresh data if another request saved."""
        self.load()
        self.outside_atomic("atomic()")
        self.save()
        results: list[T] = []

        def again(theirs: Stored) -> None:
            self.stored = theirs
            self.undo()
            results.append(function())

        self._in_atomic = True
        try:
            results.append(function())
            if self.phase is not FAILED:
                self.commit(again)
            return results[-1]
        except BaseException:
            self.undo()
            raise
        finally:
            self._in_atomic = False

    # Ending

    def destroy(self) -> None:
        """End what every validly signed cookie of this request stands for, and this session."""
        with suppress(StoreError):  # logged. A record of a later version is ended anyway
            self.load()
        self.outside_atomic("destroy()")
        records, signed, earlier = self.setup.records, self._cookies.keys(), self.own[:-1]
        ends: dict[str, End] = {}
        for key in dict.fromkeys([*signed, *self.own]):
            if key not in earlier:  # if this request gave the session a new id, the record has the new key
                ends[key] = records.end(key)
                if ends[key] is End.ENDED:
                    event(logging.INFO, "destroyed", "session destroyed", key=records.show(key))
        self._cookies.found |= {key: None for key in signed if ends.get(key, End.LED_ON) is not End.LED_ON}
        led_on = End.LED_ON in ends.values() and End.ENDED not in ends.values()
        self._gone = led_on or self.phase is NONE
        self._answer = KEEP if led_on else EXPIRE
        self._renew = False
        self._blank()

    def siblings(self) -> list[SessionInfo]:
        """List the owner's other live sessions, newest first."""
        owner, records = self._owner(), self.setup.records
        if owner is None:
            return []
        return [records.info(stored) for stored in records.owned_by(owner, self._kept())]

    def destroy_siblings(self) -> int:
        """End the owner's other sessions, if this one still lives. Returns how many ended.

        If two sessions do this to each other at the same moment, they must not both end. So each writes its own record
        again after it has listed the others, and ends a sibling only if that one did not write after the listing.
        """
        owner, records = self._owner(), self.setup.records
        if owner is None:
            return 0
        if self.stored is None:
            return records.end_owned(owner, self._kept())
        found = records.find(self.stored.key)
        if not isinstance(found, Stored):
            self._lose(self.load(), found)
            return 0
        return records.end_owned(owner, self._kept(), self._claim)

    def _kept(self) -> list[str]:
        """Return all keys of this session. If a login was sent twice, the browser may keep the cookie of either one."""
        return [*self.own, *self._cookies.marked()]

    def _claim(self) -> bool:
        assert self.stored is not None
        try:
            claimed = self.setup.commit.claim(self.stored)
        except Gone as gone:
            self._lose(self.load(), gone.marker)
            return False
        if claimed.record is self.stored.record:  # otherwise the next commit would merge
            self.stored = claimed
        return True

    def _owner(self) -> str | None:
        """Return who is logged in. None: nobody, since the session is gone."""
        owner = self.load().facts.owner
        if owner is None and not self.gone:
            raise SessionError("this session has no owner; set session.owner at login")
        return owner

    # The response

    def leave(self, ok: bool, over: bool = False) -> list[str]:
        """Commit, because the headers are about to leave; return the values of this response's Set-Cookie headers.

        Args:
            ok: False: the response reports a failure, and nothing more is saved.
            over: no code of the application runs for this request any more.
        """
        draft = self.draft
        if draft is not None:
            before = self.stored
            if ok:
                changes, may_be_due = draft.pending() or self._renew, self.setup.records.limits.may_be_due
                if changes or (before is not None and may_be_due(before.record, before.until - monotonic())):
                    self.commit()
                if self._cookies.stale and self.stored is not None:
                    self._answer = SET
            if self._answer is SET and self.stored is before:
                self._confirm()
        self.phase = (OVER if over else SENT) if ok else FAILED
        return [] if draft is None or self._answer is KEEP else self.set_cookies()

    def settle(self, streams: bool) -> None:
        """Commit just before the headers leave. For an adapter whose framework can still answer an error here.

        Args:
            streams: True: code of the application runs before the headers leave, and may take long.
        """
        before = self.stored
        if self.unsaved:
            self.commit()
        if self.stored is not before and not streams:  # a touch that failed shows nothing
            self._settled = self.stored

    def _confirm(self) -> None:
        """Set no cookie if another request ended the session. Unless the session was stored just now, the store has to
        be asked.
        """
        assert self.stored is not None
        if self.stored is self._settled:
            return
        try:
            found = self.setup.records.find(self.stored.key)
        except StoreError:  # logged
            # If save() gave the session a new id, the visitor would lose it without the cookie. They already have the
            # id that they came with, and by now its session may be dead.
            self._answer = SET if self.stored.key not in self._cookies.found else KEEP
            return
        if not isinstance(found, Stored):
            self.load().restart(self.stored.record)
            self._lose(self.load(), found)

    def fail(self) -> None:
        """Save nothing more, because the response reports a failure."""
        self.phase = FAILED

    def finish(self) -> None:
        """Save late changes: the body ended without an error."""
        if self.phase is SENT:
            if self.draft is not None:
                self.commit()
            self.phase = OVER

    def set_cookies(self) -> list[str]:
        """Return the values of this response's Set-Cookie headers."""
        if self.draft is None or self._answer is KEEP:
            return []
        if self._answer is EXPIRE:
            return self._cookies.expire()
        stored = self.stored
        assert stored is not None
        # The stored values: if the response reports a failure, the draft may have others.
        max_age = max(round(stored.left()), 1) if self.setup.records.limits.dated(stored.record) else None
        return self._cookies.set(max_age)


def new_visit(setup: Setup, header: str | None = None, scheme: str | None = None) -> Visit:
    """Return the visit of one request.

    A function, because every request makes one: CPython 3.11 takes a third less time for it than for a class with
    ``__init__``.

    Args:
        header: The Cookie header. None or empty: there is none.
        scheme: ``wsgi.url_scheme``.
    """
    visit = Visit()
    visit.setup = setup
    visit._header = header
    visit.scheme = scheme
    visit.draft = None
    visit.phase = OPEN
    visit.touched = False
    return visit
