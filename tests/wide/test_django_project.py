"""A project that django-admin made, with the lines the page prints for wsgi.py; Django's own users beside our sessions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.docs import titled
from support.served import Browser, Served, free_port

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/frameworks/django.md"
URLS = """
from django.contrib import admin, auth
from django.contrib.auth.models import User
from django.http import JsonResponse
from django.urls import path

def show(request):
    session = request.environ["wsgisession.session"]
    return JsonResponse({"ours": session.owner, "cart": session.get("cart"), "django": request.user.username})

def login(request):
    request.environ["wsgisession.session"].owner = "ada"
    return show(request)

def add(request):
    request.environ["wsgisession.session"].setdefault("cart", []).append("tea")
    return show(request)

def logout(request):
    request.environ["wsgisession.session"].destroy()
    return show(request)

def django_login(request):
    auth.login(request, User.objects.get(username="grace"))
    return show(request)

def django_logout(request):
    auth.logout(request)
    return show(request)

views = {"": show, "login": login, "add": add, "logout": logout, "django/login": django_login, "django/logout": django_logout}
urlpatterns = [path("admin/", admin.site.urls), *(path(address, view) for address, view in views.items())]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project with a superuser, grace."""
    folder = tmp_path / "site"
    folder.mkdir()
    django = [sys.executable, "-m", "django"]
    user = ["createsuperuser", "--noinput", "--username=grace", "--email=grace@example.com"]
    subprocess.run([*django, "startproject", "mysite", str(folder)], check=True)
    for command in (["migrate", "--verbosity=0"], user):
        subprocess.run([sys.executable, "manage.py", *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "mysite" / "urls.py").write_text(URLS)
    with (folder / "mysite" / "wsgi.py").open("a") as wsgi:
        wsgi.write(titled(PAGE, "wsgi.py, at its end"))
    return folder


def waitress(port: int) -> list[str]:
    return ["waitress-serve", f"--listen=127.0.0.1:{port}", "mysite.wsgi:application"]


def runserver(port: int) -> list[str]:
    return [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]


@pytest.mark.parametrize("command", [waitress, runserver])
def test_a_project_has_sessions(project: Path, command: Callable[[int], list[str]]) -> None:
    """With the lines as printed, under a server and under the development server."""
    port = free_port()
    with Served(command(port), project, port, end=signal.SIGINT, ready="/") as server:
        browser = Browser(port)
        assert json.loads(browser.get("/login"))["ours"] == "ada"
        browser.get("/add")
        assert json.loads(browser.get("/add"))["cart"] == ["tea", "tea"]
        browser.get("/logout")
        assert json.loads(browser.get("/")) == {"ours": None, "cart": None, "django": ""}
    assert server.tracebacks == 0


def test_djangos_users_and_admin_beside_our_sessions(project: Path) -> None:
    """Both are logged in at once, each by its own cookie; a logout of one leaves the other."""
    port = free_port()
    with Served(waitress(port), project, port, end=signal.SIGINT, ready="/") as server:
        browser = Browser(port)
        browser.get("/login")
        assert json.loads(browser.get("/django/login")) == {"ours": "ada", "cart": None, "django": "grace"}
        with browser.open("/admin/") as answer:
            assert answer.status == 200
        browser.get("/logout")
        assert json.loads(browser.get("/")) == {"ours": None, "cart": None, "django": "grace"}
        browser.get("/login")
        browser.get("/django/logout")
        assert json.loads(browser.get("/")) == {"ours": "ada", "cart": None, "django": ""}
        with browser.open("/admin/") as answer:
            assert answer.status == 302
    assert server.tracebacks == 0
