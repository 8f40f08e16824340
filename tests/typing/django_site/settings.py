"""The settings that django-stubs reads."""

from datetime import timedelta
from pathlib import Path

BASE_DIR = Path(__file__).parent
SECRET_KEY = "a secret of a typed project, at least 32 bytes"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "wsgisession.django"]
SESSION_ENGINE = "wsgisession.django"
WSGISESSION = {"store": f"sqlite:///{BASE_DIR}/sessions.db", "idle_timeout": timedelta(hours=2)}
