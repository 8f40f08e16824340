"""Session: the mapping and its life, from the first touch to the last save. Knows cookies, but no environ and no headers.

A session is new (nothing stored yet), live (a record stands under its key) or detached (its record vanished: it reads as
empty, and nothing is stored). Nothing happens before the first touch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeVar

from wsgisession.commit import Overtaken, SessionInfo, Stored, Vault
from wsgisession.cookie import Cookie
from wsgisession.draft import Draft
from wsgisession.errors import HeadersSent, SessionError
from wsgisession.identity import Identity
from wsgisession.log import Flood, event
from wsgisession.mapping import DraftMapping

T = TypeVar("T")


class Config(NamedTuple):
    """What the sessions of one manager share. ``identity`` is None where no secret was given."""

    vault: Vault
    cookie: Cookie
    identity: Identity | None
    forged: Flood


class State(Enum):
    """What stands behind a session."""

    NEW = "new"
    LIVE = "live"
    DETACHED = "detached"


class Phase(Enum):
    """How far the response is: its headers are held back, have left, or told of a failure."""

    OPEN = "open"
    SENT = "sent"
    FAILED = "failed"


_OPEN = Phase.OPEN


class Session(DraftMapping):
    """One visitor's session in one request: a ``MutableMapping[str, Any]`` with all that ``dict`` offers.

    It belongs to one thread at a time. Nested changes are noticed; what changed is saved before the headers leave.
    """

    # One request makes one session and most never touch it: what is not asked for is a class attribute, and costs nothing.
    _by_key = False  # opened by the manager: there is no cookie
    _expire = False  # this response deletes the cookie
    _id: str | None = None
    _in_atomic = False
    _phase = _OPEN
    _keys: tuple[str, ...] = ()  # of every validly signed cookie, and every one this session had in this request
    _cookies = 0  # validly signed ones in the request
    _set = False  # this response sets the cookie
    _stale = False  # signed with an old secret
    _state = State.NEW
    _stored: Stored | None = None
    _touched = False

    def __init__(self, config: Config, header: str, scheme: str) -> None:
        self._config = config
        self._header = header
        self._scheme = scheme

    def __repr__(self) -> str:
        if self._draft is None:
            return "<Session, not touched>"
        return f"<Session {self._state.value}, key {self.key}>"

    # Loading

    def _load(self) -> Draft:
        if self._draft is not None:
            return self._draft
        self._touched = True
        config = self._config
        name, identity, vault = self._name(), self._identity(), config.vault
        live: list[tuple[str, bool, Stored]] = []
        tombstones = 0
        for token in Cookie.read(self._header, name) if self._header else ():
            verified = identity.unsign(name, token)
            if verified is None:
                config.forged.add()
                continue
            id, stale = verified
            key = identity.key(id)
            if key in self._keys:
                continue
            stored = vault.load(key)
            self._keys += (key,)
            self._cookies += 1
            if stored is None:
                event(logging.DEBUG, "unknown id", "a cookie's session has expired or was ended", key=vault.show(key))
            elif stored.record is None:
                tombstones += 1
            else:
                live.append((id, stale, stored))
        if len(live) == 1:
            self._id, self._stale, self._stored = live[0]
            self._state = State.LIVE
            self._draft = Draft(vault.codec, self._stored.record)
            return self._draft
        if live:
            event(logging.WARNING, "two cookies", "a request brought cookies of more than one live session; it has none now")
        if live or tombstones:
            self._state = State.DETACHED
        return self._blank()

    def _blank(self) -> Draft:
        """Start an empty draft."""
        config = self._config
        self._draft = Draft(config.vault.codec, created=config.vault.clock(), persistent=config.cookie.persistent)
        self._stored = None
        return self._draft

    @classmethod
    def _opened(cls, config: Config, stored: Stored) -> Session:
        """Return the session of a stored record, without a cookie."""
        session = cls(config, "", "")
        session._by_key = session._touched = True
        session._stored, session._state, session._keys = stored, State.LIVE, (stored.key,)
        session._draft = Draft(config.vault.codec, stored.record)
        return session

    def _name(self) -> str:
        cookie = self._config.cookie
        return cookie.wire_name(cookie.is_secure(self._scheme))

    def _identity(self) -> Identity:
        if self._config.identity is None:
            raise SessionError("this manager was built without a secret; pass secret=…")
        return self._config.identity

    # What it is

    @property
    def key(self) -> str | None:
        """The key of the stored record; None until first saved, and where it is gone."""
        self._load()
        return self._stored.key if self._stored is not None else None

    @property
    def new(self) -> bool:
        """True where nothing is stored yet."""
        self._load()
        return self._state is State.NEW

    @property
    def gone(self) -> bool:
        """True where the session vanished (ended or regenerated elsewhere): what this request writes is dropped."""
        self._load()
        return self._state is State.DETACHED

    @property
    def created(self) -> float:
        """When it began, in POSIX seconds; a login or a logout by ``owner`` begins it anew."""
        return self._load().created

    @property
    def expires(self) -> float:
        """When it ends unless it is used again, in POSIX seconds."""
        draft, vault = self._load(), self._config.vault
        return vault.clock() + (vault.timeouts.allowed(draft) if self._stored is None else self._stored.left())

    @property
    def owner(self) -> str | None:
        """Who is logged in: 1 to 255 characters without NUL or lone surrogates, or None.

        Setting a different owner is a login or a logout: it implies ``regenerate()`` and restarts ``created``.
        """
        return self._load().owner

    @owner.setter
    def owner(self, owner: str | None) -> None:
        check_owner(owner)
        draft = self._load()
        if owner != draft.owner:
            self._outside_atomic("another owner")
            self._needs_cookie("a new owner")
            self._begin()
            draft.owner = owner

    @property
    def persistent(self) -> bool:
        """True is "remember me": the cookie outlives the browser, and ``remember`` counts instead of both limits."""
        return self._load().persistent

    @persistent.setter
    def persistent(self, persistent: bool) -> None:
        if type(persistent) is not bool:
            raise TypeError(f"persistent is True or False, not {type(persistent).__name__}")
        draft = self._load()
        if persistent != draft.persistent:
            if self._state is not State.DETACHED:
                self._needs_cookie("another persistence")
            draft.persistent = persistent

    def regenerate(self) -> None:
        """Give the same data a new id, with the commit; the old id is dead before the first header leaves.

        Call it on any change of rights. HeadersSent: it is too late.

        Source: ASVS 5.0 7.2.4.
        """
        self._outside_atomic("regenerate()")
        self._load()
        if self._phase is Phase.FAILED:
            raise HeadersSent("the response's headers have left: the id can no longer change")
        self._needs_cookie("regenerate()")
        self._begin()

    def _begin(self) -> None:
        """A login: a live session gets a new id, a detached one starts afresh with what this request wrote."""
        if self._state is State.LIVE:
            self._load().renew = True
        self._state = State.NEW if self._state is State.DETACHED else self._state

    # Changing

    def _changing(self) -> None:
        if self._phase is not _OPEN and self._phase is Phase.SENT and self._state is State.NEW:
            raise HeadersSent("the response's headers have left: a new session can no longer reach the client")

    def _needs_cookie(self, what: str) -> None:
        if self._by_key:
            raise SessionError(f"{what} needs the visitor's cookie, which a session opened by its key has not")
        if self._phase is Phase.SENT:
            raise HeadersSent(f"the response's headers have left: {what} can no longer reach the client")

    def _outside_atomic(self, what: str) -> None:
        if self._in_atomic:
            raise SessionError(f"{what} has no place inside atomic(); do it before or after")

    def _broken(self, key: str, error: ValueError) -> None:
        shown = self._config.vault.show(self.key or "")
        event(logging.ERROR, "unreadable", f"a value cannot be read: {error}", key=shown, item=key)
        self._state = State.DETACHED if self._by_key else State.NEW
        self._blank()

    # Saving

    def save(self) -> bool:
        """Commit now instead of with the headers, merging like any commit. False: the session is gone, ours is dropped."""
        self._outside_atomic("save()")
        self._load()
        return self._phase is not Phase.FAILED and self._commit()

    def _commit(self, *, merge: bool = True) -> bool:
        """Bring the store up to date: one routine for the headers, save(), atomic() and the end of a stream."""
        draft, vault = self._load(), self._config.vault
        if self._state is State.DETACHED:
            return False
        if self._stored is None:
            if not len(draft) and draft.owner is None:
                return True
            self._id = self._identity().new_id()
            self._hold(vault.create(draft, self._identity().key(self._id)))
            self._state, self._set = State.LIVE, True
        elif draft.renew:
            id = self._identity().new_id()
            stored = vault.regenerate(draft, self._stored, self._identity().key(id))
            if stored is None:
                return self._vanish()
            self._hold(stored)
            self._id, self._set = id, True
        else:
            switched = draft.persistent != draft.stored_persistent
            follow = self._phase is _OPEN and not self._by_key
            stored = vault.save(draft, self._stored, follow=follow, merge=merge)
            if stored is None:
                return self._vanish()
            self._stored = stored
            if switched or (stored.moved and vault.timeouts.dated(draft)):
                self._set = True
        return True

    def _hold(self, stored: Stored) -> None:
        self._stored = stored
        self._keys += (stored.key,)

    def _vanish(self) -> bool:
        self._state, self._set = State.DETACHED, False
        self._blank()
        return False

    def reload(self) -> None:
        """Drop unsaved changes and read again; a pending ``regenerate()`` stays pending."""
        self._outside_atomic("reload()")
        draft = self._load()
        if self._stored is None:
            self._blank()
            return
        stored = self._config.vault.load(self._stored.key)
        if stored is None or stored.record is None:
            self._vanish()
        else:
            self._stored = stored
            draft.restart(stored.record)

    def atomic(self, function: Callable[[Session], T]) -> T:
        """Save what is pending, run ``function(session)`` and save; again on fresh data where another request saved.

        If ``function`` raises, its changes are undone and the error goes on.

        Returns:
            What ``function`` returned in the run that was saved.

        Raises:
            SessionConflict: other requests kept saving past a generous bound.
        """
        self._outside_atomic("atomic()")
        self.save()
        self._in_atomic = True
        vault, turn = self._config.vault, None
        try:
            for _ in vault.attempts():
                result = function(self)
                try:
                    if self._phase is not Phase.FAILED:
                        self._commit(merge=False)
                    return result
                except Overtaken as overtaken:
                    self._stored = overtaken.theirs
                    turn = turn or vault.turn(overtaken.theirs.key)
                    self._undo()
            raise vault.conflict(self._keys[-1])
        except BaseException:
            self._undo()
            raise
        finally:
            self._in_atomic = False
            if turn is not None:
                turn.release()

    def _undo(self) -> None:
        """Show what is stored again."""
        if self._stored is None or self._stored.record is None:
            self._blank()
        else:
            self._load().restart(self._stored.record)

    # Ending

    def destroy(self) -> None:
        """End the session now, even if the request fails later; writing afterwards starts a new one.

        Ends the session of every validly signed cookie of this request, and where one was regenerated meanwhile, the one it
        led to, so a logout that comes late stands. On a session that vanished it does nothing.
        """
        self._outside_atomic("destroy()")
        self._load()
        vault = self._config.vault
        buried = [key for key in dict.fromkeys(self._keys) if vault.bury(key)]
        for key in buried:
            event(logging.INFO, "destroyed", "session destroyed", key=vault.show(key))
        if buried:
            self._expire = self._cookies > 0
            self._state = State.DETACHED if self._by_key else State.NEW
            self._set = False
        elif self._state is State.LIVE:
            self._state, self._set = State.DETACHED, False
        self._blank()

    def siblings(self) -> list[SessionInfo]:
        """List this owner's other live sessions, newest first. SessionError: there is no owner."""
        return [info for info in self._config.vault.owned_by(self._owned()) if info.key not in self._keys]

    def destroy_siblings(self) -> int:
        """Log this owner out everywhere else, at once; returns how many sessions ended. SessionError: there is no owner.

        Source: ASVS 5.0 7.4.3.
        """
        return self._config.vault.bury_owned(self._owned(), lambda: self._keys)

    def _owned(self) -> str:
        owner = self._load().owner
        if owner is None:
            raise SessionError("this session has no owner; set session.owner at login")
        return owner

    # The response, for the middleware

    def _leave(self, ok: bool) -> None:
        """Commit, the headers are about to leave; ``ok`` False: the response tells of a failure, nothing more is saved."""
        if ok and self._draft is not None:
            self._commit()
            if self._stale and self._state is State.LIVE:
                self._set = True
        self._phase = Phase.SENT if ok else Phase.FAILED

    def _finish(self) -> None:
        """Save late changes, the stream has ended well."""
        if self._phase is Phase.SENT and self._draft is not None:
            self._commit()

    def _set_cookie(self) -> str | None:
        """Return this response's Set-Cookie value, if it has one."""
        cookie = self._config.cookie
        secure = cookie.is_secure(self._scheme)
        if self._set:
            assert self._id is not None and self._stored is not None
            max_age = self._stored.max_age() if self._config.vault.timeouts.dated(self._load()) else None
            token = self._identity().sign(self._name(), self._id)
            return cookie.render(self._name(), token, secure=secure, max_age=max_age)
        return cookie.expire(self._name(), secure=secure) if self._expire else None


def check_owner(owner: object) -> None:
    """TypeError, ValueError: this is no owner's name."""
    if owner is None:
        return
    if type(owner) is not str:
        raise TypeError(f"an owner is a str or None, not {type(owner).__name__}; pass str(user.id)")
    if not 1 <= len(owner) <= 255:
        raise ValueError("an owner has 1 to 255 characters; for nobody pass None")
    if "\0" in owner or any("\ud800" <= character <= "\udfff" for character in owner):
        raise ValueError("an owner has no NUL and no lone surrogates")
