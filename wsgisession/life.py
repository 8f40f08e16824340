"""The life of a session in one request: from the cookie to a draft, from the draft to the store, and back to a cookie.

A session is new (nothing stored yet), live (a record stands under its key) or detached (its record vanished: it reads as
empty, and nothing is stored). Nothing happens before the first touch. Knows cookies, but no environ and no headers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import Self

from wsgisession.commit import Vault
from wsgisession.cookie import Cookie
from wsgisession.diagnosis import Advice, Forged
from wsgisession.draft import Draft
from wsgisession.errors import HeadersSent, SessionError, StoreError
from wsgisession.identity import Identity
from wsgisession.log import event
from wsgisession.mapping import DraftMapping
from wsgisession.register import Stored


@dataclass(slots=True)
class Config:
    """What the sessions of one manager share. ``identity`` is None where no secret was given."""

    vault: Vault
    cookie: Cookie
    identity: Identity | None
    advice: Advice
    forged: Forged
    names: tuple[str, str]  # of the cookie on the wire: over http, over https


class State(Enum):
    """What stands behind a session."""

    UNTOUCHED = "not touched"
    NEW = "new"
    LIVE = "live"
    DETACHED = "detached"


class Phase(Enum):
    """How far the response is: its headers are held back, have left, or told of a failure."""

    OPEN = "open"
    SENT = "sent"
    FAILED = "failed"


# An Enum's members take 0.07 µs each to look up.
OPEN, SENT, FAILED = Phase.OPEN, Phase.SENT, Phase.FAILED
UNTOUCHED, NEW, LIVE, DETACHED = State.UNTOUCHED, State.NEW, State.LIVE, State.DETACHED


class Life(DraftMapping):
    """What happens to a session, whether the application asks for it or not."""

    __slots__ = (
        *("_by_key", "_config", "_cookies", "_expire", "_header", "_id", "_in_atomic", "_keys", "_own", "_phase", "_scheme"),
        *("_set", "_stale", "_state", "_stored", "_was_live"),
    )

    def __init__(self, config: Config, header: str | None = None, scheme: str | None = None) -> None:
        self._config = config
        self._header = header
        self._scheme = scheme
        self._draft = None
        self._phase = OPEN
        self._state = UNTOUCHED

    # Loading

    def _load(self) -> Draft:
        if self._draft is not None:
            return self._draft
        # What a request that leaves its session alone need not have.
        self._by_key = False  # opened by the manager: there is no cookie
        self._cookies = 0  # validly signed ones in the request
        self._expire = False  # this response deletes the cookie
        self._id: str | None = None
        self._in_atomic = False
        self._keys: tuple[str, ...] = ()  # of every validly signed cookie, and every one this session had in this request
        self._own: tuple[str, ...] = ()  # the same without the cookies that brought something else than this session
        self._set = False  # this response sets the cookie
        self._stale = False  # signed with an old secret
        self._stored: Stored | None = None
        self._was_live = False  # at some time in this request, so that what the application shows may be personal
        self._state = NEW
        if not self._header:
            return self._blank()
        config = self._config
        name, identity = config.names[self._scheme == "https"], config.identity
        assert identity is not None  # no middleware is built without a secret
        tokens = Cookie.read(self._header, name)
        found: dict[str, tuple[str, bool, Stored | None]] = {}
        for token in tokens:
            verified = identity.unsign(name, token)
            if verified is None:
                config.forged.add(token)
                continue
            id, stale = verified
            key = identity.key(id)
            if key not in found:
                stored = config.vault.load(key)
                if stored is not None and stored.record is not None and len(tokens) == 1:
                    # What nearly every cookie comes to: 0.5 µs less than to look for the one that lives.
                    self._cookies = 1
                    return self._lives(id, stale, stored)
                found[key] = id, stale, stored
        return self._chosen(found) if found else self._blank()

    def _chosen(self, found: dict[str, tuple[str, bool, Stored | None]]) -> Draft:
        """Start from the one session that lives, of those that the cookies brought; from nothing where not one does."""
        live = [(id, stale, stored) for id, stale, stored in found.values() if stored and stored.record]
        draft = self._lives(*live[0]) if len(live) == 1 else self._none_of(found, len(live))
        self._keys, self._cookies = tuple(found), len(found)
        return draft

    def _lives(self, id: str, stale: bool, stored: Stored) -> Draft:
        """Start from the record of the one cookie that has a live one."""
        self._id, self._stale, self._stored = id, stale, stored
        self._state, self._was_live = LIVE, True
        self._keys = self._own = (stored.key,)
        draft = self._draft = Draft(self._config.vault.codec, stored.record)
        return draft

    def _none_of(self, found: dict[str, tuple[str, bool, Stored | None]], live: int) -> Draft:
        """Start empty: the cookies' sessions have ended, or more than one lives."""
        vault = self._config.vault
        for key, (_, _, stored) in found.items():
            if stored is None:
                event(logging.DEBUG, "unknown id", "a cookie's session has expired or was ended", key=vault.show(key))
            else:
                self._state = DETACHED
        if live:
            keys = [vault.show(key) for key, (_, _, stored) in found.items() if stored and stored.record]
            self._config.advice.give("two cookies", cookie=self._name(), keys=keys)
        return self._blank()

    def _blank(self) -> Draft:
        """Start an empty draft."""
        config = self._config
        vault = config.vault
        draft = self._draft = Draft(vault.codec, None, vault.clock(), config.cookie.persistent)
        self._stored = None
        return draft

    @classmethod
    def _opened(cls, config: Config, stored: Stored) -> Self:
        """Return the session of a stored record, without a cookie."""
        session = cls(config)
        session._load()
        session._by_key = True
        session._stored, session._state = stored, LIVE
        session._keys = session._own = (stored.key,)
        session._draft = Draft(config.vault.codec, stored.record)
        return session

    def _name(self) -> str:
        return self._config.names[self._scheme == "https"]

    def _identity(self) -> Identity:
        identity = self._config.identity
        assert identity is not None  # without a secret sessions are only opened by their key
        return identity

    def _begin(self) -> None:
        """A login: a live session gets a new id, a detached one starts afresh with what this request wrote."""
        if self._state is LIVE:
            self._load().renew = True
        self._state = NEW if self._state is DETACHED else self._state

    def _changing(self) -> None:
        if self._phase is SENT and self._state is NEW:
            self._config.advice.give("late session")
            raise HeadersSent("the response's headers have left: a new session can no longer reach the client")

    def _needs_cookie(self, what: str) -> None:
        if self._by_key:
            raise SessionError(f"{what} needs the visitor's cookie, which a session opened by its key has not")
        if self._phase is SENT:
            raise HeadersSent(f"the response's headers have left: {what} can no longer reach the client")

    def _outside_atomic(self, what: str) -> None:
        if self._in_atomic:
            raise SessionError(f"{what} has no place inside atomic(); do it before or after")

    def _broken(self, key: str, error: ValueError) -> None:
        shown = self._stored and self._config.vault.show(self._stored.key)
        event(logging.ERROR, "unreadable", f"a value cannot be read: {error}", key=shown, item=key)
        self._state, self._set = DETACHED if self._by_key else NEW, False
        self._own = ()  # what the session begins anew is another one
        self._blank()

    # Saving

    def _commit(self, merge: bool = True, tries: int = 0) -> bool:
        """Bring the store up to date: one routine for the headers, save(), atomic() and the end of a stream."""
        draft, vault = self._draft, self._config.vault
        assert draft is not None  # there is nothing to commit before the first touch
        if self._state is DETACHED:
            return False
        if self._stored is None:
            if not len(draft) and draft.owner is None:
                return True
            identity = self._identity()
            self._id = identity.new_id()
            self._hold(vault.create(draft, identity.key(self._id)))
            self._state, self._set = LIVE, True
        elif draft.renew:
            id = self._identity().new_id()
            stored = vault.regenerate(draft, self._stored, self._identity().key(id))
            if stored is None:
                return self._vanish()
            self._hold(stored)
            self._id, self._set = id, True
        else:
            switched = draft.persistent != draft.stored_persistent
            follow = self._phase is OPEN and not self._by_key
            stored = vault.save(draft, self._stored, follow, merge, tries)
            if stored is None:
                return self._vanish()
            self._stored = stored
            if switched or (stored.moved and vault.timeouts.dated(draft)):
                self._set = True
        return True

    def _hold(self, stored: Stored) -> None:
        self._stored, self._was_live = stored, True
        self._keys += (stored.key,)
        self._own += (stored.key,)

    def _vanish(self) -> bool:
        self._state, self._set = DETACHED, False
        self._blank()
        return False

    def _undo(self) -> None:
        """Show what is stored again."""
        if self._stored is None or self._stored.record is None:
            self._blank()
        else:
            self._load().restart(self._stored.record)

    # The response, for the middleware

    def _leave(self, ok: bool) -> str | None:
        """Commit, the headers are about to leave; return this response's Set-Cookie value, if it has one.

        ``ok`` False: the response tells of a failure, nothing more is saved.
        """
        draft = self._draft
        if draft is not None:
            before = self._stored
            if ok:
                if draft.pending() or (before is not None and self._config.vault.is_due(draft, before)):
                    self._commit()
                if self._stale and self._state is LIVE:
                    self._set = True
            if self._set and self._stored is before:
                self._confirm()
        self._phase = SENT if ok else FAILED
        return self._cookie() if draft is not None and (self._set or self._expire) else None

    def _confirm(self) -> None:
        """Set no cookie of a session that another request ended since: nothing was stored just now that would have told."""
        assert self._stored is not None
        try:
            stored = self._config.vault.load(self._stored.key)
        except StoreError:  # logged; without its cookie the visitor would lose a session that save() gave a new id
            return
        if stored is None or stored.record is None:
            self._vanish()

    def _finish(self) -> None:
        """Save late changes, the stream has ended well."""
        if self._phase is SENT and self._draft is not None:
            self._commit()

    def _cookie(self) -> str | None:
        """Return this response's Set-Cookie value, if it has one."""
        if not self._set and not self._expire:
            return None
        config = self._config
        cookie, name = config.cookie, config.names[self._scheme == "https"]
        secure = cookie.is_secure(self._scheme)
        if not self._set:
            return cookie.expire(name, secure=secure)
        stored = self._stored
        assert self._id is not None and stored is not None and stored.record is not None
        # As it is stored: where the response tells of a failure, the draft may hold more.
        max_age = stored.max_age() if config.vault.timeouts.dated(stored.record) else None
        return cookie.render(name, self._identity().sign(name, self._id), secure=secure, max_age=max_age)
