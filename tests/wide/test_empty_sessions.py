"""Troubleshooting's two lines for "my session is always empty": what they print tells the three cases apart."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from support.docs import titled
from support.web import SECRET

from wsgisession import Cookie, SessionMiddleware, get_session

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/troubleshooting.md"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing is written to the terminal."""


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application, and yield its host and port."""
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def printed(app: Any, folder: Path) -> list[list[str]]:
    """Type the page's lines; return for each request which cookies went in which direction."""
    with serving(app) as host:
        found = []
        for line in titled(PAGE, "cookies").replace("127.0.0.1:8000", host).splitlines():
            done = subprocess.run(
                ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60
            )
            found.append([" ".join(shown.split()[:2]).lower() for shown in done.stdout.splitlines()])
    return found


def count(environ: Any, start_response: Any) -> list[bytes]:
    session = get_session(environ)
    session["views"] = session.get("views", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"counted"]


def look(environ: Any, start_response: Any) -> list[bytes]:
    get_session(environ).get("views")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"looked"]


def forgetful() -> Callable[..., Any]:
    """A middleware of its own for each request, as if each came to another process."""
    return lambda *request: SessionMiddleware(count, secret=SECRET)(*request)


SENT, BACK = "< set-cookie:", "> cookie:"


@pytest.mark.parametrize(
    ("app", "seen"),
    [
        (SessionMiddleware(count, secret=SECRET), [[SENT], [BACK]]),
        (SessionMiddleware(look, secret=SECRET), [[], []]),
        (SessionMiddleware(count, secret=SECRET, cookie=Cookie(path="/shop")), [[SENT], [SENT]]),
        (forgetful(), [[SENT], [BACK, SENT]]),
    ],
    ids=["works", "nothing is stored", "outside the path", "another process"],
)
def test_the_two_lines_tell(app: Any, seen: list[list[str]], tmp_path: Path) -> None:
    """No Set-Cookie; Set-Cookie and nothing back; something back, and yet a new session."""
    assert printed(app, tmp_path) == seen
