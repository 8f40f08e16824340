"""demo.py: the article's example made visible."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import Any

import demo
import pytest
from support.demo_process import DEMO, PATIENCE, Served, clean_environment
from support.web import SECRET
from webtest import TestApp

from wsgisession import SessionMiddleware


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
    """Escaped, and capped in number, also for a form from before the list was full."""
    stale = next(form for form in browser.get("/").forms.values() if form.action == "/add")
    assert "&lt;b&gt;" in act(browser, "/add", item=" <b> ")
    for number in range(demo.MOST_ITEMS - 1):
        act(browser, "/add", item=f"{number}")
    assert "The list is full." in browser.get("/")
    stale["item"] = "one more"
    assert stale.submit(status=400).text == "The list is full."
    assert browser.get("/").text.count("<li>") == demo.MOST_ITEMS


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 81, "a\nb", "\0"], ids=["empty", "blank", "long", "newline", "NUL"]
)
@pytest.mark.parametrize(("action", "name"), [("/add", "item"), ("/login", "name")])
def test_what_no_field_takes(browser: Any, action: str, name: str, text: str) -> None:
    """Is refused in words, and changes nothing."""
    token = browser.get("/").forms[0]["csrf"].value
    assert "80 characters" in browser.post(action, {"csrf": token, name: text}, status=400)
    assert "Log in" in browser.get("/") and "None yet." in browser.get("/")


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
    [
        ("", b"", 403),
        ("-1", b"", 400),
        ("x", b"", 400),
        ("5000", b"", 413),
        ("9" * 5000, b"", 413),
        ("1", b"\xff", 400),
        ("8", b"csrf=%FF", 400),
        ("11", b"csrf=%C3%A9", 403),
    ],
)
def test_bad_forms(site: SessionMiddleware, length: str, body: bytes, status: int) -> None:
    """Bad input is an answer of its own, never an error."""
    answer = TestApp(site, lint=False).request(
        "/add", method="POST", body=body, headers={"Content-Length": length}, status="*"
    )
    assert answer.status_int == status


class Outline(HTMLParser):
    """What a screen reader meets: tags that must close, labels around inputs, headings, addresses."""

    VOID = ("meta", "input", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs), self.open[-1] if self.open else ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_and_brings_everything_along(browser: Any) -> None:
    """Every tag closes, every field has its label, one h1; nothing is loaded, and the policy names our style sheet."""
    act(browser, "/add", item="one")
    answer = act(browser, "/login", name="ada")
    outline = Outline(answer.text)
    assert outline.open == []
    tags = [tag for tag, _, _ in outline.seen]
    assert tags.count("h1") == tags.count("main") == 1 and ("html", {"lang": "en"}, "") in outline.seen
    assert [
        inside for tag, attrs, inside in outline.seen if tag == "input" and attrs.get("type") != "hidden"
    ] == ["label"]
    assert [
        attrs for _, attrs, _ in outline.seen if "src" in attrs or "href" in attrs or "style" in attrs
    ] == []
    style = re.findall("<style>(.*)</style>", answer.text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
    assert "url(" not in style and "prefers-color-scheme: dark" in style and ":focus-visible" in style


def test_the_page_shows_the_session(browser: Any, site: SessionMiddleware) -> None:
    """Its key, its times and its data; never the id, and the token only inside the forms."""
    page = act(browser, "/add", item="one")
    ((info,),) = [list(site.manager.sessions())]
    assert info.key in page and demo.moment(info.created) in page
    assert escape('{"views": 2, "cart": {"items": ["one"]}}') in page
    assert browser.cookies["sid"].partition(".")[0] not in page


def test_application_is_for_any_server() -> None:
    """Made when the file is imported, with a secret of this run."""
    browser = TestApp(demo.application)
    assert [browser.get("/views").text[-2:-1] for _ in range(3)] == ["1", "2", "3"]


def test_workers_that_start_together_agree_on_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that finds the file empty, and is overtaken before it writes, signs with what the other wrote."""
    path, make, overtaking = str(tmp_path / "secret"), demo.secrets.token_urlsafe, []

    def slow(length: int) -> str:
        monkeypatch.undo()
        overtaking.append(demo.kept_secret(path))
        return make(length)

    monkeypatch.setattr(demo.secrets, "token_urlsafe", slow)
    assert [demo.kept_secret(path), demo.kept_secret(path)] == overtaking * 2


