"""The documentation: every example runs, every link leads somewhere."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.clock import Clock
from support.docs import ROOT, blocks, examples, run
from support.web import SECRET, Site
from webtest import TestApp

from wsgisession import MemoryStore, SessionMiddleware
from wsgisession.cli.syntax import Syntax

PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))
# Those whose examples are whole programs, or need more than the extra `test`; each has a test of its own.
_OWN_TESTS = (
    "frameworks/",
    "express.md",
    "metrics.md",
    "migrating.md",
    "production.md",
    "servers.md",
    "testing.md",
)
ELSEWHERE = tuple(f"docs/how-to/{page}" for page in _OWN_TESTS)
ADA = SimpleNamespace(id=7, name="Ada")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples leave their files in a directory of their own, and the log as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    logger = logging.getLogger("wsgisession")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(ELSEWHERE)])
def test_examples_run(page: str) -> None:
    """As printed, in order."""
    examples(page)


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_examples_get_the_session_in_one_way(page: str) -> None:
    """By ``get_session`` or from an adapter, never by its place in the environ."""
    assert [
        block.line for block in blocks(page) if re.search(r"\[.wsgisession\.session.\]", block.text)
    ] == []


def test_the_counter_counts() -> None:
    """Two browsers have two sessions."""
    app = examples("docs/index.md")["app"]
    one, two = TestApp(app), TestApp(app)
    assert [one.get("/").text, one.get("/").text, two.get("/").text] == [
        f"Number of views {number}" for number in (1, 2, 1)
    ]


def test_getting_started() -> None:
    """The program counts; nested data is noticed; the last example keeps its sessions in a file."""
    page = "docs/getting-started.md"
    [counter] = blocks(page, "python")[:1]
    namespace: dict[str, Any] = {"__name__": "counter"}
    run(page, counter, namespace)
    browser = TestApp(namespace["app"])
    assert [browser.get("/").text for _ in range(2)] == ["Number of views 1", "Number of views 2"]
    assert "Set-Cookie" not in TestApp(namespace["app"]).get("/favicon.ico", status=404).headers
    names = examples(page)
    site = Site()
    cookie = site.request(lambda session: names["add_to_cart"](session, "A1")).cookie
    site.request(lambda session: names["add_to_cart"](session, "B2"), cookie)
    assert site.read(cookie) == {"cart": {"items": ["A1", "B2"]}}
    assert names["app"].manager.count() == 0 and Path("sessions.db").exists()


def test_login_and_logout() -> None:
    """A login keeps the data under a new id; each logout does what it says; the counter never goes below nothing."""
    page, site = examples("docs/how-to/login.md"), Site()
    cookie = site.start({"cart": [1], "credits": 1, "csrf": "x"})
    fresh = site.request(lambda session: page["login"](session, ADA), cookie).cookie
    assert site.read(fresh) == {"cart": [1], "credits": 1, "name": "Ada"}
    assert fresh != cookie and site.read(cookie) == {}
    assert site.request(lambda session: session.owner, fresh).result == "7"
    assert [site.request(page["view"], fresh).result for _ in range(2)] == [True, False]
    fresh = site.request(page["became_admin"], fresh).cookie
    assert not site.request(page["confirmed"], fresh).result
    site.request(page["password_was_right"], fresh)
    assert site.request(page["confirmed"], fresh).result
    fresh = site.request(page["logout_but_keep_the_cart"], fresh).cookie
    assert site.read(fresh) == {"cart": [1]}
    answer = site.request(lambda session: page["login_with_remember_me"](session, ADA, True), fresh)
    assert "Max-Age=" in (answer.set_cookie or "")
    site.request(page["logout"], answer.cookie)
    assert site.live() == []


def test_a_page_that_the_back_button_must_not_show() -> None:
    """``no-store`` reaches the browser as the application said it, although the session was read."""
    app = SessionMiddleware(examples("docs/how-to/login.md")["account_page"], secret=SECRET)
    answer = TestApp(app).get("/", headers={"Cookie": app.manager.issue({"name": "<Ada>"}, "7")})
    assert answer.headers.getall("Cache-Control") == ["no-store"] and "&lt;Ada&gt;" in answer.text


def test_streaming() -> None:
    """What changes while the body streams is saved at its end; a poll sees what others do meanwhile."""
    page = examples("docs/how-to/streaming.md")
    app = SessionMiddleware(page["export"], secret=SECRET)
    browser = TestApp(app)
    assert browser.get("/").text == "row 0\nrow 1\nrow 2\n"
    [info] = app.manager.sessions()
    session = app.manager.open(info.key)
    assert session is not None and session.copy() == {"exports": 1, "finished": True}
    polling = TestApp(SessionMiddleware(page["poll"], secret=SECRET))
    assert [polling.get("/").text for _ in range(2)] == ["nothing new"] * 2


def test_operations() -> None:
    """A page is served while the store is down."""
    greeting = examples("docs/how-to/operations.md")["greeting"]
    site = Site()
    assert site.request(greeting).result == "Hello"
    assert site.request(greeting, site.start({"name": "Ada"})).result == "Hello Ada"


def test_a_visitor_without_a_login_ends_sooner(clock: Clock) -> None:
    """A look begins no session. What it stores ends after ten minutes, and with a login it is as configured."""
    page, site = examples("docs/how-to/operations.md"), Site(MemoryStore(clock=clock), clock=clock)

    def visit(session: Any) -> None:
        page["before_each_page"](session)
        session["language"] = "de"

    def log_in(session: Any) -> None:
        page["before_each_page"](session)
        page["login"](session, "ada")

    assert site.request(page["before_each_page"]).set_cookie is None and site.live() == []
    robot, visitor = site.request(visit).cookie, site.request(visit).cookie
    ada = site.request(log_in, visitor).cookie
    clock.advance(601)
    assert (site.read(robot), site.read(ada)) == ({}, {"language": "de"})


def test_commands_are_spelled_right() -> None:
    """Every line that calls the command line names a command and options there are."""
    found = 0
    call = re.compile(r"(?:^|[`(]|\* +)(?:python3? -m |\$ )?wsgisession ([a-z]+(?: [^`)\n]+)?)", re.MULTILINE)
    for page in PAGES:
        for arguments in call.findall((ROOT / page).read_text(encoding="utf-8")):
            if "--help" not in arguments:
                Syntax().parse(shlex.split(arguments))
                found += 1
    assert found > 10


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link names a file, and every anchor a heading in it."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
            }, link


def test_each_picture_is_shown() -> None:
    """By a page that a reader can turn to."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    shown = {name for text in texts for name in re.findall(r"!\[[^\]]+\]\(images/([^)#]+)", text)}
    assert shown == {picture.name for picture in (ROOT / "docs" / "images").iterdir()}


def test_every_page_is_on_the_site_once() -> None:
    """And the changelog."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    named = [f"docs/{page}" for page in re.findall(r"(\S+\.md)$", nav, re.MULTILINE)]
    assert sorted(named) == sorted(["docs/changelog.md", *PAGES])
