"""SessionStore: ``request.session`` in Django. It is one of our sessions with Django's interface.

Django's own middleware reads the cookie, asks ``modified``, calls ``save()`` and sets the cookie to ``session_key``,
which is our token. Knows no cookies and no stores. The manager knows what a token means.
"""

from __future__ import annotations

from datetime import datetime
from time import time
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.dispatch import receiver
from django.http import HttpRequest

from wsgisession.django.configuration import idle_timeout, manager
from wsgisession.errors import SessionError
from wsgisession.session import Session, session_of, visit_of
from wsgisession.visit import new_visit

EXPIRY = "_session_expiry"  # where Django keeps what set_expiry() was given


class SessionStore(SessionBase):
    """One visitor's session, as Django's interface describes it.

    The ``session_key`` is the value of the cookie. It is secret. Elsewhere, name a session by
    ``get_session(request).key``.

    Args:
        session_key: The cookie's value; None: there is none.

    Raises:
        ImproperlyConfigured: A setting is wrong.
    """

    _found: Session | None = None  # None: not touched yet
    _modified: bool | None = None  # as somebody set it; None: nobody set it

    def __init__(self, session_key: str | None = None) -> None:
        manager()  # so that a wrong setting is an error in every request, not only in those that touch their session
        super().__init__(session_key)

    # Loading

    def _load(self) -> Session:
        """Look up the session of ``session_key``. If there is none, forget the key."""
        session = _session_of(self.session_key)
        if session.new:
            self._session_key = None
        return session

    @property
    def wsgisession(self) -> Session:
        """Our own session, with everything that Django's interface does not have."""
        self.accessed = True
        if self._found is None:
            session = self._load()
            if _is_date(session.get(EXPIRY)):
                session.passive = True  # a use of the session does not move a fixed date
            self._found = session
        return self._found

    _session = wsgisession

    def _get_session(self, no_load: bool = False) -> Session:
        return self.wsgisession

    async def _aget_session(self, no_load: bool = False) -> Session:
        return self.wsgisession if self._found is not None else await sync_to_async(self._get_session)()

    def load(self) -> dict[str, Any]:
        """Read the store again, and return the data."""
        return dict(self._load())

    def exists(self, session_key: str | None) -> bool:
        """Tell whether there is a live session with this session key."""
        return _session_of(session_key).key is not None

    def is_empty(self) -> bool:
        """Tell whether there is neither a session key nor data."""
        return not self.session_key and not self._found

    # Saving

    @property
    def modified(self) -> bool:
        """True if the response has to save and to set the cookie.

        This is so if something changed (nested values too), if it is time to move the expiry, or if the cookie needs
        another token. False if the session is gone: then the changes of this request are dropped, and the visitor's
        newer cookie stays.
        """
        session = self._found
        if session is not None and session.gone:
            return False
        if self._modified is not None or session is None:
            return bool(self._modified)
        visit = visit_of(session)
        return visit.unsaved or visit.token not in (None, self.session_key)

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified or self.modified:  # otherwise there is nothing to take back, and later changes count
            self._modified = modified

    def save(self, must_create: bool = False) -> None:
        """Save what changed, merged with what other requests saved meanwhile.

        Raises:
            UpdateError: The session ended while this request used it. Its changes are dropped.
            CreateError: ``must_create`` was asked for, and the session is stored already.
        """
        session = self._session
        if must_create and session.key is not None:
            raise CreateError
        if session.new and not session and session.owner is None:
            return self.create()
        if self.modified:
            self.modified = True  # as with Django's own stores, the response still sets the cookie
        self._limit(session)
        if not session.save():
            raise UpdateError
        self._take_token()
        if self.get_expiry_age() <= 0:
            self.delete()

    def _take_token(self) -> None:
        """Set ``session_key`` to the present token. A session that is gone has none."""
        token = visit_of(self._session).token
        if token is not None and token != self.session_key:
            self._session_key = token
            self.modified = True

    def _limit(self, session: Session) -> None:
        """Give the session the limits that ``set_expiry()`` asked for, or those of the settings."""
        session.persistent = not self.get_expire_at_browser_close()
        expiry, age = session.get(EXPIRY), max(self.get_expiry_age(), 1)
        if not _is_date(expiry):
            session.idle_timeout = age if expiry else None
        elif abs(session.expires - time() - age) > 2:  # seconds; otherwise that date is its expiry already
            session.idle_timeout = age

    def create(self) -> None:
        """Store a new session at once, with its own key and the present data and owner, and use it from now on."""
        found = self._found
        owner = None if found is None else found.owner
        self._session_key = manager().issue(found, owner).partition("=")[2]
        self._found = None
        self.modified = True

    def cycle_key(self) -> None:
        """Give the same data a new key at once. The old one is dead when this returns."""
        session = self._session
        session.regenerate()
        if session.key is not None:  # otherwise nobody knows the key
            session.save()
            self._take_token()
        self.modified = True

    async def acycle_key(self) -> None:
        """See ``cycle_key``."""
        await sync_to_async(self.cycle_key)()

    # Ending

    def clear(self) -> None:
        """Delete every item; the key stays, and so does the owner."""
        self._session.clear()
        self.modified = True

    def flush(self) -> None:
        """End the session at once. The next write starts a new session."""
        session = self._session
        session.destroy()
        if not session.gone:  # otherwise a login has started the next session, and the browser has its cookie
            self._session_key = None
        self.modified = True

    async def aflush(self) -> None:
        """See ``flush``."""
        await sync_to_async(self.flush)()

    def delete(self, session_key: str | None = None) -> None:
        """End the session of a session key at once; None: this session. A request that uses it cannot bring it back."""
        token = session_key or self.session_key
        if token is None:
            return
        _session_of(token).destroy()
        if self._found is not None and token == self.session_key:
            self._found.reload()

    @classmethod
    def clear_expired(cls) -> None:
        """Remove expired records from the store."""
        manager().purge()

    # Limits

    def get_session_cookie_age(self) -> int:
        """Return the seconds without use after which a session ends, unless ``set_expiry()`` says otherwise."""
        return max(round(idle_timeout()), 1)


