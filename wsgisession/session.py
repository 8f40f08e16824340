"""Session: what an application holds, a dict with a life of its own. Knows neither cookies nor headers; ``life`` does.

Its own code begins with the mapping in ``mapping`` and what happens to it in one request in ``life``; here is what can be
asked of it and told to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Self, TypeVar, cast

from wsgisession.commit import Overtaken
from wsgisession.errors import HeadersSent, SessionError
from wsgisession.life import DETACHED, FAILED, LIVE, NEW, UNTOUCHED, Life
from wsgisession.log import event
from wsgisession.register import ATTEMPTS, SessionInfo

T = TypeVar("T")


class Session(Life):
    """One visitor's session in one request: a ``MutableMapping[str, Any]`` with all that ``dict`` offers.

    It belongs to one thread at a time. Nested changes are noticed; what changed is saved before the headers leave.
    """

    # No slots, other than its base: frameworks set attributes of their own (Flask ``accessed``, its users ``permanent``).

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return a request's session as an object of this class: for frameworks, whose sessions have more members."""
        session.__class__ = cls
        return cast(Self, session)

    def __repr__(self) -> str:
        if self._state is UNTOUCHED:
            return "<Session, not touched>"
        key = None if self._stored is None else self._config.vault.show(self._stored.key)
        return f"<Session {self._state.value}, key {key}>"

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
        return self._state is NEW

    @property
    def gone(self) -> bool:
        """True where the session vanished (ended or regenerated elsewhere): what this request writes is dropped."""
        self._load()
        return self._state is DETACHED

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
            if self._state is not DETACHED:
                self._needs_cookie("another persistence")
            draft.persistent = persistent

    def regenerate(self) -> None:
        """Give the same data a new id, with the commit; the old id is dead before the first header leaves.

        Call it on any change of rights. HeadersSent: it is too late.

        Source: ASVS 5.0 7.2.4.
        """
        self._load()
        self._outside_atomic("regenerate()")
        if self._phase is FAILED:
            raise HeadersSent("the response's headers have left: the id can no longer change")
        self._needs_cookie("regenerate()")
        self._begin()

    # Saving

    def save(self) -> bool:
        """Commit now instead of with the headers, merging like any commit. False: the session is gone, ours is dropped."""
        self._load()
        self._outside_atomic("save()")
        return self._phase is not FAILED and self._commit()

    def reload(self) -> None:
        """Drop unsaved changes and read again; a pending ``regenerate()`` stays pending."""
        draft = self._load()
        self._outside_atomic("reload()")
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
            What ``function`` returned in the run that was saved, or dropped where ``gone`` is True.

        Raises:
            SessionConflict: other requests kept saving past a generous bound.
        """
        self._load()
        self._outside_atomic("atomic()")
        self.save()
        self._in_atomic = True
        vault, turn = self._config.vault, None
        try:
            for attempt in range(ATTEMPTS):
                result = function(self)
                try:
                    if self._phase is not FAILED:
                        self._commit(merge=False, tries=attempt)
                    return result
                except Overtaken as overtaken:
                    self._stored = overtaken.theirs
                    turn = vault.turn(overtaken.theirs.key) if attempt == 0 else turn
                    self._undo()
            assert self._stored is not None
            raise vault.conflict(self._stored.key)
        except BaseException:
            self._undo()
            raise
        finally:
            self._in_atomic = False
            if turn is not None:
                turn.release()

    # Ending

    def destroy(self) -> None:
        """End the session now, even if the request fails later; writing afterwards starts a new one.

        Ends the session of every validly signed cookie of this request, and where one was regenerated meanwhile, the one it
        led to, so a logout that comes late stands. On a session that vanished it does nothing.
        """
        self._load()
        self._outside_atomic("destroy()")
        vault = self._config.vault
        buried = [key for key in dict.fromkeys(self._keys) if vault.bury(key)]
        for key in buried:
            event(logging.INFO, "destroyed", "session destroyed", key=vault.show(key))
        if buried:
            self._expire = self._cookies > 0
            self._state = DETACHED if self._by_key else NEW
            self._set = False
        elif self._state is LIVE:
            self._state, self._set = DETACHED, False
        self._blank()

    def siblings(self) -> list[SessionInfo]:
        """List this owner's other live sessions, newest first. SessionError: there is no owner."""
        return self._config.vault.others(self._owned(), self._own)

    def destroy_siblings(self) -> int:
        """Log this owner out everywhere else, at once; returns how many sessions ended. SessionError: there is no owner.

        Source: ASVS 5.0 7.4.3.
        """
        return self._config.vault.bury_owned(self._owned(), self._own)

    def _owned(self) -> str:
        owner = self._load().owner
        if owner is None:
            raise SessionError("this session has no owner; set session.owner at login")
        return owner


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
