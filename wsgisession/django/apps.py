"""What ``manage.py check`` says about sessions, in projects that list ``wsgisession.django`` in INSTALLED_APPS.

Knows no sessions. ``configuration`` says what is wrong with a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from wsgisession.django.configuration import manager, options
from wsgisession.django.engine import SessionStore
from wsgisession.errors import StoreError
from wsgisession.stores import MemoryStore

SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"

W001 = Warning(
    "SESSION_ENGINE names another engine, so wsgisession keeps no sessions.",
    hint='Write SESSION_ENGINE = "wsgisession.django".',
    id="wsgisession.W001",
)
W002 = Warning(
    "SESSION_SERIALIZER has no effect.",
    hint='For other types of values: WSGISESSION = {"codec": JSONCodec(types=…)}.',
    id="wsgisession.W002",
)
W003 = Warning(
    "WSGISESSION['lifetime'] limits only sessions that end with the browser.",
    hint="Write SESSION_EXPIRE_AT_BROWSER_CLOSE = True as well.",
    id="wsgisession.W003",
)
W004 = Warning(
    "The sessions are in the memory of one process. Other processes do not see them, and a restart ends them.",
    hint='Name a store that all processes share, for example WSGISESSION = {"store": "redis://localhost"}.',
    id="wsgisession.W004",
)


class Sessions(AppConfig):
    """The Django application with the checks. It has no models, and sessions work without it."""

    name = "wsgisession.django"
    label = "wsgisession"
    verbose_name = "wsgisession"

    def ready(self) -> None:
        """Register the checks with Django."""
        register(check_settings)
        register(check_store, deploy=True)


def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Find settings with which no session works, and settings without an effect."""
    engine = getattr(import_module(settings.SESSION_ENGINE), "SessionStore", None)
    if not (isinstance(engine, type) and issubclass(engine, SessionStore)):
        return [W001]
    try:
        manager()
    except (ImproperlyConfigured, StoreError) as error:
        return [Error(str(error), id="wsgisession.E001")]
    return list(_doubtful())


def _doubtful() -> Iterator[CheckMessage]:
    if settings.SESSION_SERIALIZER != SERIALIZER:
        yield W002
    if "lifetime" in options() and not settings.SESSION_EXPIRE_AT_BROWSER_CLOSE:
        yield W003
    if "store" not in options():
        yield W004


def check_store(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Find a store that is wrong for a site in production."""
    try:
        alone = isinstance(manager().store, MemoryStore)
    except (ImproperlyConfigured, StoreError):  # ``check_settings`` reports it
        return []
    return [W004] if alone and "store" in options() else []
