"""Redis and PostgreSQL, stopped where they are under a site: the pages that need no session are served as ever."""

from __future__ import annotations

import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from support import postgres_server, redis_servers
from support.postgres_server import Postgres
from support.redis_servers import RedisServer
from support.served import Browser, Served, free_port

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the server's processes are found in /proc"
    ),
]

Engine = tuple[str, Callable[[int], None]]  # its URL, and what sends a signal to all of its processes


@pytest.fixture(params=["Redis", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that a test may stop."""
    module = redis_servers if request.param == "Redis" else postgres_server
    if reason := module.missing():
        pytest.skip(reason)
    if request.param == "Redis":
        server = RedisServer()
        yield f"redis://127.0.0.1:{server.port}", server.signal
        server.signal(signal.SIGCONT)
        server.close()
    else:
        postgres = Postgres()
        yield postgres.url, postgres.hang
        postgres.close()


APP = """\
import os
from wsgisession import SessionMiddleware, StoreError
def page(environ, start_response):
    status = "200 OK"
    if environ["PATH_INFO"] == "/count":
        try:
            session = environ["wsgisession.session"]
            session["n"] = session.get("n", 0) + 1
        except StoreError:
            status = "503 Service Unavailable"
    start_response(status, [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))])
    return [b"ok"]
app = SessionMiddleware(page, secret="x" * 32, store=os.environ["STORE"])
"""


def test_pages_without_the_session(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four sync workers and eight visitors: while the server hangs, the pages that need no session are served as ever."""
    pytest.importorskip("gunicorn")
    url, send = engine
    (tmp_path / "hanging.py").write_text(APP)
    monkeypatch.setenv("STORE", url)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-w", "4", "-b", f"127.0.0.1:{port}", "hanging:app"]
    times: dict[str, list[tuple[float, float]]] = {"/": [], "/count": []}
    stop = Event()

    def visit() -> None:
        browser = Browser(port)
        while not stop.is_set():
            for path in times:
                start = time.monotonic()
                with browser.open(path) as answer:
                    answer.read()
                    assert path == "/count" or answer.status == 200
                times[path].append((start, time.monotonic() - start))
                time.sleep(0.02)

    with Served(command, tmp_path, port, end=signal.SIGTERM, processes=4, ready="/"):
        visitors = [Thread(target=visit, daemon=True) for _ in range(8)]
        for visitor in visitors:
            visitor.start()
        time.sleep(3)
        hung = time.monotonic()
        send(signal.SIGSTOP)
        time.sleep(16)
        send(signal.SIGCONT)
        stop.set()
        for visitor in visitors:
            visitor.join(30)
    before = [took for start, took in times["/"] if start < hung]
    after = [took for start, took in times["/"] if start > hung + 8]
    print(
        f"median page: {statistics.median(before) * 1e3:.1f} ms, hanging: {statistics.median(after) * 1e3:.1f} ms"
    )
    assert len(after) > 100
    assert statistics.median(after) < 4 * statistics.median(before) + 0.02
