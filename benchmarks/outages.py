"""Outages: the server of each store is stopped while visitors send requests. What did they see, when did it work again,
and what is lost?

``docs/how-to/operations.md`` has its table. Knows stores by their URLs.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import servers
from benchmarks.measure import App, environ_of, scratch
from benchmarks.peers import SECRET

VISITORS = 4
REST = 0.002  # seconds between two requests of a visitor
RECOVERY = 30.0  # after so many seconds, a store that does not work again counts as broken
CAREFUL = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


class Plug(NamedTuple):
    """How to stop a server, how to start it again, and how many times the usual seconds it is stopped."""

    name: str
    pull: Callable[[], object]
    put: Callable[[], object] = lambda: None
    times: float = 1.0


def run(quick: bool, say: Callable[[str], object]) -> list[dict[str, Any]]:
    """Try every outage that is possible here; return one row for each."""
    if absent := servers.missing():
        say(f"not here, so left out: {', '.join(absent)}")
    seconds = 1.0 if quick else 5.0
    rows = []
    for engine in (_sqlite, _redis, _forgetful_redis, _postgres, _pgbouncer):
        for store, url, plug in engine(absent):
            say(f"{store}: {plug.name} …")
            rows.append({"store": store, "event": plug.name, **_outage(url, plug, seconds)})
    return rows


# The visitors


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Count, and answer with the number."""
    session = environ["wsgisession.session"]
    session["n"] = session.get("n", 0) + 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(session["n"]).encode()]


class Visitor(threading.Thread):
    """A browser. Each request adds one to a number in its session, and the browser remembers the answers.

    Attributes:
        errors: the message of each failure.
        slowest: seconds that the slowest request took, whether it failed or not.
        fine: when the newest request succeeded, by the monotonic clock.
        lost: acknowledged additions that were not there later.
        gone: how often the session itself was not there any more.
    """

    def __init__(self, app: App, cookie: str) -> None:
        super().__init__(daemon=True)
        self._app = app
        self._cookie = cookie
        self._told = 0
        self.errors: list[str] = []
        self.requests = self.lost = self.gone = 0
        self.fine = self.slowest = 0.0
        self.leave = threading.Event()

    def run(self) -> None:
        while not self.leave.wait(REST):
            self.visit()

    def visit(self, app: App | None = None) -> None:
        """Make one request, to another application if one is given."""
        seen: list[Any] = []
        start = time.monotonic()
        self.requests += 1
        try:
            body = self._app(
                environ_of(self._cookie), lambda *answer: seen.append(answer) or (lambda data: None)
            )
            found = int(b"".join(body))
        except Exception as error:  # the visitor sees an error page for any exception
            self.errors.append(f"{type(error).__name__}: {error}")
            return
        finally:
            self.slowest = max(self.slowest, time.monotonic() - start)
        self.fine = time.monotonic()
        if found <= self._told:
            # A request that failed may have been carried out, so the number may be larger
            self.lost += self._told + 1 - found
            self.gone += found == 1
        self._told = found
        for name, value in seen[-1][1]:
            if name == "Set-Cookie":
                self._cookie = value.partition(";")[0]


