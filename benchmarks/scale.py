"""Many sessions: the cost of a request if there are a million, in memory and in SQLite, and four processes that write.

Each size runs in a process of its own, so that memory and collector start clean. Knows one payload of 100 bytes.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import COUNT, READ
from benchmarks.measure import environ_of, scratch, spin
from benchmarks.peers import SECRET, Beaker, plain
from benchmarks.samples import SMALL

COOKIES = 50_000  # so many sessions get requests, spread over all
SECONDS = 10.0  # of four writers


def run(quick: bool, say: Callable[[str], object]) -> dict[str, Any]:
    sizes = [1_000, 10_000] if quick else [1_000, 10_000, 100_000, 1_000_000]
    results: dict[str, Any] = {"memory": [], "sqlite": []}
    for size in sizes:
        say(f"MemoryStore, {size:,} sessions …")
        results["memory"].append(_apart(_memory, size, 10_000 if quick else 100_000))
    results["beaker_bytes"] = _apart(_beaker, 10_000)
    for size in sizes:
        say(f"SQLite, {size:,} sessions …")
        results["sqlite"].append(_apart(_sqlite, size, 0.3 if quick else 2.0))
    results["writers"] = {}
    for count in (1, 4):
        say(f"SQLite, {count} writing processes …")
        results["writers"][f"{count}"] = _writers(count, 1.0 if quick else SECONDS)
    say("one owner among many …")
    results["owners"] = {
        name: _apart(_owners, name, 10_000 if quick else 100_000) for name in ("memory", "SQLite")
    }
    return results


def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run in a new process and return what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _manager(store: Any, **options: Any) -> Any:
    from wsgisession import SessionMiddleware

    return SessionMiddleware(plain(COUNT, "wsgisession.session"), secret=SECRET, store=store, **options)


def _fill(middleware: Any, size: int) -> list[str]:
    """Store sessions; return the cookies of a sample spread over them."""
    issue, step = middleware.manager.issue, max(1, size // COOKIES)
    cookies = []
    for number in range(size):
        cookie = issue(SMALL)
        if number % step == 0:
            cookies.append(cookie)
    return cookies


def _memory(size: int, requests: int) -> dict[str, Any]:
    from wsgisession import MemoryStore

    now = [1000.0]
    before = _resident()
    store = MemoryStore(max_sessions=size + 100_000, clock=lambda: now[0])
    cookies = _fill(_manager(store), size)
    gc.collect()
    resident = _resident() - before - sum(map(len, cookies)) - 57 * len(cookies)
    middleware = _manager(store)
    row: dict[str, Any] = {
        "sessions": size,
        "bytes": resident / size,
        **_requests(middleware, cookies, requests),
    }
    start = time.perf_counter()
    gc.collect()
    row["collect"] = (time.perf_counter() - start) * 1000
    now[0] += 100_000  # all have expired: the next writes remove some, and purge removes the rest
    row["worst_reclaiming"] = _requests(middleware, cookies, min(requests, 2000))["worst"]
    start = time.perf_counter()
    store.purge()
    row["reclaim"] = (time.perf_counter() - start) * 1000
    return row


def _requests(app: Any, cookies: list[str], requests: int) -> dict[str, float]:
    """Time each request on its own, for random sessions; microseconds of the wall clock, the median of processor time."""
    choice, times = random.Random(1).choice, []
    environs = [environ_of(choice(cookies)) for _ in range(min(requests, 5000))]
    for environ in environs:
        spin(app, environ, 1)
    for number in range(requests):
        environ = environs[number % len(environs)] | {"HTTP_COOKIE": choice(cookies)}
        start = time.perf_counter_ns()
        app(environ, _start)
        times.append((time.perf_counter_ns() - start) / 1000)
    times.sort()
    return {"median": statistics.median(times), "p9999": times[int(len(times) * 0.9999)], "worst": times[-1]}


def _start(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: None


def _beaker(size: int) -> float:
    """Return Beaker's bytes per session of the same data."""
    from benchmarks.measure import request
    from benchmarks.stores import FILL

    try:
        app = Beaker().app(FILL)
    except ImportError:
        return 0.0
    for _ in range(100):
        request(app)
    before = _resident()
    for _ in range(size):
        request(app)
    gc.collect()
    return (_resident() - before) / size


def _resident() -> int:
    """Return the bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _database(size: int) -> tuple[Any, list[str]]:
    """Make a database with so many sessions; a few with the store's own methods, the rest copied from one of them."""
    from wsgisession.stores import SQLiteStore

    path = str(scratch() / "sessions.db")
    store = SQLiteStore(path)
    cookies = _fill(_manager(store), min(size, 1000))
    store.close()
    rest = size - len(cookies)
    if rest > 0:
        connection = sqlite3.connect(path)
        with connection:
            payload, expires = connection.execute("SELECT payload, expires FROM sessions LIMIT 1").fetchone()
            rows = ((os.urandom(24).hex(), expires, payload) for _ in range(rest))
            connection.executemany("INSERT INTO sessions (key, expires, payload) VALUES (?, ?, ?)", rows)
        connection.close()
    return store, cookies


def _sqlite(size: int, seconds: float) -> dict[str, Any]:
    from wsgisession import SessionMiddleware

    store, cookies = _database(size)
    row: dict[str, Any] = {"sessions": size}
    for kind, action in (("read", READ), ("write", COUNT)):
        app = SessionMiddleware(plain(action, "wsgisession.session"), secret=SECRET, store=store)
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            times.append(spin(app, environ_of(random.choice(cookies)), 1))
        row[kind] = statistics.median(times)
    store.close()
    return row


def _writers(count: int, seconds: float) -> dict[str, Any]:
    """Let processes write for a while; each request is timed by the wall clock."""
    store, cookies = _database(1000)
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        found = pool.starmap(
            _write, [(store.path, cookies, seconds, number) for number in range(count)], chunksize=1
        )
    done = [requests for requests, *_ in found]
    return {
        "rate": sum(done) / seconds,
        "median": statistics.median(median for _, median, _, _ in found),
        "worst": max(worst for _, _, worst, _ in found) / 1000,
        "errors": sum(errors for *_, errors in found),
        "fastest": max(done),
        "slowest": min(done),
    }


def _write(path: str, cookies: list[str], seconds: float, number: int) -> tuple[int, float, float, int]:
    from wsgisession import SessionError
    from wsgisession.stores import SQLiteStore

    app, choice = _manager(SQLiteStore(path)), random.Random(number).choice
    times, errors, end = [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        environ = environ_of(choice(cookies))
        start = time.perf_counter_ns()
        try:
            app(environ, _start)
        except SessionError:
            errors += 1
        times.append((time.perf_counter_ns() - start) / 1000)
    return len(times), statistics.median(times), max(times), errors


def _owners(kind: str, size: int) -> float:
    """Return the microseconds it takes to list one owner's five sessions."""
    from wsgisession import MemoryStore, SessionManager

    store: Any = MemoryStore()
    if kind == "SQLite":
        from wsgisession.stores import SQLiteStore

        store = SQLiteStore(scratch() / "sessions.db")
    manager = SessionManager(store, secret=SECRET)
    for number in range(size):
        manager.issue(SMALL, owner=f"user{number // 5}")
    times = []
    for _ in range(200):
        start = time.perf_counter_ns()
        found = manager.owned_by(f"user{size // 10}")
        times.append((time.perf_counter_ns() - start) / 1000)
        assert len(found) == 5
    store.close()
    return statistics.median(times)
