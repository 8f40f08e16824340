"""kill -9 of processes in the middle of their writes, on every store that processes share.

Whatever a process had acknowledged is there, at most the one request it was killed in has been carried out as well, every
session is whole, and the others never notice.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.postgres_server import shared_postgres
from support.redis_servers import shared_redis
from support.web import Site

from wsgisession import Session

CYCLES = max(50, int(os.environ.get("WSGISESSION_SOAK") or 0))
WORKERS = 4
PATIENCE = 30.0  # seconds until a worker that writes nothing counts as stuck
pytestmark = [
    pytest.mark.wide,
    pytest.mark.timeout(max(120, 2 * CYCLES)),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

URLS: dict[str, Callable[[Path], str]] = {
    "SQLite": lambda folder: f"sqlite:///{folder}/killed.db",
    "Redis": lambda folder: f"redis://127.0.0.1:{shared_redis().port}/0?prefix=killed:",
    "PostgreSQL": lambda folder: shared_postgres().url,
}


def padding(count: int) -> str:
    """Return a text of many pages that belongs to one count."""
    return f"{count} " * 3000


def work(url: str, name: str, own: str, shared: str, pipe: Any) -> None:
    """Write to a session of this worker's own, then to one that all share, and say so; again and again."""
    site = Site(url)

    def write(session: Session) -> int:
        count: int = session["count"] + 1
        session["count"] = session["again"] = count
        session["padding"] = padding(count)
        return count

    while True:
        count = site.request(write, own).result
        site.request(lambda session, count=count: session["counts"].update({name: count}), shared)
        pipe.send(count)
        time.sleep(0.005)  # as between requests


class Worker:
    """A process that writes, and an account of what it acknowledged. After a kill another one takes its place."""

    def __init__(self, context: Any, site: Site, url: str, name: str, shared: str) -> None:
        self.context, self.site, self.url, self.name, self.shared = context, site, url, name, shared
        self.own = site.start({"count": 0, "again": 0, "padding": padding(0)})
        self.acknowledged = 0
        self.start()

    def start(self) -> None:
        self.pipe, theirs = self.context.Pipe(duplex=False)
        arguments = (self.url, self.name, self.own, self.shared, theirs)
        self.process = self.context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def listen(self, times: int) -> None:
        """Wait until this worker has acknowledged so many more requests."""
        deadline = time.monotonic() + PATIENCE
        for _ in range(times):
            assert self.pipe.poll(max(0, deadline - time.monotonic())), (
                f"worker {self.name} writes nothing any more"
            )
            self.acknowledged = self.pipe.recv()

    def kill(self) -> None:
        """End the process at once, and take note of what it had still acknowledged."""
        self.process.kill()
        self.process.join(PATIENCE)
        try:
            while self.pipe.poll(0):
                self.acknowledged = self.pipe.recv()
        except EOFError:
            pass
        self.pipe.close()

    def check(self) -> None:
        """Look at what is stored, right after a kill."""
        session, count = self.site.read(self.own), self.site.read(self.shared)["counts"][self.name]
        stored = session["count"]
        allowed = (self.acknowledged, self.acknowledged + 1)
        assert stored in allowed, f"acknowledged {self.acknowledged}, stored {stored}"
        assert count in allowed, f"acknowledged {self.acknowledged}, stored {count} in the shared session"
        assert session == {"count": stored, "again": stored, "padding": padding(stored)}, (
            "the session is not whole"
        )
        self.acknowledged = min(stored, count)


@pytest.mark.parametrize("store", URLS)
def test_nothing_acknowledged_is_lost(store: str, tmp_path: Path) -> None:
    """Fifty times one of four writing processes is killed, every fifth time all of them at once."""
    context = multiprocessing.get_context("fork")  # quick; each process makes a store of its own all the same
    url = URLS[store](tmp_path)
    site = Site(url)
    names = [str(number) for number in range(WORKERS)]
    shared = site.start({"counts": dict.fromkeys(names, 0)})
    workers = [Worker(context, site, url, name, shared) for name in names]
    try:
        for cycle in range(CYCLES):
            victims = workers if cycle % 5 == 4 else [workers[cycle % WORKERS]]
            for victim in victims:
                victim.listen(2)
            time.sleep(random.random() * 0.01)  # anywhere in a request
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.check()
                victim.start()
        for worker in workers:
            worker.listen(2)
    finally:
        for worker in workers:
            worker.kill()
    for worker in workers:
        worker.check()
    requests = sum(worker.acknowledged for worker in workers)
    print(f"{store}: {CYCLES} cycles, {2 * requests} acknowledged writes, none lost")
    site.manager.store.close()
    if store == "SQLite":
        with sqlite3.connect(tmp_path / "killed.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
