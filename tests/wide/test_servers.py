"""One application under every server of docs/how-to/servers.md, started for real and driven over HTTP by several clients."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import pytest
from support.docs import ROOT
from support.served import Browser, Served, eventually, exit_lines, free_port, printed
from support.web import SECRET, Site

pytestmark = pytest.mark.wide

APP = ROOT / "tests" / "data" / "served_app.py"


class Kind(NamedTuple):
    """How a server is ended, how many processes answer, and whether it finishes its requests then."""

    end: signal.Signals = signal.SIGTERM
    processes: int = 1
    finishes: bool = True


SERVERS = {
    "wsgiref": Kind(end=signal.SIGINT, finishes=False),
    "waitress": Kind(end=signal.SIGINT),
    "gunicorn sync": Kind(processes=4),
    "gunicorn gthread": Kind(processes=2),
    "gunicorn gevent": Kind(processes=2),
    "gunicorn preload": Kind(processes=2),
    "uwsgi": Kind(processes=2),
    "cheroot": Kind(end=signal.SIGINT),
    "mod_wsgi": Kind(end=signal.SIGWINCH, processes=2),  # what apachectl graceful-stop sends
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a server which is not root can use too."""
    path = Path(mkdtemp(prefix="served"))
    if os.getuid() == 0:
        path.chmod(0o777)
    shutil.copy(APP, path / "app.py")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("title", SERVERS)
def test_one_application_under_every_server(title: str, folder: Path) -> None:
    """Counts are exact, sessions do not mix, streams pass through, an error saves nothing, and it ends in peace."""
    port, kind = free_port(), SERVERS[title]
    with Served(printed(title, folder, port), folder, port, end=kind.end, processes=kind.processes) as server:
        counts_are_exact(port)
        sessions_do_not_mix(port)
        a_stream_passes_through(port, folder)
        an_error_saves_nothing(port)
        shown = server.tracebacks
        logged_out_is_gone(port)
    # The application's own error is in the log; nothing is added by the end.
    assert server.tracebacks == shown <= 1 and exit_lines(server.log) == []


@pytest.mark.parametrize("title", [title for title, kind in SERVERS.items() if kind.finishes])
def test_a_server_that_is_ended_finishes_its_requests(title: str, folder: Path) -> None:
    """One that runs when the signal comes is answered, and saved, after the server has stopped taking others."""
    port, kind = free_port(), SERVERS[title]
    server = Served(printed(title, folder, port), folder, port, end=kind.end, processes=kind.processes)
    with server, ThreadPoolExecutor(1) as pool:
        browser = Browser(port)
        browser.get("/count")
        running = pool.submit(browser.get, "/hold?gate=ended")
        assert eventually((folder / "held").exists, True)
        server.process.send_signal(kind.end)
        assert eventually(lambda: answers(port), False)
        (folder / "ended").touch()
        assert running.result() == "finished" and server.process.wait(30) == 0
    kept = Site(f"sqlite:///{folder}/sessions.db", secret=SECRET)
    assert kept.read(browser.cookie) == {"count": 1, "held": True}


def answers(port: int) -> bool:
    """Return whether a server takes one more request. Some go on listening, and do not."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"GET /show HTTP/1.0\r\n\r\n")
            return connection.recv(1) != b""
    except OSError:
        return False


def counts_are_exact(port: int) -> None:
    """Eight clients of one session at once: every number once, every item in the list."""
    browser = Browser(port)
    assert browser.get("/count") == "1"

    def work(number: int) -> list[int]:
        client = Browser(port, browser.cookie)
        counted = [int(client.get("/count")) for _ in range(5)]
        client.get(f"/add?item={number}")
        assert client.cookie == browser.cookie
        return counted

    with ThreadPoolExecutor(8) as pool:
        counted = [number for numbers in pool.map(work, range(8)) for number in numbers]
    assert sorted(counted) == list(range(2, 42))
    assert browser.get("/show") == f"None 41 {[str(number) for number in range(8)]} None"


def sessions_do_not_mix(port: int) -> None:
    """Six users log in and count at once: each sees its own name and its own number."""

    def work(number: int) -> tuple[str, str]:
        browser = Browser(port)
        browser.get(f"/add?item=i{number}")
        anonymous = browser.cookie
        with browser.open(f"/login?user=user{number}") as answer:
            assert answer.status == 303 and answer.headers["Location"] == "/show"
        assert browser.cookie != anonymous
        for _ in range(3 + number):
            browser.get("/count")
        return browser.cookie, browser.get("/show")

    with ThreadPoolExecutor(6) as pool:
        cookies, shown = zip(*pool.map(work, range(6)), strict=True)
    assert list(shown) == [f"user{number} {3 + number} ['i{number}'] None" for number in range(6)]
    assert len(set(cookies)) == 6


def a_stream_passes_through(port: int, folder: Path) -> None:
    """The last chunk is made when the client has the first; what is saved at the end is saved."""
    browser = Browser(port)
    with browser.open("/stream?gate=seen") as answer:
        assert answer.readline() == b"first\n"
        (folder / "seen").touch()
        assert answer.read() == b"last\n"
    # Servers may end the response before they close its body, where a late change is saved.
    assert eventually(lambda: browser.get("/show"), "None None [] True")


def an_error_saves_nothing(port: int) -> None:
    """An application that raises: 500, or from uWSGI no answer at all; no cookie for a new visitor, and the server goes on."""
    browser = Browser(port)
    try:
        with browser.open("/raise") as answer:
            assert answer.status == 500
    except RemoteDisconnected:
        pass
    assert browser.cookie == "" and browser.get("/show") == "None None [] None"


def logged_out_is_gone(port: int) -> None:
    """In every process, at once."""
    browser = Browser(port)
    browser.get("/count")
    cookie = browser.cookie
    browser.get("/logout")
    assert browser.cookie == ""
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda _: Browser(port, cookie).get("/show"), range(12)))
    assert shown == ["None None [] None"] * 12
