"""What servers make of X-Forwarded-Proto, as docs/how-to/proxy.md says: as they are by default, on the loopback address."""

from __future__ import annotations

import re
import signal
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support.docs import ROOT
from support.served import Served, free_port, printed
from support.web import SECRET

pytestmark = pytest.mark.wide

APP = f"""\
import os
from wsgisession import Cookie, SessionMiddleware

def page(environ, start_response):
    environ["wsgisession.session"]["n"] = 1
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))])
    return [environ["wsgi.url_scheme"].encode()]

auto = SessionMiddleware(page, secret={SECRET!r})
secure = SessionMiddleware(page, secret={SECRET!r}, cookie=Cookie(secure=True))

def application(environ, start_response):
    return (secure if environ["PATH_INFO"] == "/secure" else auto)(environ, start_response)
"""
# The title of a server's block in servers.md, what ends it, and how many processes answer.
TITLES = {
    "gunicorn": ("gunicorn sync", signal.SIGTERM, 4),
    "waitress": ("waitress", signal.SIGINT, 1),
    "uWSGI": ("uwsgi", signal.SIGTERM, 2),
}
ROWS = re.findall(r"(?m)^\| (\w+) \| (https?)\b", (ROOT / "docs/how-to/proxy.md").read_text())


def asked(port: int, path: str, **headers: str) -> tuple[str, str]:
    """Return which scheme the application saw, and the cookie that was set."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        return answer.read().decode(), answer.headers["Set-Cookie"]


def test_the_page_names_the_servers() -> None:
    """A row for each."""
    assert [name for name, _ in ROWS] == list(TITLES)


@pytest.mark.parametrize(("name", "scheme"), ROWS)
def test_what_a_server_believes(name: str, scheme: str, tmp_path: Path) -> None:
    """Behind a proxy on the same machine the scheme is what the page says, and ``secure=True`` is Secure either way."""
    port, (title, end, processes) = free_port(), TITLES[name]
    (tmp_path / "app.py").write_text(APP)
    command = printed(title, tmp_path, port)
    with Served(command, tmp_path, port, end=end, processes=processes, ready="/"):
        assert asked(port, "/")[0] == "http"
        seen, cookie = asked(port, "/", X_Forwarded_Proto="https")
        assert seen == scheme and ("; Secure" in cookie) is (scheme == "https")
        for headers in ({}, {"X_Forwarded_Proto": "https"}):
            assert "; Secure" in asked(port, "/secure", **headers)[1]
