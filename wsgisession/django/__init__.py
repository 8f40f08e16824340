"""Django's sessions, kept by wsgisession: ``SESSION_ENGINE = "wsgisession.django"``.

Re-exports the names that a project uses. Knows no requests, because Django's own session middleware reads and sets the
cookie.
"""

try:
    import django  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "django":
        raise
    raise ModuleNotFoundError("wsgisession.django needs Django: pip install django", name="django") from None

from wsgisession.django.configuration import manager
from wsgisession.django.engine import SessionStore, get_session

__all__ = ["SessionStore", "get_session", "manager"]
