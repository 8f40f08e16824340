"""The examples for Werkzeug's and Django's test clients, as the page has them."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from support.django_site import user
from support.docs import blocks, run

from wsgisession.django import manager

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/testing.md"
BLOCKS = {block.title: block for block in blocks(PAGE, "python")}

urlpatterns = [path("", lambda request: HttpResponse(f"Hello {request.user.username or 'stranger'}"))]


def test_werkzeug() -> None:
    """Logged in with one line."""
    namespace: dict[str, Any] = {}
    run(PAGE, BLOCKS["app.py"], namespace)
    run(PAGE, BLOCKS["werkzeug"], namespace)


@override_settings(ROOT_URLCONF=__name__, WSGISESSION={"store": "memory:"})
def test_django() -> None:
    """The same, and the login names the owner."""
    ada = user("ada")
    run(PAGE, BLOCKS["django"], {"ada": ada})
    assert len(manager().owned_by(str(ada.pk))) == 1
