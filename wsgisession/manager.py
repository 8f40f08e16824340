"""SessionManager: the sessions of a store without WSGI, for tests, jobs and the command line. Knows no request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from wsgisession.codec import Codec, check_codec
from wsgisession.commit import Commit
from wsgisession.cookie import Cookie
from wsgisession.diagnosis import Advice, BadSignatures
from wsgisession.errors import SessionError
from wsgisession.identity import Identity, check_secrets, digest
from wsgisession.info import SessionInfo
from wsgisession.jsoncodec import JSONCodec
from wsgisession.limits import Limits, Seconds, seconds
from wsgisession.log import event
from wsgisession.record import Record, check_owner
from wsgisession.records import End, Records, Stored
from wsgisession.session import Session, session_of
from wsgisession.shared import Setup
from wsgisession.stores import MemoryStore, Store, from_url
from wsgisession.visit import Visit, new_visit

IdentityFactory = Callable[[list[bytes]], Identity]
Secret = str | bytes | Sequence[str | bytes]


class SessionManager:
    """The configuration of sessions, and what you can do with sessions outside a request.

    Args:
        store: A Store, or a URL for ``stores.from_url``; None: a new MemoryStore.
        secret: ``str`` or ``bytes`` of at least 32 bytes, or a list of them. The first one signs, all are accepted. None:
            nothing can be signed, so ``issue`` and ``from_cookie`` raise.
        cookie: Name and attributes of the cookie.
        idle_timeout: Seconds since the last use (a number or a timedelta). None: only the lifetime counts.
        lifetime: Seconds since the login or the creation, always finite.
        remember: Seconds since the last use of a persistent session. It counts instead of both limits.
        max_size: Bytes of one stored session.
        codec: Turns sessions into bytes, and bytes into sessions.
        identity: A factory, called with the list of secrets as bytes; None: Identity.
        clock: Returns POSIX seconds; for tests.

    Raises:
        ValueError, TypeError: The configuration is wrong; the message says what to pass instead.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        secret: Secret | None = None,
        cookie: Cookie | None = None,
        idle_timeout: Seconds | None = 7200,
        lifetime: Seconds = 86400,
        remember: Seconds = 2592000,
        max_size: int = 65536,
        codec: Codec | None = None,
        identity: IdentityFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cookie = Cookie() if cookie is None else cookie
        if not isinstance(self.cookie, Cookie):
            raise TypeError(f"cookie must be a Cookie like Cookie(name='sid'), not {type(cookie).__name__}")
        self.codec: Codec = JSONCodec() if codec is None else codec
        check_codec(self.codec)
        limits = Limits(
            None if idle_timeout is None else seconds("idle_timeout", idle_timeout),
            seconds("lifetime", lifetime),
            seconds("remember", remember),
            dates_cookie=self.codec.dates_cookie,
        )
        size = _size(max_size)
        if not callable(clock):
            raise TypeError("clock must be a function that returns POSIX seconds, such as time.time")
        factory = Identity if identity is None else identity
        self.identity = _identity(factory, secret)
        self.store = _open_store(store)
        show = digest if getattr(factory, "key_is_id", False) else str
        self.records = Records(self.store, self.codec, limits, clock, show)
        advice = Advice()
        signer = Identity([b"no secret: nobody signs with this"]) if self.identity is None else self.identity
        commit, bad_signatures = Commit(self.records, size), BadSignatures(advice)
        blank = Record(inf, None, self.cookie.persistent, {})
        names = self.cookie.names("http"), self.cookie.names("https")
        self.setup = Setup(self.records, commit, self.cookie, signer, advice, bad_signatures, blank, names)
        """What all visits share, for the middleware and for adapters."""

    def issue(
        self, data: Mapping[str, Any] | None = None, owner: str | None = None, *, secure: bool | None = None
    ) -> str:
        """Store a new session and return the ``name=token`` pair for a Cookie header, to log a test client in.

        Args:
            data: The data of the session.
            owner: Who is logged in.
            secure: The pair for https (True) or http (False). None: http, unless the cookie says ``secure=True``.

        Raises:
            SessionError: The manager has no secret.
        """
        identity = self._signer("issue() signs a cookie")
        check_owner(owner)
        visit = new_visit(self.setup)
        session_of(visit).update(data or {})
        draft = visit.load()
        draft.set_facts(owner=owner)
        id = identity.new_id()
        self.setup.commit.create(draft, identity.key(id))
        name = self.cookie.wire_name(self.cookie.secure is True if secure is None else secure)
        return f"{name}={identity.sign(name, id)}"

    def open(self, key: str) -> Session | None:
        """Return the live session under a key. Change it and call its ``save()``. None: there is no such session.

        ``owner``, ``persistent`` and ``regenerate()`` cannot be used on it, because they need the visitor's cookie.
        """
        found = self.records.find(key) if isinstance(key, str) else None
        return self._of(found) if isinstance(found, Stored) else None

    def from_cookie(self, header: str, *, secure: bool | None = None) -> Session | None:
        """Return the live session of a Cookie header, in the same way as ``open``. None: it has no live session.

        It is for programs that have the header but no WSGI request: a WebSocket server, a job, a test.

        Args:
            header: ``"sid=…; theme=dark"``, as the browser sent it.
            secure: True: the header came over https. False: over http. None: look for both.

        Raises:
            SessionError: The manager has no secret.
        """
        self._signer("from_cookie() verifies a signature")
        for scheme in ("https", "http") if secure is None else ("https" if secure else "http",):
            visit = new_visit(self.setup, header, scheme)
            visit.load()
            if visit.stored is not None:
                return self._of(visit.stored)
        return None

    def _of(self, stored: Stored) -> Session:
        return session_of(Visit.of_key(self.setup, stored))

    def _signer(self, what: str) -> Identity:
        if self.identity is None:
            raise SessionError(f"{what}: build the manager with secret=…")
        return self.identity

    def owned_by(self, owner: str) -> list[SessionInfo]:
        """List an owner's live sessions, newest first."""
        _check_name(owner)
        return [self.records.info(stored) for stored in self.records.owned_by(owner)]

    def sessions(self) -> Iterator[SessionInfo]:
        """Yield every live session, in any order, read in batches.

        Raises:
            StoreError: The store failed, or a record cannot be used. In the second case, all other sessions come first.
        """
        return map(self.records.info, self.records.every())

    def destroy(self, key: str) -> bool:
        """End the session under a key now. If ``regenerate()`` changed the key, end the session under the new key.
        False: there was no session.
        """
        ended = isinstance(key, str) and self.records.end(key) is End.ENDED
        if ended:
            event(logging.INFO, "revoked", "session revoked", key=self.records.show(key))
        return ended

    def destroy_owned(self, owner: str, keep: str | Iterable[str] | None = None) -> int:
        """End an owner's sessions, except those whose keys are in ``keep``. Return how many ended.

        It lists the sessions again until it finds nothing more to end. So it also ends a session that was saved meanwhile.
        """
        _check_name(owner)
        return self.records.end_owned(owner, [keep] if isinstance(keep, str) else list(keep or ()))

    def purge(self) -> int:
        """Remove expired records from the store, in batches. Return how many."""
        total = 0
        while removed := self.store.purge():
            total += removed
        if total:
            event(logging.INFO, "expired", "expired records were removed", count=total)
        return total

    def count(self) -> int:
        """Return how many live records there are, as cheaply as the store can tell. The last minute's markers may count."""
        count: Callable[[], int] | None = getattr(self.store, "count", None)
        return sum(1 for _ in self.store.keys()) if count is None else count()


def _check_name(owner: object) -> None:
    """Refuse what a mistake makes, such as a user's number: nobody has it, so nobody would be logged out."""
    if not isinstance(owner, str):
        raise TypeError(f"an owner is a str, not {type(owner).__name__}; pass str(user.id)")


def _identity(factory: Any, secret: Secret | None) -> Identity | None:
    if not callable(factory):
        raise TypeError("identity must be a class or a function that takes the list of secrets")
    if secret is None:
        return None
    identity: Identity = factory(check_secrets(secret, getattr(factory, "min_secret", Identity.min_secret)))
    if not all(callable(getattr(identity, name, None)) for name in ("new_id", "key", "sign", "unsign")):
        raise TypeError("identity must return an Identity")
    return identity


def _open_store(store: Store | str | None) -> Store:
    if store is None:
        return MemoryStore()
    if isinstance(store, str):
        return from_url(store)
    if isinstance(store, type) or not isinstance(store, Store):
        raise TypeError("store must be a Store such as MemoryStore(), or a URL like 'sqlite:///sessions.db'")
    return store


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_size must be a number of bytes, not {type(value).__name__}")
    if value <= 0:
        raise ValueError("max_size must be a positive number of bytes")
    return value