def get_session(request: HttpRequest) -> Session:
    """Return our own session behind ``request.session``: ``owner``, ``key``, ``atomic()``, ``destroy_siblings()`` and so on.

    Raises:
        SessionError: The request has no session of ours; the message says which setting is missing.
    """
    store = getattr(request, "session", None)
    if isinstance(store, SessionStore):
        return store.wsgisession
    if store is None:
        raise SessionError(
            "this request has no session: put django.contrib.sessions.middleware.SessionMiddleware into MIDDLEWARE"
        )
    raise SessionError('another engine keeps this session: write SESSION_ENGINE = "wsgisession.django"')


def _session_of(token: str | None) -> Session:
    """Return the session of a token, as in a request with this cookie."""
    setup = manager().setup
    return session_of(new_visit(setup, token and f"{setup.cookie.name}={token}"))


def _is_date(expiry: object) -> bool:
    return isinstance(expiry, str | datetime)


@receiver(user_logged_in, dispatch_uid="wsgisession.django")
def _name_owner(request: HttpRequest | None, user: Any, **_: object) -> None:
    """A login sets the owner. If there was another owner, their data is cleared, but not what the login wrote.

    The session is stored at once. So ``session_key`` is what the cookie will hold: applications write it down after a login.
    """
    store = getattr(request, "session", None)
    if isinstance(store, SessionStore) and user.pk is not None:
        session = store.wsgisession
        login = {
            name: session[name]
            for name in (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)
            if name in session
        }
        session.owner = str(user.pk)
        session.update(login)
        try:
            store.save()
        except UpdateError as error:  # the middleware says so too, for what a response saves
            raise SessionInterrupted(
                "the session ended while the login was under way; log in again"
            ) from error
