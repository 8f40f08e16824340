"""A PostgreSQL whose processes are stopped where they are: who waits, for how long, and what happens when they go on."""

from __future__ import annotations

import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from support import postgres_server
from support.postgres_server import PgBouncer, Postgres, created, find_program
from support.served import Browser, Served, free_port

from wsgisession.errors import StoreError
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_payload

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the server's processes are found in /proc"
    ),
]


@pytest.fixture
def private() -> Iterator[Postgres]:
    """A cluster that a test may stop."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["own", "pool", "pgbouncer"])
def connect(request: pytest.FixtureRequest, private: Postgres) -> Iterator[Any]:
    """What the store is given."""
    if request.param == "own":
        yield connector(private.url)
    elif request.param == "pool":
        from psycopg_pool import ConnectionPool

        with ConnectionPool(private.url, min_size=1, max_size=4, open=True) as pool:
            yield pool
    else:
        if find_program("pgbouncer") is None:
            pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
        bouncer = PgBouncer(private)
        yield connector(bouncer.url)
        private.hang(signal.SIGCONT)
        bouncer.close()


def took(call: Callable[[], object]) -> float:
    """Return the seconds until a call ended with a StoreError."""
    start = time.monotonic()
    with pytest.raises(StoreError):
        call()
    return time.monotonic() - start


def test_a_server_that_hangs(private: Postgres, connect: Any) -> None:
    """One time-out; then of four seconds two thirds at most are spent waiting; and within two seconds all is well."""
    store = PostgresStore(connect, timeout=1.0)
    key, payload = created(store)
    private.hang()
    assert 0.9 < took(lambda: store.load(key)) < 4
    start = time.monotonic()
    waits = []
    while time.monotonic() < start + 4:
        waits.append(took(lambda: store.load(key)))
        time.sleep(0.01)
    assert sum(waits) < 2.7 and statistics.median(waits) < 0.1
    private.hang(signal.SIGCONT)
    back = time.monotonic()
    while True:
        try:
            found = store.load(key)
            break
        except StoreError:
            time.sleep(0.01)
    assert time.monotonic() - back < 2
    assert found is not None and found[0] == payload
    fresh = new_payload()
    assert store.replace(key, payload, fresh, None) is True
    store.close()


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


def test_pages_without_the_session(
    private: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four sync workers and eight visitors: while the server hangs, the pages that need no session are served as ever."""
    pytest.importorskip("gunicorn")
    (tmp_path / "hanging.py").write_text(APP)
    monkeypatch.setenv("STORE", private.url)
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
        private.hang()
        time.sleep(16)
        private.hang(signal.SIGCONT)
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
