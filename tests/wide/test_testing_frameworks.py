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
from django.http import HttpResponse
from django.urls import path
from wsgisession import SessionMiddleware

def greet(request):
    session = request.environ["wsgisession.session"]
    return HttpResponse(f"Hello {{session.owner or 'stranger'}}, {{len(session.get('cart', []))}} in your cart")

urlpatterns = [path("", greet)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
secret = {SECRET!r}
"""


def test_werkzeug() -> None:
    """Logged in with one line."""
    namespace: dict[str, Any] = {}
    run(PAGE, BLOCKS["app.py"], namespace)
    run(PAGE, BLOCKS["werkzeug"], namespace)


def test_django() -> None:
    """Likewise; in a process of its own, for its settings are global."""
    done = subprocess.run([sys.executable, "-c", DJANGO + BLOCKS["django"].text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