def refused(*arguments: str, python: tuple[str, ...] = (), cwd: Path | None = None, **env: str) -> str:
    """Start demo.py, which must refuse with one line; return that line."""
    command = [sys.executable, *python, str(DEMO), "--port", "0", *arguments]
    options: Any = {
        "capture_output": True,
        "text": True,
        "timeout": PATIENCE,
        "cwd": cwd,
        "env": clean_environment(**env),
    }
    done = subprocess.run(command, **options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith("demo.py: cannot ")
    return done.stderr


@pytest.mark.parametrize(
    ("error", "told"), [(ConnectionResetError, False), (TimeoutError, False), (ValueError, True)]
)
def test_a_visitor_who_leaves_is_no_error(
    error: type[Exception], told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed for one who hangs up or never says anything; anything else is told as wsgiref tells it."""
    try:
        raise error("in a request")
    except error:
        demo.Server.handle_error(demo.Server.__new__(demo.Server), None, ("127.0.0.1", 1))
    assert ("in a request" in capsys.readouterr().err) is told


class TestServed:
    """As a user runs it."""

    def test_overlapping_requests_of_one_jar_count_exactly(self) -> None:
        """Twenty at once, with one cookie: every number from 2 to 21, once; another jar begins at 1."""
        with Served() as site:
            first, cookie = site.views()
            with ThreadPoolExecutor(20) as pool:
                counted = sorted(number for number, _ in pool.map(site.views, [cookie] * 20))
            assert first == 1 and counted == list(range(2, 22))
            assert site.views()[0] == 1
        assert "a secret was made for this run" in site.out

    def test_a_taken_port(self) -> None:
        """Is one clear line, and exit code 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            assert f"cannot serve http://127.0.0.1:{port}: " in refused("--port", port)

    @pytest.mark.parametrize(
        ("store", "words"),
        [
            ("nonsense", "sqlite:///relative.db"),
            ("nosuch://x", "sqlite:///relative.db"),
            ("sqlite:////no/such/folder/demo.db", "No such file or directory"),
            ("redis://127.0.0.1:1", "connection refused"),
        ],
        ids=["no URL", "no such scheme", "no such folder", "nobody listens"],
    )
    def test_a_bad_store(self, store: str, words: str, tmp_path: Path) -> None:
        """Is one clear line, and exit code 1, before the first visitor comes."""
        assert words in refused("--store", store, cwd=tmp_path)

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("redis://localhost", "wsgisession[redis]): pip install redis"),
            ("postgresql://localhost/demo", "wsgisession[postgres]): pip install 'psycopg["),
        ],
        ids=["redis", "postgresql"],
    )
    def test_a_client_library_that_is_missing(self, url: str, words: str, tmp_path: Path) -> None:
        """Is one line that says what to install. Without site-packages, none is there."""
        assert words in refused("--store", url, cwd=tmp_path, python=("-S",))

    def test_a_secret_that_is_too_short(self) -> None:
        """Is one line that says how to make one."""
        assert "at least 32 bytes; make one with" in refused(WSGISESSION_SECRET="short")

    def test_a_host_for_everybody_is_warned_of(self) -> None:
        """Its login has no password. SIGTERM ends it as Ctrl-C does."""
        with Served("--host", "0.0.0.0", end=signal.SIGTERM, WSGISESSION_SECRET=SECRET) as site:
            pass
        assert "no password" in site.err and "in WSGISESSION_SECRET" in site.out

    def test_ipv6(self) -> None:
        """An address of the other family needs no option, and its own loopback no warning."""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:  # a machine without it: one clear line there
            refused("--host", "::1")
            return
        with Served("--host", "::1") as site:
            assert site.url.startswith("http://[::1]:") and site.views()[0] == 1
        assert "Warning" not in site.err

    def test_views_survive_a_restart_where_the_store_does(self, tmp_path: Path) -> None:
        """The secret made at the first start is kept beside it, for its owner alone."""
        with Served("--store", "sqlite:///demo.db", cwd=tmp_path) as site:
            _, cookie = site.views()
        with Served(cwd=tmp_path, WSGISESSION_STORE="sqlite:///demo.db") as site:
            assert site.views(cookie) == (2, cookie)
        assert "demo.secret" in site.out and (tmp_path / "demo.secret").stat().st_mode & 0o777 == 0o600

    def test_visitors_who_leave_or_say_nothing(self) -> None:
        """Neither a connection cut in the middle of a form nor a silent one stops the server or fills its log."""
        with Served() as site, socket.create_connection(("127.0.0.1", site.port)):
            cut = socket.create_connection(("127.0.0.1", site.port))
            cut.sendall(b"POST /add HTTP/1.0\r\nContent-Length: 100\r\n\r\nhalf")
            cut.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # close() sends a reset
            cut.close()
            assert site.views()[0] == 1

    def test_ended_under_load(self, tmp_path: Path) -> None:
        """Requests in flight may be cut; nobody sees a traceback."""
        with Served("--store", "sqlite:///demo.db", cwd=tmp_path) as site, ThreadPoolExecutor(4) as pool:
            _, cookie = site.views()

            def visit() -> None:
                with suppress(OSError, HTTPException):
                    while True:
                        site.views(cookie)

            for _ in range(4):
                pool.submit(visit)
            for _ in range(10):
                site.views(cookie)
            site.process.send_signal(signal.SIGINT)  # and once more at the end of the block
