"""One of two trees, measured in a process of its own: reads ``case count`` lines, writes microseconds per request.

Speaks only what both versions of the library have. Knows nothing of the other tree.
"""

from __future__ import annotations

import gc
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECRET = "a benchmark's secret of at least 32 bytes"
SMALL = {
    "user": "ada@example.org",
    "views": 7,
    "language": "en",
    "theme": "dark",
    "seen": 1764018000,
    "name": "A. L.",
}
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def of_size(size: int) -> dict[str, Any]:
    """Return a session of about so many bytes: 20 carts beside the small keys."""
    item = {"sku": "AB-12345", "qty": 2, "price": 19.99, "gift": False, "note": "to the door"}
    each = size // 20 // 75 or 1
    return SMALL | {
        f"cart{number}": [{**item, "qty": number + at} for at in range(each)] for number in range(20)
    }


def read(session: Any) -> None:
    assert session["user"] == "ada@example.org"


def write(session: Any) -> None:
    session["views"] = session.get("views", 0) + 1


def look(session: Any) -> None:
    assert session.get("user") is None


# Name: what a request does, what the session holds before (None: no cookie comes), which store, and is the cookie forged?
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


class Measured:
    """One case, ready to run."""

    def __init__(self, name: str, stores: dict[str, Any]) -> None:
        from wsgisession import SessionMiddleware

        action, data, store, forged = CASES[name]

        def app(environ: Any, start_response: Any) -> list[bytes]:
            if action is not None:
                action(environ["wsgisession.session"])
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok"]

        self.app: Any = SessionMiddleware(app, secret=SECRET, store=stores[store], max_size=10**6)
        # The processor's time if nobody else does the work: other programs then disturb less.
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
        return self._time(self.app, count) - self._time(self._bare, count)

    def _time(self, app: Any, count: int) -> float:
        environ, start_response, clock = self.environ, _start_response, self.clock
        start = clock()
        for _ in range(count):
            for _chunk in app(environ.copy(), start_response):
                pass
        return (clock() - start) / count / 1000


def _start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
    return None


def main() -> None:
    """Serve measurements of the tree named first; a Redis on the port named second, 0: none."""
    sys.path.insert(0, sys.argv[1])
    import wsgisession
    from wsgisession.stores import MemoryStore, SQLiteStore, from_url

    assert Path(wsgisession.__file__).is_relative_to(Path(sys.argv[1]).resolve()), "another tree was imported"
    logging.getLogger("wsgisession").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as directory:
        stores: dict[str, Any] = {"memory": MemoryStore(), "sqlite": SQLiteStore(f"{directory}/sessions.db")}
        if sys.argv[2] != "0":
            stores["redis"] = from_url(f"redis://127.0.0.1:{sys.argv[2]}/{sys.argv[3]}")
        ready: dict[str, Measured] = {}
        print("ready", flush=True)
        for line in sys.stdin:
            name, _, count = line.rstrip("\n").rpartition("\t")
            if name not in ready:
                ready[name] = Measured(name, stores)
            gc.collect()
            gc.disable()
            print(ready[name].spin(int(count)), flush=True)
            gc.enable()
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
