"""SessionManager: the sessions of a store, without WSGI: for tests, jobs and the command line. Knows no request."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from wsgisession.codec import JSONCodec
from wsgisession.commit import Vault
from wsgisession.cookie import Cookie
from wsgisession.diagnosis import Advice, Forged
from wsgisession.errors import SessionError
from wsgisession.identity import Identity, check_secrets, digest
from wsgisession.life import Config
from wsgisession.limits import Limits
from wsgisession.log import event
from wsgisession.register import SessionInfo
from wsgisession.session import Session, check_owner
from wsgisession.stores import MemoryStore, Store, from_url

Seconds = float | int | timedelta
IdentityFactory = Callable[[list[bytes]], Identity]


class SessionManager:
    """All the configuration of sessions, and what can be done with them outside a request.

    Args:
        store: A Store, or a URL for ``stores.from_url``; None: a new MemoryStore.
        secret: ``str`` or ``bytes`` of at least 32 bytes, or a list of them: the first signs, all verify. None: nothing
            can be signed, so ``issue`` raises.
        cookie: Name and attributes of the cookie.
        idle_timeout: Seconds since last use (a number or a timedelta); None: only the lifetime counts.
        lifetime: Seconds since login or creation, always finite.
        remember: Seconds since last use of a persistent session; replaces both limits for it.
        max_size: Bytes of one payload.
        codec: Makes payloads of records.
        identity: A factory, called with the list of secrets as bytes; None: Identity.
        clock: Returns POSIX seconds; for tests.

    Raises:
        ValueError, TypeError: The configuration is wrong; the message says what to pass instead.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        secret: str | bytes | list[str] | list[bytes] | list[str | bytes] | None = None,
        cookie: Cookie | None = None,
        idle_timeout: Seconds | None = 7200,
        lifetime: Seconds = 86400,
        remember: Seconds = 2592000,
        max_size: int = 65536,
        codec: JSONCodec | None = None,
        identity: IdentityFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        cookie = Cookie() if cookie is None else cookie
        if not isinstance(cookie, Cookie):
            raise TypeError(f"cookie must be a Cookie, such as Cookie(name='sid'), not {type(cookie).__name__}")
        codec = JSONCodec() if codec is None else codec
        missing = [name for name in ("pack", "unpack", "encode", "decode") if not callable(getattr(codec, name, None))]
        if missing or isinstance(codec, type):
            raise TypeError("codec must be an object such as JSONCodec()")
        factory = Identity if identity is None else identity
        if not callable(factory):
            raise TypeError("identity must be a class or a function that takes the list of secrets")
        limits = Limits(
            None if idle_timeout is None else _seconds("idle_timeout", idle_timeout),
            _seconds("lifetime", lifetime),
            _seconds("remember", remember),
            _size(max_size),
        )
        minimum = getattr(factory, "min_secret", Identity.min_secret)
        signer = None if secret is None else factory(check_secrets(secret, minimum))
        wanted = () if secret is None else ("new_id", "key", "sign", "unsign")
        if not all(callable(getattr(signer, name, None)) for name in wanted):
            raise TypeError("identity must return an Identity")
        self.store = _open_store(store)
        show = digest if getattr(factory, "key_is_id", False) else str
        vault = Vault(self.store, codec, limits, clock=clock, show=show)
        advice = Advice()
        names = cookie.wire_name(cookie.is_secure("http")), cookie.wire_name(cookie.is_secure("https"))
        self._config = Config(vault, cookie, signer, advice, Forged(advice), names)

    def issue(
        self, data: Mapping[str, Any] | None = None, owner: str | None = None, *, secure: bool | None = None
    ) -> str:
        """Store a new session and return the ``name=token`` pair for a Cookie header, to log a test client in.

        Args:
            data: What the session holds.
            owner: Who is logged in.
            secure: The pair for https (True) or http (False); None: http, unless the cookie says ``secure=True``.

        Raises:
            SessionError: The manager has no secret.
        """
        config = self._config
        vault, cookie, identity = config.vault, config.cookie, config.identity
        if identity is None:
            raise SessionError("issue() signs a cookie: build the manager with secret=…")
        check_owner(owner)
        session = Session(self._config)
        session.update(data or {})
        draft = session._load()
        draft.owner = owner
        id = identity.new_id()
        vault.create(draft, identity.key(id))
        name = cookie.wire_name(cookie.secure is True if secure is None else secure)
        return f"{name}={identity.sign(name, id)}"

    def open(self, key: str) -> Session | None:
        """Return the live session under a key, to be changed and saved with ``.save()``; None: there is none.

        Its owner and persistence cannot be set, and ``regenerate()`` raises: they need the visitor's cookie.
        """
        stored = self._config.vault.load(key)
        if stored is None or stored.record is None:
            return None
        return Session._opened(self._config, stored)

    def owned_by(self, owner: str) -> list[SessionInfo]:
        """List an owner's live sessions, newest first."""
        return self._config.vault.owned_by(owner)

    def sessions(self) -> Iterator[SessionInfo]:
        """Yield every live session, in any order."""
        for key in self.store.keys():
            info = self._config.vault.info(key)
            if info is not None:
                yield info

    def destroy(self, key: str) -> bool:
        """End the session under a key now, or the one it became. False: there was none."""
        ended = self._config.vault.bury(key)
        if ended:
            event(logging.INFO, "revoked", "session revoked", key=self._config.vault.show(key))
        return ended

    def destroy_owned(self, owner: str, keep: str | Iterable[str] | None = None) -> int:
        """End an owner's sessions, but the key or keys in ``keep``; returns how many ended.

        It lists again until a pass finds nothing, so a session saved meanwhile is ended or began after this.
        """
        kept = () if keep is None else (keep,) if isinstance(keep, str) else tuple(keep)
        return self._config.vault.bury_owned(owner, kept)

    def purge(self) -> int:
        """Remove expired records from the store, in bounded batches; returns how many."""
        total = 0
        while removed := self.store.purge():
            total += removed
        if total:
            event(logging.INFO, "expired", "expired records were removed", count=total)
        return total

    def count(self) -> int:
        """Return how many live records there are, the last minute's tombstones included."""
        return sum(1 for _ in self.store.keys())


def _open_store(store: Store | str | None) -> Store:
    if store is None:
        return MemoryStore()
    if isinstance(store, str):
        return from_url(store)
    if isinstance(store, type) or not isinstance(store, Store):
        raise TypeError("store must be a Store such as MemoryStore(), or a URL such as 'sqlite:///sessions.db'")
    return store


def _seconds(name: str, value: object) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be seconds (a number or a timedelta), not {type(value).__name__}")
    try:
        seconds = float(value)
    except OverflowError:  # an integer too large
        seconds = math.inf
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"{name} must be a positive, finite number of seconds")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_size must be a number of bytes, not {type(value).__name__}")
    if value <= 0:
        raise ValueError("max_size must be a positive number of bytes")
    return value
