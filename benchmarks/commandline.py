"""The command line on many sessions: in pages, and one by one; memory that does not grow; a move to another store.

Times are those of the wall clock, because pages save time that is spent waiting for the server.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import servers
from benchmarks.measure import scratch
from benchmarks.samples import SMALL


def run(quick: bool, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure each store that can be started here."""
    if absent := servers.missing():
        say(f"not here, so left out: {', '.join(absent)}")
    count = 5_000 if quick else 100_000
    home = scratch()
    results: dict[str, Any] = {"sessions": count, "stores": {}}
    with servers.urls(home) as found:
        source = found["SQLite"]
        say(f"the command line, {count:,} sessions in SQLite …")
        _fill(source, count)
        for name, url in found.items():
            copied = None
            if url != source:
                say(f"… copied to {name} …")
                copied = _timed(lambda url=url: _copy(source, url))  # type: ignore[misc]
            results["stores"][name] = {"copy": copied, **_store(url)}
    say("memory …")
    results["memory"] = [_memory(size) for size in ((1_000, 20_000) if quick else (10_000, 1_000_000))]
    return results


def _fill(url: str, count: int) -> None:
    """Put sessions into a SQLite file. Every second one has an owner; each owner has five."""
    from wsgisession import JSONCodec, Record
    from wsgisession.stores import from_url

    from_url(url).close()
    codec, now = JSONCodec(), time.time()
    data = {key: codec.encode(value, key) for key, value in SMALL.items()}

    def rows() -> Iterator[tuple[str, int, str | None, bytes]]:
        for number in range(count):
            owner = f"user{number // 10}" if number % 2 else None
            payload = codec.pack(Record(now - number % 10_000, owner, False, data))
            yield f"{number:043}", round((now + 10**6) * 1000), owner, payload

    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.executemany(
            "INSERT INTO sessions (key, expires, owner, payload) VALUES (?, ?, ?, ?)", rows()
        )
    connection.close()


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _copy(source: str, target: str) -> None:
    from wsgisession import SessionManager
    from wsgisession.cli.copying import copy_all
    from wsgisession.cli.reader import Reader

    copy_all(Reader(SessionManager(source)), SessionManager(target), lambda count: None)


class _OneByOne:
    """A store without its bulk operations."""

    def __init__(self, store: Any) -> None:
        for name in ("load", "create", "replace", "touch", "delete", "owned_by", "keys", "purge", "close"):
            setattr(self, name, getattr(store, name))


def _store(url: str) -> dict[str, float]:
    """Return seconds: ``stats`` in pages and one by one, in turns, the better of two each; ``count``; ``destroy --all``."""
    from wsgisession import SessionManager
    from wsgisession.cli import ending, totals

    manager = SessionManager(url)
    ways = {"stats": manager, "stats one by one": SessionManager(_OneByOne(manager.store))}
    turns = [
        (name, _timed(lambda way=way: _quietly(totals.stats, way)))  # type: ignore[misc]
        for _ in range(2)
        for name, way in ways.items()
    ]
    found = {name: min(seconds for turn, seconds in turns if turn == name) for name in ways}
    found["count"] = _timed(lambda: _quietly(totals.count, manager))
    if not url.startswith("sqlite:"):  # the copies are made from it
        found["destroy --all"] = _timed(
            lambda: _quietly(ending.destroy, manager, all=True, owner=None, yes=True)
        )
    return found


def _quietly(command: Callable[..., int], manager: Any, **options: Any) -> None:
    from wsgisession.cli.terminal import Terminal

    with contextlib.redirect_stdout(io.StringIO()):
        command(manager, Terminal(json=True), Namespace(**options))


_COMMAND = """
import resource, sys
from wsgisession.__main__ import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def _memory(size: int) -> dict[str, Any]:
    """Return the most memory in MB that commands take, each in a process of its own, on so many sessions in SQLite."""
    url = f"sqlite:///{scratch()}/sessions.db"
    _fill(url, size)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes
    found: dict[str, Any] = {"sessions": size}
    for words in (["stats"], ["list", "--sort", "size", "--limit", "20"], ["list", "--json"]):
        command = [sys.executable, "-c", _COMMAND, *words, url]
        done = subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        found[" ".join(words)] = int(done.stderr.split()[-1]) / unit
    return found
