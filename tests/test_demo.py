"""demo.py: the article's example made visible. What a visitor sees of it in a browser is in wide/test_demo_walk.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import Any

import demo
import pytest
from support.clock import Clock
from support.demo_process import DEMO, PATIENCE, Served, clean_environment
from support.web import SECRET
from webtest import TestApp

from wsgisession import MemoryStore, SessionMiddleware


@pytest.fixture
def site() -> SessionMiddleware:
    return demo.with_sessions(secret=SECRET)


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


def send(browser: Any, action: str, **options: Any) -> Any:
    """Post a form as it is on the page now, with fields that its buttons add."""
    status = options.pop("status", None)
    headers = {"Accept": "text/plain"} if options.pop("script", False) else None
    return browser.post(action, {"csrf": token(browser), **options}, headers=headers, status=status)


def token(browser: Any) -> str:
    return str(browser.get("/").forms[0]["csrf"].value)


def cart(page: Any, title: str = "The cart") -> list[str]:
    """The items of a list on the page."""
    text = (page.get("/") if isinstance(page, TestApp) else page).text
    _, _, rest = text.partition(f"<h3>{title}</h3>")
    return re.findall("<li>(.*?)</li>", rest.partition("</div>")[0])


def meanwhile(monkeypatch: pytest.MonkeyPatch, function: Callable[[], object]) -> None:
    """Run a function inside the next request that takes its time; nothing else waits."""
    todo = [function]
    monkeypatch.setattr(demo.time, "sleep", lambda seconds: todo and todo.pop()())


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
    assert "<h1>The list is full.</h1>" in stale.submit(status=400)
    assert cart(browser) == ["&lt;b&gt;", *map(str, range(demo.MOST_ITEMS - 1))]
    assert cart(act(browser, "/empty")) == []


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


def test_a_sentence_is_shown_once(browser: Any) -> None:
    """On the page that an action leads to, where the browser puts the focus; not on the next one."""
    answer = send(browser, "/add", item="<tea>")
    assert answer.headers["Location"].endswith("/#said")
    assert re.findall('id="said"[^>]*>(.*?)</p>', answer.follow().text) == ["&lt;tea&gt; is in the cart."]
    assert 'id="said"' not in browser.get("/")


class TestTwoAtOnce:
    """POST /slow, twice at once."""

    def test_one_after_the_other(self, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is lost in either list, and an item that is added later takes the comparison away."""
        monkeypatch.setattr(demo.time, "sleep", [].append)
        send(browser, "/slow", item="tea")
        send(browser, "/slow", item="milk")
        page = browser.get("/")
        assert cart(page) == cart(page, "Load and overwrite") == ["tea", "milk"]
        assert "Load and overwrite" not in act(browser, "/add", item="bread")

    def test_a_logout_while_it_runs(self, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it adds is dropped, and its answer says so."""
        first = token(browser)
        meanwhile(monkeypatch, lambda: browser.post("/logout", {"csrf": first}))
        assert "tea was dropped" in browser.post("/slow", {"csrf": first, "item": "tea"})


class TestTheLateRequest:
    """POST /late."""

    def test_it_is_dropped(self, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the visitor logs out while it runs. It sets no cookie, and the browser has none."""
        act(browser, "/login", name="ada")
        first = token(browser)
        meanwhile(monkeypatch, lambda: browser.post("/logout", {"csrf": first}))
        answer = browser.post("/late", {"csrf": first})
        assert "<h1>Your session has ended</h1>" in answer and "Set-Cookie" not in answer.headers
        assert "session.save() returned False" in answer and browser.get("/left").json["cookie"] is False


class TestTypes:
    """POST /types and /object."""

    def test_what_json_alone_makes_of_it(self) -> None:
        """The page tells the truth about it."""
        made = json.dumps(
            demo.VALUES, default=lambda value: sorted(value) if type(value) is set else str(value)
        )
        assert json.loads(made) == demo.JSON_ALONE

    def test_an_object_is_refused(self, browser: Any) -> None:
        """With the place where it is. Everything else of the session is as it was."""
        act(browser, "/add", item="mine")
        page = act(browser, "/object")
        assert escape("Refused. session['order']['lines'][2]: object cannot be stored") in page
        assert "mine" in page and "<dt>[&#x27;order" not in page


class TestWhoIsWhere:
    """The sessions of one user."""

    def test_each_is_listed(self, site: SessionMiddleware, browser: Any) -> None:
        """This one and the others, by what their browsers say of themselves, with when they were used."""
        phone = TestApp(
            site, extra_environ={"HTTP_USER_AGENT": "Mozilla/5.0 (Android 15; Mobile) Firefox/140.0"}
        )
        act(phone, "/login", name="ada")
        site.manager.issue({"device": "<old>", "seen": time.time() - 120}, "ada")
        site.manager.issue({"device": "Somebody's"}, "grace")
        page = act(browser, "/login", name="ada")
        rows = re.findall("<b>([^<]*)</b><small>Logged in just now · ([^<]*)</small>", page.text)
        assert rows[0] == ("A browser", "this device")
        assert sorted(rows[1:]) == [
            ("&lt;old&gt;", "used 2 minutes ago"),
            ("Firefox on Android", "used just now"),
        ]
        assert 'End<span class="unseen"> the session of Firefox on Android, used just now</span>' in page

    @pytest.mark.parametrize("name", ["ada", None], ids=["logged in", "logged out"])
    def test_other_peoples_sessions_are_not_ended(
        self, site: SessionMiddleware, browser: Any, name: str | None
    ) -> None:
        """Even if somebody knows their key, which is no secret."""
        site.manager.issue(None, "grace")
        [info] = site.manager.owned_by("grace")
        if name:
            act(browser, "/login", name=name)
        assert "has ended already" in send(browser, "/end", key=info.key).follow()
        assert [left.key for left in site.manager.owned_by("grace")] == [info.key]

    @pytest.mark.parametrize("action", ["/logout-others", "/pretend"])
    def test_a_login_is_needed(self, site: SessionMiddleware, browser: Any, action: str) -> None:
        """A form that somebody made up does nothing."""
        assert send(browser, action).status_int == 303
        assert len(list(site.manager.sessions())) == 1


class TestTimeout:
    """POST /timeout and GET /left."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """The one of the store, of the sessions and of the page."""
        clock = Clock()
        monkeypatch.setattr(demo.time, "time", clock)
        return clock

    @pytest.fixture
    def site(self, clock: Clock) -> SessionMiddleware:
        return demo.with_sessions(secret=SECRET, store=MemoryStore(clock=clock), clock=clock)

    def test_a_view_keeps_it_alive(self, browser: Any, clock: Clock) -> None:
        """That is a use of the session."""
        act(browser, "/timeout", short="yes")
        for _ in range(3):
            clock.advance(15)
            page = browser.get("/")
        assert '<b id="countdown" role="timer">20 seconds</b>' in page

    def test_the_usual_one_again(self, browser: Any) -> None:
        """The second button takes the session's own away."""
        assert "a time-out of its own." in act(browser, "/timeout", short="yes")
        page = send(browser, "/timeout").follow()
        assert "the usual time-out." in page and "ends in 2 hours" in page

    def test_to_ask_begins_no_session(self, site: SessionMiddleware, browser: Any) -> None:
        """And sets no cookie."""
        answer = browser.get("/left")
        assert answer.json == {"left": None, "text": "0 seconds", "cookie": False}
        assert "Set-Cookie" not in answer.headers and list(site.manager.sessions()) == []


class TestAnOldForm:
    """A form that was open while its session ended: a page says what happened."""

    def refused(self, browser: Any, old: str) -> str:
        answer = browser.post("/add", {"csrf": old, "item": "old"}, status=403)
        assert 'href="/"' in answer and "was not used" in answer and "old" not in cart(browser)
        found = re.findall("<title>(.*)</title>.*<h1>(.*)</h1>", answer.text, re.DOTALL)
        assert found[0][0] == found[0][1]
        return str(found[0][1])

    def test_ended_on_another_device(self, site: SessionMiddleware, browser: Any) -> None:
        """The browser still has its cookie."""
        act(browser, "/login", name="ada")
        old = token(browser)
        there = TestApp(site)
        act(there, "/login", name="ada")
        act(there, "/logout-others")
        assert self.refused(browser, old) == "Your session has ended"

    def test_ended_as_the_page_shows_it(self, browser: Any) -> None:
        """Its button ends the session, and leaves the page alone."""
        old = token(browser)
        answer = browser.post("/elsewhere", {"csrf": old}, headers={"Accept": "text/plain"})
        assert "this browser does not know" in answer and "Set-Cookie" not in answer.headers
        answer = browser.post(
            "/add", {"csrf": old, "item": "x"}, headers={"Accept": "text/plain"}, status=403
        )
        assert answer.content_type == "text/plain" and "a session that is over" in answer
        assert self.refused(browser, old) == "Your session has ended"

    def test_logged_out_in_another_tab(self, browser: Any) -> None:
        """The browser has no cookie any more."""
        old = token(browser)
        browser.post("/logout", {"csrf": old})
        assert self.refused(browser, old) == "There is no session"

    def test_logged_in_in_another_tab(self, browser: Any) -> None:
        """The session lives, and has a new token."""
        old = token(browser)
        act(browser, "/login", name="ada")
        assert self.refused(browser, old) == "This form is too old"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("(Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("(Linux; Android 15) Chrome/140.0 Safari/537.36", "Chrome on Android"),
        ("(iPhone; CPU iPhone OS 19 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
        ("(X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("curl/8.10", "curl"),
        ("", "A browser"),
    ],
)
def test_a_device_in_words(agent: str, name: str) -> None:
    """By what its browser says of itself."""
    assert demo.device(agent) == name


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (119, "2 minutes"),
        (3599, "1 hour"),
        (7199, "2 hours"),
        (2592000, "30 days"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    """As people say it."""
    assert demo.span(seconds) == words


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
    """The tags of a page, of which most must be closed."""

    VOID = ("meta", "input", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_the_page_is_sound_and_brings_everything_along(browser: Any, path: str) -> None:
    """Every tag closes, no two have one id; nothing is loaded; the policy names our style sheet and script."""
    for action, fields in (
        ("/add", {"item": "one"}),
        ("/login", {"name": "ada"}),
        ("/pretend", {}),
        ("/timeout", {}),
    ):
        act(browser, action, **fields)
    answer = browser.get(path, status="*")
    outline = Outline(answer.text)
    assert outline.open == []
    tags = [tag for tag, _ in outline.seen]
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert ("html", {"lang": "en"}) in outline.seen
    named = [attrs["id"] for _, attrs in outline.seen if "id" in attrs]
    assert len(named) == len(set(named))
    links = {attrs["href"] for _, attrs in outline.seen if "href" in attrs} - {"/"}
    assert links <= {f"#{name}" for name in named}
    names = {name for _, attrs in outline.seen for name in attrs}
    assert not names & {"src", "style"} and not any(name.startswith("on") for name in names)
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
        assert "url(" not in text and "http" not in text


def test_the_title_is_the_librarys_sentence(browser: Any) -> None:
    """The count of views comes first on the page."""
    page = browser.get("/").text
    assert "<title>wsgisession: server-side sessions for any WSGI application</title>" in page
    assert re.findall("<h[1-6][^>]*>(.*?)</h", page)[0] == "Number of views 1"


def test_the_page_shows_the_session(browser: Any, site: SessionMiddleware) -> None:
    """Its key, its times and its data; never the id, and the token only inside the forms."""
    page = act(browser, "/add", item="one")
    ((info,),) = [list(site.manager.sessions())]
    assert info.key in page and demo.moment(info.created) in page
    shown = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page.text))
    assert shown[escape("['views']")] == "2" and shown[escape("['cart']")] == escape("{'items': ['one']}")
    assert shown["owner"] == "nobody" and escape("['csrf']") not in shown
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
    environ = clean_environment(**env)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=cwd, env=environ)
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
            # close() sends a reset.
            cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
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
