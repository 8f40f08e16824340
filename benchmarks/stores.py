"""SQLite and Redis: what a request costs besides the engine's own statements, and how often it asks the server.

Knows the stores' statements and commands, to imitate them.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks.cases import COUNT, READ, SMALL
from benchmarks.measure import Block, Plan, environ_of, interleaved, over, request, scratch, spin, summary
from benchmarks.peers import Action, Beaker, Contender, Ours, OursSQLite, plain

FILL = Action(
    lambda session: [session.__setitem__(key, value) for key, value in SMALL.items()] and None, writes=True
)
ACTIONS = {"read": READ, "write": COUNT}
PAYLOAD = b"x" * 200


def run(quick: bool, say: Callable[[str], object]) -> dict[str, Any]:
    plan = Plan(7, 4.0) if quick else Plan(25, 15.0)
    say("SQLite beside its statements …")
    results: dict[str, Any] = {"sqlite": {kind: _sqlite(kind, plan) for kind in ACTIONS}}
    if shutil.which("redis-server") and find_spec("redis"):
        say("Redis, round trips and processor time …")
        with _redis_server() as port:
            results["redis"] = {kind: _redis(kind, plan, port) for kind in ACTIONS}
    else:
        say("no redis-server or no redis-py: Redis is left out")
    return results


def _turn(contender: Contender, action: Action) -> Block:
    app, cookie = contender.app(action), request(contender.app(FILL)).cookie
    environ = environ_of(cookie or "")
    return lambda count: spin(app, environ, count)


def repeat(call: Callable[[], object]) -> Block:
    """Return a block that only calls this, again and again."""

    def block(count: int) -> float:
        start = time.thread_time_ns()
        for _ in range(count):
            call()
        return (time.thread_time_ns() - start) / count / 1000

    return block


def _sqlite(kind: str, plan: Plan) -> dict[str, float]:
    """Measure a request, the same statements on a bare connection, and the same request in memory."""
    path = scratch() / "bare.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE t (key TEXT PRIMARY KEY NOT NULL, expires INTEGER, owner TEXT, payload BLOB)"
    )
    connection.execute("INSERT INTO t VALUES ('k', 9999999999999, NULL, ?)", (PAYLOAD + b"0",))
    version = 0

    def statements() -> None:
        nonlocal version
        connection.execute("SELECT payload, expires FROM t WHERE key = ? AND expires > 0", ("k",)).fetchone()
        if kind == "write":
            old, version = PAYLOAD + b"%d" % version, version + 1
            swap = "UPDATE t SET payload = ?, expires = ? WHERE key = ? AND payload = ?"
            assert (
                connection.execute(swap, (PAYLOAD + b"%d" % version, 9999999999999, "k", old)).rowcount == 1
            )

    bare = plain(None, "")
    blocks = {
        "bare": lambda count: spin(bare, environ_of("x=1"), count),
        "ours": _turn(OursSQLite(), ACTIONS[kind]),
        "memory": _turn(Ours(), ACTIONS[kind]),
        "statement": repeat(statements),
    }
    times = interleaved(blocks, plan)
    connection.close()
    ours, memory = over(times, "ours", "bare").median, over(times, "memory", "bare").median
    statement = summary(times["statement"]).median
    return {"ours": ours, "memory": memory, "statement": statement, "parts": memory + statement}


def _redis(kind: str, plan: Plan, port: int) -> dict[str, Any]:
    """Count the server's reads per request, and measure a request and redis-py's own part of it."""
    import redis

    from wsgisession.stores import from_url

    ours = Ours()
    client = redis.Redis(port=port)
    ours.store = from_url(f"redis://127.0.0.1:{port}")
    turn = _turn(ours, ACTIONS[kind])
    turn(3)
    probe = redis.Redis(port=port)
    # A synchronous client waits for each reply, so each of its round trips is one read of the server.
    before = probe.info("stats")["total_reads_processed"]
    turn(100)
    trips = (probe.info("stats")["total_reads_processed"] - before - 1) / 100

    bare = plain(None, "")
    blocks = {
        "bare": lambda count: spin(bare, environ_of("x=1"), count),
        "ours": turn,
        "client": repeat(_commands(client, kind)),
    }
    if find_spec("beaker"):
        blocks["beaker"] = _turn(_beaker(port), ACTIONS[kind])
    times = interleaved(blocks, plan)
    found: dict[str, Any] = {"trips": trips, "client": summary(times["client"]).median}
    return found | {name: over(times, name, "bare").median for name in ("ours", "beaker") if name in times}


def _commands(client: Any, kind: str) -> Callable[[], object]:
    """Return redis-py's part alone: scripts with arguments and replies of the same size."""
    load = client.script_load("return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}")
    swap = client.script_load(
        "if redis.call('GET', KEYS[1]) then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0"
    )
    client.set("bare", PAYLOAD)

    def run() -> None:
        client.execute_command("EVALSHA", load, 1, b"bare", "load")
        if kind == "write":
            client.execute_command("EVALSHA", swap, 1, b"bare", "replace", PAYLOAD, 7200000, PAYLOAD)

    return run


def _beaker(port: int) -> Contender:
    class BeakerRedis(Beaker):
        name, type = "Beaker redis", "ext:redis"

        def options(self) -> dict[str, Any]:
            return {**super().options(), "session.url": f"redis://127.0.0.1:{port}/1"}

    return BeakerRedis()


@contextmanager
def _redis_server() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = str(scratch())
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", home, "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        import redis

        client = redis.Redis(port=port)
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait()
