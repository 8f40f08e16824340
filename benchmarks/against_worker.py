"""Measures one of two trees in its own process: reads lines of ``case count``, and writes the results.

It is also the application that a server of one of the trees runs. It uses only what both versions of the library have.
Knows nothing of the other tree.
"""

from __future__ import annotations

import gc
import heapq
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.samples import ENVIRON, SMALL, of_size

SECRET = "a benchmark's secret of at least 32 bytes"
# Environment variables: the tree that a server imports, and its store.
TREE, PLACE = "WSGISESSION_TREE", "WSGISESSION_PLACE"
LONGEST = 50  # requests of a crowd whose times are told one by one


def read(session: Any) -> None:
    assert session["user"] == "ada@example.org"


def write(session: Any) -> None:
    session["views"] = session.get("views", 0) + 1


def look(session: Any) -> None:
    assert session.get("user") is None


# Name: what a request does, the session's data before it (None: no cookie comes), the store, and whether the cookie is
# forged.
CASES: dict[str, tuple[Callable[[Any], None] | None, dict[str, Any] | None, str, bool]] = {
    "untouched, no cookie": (None, None, "memory", False),
    "untouched, with a cookie": (None, SMALL, "memory", False),
    "read, 100 B": (read, SMALL, "memory", False),
    "read and write, 100 B": (write, SMALL, "memory", False),
    "new, 100 B": (write, None, "memory", False),
    "forged, touched": (look, SMALL, "memory", True),
    "10 KB in 20 keys: read one": (read, of_size(10_000), "memory", False),
    "10 KB in 20 keys: write one": (write, of_size(10_000), "memory", False),
    "100 KB: read one": (read, of_size(100_000), "memory", False),
    "SQLite: read": (read, SMALL, "sqlite", False),
    "SQLite: write": (write, SMALL, "sqlite", False),
    "Redis: read": (read, SMALL, "redis", False),
    "Redis: write": (write, SMALL, "redis", False),
}


def wrapped(action: Callable[[Any], None] | None, store: Any) -> Any:
    """Return the tree's middleware around an application that does this to its session."""
    from wsgisession import SessionMiddleware

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if action is not None:
            action(environ["wsgisession.session"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    return SessionMiddleware(app, secret=SECRET, store=store, max_size=10**6)


class Measured:
    """One case, ready to run."""

    def __init__(self, name: str, stores: dict[str, Any]) -> None:
        action, data, store, forged = CASES[name]
        self.app: Any = wrapped(action, stores[store])
        # Processor time if no other process does the work, because then other programs disturb less.
        self.clock = time.thread_time_ns if store == "memory" else time.perf_counter_ns
        self.environ: dict[str, Any] = dict(ENVIRON)
        if data is not None:
            cookie = self.app.manager.issue(data)
            self.environ["HTTP_COOKIE"] = f"theme=dark; {cookie[:-4] + 'AAAA' if forged else cookie}; lang=en"

    @staticmethod
    def _bare(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    def spin(self, count: int) -> float:
        """Return microseconds of a request over the bare application."""
        gc.collect()
        gc.disable()
        try:
            return self._time(self.app, count) - self._time(self._bare, count)
        finally:
            gc.enable()

    def _time(self, app: Any, count: int) -> float:
        environ, start_response, clock = self.environ, _start_response, self.clock
        start = clock()
        for _ in range(count):
            for _chunk in app(environ.copy(), start_response):
                pass
        return (clock() - start) / count / 1000


def _start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
    return None


class Crowd:
    """A memory store with many sessions, and requests for a sample of them."""

    def __init__(self, size: int) -> None:
        from wsgisession.stores import MemoryStore

        before = _resident()
        self._app = wrapped(write, MemoryStore(max_sessions=size + 100_000))
        issue, step = self._app.manager.issue, max(1, size // 20_000)
        self._cookies = [cookie for number in range(size) if (cookie := issue(SMALL)) and number % step == 0]
        gc.collect()
        self.bytes = (_resident() - before - sum(map(sys.getsizeof, self._cookies))) / size

    def spin(self, count: int) -> list[float]:
        """Return microseconds of processor time, collections included: the median of some requests, and the longest."""
        choice, times = random.Random(1).choice, []
        for _ in range(count):
            environ = ENVIRON | {"HTTP_COOKIE": choice(self._cookies)}
            start = time.thread_time_ns()
            self._app(environ, _start_response)
            times.append(time.thread_time_ns() - start)
        return [time / 1000 for time in (statistics.median(times), *heapq.nlargest(LONGEST, times))]


def _resident() -> int:
    """Return the bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def use(tree: str) -> None:
    """Import the library from this tree."""
    sys.path.insert(0, tree)
    import wsgisession

    assert Path(wsgisession.__file__).is_relative_to(Path(tree).resolve()), "another tree was imported"
    logging.getLogger("wsgisession").setLevel(logging.CRITICAL)


def application() -> Any:
    """Return the application for a server; the environment says of which tree and with which store."""
    use(os.environ[TREE])
    return wrapped(write, os.environ[PLACE] or None)


def main() -> None:
    """Serve measurements of the tree named first; a Redis on the port named second, 0: none."""
    use(sys.argv[1])
    from wsgisession.stores import MemoryStore, SQLiteStore, from_url

    with tempfile.TemporaryDirectory() as directory:
        stores: dict[str, Any] = {"memory": MemoryStore(), "sqlite": SQLiteStore(f"{directory}/sessions.db")}
        if sys.argv[2] != "0":
            stores["redis"] = from_url(f"redis://127.0.0.1:{sys.argv[2]}/{sys.argv[3]}")
        ready: dict[str, Measured] = {}
        crowd: Crowd | None = None
        print("ready", flush=True)
        for line in sys.stdin:
            name, _, count = line.rstrip("\n").rpartition("\t")
            if name == "gather":
                crowd = Crowd(int(count))
                print(crowd.bytes, flush=True)
            elif name == "crowd":
                assert crowd is not None
                print(*crowd.spin(int(count)), flush=True)
            else:
                if name not in ready:
                    ready[name] = Measured(name, stores)
                print(ready[name].spin(int(count)), flush=True)
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
