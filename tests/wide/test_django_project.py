"""The page about Django, followed literally: a project that django-admin made, with the lines it prints."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.docs import check_console, titled
from support.fresh import clone, typed
from support.served import Browser, Served, free_port

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

PAGE = "docs/how-to/frameworks/django.md"


def write(folder: Path) -> None:
    """Save what the page prints into the project."""
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(titled(PAGE, "mysite/settings.py, at its end"))
    (folder / "mysite" / "urls.py").write_text(titled(PAGE, "mysite/urls.py"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder next to a clone, in which everything up to the server was typed."""
    above = tmp_path_factory.mktemp("project")
    clone(above / "wsgisession")
    typed(titled(PAGE, "install"), above)
    folder = above / "shop"
    write(folder)
    *lines, serve = titled(PAGE, "run").splitlines()
    assert serve == "python manage.py runserver"
    typed("\n".join([". .venv/bin/activate", *lines]), folder)
    return folder


@pytest.fixture
def project(made: Path) -> Path:
    """The same, without the sessions of another test."""
    for file in made.glob("sessions.db*"):
        file.unlink()
    return made


def runserver(folder: Path, port: int) -> Served:
    script = "unset PYTHONPATH\n. .venv/bin/activate\n"
    line = f"exec python manage.py runserver --noreload 127.0.0.1:{port}"
    return Served(["bash", "-e", "-c", script + line], folder, port, end=signal.SIGINT, ready="/admin/login/")


def log_in(browser: Browser) -> None:
    """Fill in the admin's form."""
    form = browser.get("/admin/login/")
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    body = {"username": "alice", "password": "wonderland", "csrfmiddlewaretoken": token, "next": "/admin/"}
    with browser.open("/admin/login/", body=urlencode(body)) as answer:
        answer.read()
        assert answer.status == 302
    with browser.open("/admin/") as answer:
        assert answer.status == 200 and "Log out" in answer.read().decode()


def test_what_the_page_shows(project: Path) -> None:
    """Each printed command prints what is printed under it."""
    port = free_port()
    with runserver(project, port) as server:
        check_console(PAGE, "see", project, port)
    assert server.tracebacks == 0


def test_logged_out_elsewhere(project: Path) -> None:
    """Two browsers log in to the admin; the command line lists both under the user's key; one logs the other out."""
    port = free_port()
    with runserver(project, port) as server:
        here, there = Browser(port), Browser(port)
        here.get("/add/tea")
        for browser in (here, there):
            log_in(browser)
        command = f". .venv/bin/activate\n{titled(PAGE, 'list').strip()} --json"
        listed = subprocess.run(
            ["bash", "-e", "-c", command], cwd=project, capture_output=True, text=True, check=True
        )
        assert [json.loads(line)["owner"] for line in listed.stdout.splitlines()] == ["1", "1"]
        assert json.loads(here.get("/log-out-elsewhere")) == {"ended": 1}
        assert json.loads(here.get("/add/milk")) == {"user": "alice", "items": ["tea", "milk"]}
        assert json.loads(there.get("/add/milk")) == {"user": "", "items": ["milk"]}
    assert server.tracebacks == 0


def test_check_finds_a_mistake(project: Path) -> None:
    """Under its id."""
    settings = project / "mysite" / "settings.py"
    before = settings.read_text()
    settings.write_text(f"{before}WSGISESSION['stor'] = 1\n")
    try:
        command = ". .venv/bin/activate\npython manage.py check"
        done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True)
    finally:
        settings.write_text(before)
    assert done.returncode == 1
    assert "(wsgisession.E001) WSGISESSION has no option 'stor': did you mean 'store'?" in done.stderr