def _outage(url: str, plug: Plug, seconds: float) -> dict[str, Any]:
    """Let visitors in, log one out, stop the server, start it again, and ask every visitor."""
    from wsgisession import SessionMiddleware

    app = SessionMiddleware(application, secret=SECRET, store=url)
    visitors = [Visitor(app, app.manager.issue({"n": 0}, "ada")) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    time.sleep(1.0)
    leaver = app.manager.issue({"n": 0}, "bo")
    assert app.manager.destroy_owned("bo") == 1
    plug.pull()
    time.sleep(seconds * plug.times)
    plug.put()
    back = time.monotonic()
    while min(visitor.fine for visitor in visitors) < back and time.monotonic() < back + RECOVERY:
        time.sleep(0.01)
    recovered = max(visitor.fine for visitor in visitors)
    first = min(visitor.fine for visitor in visitors)
    time.sleep(1.0)
    for visitor in visitors:
        visitor.leave.set()
    for visitor in visitors:
        visitor.join(RECOVERY)
    # A process that starts now decides: the old one may still have data that is nowhere else.
    fresh = SessionMiddleware(application, secret=SECRET, store=url)
    for visitor in visitors:
        visitor.visit(fresh)
    undone = b"1" != b"".join(fresh(environ_of(leaver), lambda *answer: lambda data: None))
    for each in (app, fresh):
        each.manager.store.close()
    errors = [error for visitor in visitors for error in visitor.errors]
    return {
        "requests": sum(visitor.requests for visitor in visitors),
        "failed": len(errors),
        "slowest": max(visitor.slowest for visitor in visitors),
        "causes": [_plain(words) for words, _ in Counter(errors).most_common(3)],
        "recovery": recovered - back if first >= back else None,
        "lost": sum(visitor.lost for visitor in visitors),
        "gone": sum(visitor.gone for visitor in visitors),
        "logout undone": undone,
    }


def _plain(words: str) -> str:
    """Return an error's message without the parts that differ from run to run."""
    return re.sub(r"/\S*/(?=\w+\.db)", "…/", re.sub(r"\b\d{4,}\b", "…", words))[:160]


# The plugs


def _sqlite(absent: list[str]) -> Iterator[tuple[str, str, Plug]]:
    def remove(path: Path) -> None:
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)

    def restore(path: Path) -> None:
        """Replace the file by a copy of one second ago, like a careless restore."""
        copy = path.with_name("copy.db")
        with sqlite3.connect(path) as old, sqlite3.connect(copy) as new:
            old.backup(new)
        old.close()
        new.close()
        time.sleep(1.0)
        os.replace(copy, path)

    plugs: list[tuple[str, Callable[[Path], object], Callable[[], object]]] = [
        ("the file is removed", remove, lambda: None),
        ("another file is moved into its place", restore, lambda: None),
        ("the disk is full", lambda path: _limit_files(1), lambda: _limit_files(resource.RLIM_INFINITY)),
    ]
    for name, pull, put in plugs:
        path = scratch() / "sessions.db"
        yield "SQLite", f"sqlite:///{path}", Plug(name, lambda pull=pull, path=path: pull(path), put)  # type: ignore[misc]


def _limit_files(size: int) -> None:
    """Limit the size of this process's files. For SQLite this is like a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _redis(absent: list[str]) -> Iterator[tuple[str, str, Plug]]:
    if "Redis" in absent:
        return
    with servers.redis(*CAREFUL) as server:
        url = f"redis://127.0.0.1:{server.port}"

        def full(limit: int) -> None:
            with server.client() as client:
                client.config_set("maxmemory", limit)

        yield (
            "Redis",
            url,
            Plug("stopped, and started again", lambda: server.stop(signal.SIGTERM), server.start),
        )
        yield (
            "Redis",
            url,
            Plug("killed, and started again", lambda: server.stop(signal.SIGKILL), server.start),
        )
        yield "Redis", url, _hanging(server.signal)
        yield "Redis", url, Plug("full (noeviction)", lambda: full(1), lambda: full(0))


def _forgetful_redis(absent: list[str]) -> Iterator[tuple[str, str, Plug]]:
    if "Redis" in absent:
        return
    with servers.redis() as server:
        url = f"redis://127.0.0.1:{server.port}"
        plug = Plug("killed, and started again", lambda: server.stop(signal.SIGKILL), server.start)
        yield "Redis without persistence", url, plug


def _postgres(absent: list[str]) -> Iterator[tuple[str, str, Plug]]:
    if "PostgreSQL" in absent:
        return
    with servers.postgres() as server:
        stop = Plug("stopped, and started again", lambda: server.stop(signal.SIGINT), server.start)
        crash = Plug("killed, and started again", lambda: server.stop(signal.SIGQUIT), server.start)
        hang = _hanging(lambda number: _signal_all(server.process.pid, number))
        for plug in (stop, crash, hang):
            yield "PostgreSQL", server.url, plug


def _pgbouncer(absent: list[str]) -> Iterator[tuple[str, str, Plug]]:
    if "PostgreSQL" in absent or not shutil.which(
        "pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
    ):
        return
    with servers.postgres() as behind, servers.pgbouncer(behind) as server:
        stop = Plug("PgBouncer stopped, and started again", lambda: server.stop(signal.SIGTERM), server.start)
        crash = Plug(
            "the server behind it is stopped, and started again",
            lambda: behind.stop(signal.SIGINT),
            behind.start,
        )
        hang = _hanging(lambda number: _signal_all(server.process.pid, number))
        for plug in (stop, crash, hang):
            yield "PostgreSQL through PgBouncer", server.url, plug


def _hanging(send: Callable[[int], object]) -> Plug:
    return Plug("hangs, and goes on", lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT), 2.0)


def _signal_all(process: int, number: int) -> None:
    """Send a signal to a process and to the processes that it started."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            _signal_all(int(child), number)
    os.kill(process, number)
