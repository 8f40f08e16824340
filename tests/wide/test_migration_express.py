"""What docs/how-to/migrating.md says of express-session: both printed applications, and the reasons, seen in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from support.docs import blocks, titled
from support.express import ExpressServer, installed
from support.redis_servers import shared_redis
from support.served import Browser, eventually, free_port
from webtest import TestApp

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/migrating.md"


@pytest.fixture
def express() -> Iterator[ExpressServer]:
    with ExpressServer(shared_redis().port, ["express-session takes any secret"]) as server:
        yield server


def shows(browser: Browser) -> str | None:
    """Return what a page says; None: the server is not there yet."""
    try:
        return browser.get("/")
    except (OSError, HTTPException):
        return None


def test_theirs_counts(tmp_path: Path) -> None:
    """Each browser on its own, under the name that the page says."""
    port = free_port()
    [text] = [block.text for block in blocks(PAGE, "js")]
    (tmp_path / "app.js").write_text(text.replace("8000", str(port)))
    (tmp_path / "node_modules").symlink_to(installed() / "node_modules")
    with subprocess.Popen(["node", "app.js"], cwd=tmp_path, stderr=subprocess.DEVNULL) as node:
        try:
            one, two = Browser(port), Browser(port)
            assert eventually(lambda: shows(one), "1")
            assert [one.get("/"), two.get("/"), one.get("/")] == ["2", "1", "3"]
        finally:
            node.kill()
    assert one.cookies.keys() == {"connect.sid"}


def test_ours_counts() -> None:
    """The same."""
    page: dict[str, Any] = {}
    exec(titled(PAGE, "from express-session"), page)
    one, two = TestApp(page["app"]), TestApp(page["app"])
    assert [browser.get("/").text for browser in (one, one, two, one)] == ["1", "2", "1", "3"]
    assert one.cookies.keys() == {"sid"}


def test_its_cookie(express: ExpressServer) -> None:
    """No SameSite, not Secure, and it ends with the browser."""
    header = express.do("", ["set", {"a": 1}]).set_cookie
    assert header is not None
    pair, *attributes = header.split("; ")
    assert pair.startswith("connect.sid=") and attributes == ["Path=/", "HttpOnly"]


def test_regenerate_begins_empty(express: ExpressServer) -> None:
    """Ours keeps the data."""
    cookie = express.do("", ["set", {"a": 1}]).cookie
    assert express.do(cookie, "regenerate", "read").result == {}


def test_a_late_save_brings_its_session_back(express: ExpressServer) -> None:
    """After a ``destroy()`` in another request."""
    cookie = express.do("", ["set", {"a": 1}]).cookie
    late = express.begin(cookie, ["wait", "gate"], ["set", {"b": 2}])
    express.do(cookie, "destroy")
    assert express.do(cookie, "read").result == {}
    express.release()
    late.result()
    assert express.do(cookie, "read").result == {"a": 1, "b": 2}
