"""docs/how-to/migrating.md, from Django: the same application under Django's engine and, with the printed lines, under ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT, titled
from support.frameworks import changed
from support.web import SECRET

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/migrating.md"
SETTINGS = f"""
from pathlib import Path
BASE_DIR = Path(__file__).parent
SECRET_KEY = {SECRET!r}
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}}}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path

def count(request):
    request.session["views"] = request.session.get("views", 0) + 1
    return HttpResponse(str(request.session["views"]))

urlpatterns = [path("", count)]
"""
VISITS = """
import json, sys
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
client = Client()
client.cookies.load(sys.argv[1])
print(json.dumps([[client.get("/").content.decode() for _ in range(2)], client.cookies.output(attrs=[], header="")]))
"""


def visit_twice(folder: Path, lines: str, cookie: str = "") -> list[object]:
    """Return what two visits show with these lines in the settings, and the cookie after them."""
    (folder / "settings.py").write_text(SETTINGS + lines)
    (folder / "urls.py").write_text(URLS)
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    command = [sys.executable, "-B", "-c", VISITS, cookie]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_the_same_application_under_both(tmp_path: Path) -> None:
    """It counts alike; the cookie keeps its name, and an old one is no session any more."""
    before = titled(PAGE, "django")
    seen, cookie = visit_twice(tmp_path, before)
    assert seen == ["1", "2"] and str(cookie).strip().startswith("sessionid=")
    after = changed(before, titled(PAGE, "from django"))
    seen, new = visit_twice(tmp_path, after, str(cookie))
    assert seen == ["1", "2"] and str(new).strip().startswith("sessionid=")
    assert visit_twice(tmp_path, after, str(new))[0] == ["3", "4"] and (tmp_path / "sessions.db").exists()
