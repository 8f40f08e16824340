"""The examples for Werkzeug's and Django's test clients, as the page has them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from support.docs import blocks, run
from support.web import SECRET

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/testing.md"
BLOCKS = {block.title: block for block in blocks(PAGE, "python")}

DJANGO = f"""
import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse
from django.urls import path

from wsgisession.django import manager

def greet(request):
    return HttpResponse(f"Hello {{request.user.username or 'stranger'}}")

urlpatterns = [path("", greet)]
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY={SECRET!r},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    SESSION_ENGINE="wsgisession.django", WSGISESSION={{"store": "memory:"}})
django.setup()
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
ada = User.objects.create(username="ada")
"""
OWNED = "assert len(manager().owned_by(str(ada.pk))) == 1"


def test_werkzeug() -> None:
    """Logged in with one line."""
    namespace: dict[str, Any] = {}
    run(PAGE, BLOCKS["app.py"], namespace)
    run(PAGE, BLOCKS["werkzeug"], namespace)


def test_django() -> None:
    """The same, in a process of its own, because its settings are global."""
    done = subprocess.run(
        [sys.executable, "-c", f"{DJANGO}{BLOCKS['django'].text}{OWNED}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
