"""Session: what an application uses. It behaves like a dict, with methods of one or two lines. ``visit`` knows cookies
and stores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from wsgisession.errors import UnreadableValue
from wsgisession.hints import hint
from wsgisession.info import SessionInfo
from wsgisession.limits import seconds
from wsgisession.merge import MISSING
from wsgisession.phase import OPEN
from wsgisession.record import check_owner
from wsgisession.views import Items, Keys, Values
from wsgisession.visit import Visit

T = TypeVar("T")


class Session(MutableMapping[str, Any]):
    """One visitor's session in one request. It behaves like a dict; ``dict(session)`` makes a real one.

    Changes inside nested lists and dicts are saved too. What changed is saved before the response's headers leave. One
    request's session belongs to one thread at a time.
    """

    __slots__ = ("__weakref__", "_visit")

    _visit: Visit

    # A dict

    def __getitem__(self, key: str) -> Any:
        value = _value(self._visit, key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default.

        Raises:
            UnreadableValue: The stored value cannot be decoded. The other keys work.
        """
        return _value(self._visit, key, default)

    def __setitem__(self, key: str, value: Any) -> None:
        visit = self._visit
        draft = visit.draft
        if draft is None:
            draft = visit.load()
        if type(key) is not str:
            raise TypeError(f"a session's keys are str, not {type(key).__name__}; pass a plain str")
        if visit.phase is not OPEN:
            visit.check_change()
        draft.set(key, value)

    def __delitem__(self, key: str) -> None:
        draft = self._visit.load()
        _check_key(key)
        if key in draft:
            self._visit.check_change()
        draft.delete(key)

    def __contains__(self, key: object) -> bool:
        return key in self._visit.load() or _check_key(key)

    def __len__(self) -> int:
        return len(self._visit.load())

    def __iter__(self) -> Iterator[str]:
        return iter(self._visit.load())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._visit.load())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.copy() == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> Keys:
        """Return a view of the keys. It decodes every value, so that ``dict()`` raises first if one cannot be read."""
        return Keys(self._decoded())

    def values(self) -> Values:
        """Return a view of the values. Decodes them all."""
        return Values(self._decoded())

    def items(self) -> Items:
        """Return a view of the pairs. Decodes every value."""
        return Items(self._decoded())

    def _decoded(self) -> Session:
        """Return this session, with every value decoded."""
        for key in self._visit.load():
            self.get(key)
        return self

    def copy(self) -> dict[str, Any]:
        """Return a plain shallow copy, as ``dict(session)`` does."""
        return dict(self.items())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a session cannot be pickled, because its id must not leave the process; use dict(session)"
        )

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last pair. KeyError: the session is empty."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the session is empty")

    def clear(self) -> None:
        """Delete every key. The session itself goes on, and so does its owner."""
        draft = self._visit.load()
        if len(draft):
            self._visit.check_change()
        draft.clear()

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self.copy() | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | self.copy() if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Session:
        self.update(other)
        return self

    def __repr__(self) -> str:
        visit = self._visit
        if visit.draft is None:
            return "<Session, not touched>"
        state = "gone" if visit.gone else "new" if visit.stored is None else "live"
        return f"<Session {state}, key {visit.key and visit.setup.records.show(visit.key)}>"

    # What it is

    @property
    def key(self) -> str | None:
        """The key of the stored record. None until the session is first saved, and if it is gone."""
        self._visit.load()
        return self._visit.key

    @property
    def new(self) -> bool:
        """True if nothing is stored yet."""
        self._visit.load()
        return self._visit.stored is None and not self._visit.gone

    @property
    def gone(self) -> bool:
        """True if the session ended, or changed its id, while this request was running.

        What this request writes is dropped.
        """
        self._visit.load()
        return self._visit.gone

    @property
    def created(self) -> float:
        """When the session began, in POSIX seconds. A login or a logout by ``owner`` sets it again."""
        return self._visit.created()

    @property
    def expires(self) -> float:
        """When the session ends if it is not used again, in POSIX seconds."""
        return self._visit.expires()

    @property
    def owner(self) -> str | None:
        """Who is logged in: 1 to 255 characters without NUL or lone surrogates, or None.

        Setting another owner is a login or a logout. It gives the session a new id and sets ``created`` again. After a
        login from nobody to somebody the data stays. When an owner leaves, the data is cleared at once, so write what
        should stay after the change.

        Source: ASVS 5.0 7.2.4.
        """
        return self._visit.load().facts.owner

    @owner.setter
    def owner(self, owner: str | None) -> None:
        check_owner(owner)
        self._visit.set_owner(owner)

    @property
    def persistent(self) -> bool:
        """True is "remember me": the cookie outlives the browser, and ``remember`` counts instead of both limits."""
        return self._visit.load().facts.persistent

    @persistent.setter
    def persistent(self, persistent: bool) -> None:
        _check_bool("persistent", persistent)
        self._visit.set_length(persistent=persistent)

    @property
    def idle_timeout(self) -> float | None:
        """Seconds without use after which this session ends. None: the configured ones.

        Settable to a number of seconds, a timedelta or None. The lifetime still counts if the session is not persistent.
        """
        return self._visit.load().facts.idle_timeout

    @idle_timeout.setter
    def idle_timeout(self, idle_timeout: float | timedelta | None) -> None:
        own = None if idle_timeout is None else seconds("idle_timeout", idle_timeout)
        self._visit.set_length(idle_timeout=own)

    @property
    def passive(self) -> bool:
        """True: this request does not count as use of the session, and does not move its expiry.

        It is for polls, and for a page that shows how much time is left.
        """
        self._visit.load()
        return self._visit.passive

    @passive.setter
    def passive(self, passive: bool) -> None:
        _check_bool("passive", passive)
        self._visit.load()
        self._visit.passive = passive

    def regenerate(self) -> None:
        """Give the same data a new id when it is saved. The old id is dead before the first header leaves.

        Call it on any change of rights.

        Raises:
            HeadersSent: It is too late.

        Source: ASVS 5.0 7.2.4.
        """
        self._visit.regenerate()

    # Saving

    def save(self) -> bool:
        """Save now, before the headers leave. False: the session is gone, and the change is dropped."""
        return self._visit.save()

    def reload(self) -> None:
        """Drop unsaved changes and read again. A pending ``regenerate()`` stays pending."""
        self._visit.reload()

    def atomic(self, function: Callable[[Session], T]) -> T:
        """Save what is pending, run ``function(session)`` and save. Run it again on fresh data if another request saved.

        The function may run more than once, so it must not send mail or take payments. If it raises, its changes are undone
        and the error goes on.

        Returns:
            What ``function`` returned in the run that was saved, or that was dropped because the session is gone.

        Raises:
            SessionConflict: Other requests kept saving for seconds.
        """
        return self._visit.atomic(lambda: function(self))

    # Ending

    def destroy(self) -> None:
        """End the session now, even if the request fails later. The next write starts a new session.

        This ends the session of every validly signed cookie of this request. If another request changed the id meanwhile,
        the session with the new id ends. So a late logout works too.
        """
        self._visit.destroy()

    def siblings(self) -> list[SessionInfo]:
        """List this owner's other live sessions, newest first. SessionError: there is no owner.

        A session that is gone has no others.
        """
        return self._visit.siblings()

    def destroy_siblings(self) -> int:
        """Log this owner out everywhere else, at once. SessionError: there is no owner.

        Returns:
            How many sessions ended. If this session itself was ended meanwhile, it is gone, and nothing else ends: 0.

        Source: ASVS 5.0 7.4.3.
        """
        return self._visit.destroy_siblings()

    # Other attributes are typing mistakes

    def __getattr__(self, name: str) -> NoReturn:
        # The name exists, so it is no slip: its property raised an AttributeError, such as a store's bug.
        if any(name in kind.__dict__ for kind in type(self).__mro__):
            return object.__getattribute__(self, name)  # type: ignore[misc]
        raise AttributeError(hint(name, MEMBERS), name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in MEMBERS:
            raise AttributeError(hint(name, MEMBERS), name=name, obj=self)
        object.__setattr__(self, name, value)


MEMBERS = frozenset(name for name in dir(Session) if not name.startswith("_"))

# Sets the only slot. __setattr__ is only for the attributes that applications set.
hold: Callable[[Session, Visit], None] = Session.__dict__["_visit"].__set__


def session_of(visit: Visit) -> Session:
    """Return the session of a visit. A function for the same reason as ``new_visit``."""
    session = Session()
    hold(session, visit)
    return session


def visit_of(session: Session) -> Visit:
    """Return the visit behind a session, for the middleware and for adapters."""
    return session._visit


def _value(visit: Visit, key: str, default: Any) -> Any:
    draft = visit.draft
    if draft is None:
        draft = visit.load()
    try:
        value = draft.get(key, default)
    except UnreadableValue as error:
        visit.report(key, error)
        raise
    if value is default:
        _check_key(key)
    return value


def _check_key(key: object) -> bool:
    """Return False, or raise TypeError if it is no possible key."""
    if not isinstance(key, str):
        raise TypeError(f"a session's keys are str, not {type(key).__name__}")
    return False


def _check_bool(name: str, value: object) -> None:
    if type(value) is not bool:
        raise TypeError(f"{name} is True or False, not {type(value).__name__}")
