"""Makes one SessionManager of Django's settings. Knows no sessions and no requests."""

from __future__ import annotations

import difflib
from functools import cache
from threading import RLock
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.safestring import SafeString

from wsgisession.cookie import Cookie
from wsgisession.identity import Identity
from wsgisession.jsoncodec import JSONCodec
from wsgisession.limits import seconds
from wsgisession.manager import SessionManager
from wsgisession.stores import Store, from_url

OPTIONS = ("store", "secret", "idle_timeout", "lifetime", "max_size", "codec", "plain_enums")
DAY = 86400  # seconds; the lifetime is at least this, unless the settings name another


# Two first requests at once must not open two stores: a store in memory would lose its sessions.
_lock = RLock()


def manager() -> SessionManager:
    """Return the manager of this project's sessions. The first call builds it from the settings.

    Raises:
        ImproperlyConfigured: A setting is wrong; the message says what to write instead.
        StoreError: The store cannot be opened.
    """
    with _lock:
        return _built()


@cache
def _built() -> SessionManager:
    given, cookie, idle = options(), _cookie(), idle_timeout()
    if "secret" not in given:
        given["secret"] = _secrets()
    try:
        if "codec" not in given:
            # str() of a SafeString is a SafeString.
            types = {"safestring": (SafeString, str.__str__, SafeString)}
            given["codec"] = JSONCodec(types, plain_enums=given.pop("plain_enums", False))
        elif "plain_enums" in given:
            raise TypeError("it has a codec, so plain_enums belongs there: JSONCodec(plain_enums=True)")
        store = given.get("store", "memory:")
        given["store"] = _opened(store) if isinstance(store, str) else store
        return SessionManager(
            **{"lifetime": max(DAY, idle), **given, "idle_timeout": idle, "remember": idle, "cookie": cookie}
        )
    except (ValueError, TypeError, ImportError) as error:
        raise ImproperlyConfigured(f"WSGISESSION cannot be used: {error}.") from error


@cache
def _opened(url: str) -> Store:
    """Return the store of a URL. Each process has one, even if a test changes other settings meanwhile."""
    return from_url(url)


@receiver(setting_changed, dispatch_uid="wsgisession.django")
def _forget(setting: str, **_: object) -> None:
    """After a test changed a setting, build again what depends on it."""
    if setting.startswith(("WSGISESSION", "SESSION_", "SECRET_KEY")):
        _built.cache_clear()


def options() -> dict[str, Any]:
    """Return a copy of the setting WSGISESSION. ImproperlyConfigured: it is no dict, or has an unknown option."""
    given = getattr(settings, "WSGISESSION", {})
    if not isinstance(given, dict):
        raise ImproperlyConfigured(
            f"WSGISESSION must be a dict, not {type(given).__name__}. For example:"
            ' WSGISESSION = {"store": f"sqlite:///{BASE_DIR}/sessions.db"}'
        )
    for name in given:
        if name not in OPTIONS:
            raise ImproperlyConfigured(f"WSGISESSION has no option {name!r}: {_instead(str(name))}.")
    return dict(given)


def _instead(name: str) -> str:
    if name in ("cookie", "remember"):
        return "the SESSION_COOKIE_… settings of Django say that"
    near = difflib.get_close_matches(name, OPTIONS, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(OPTIONS)}"


def idle_timeout() -> float:
    """Return the seconds without use after which a session ends: the option ``idle_timeout``, or SESSION_COOKIE_AGE."""
    given = options()
    name = "WSGISESSION['idle_timeout']" if "idle_timeout" in given else "SESSION_COOKIE_AGE"
    try:
        return seconds(name, given.get("idle_timeout", settings.SESSION_COOKIE_AGE))
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"{error}.") from error


def _cookie() -> Cookie:
    """Return the cookie that Django will set; it must be one that browsers keep."""
    try:
        return Cookie(
            name=settings.SESSION_COOKIE_NAME,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN or None,
            secure=bool(settings.SESSION_COOKIE_SECURE),
            httponly=bool(settings.SESSION_COOKIE_HTTPONLY),
            samesite=settings.SESSION_COOKIE_SAMESITE or "Lax",  # without SameSite there is nothing to check
            persistent=not settings.SESSION_EXPIRE_AT_BROWSER_CLOSE,
            host_prefix=False,  # Django sends the name as it is
        )
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            f"The SESSION_COOKIE_… settings make no cookie that browsers keep: {error}."
        ) from error


def _secrets() -> list[str | bytes]:
    """Return the keys of the project that are long enough. A shorter one never signed anything."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    long = [key for key in keys if len(key.encode() if isinstance(key, str) else key) >= Identity.min_secret]
    if not long or long[0] != keys[0]:
        raise ImproperlyConfigured(
            f"SECRET_KEY signs the session cookies, so it must have at least {Identity.min_secret} bytes. Make a longer one"
            " with: python -m wsgisession secret. Or keep it, and name another secret for the sessions alone:"
            ' WSGISESSION = {"secret": …}'
        )
    return long
