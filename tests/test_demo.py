"""demo.py: the article's example made visible."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import demo
import pytest
from support.web import SECRET
from webtest import TestApp

from wsgisession import SessionMiddleware

DEMO = Path(demo.__file__)


@pytest.fixture
def site() -> SessionMiddleware:
    return SessionMiddleware(demo.app, secret=SECRET)


@pytest.fixture
def browser(site: SessionMiddleware) -> Any:
    return TestApp(site)


def act(browser: Any, action: str, **fields: str) -> Any:
    """Fill in one of the page's forms, and follow the redirect."""
    form = next(form for form in browser.get("/").forms.values() if form.action == action)
    for name, value in fields.items():
        form[name] = value
    answer = form.submit()
    assert answer.status_int == 303
    return answer.follow()


def test_two_browsers_have_two_sessions(site: SessionMiddleware) -> None:
    """Each counts its own views, on the page and at /views."""
    first, second = TestApp(site), TestApp(site)
    assert "Number of views 1" in first.get("/")
    assert first.get("/views").text == "Number of views 2\n"
    assert "<h1>Number of views 1</h1>" in second.get("/")


def test_a_favicon_counts_no_view(browser: Any) -> None:
    """Neither does any other page that is not there, and none of them makes a session."""
    answer = browser.get("/favicon.ico", status=404)
    assert "Set-Cookie" not in answer.headers
    assert "Number of views 1" in browser.get("/")


def test_items_in_a_nested_list(browser: Any) -> None:
    """Escaped, capped in number and length; an empty one is none."""
    assert "&lt;b&gt;" in act(browser, "/add", item="<b>")
    act(browser, "/add", item=" ")
    for number in range(demo.MOST_ITEMS - 1):
        act(browser, "/add", item=f"{number}" * 100)
    page = browser.get("/")
    assert page.text.count("<li>") == demo.MOST_ITEMS and "full" in page
    assert "0" * demo.LONGEST in page and "0" * (demo.LONGEST + 1) not in page


def test_a_full_list_stays_full(browser: Any) -> None:
    """Also for a form from before it was."""
    form = next(form for form in browser.get("/").forms.values() if form.action == "/add")
    form["item"] = "x"
    for _ in range(demo.MOST_ITEMS + 2):
        form.submit()
    assert browser.get("/").text.count("<li>") == demo.MOST_ITEMS


def test_login_changes_the_cookie_and_the_token_and_logout_ends_it(browser: Any) -> None:
    """The items stay over the login, and are gone with the logout."""
    act(browser, "/add", item="mine")
    before = browser.cookies["sid"], browser.get("/").forms[0]["csrf"].value
    page = act(browser, "/login", name="<ada>")
    assert "Logged in as &lt;ada&gt;" in page and "mine" in page
    after = browser.cookies["sid"], page.forms[0]["csrf"].value
    assert before[0] != after[0] and before[1] != after[1]
    page = act(browser, "/logout")
    assert "mine" not in page and "Number of views 1" in page


def test_an_empty_name_is_no_login(browser: Any) -> None:
    """Nothing changes."""
    assert "Log in" in act(browser, "/login", name=" ")


def test_the_other_sessions_of_a_user(site: SessionMiddleware) -> None:
    """Listed, and logged out everywhere else."""
    here, there = TestApp(site), TestApp(site)
    act(there, "/login", name="ada")
    assert "since" in act(here, "/login", name="ada")
    assert "Nowhere." in act(here, "/logout-others")
    assert "Logged in" not in there.get("/")


def test_logging_others_out_needs_a_login(browser: Any) -> None:
    """A stale form of somebody who is logged out does nothing."""
    token = browser.get("/").forms[0]["csrf"].value
    assert browser.post("/logout-others", {"csrf": token}).status_int == 303


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/add", 403),
        ("POST", "/logout", 403),
        ("GET", "/add", 405),
        ("POST", "/", 405),
        ("PUT", "/views", 405),
        ("GET", "/nothing", 404),
        ("HEAD", "/", 200),
    ],
)
def test_what_our_forms_do_not_send(browser: Any, method: str, path: str, status: int) -> None:
    """A wrong method, an unknown path, a form without its token."""
    assert browser.request(path, method=method, status=status).status_int == status


@pytest.mark.parametrize(
    ("length", "body", "status"),
    [("", b"", 403), ("-1", b"", 400), ("x", b"", 400), ("5000", b"", 413), ("1", b"\xff", 400), ("7", b"csrf=%C3%A9", 403)],
)
def test_bad_forms(site: SessionMiddleware, length: str, body: bytes, status: int) -> None:
    """Bad input is an answer of its own, never an error."""
    answer = TestApp(site, lint=False).request("/add", method="POST", body=body, headers={"Content-Length": length}, status="*")
    assert answer.status_int == status


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)])
def test_loopback(host: str, loopback: bool) -> None:
    """Anything else is warned of."""
    assert demo.is_loopback(host) is loopback


class TestServed:
    """As a user runs it."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        env = {name: value for name, value in os.environ.items() if name != "WSGISESSION_SECRET"}
        process = subprocess.Popen(
            [sys.executable, str(DEMO), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert process.stdout is not None
        told = process.stdout.readline() + process.stdout.readline()
        found = re.search(r"http://\S+", told)
        assert found and "WSGISESSION_SECRET" in told
        yield found[0]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0 and "Bye." in out and "Traceback" not in err

    def test_overlapping_requests_of_one_jar_count_exactly(self, url: str) -> None:
        """Twenty at once, with one cookie: every number from 2 to 21, once; another jar begins at 1."""
        with urllib.request.urlopen(url + "/views") as answer:
            assert answer.read() == b"Number of views 1\n"
            cookie = answer.headers["Set-Cookie"].partition(";")[0]

        def get(_: int) -> int:
            request = urllib.request.Request(url + "/views", headers={"Cookie": cookie})
            with urllib.request.urlopen(request) as answer:
                return int(answer.read().split()[-1])

        with ThreadPoolExecutor(20) as pool:
            assert sorted(pool.map(get, range(20))) == list(range(2, 22))
        with urllib.request.urlopen(url + "/views") as answer:
            assert answer.read() == b"Number of views 1\n"

    def test_a_taken_port_is_one_clear_line(self) -> None:
        """And exit code 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = subprocess.run([sys.executable, str(DEMO), "--port", port], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and port in done.stderr

    def test_a_host_for_everybody_is_warned_of(self) -> None:
        """Its login has no password. SIGTERM ends it as Ctrl-C does."""
        process = subprocess.Popen(
            [sys.executable, str(DEMO), "--host", "0.0.0.0", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "WSGISESSION_SECRET": SECRET},
        )
        assert process.stdout is not None and "Open" in process.stdout.readline()
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0 and "no password" in err
