"""What PostgresStore asks of the server: ``python -m benchmarks.postgres [--against PATH] [--quick]``.

It starts its own PostgreSQL (and a PgBouncer, if there is one). It measures this tree and that of an earlier version in
turns: the server's processor time, log (WAL) and HOT updates for each read and write, and the disk space of a session.
The tree under ``PATH`` needs no environment of its own.

Knows the tables and the statements of neither.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

KEYS = 2000
PAYLOAD = 600  # bytes
OWNER = "ada"


class Tree:
    """A store of one version of the library, in a process that only has that version."""

    def __init__(self, path: Path, name: str, url: str) -> None:
        self.name = name
        environ = {**os.environ, "PYTHONPATH": str(path)}
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--worker",
            f"{url}?application_name={name}",
            name,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)

    def do(self, what: str, *values: Any) -> Any:
        """Let the process do something, and return its answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([what, *values]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def work(url: str, table: str) -> None:
    """The process of a tree: carries out one line of standard input after the other."""
    from wsgisession.stores.postgres import PostgresStore, connector

    store: Any = PostgresStore(connector(url), table=table)
    plain = {} if hasattr(store, "load_many") else {"ttl": 7200.0}  # version 1 always set the expiry
    held: dict[str, bytes] = {}
    turns = 0

    def fresh(size: int) -> bytes:
        head = b'[1,"%s",1764018000.0,"ada",false,["views","cart"]]\n' % random.randbytes(4).hex().encode()
        return head + random.Random(1).randbytes(max(size - len(head), 0) // 2).hex().encode()

    def fill(count: int, size: int, owner: str | None) -> None:
        for _ in range(count):
            key = random.randbytes(22).hex()[:43]
            held[key] = fresh(size)
            assert store.create(key, held[key], 7200, owner)

    def read(count: int) -> None:
        nonlocal turns
        names = list(held)
        for _ in range(count):
            assert store.load(names[turns % len(names)])
            turns += 1

    def write(count: int) -> None:
        nonlocal turns
        names = list(held)
        for _ in range(count):
            key = names[turns % len(names)]
            turns += 1
            new = fresh(PAYLOAD)
            assert store.replace(key, held[key], new, **{"ttl": None, **plain}, owner=OWNER)
            held[key] = new

    def each() -> None:
        assert all(store.load(key) for key in held)

    def many() -> None:
        assert all(store.load_many(list(held)))

    actions: dict[str, Callable[..., object]] = {
        "fill": fill,
        "read": read,
        "write": write,
        "load, one by one": each,
        "load_many": many,
        **{name: getattr(store, name) for name in ("count", "clear") if hasattr(store, name)},
    }
    for line in sys.stdin:
        what, *values = json.loads(line)
        before = time.process_time_ns(), time.perf_counter_ns()
        actions[what](*values)
        print(
            json.dumps(
                [(time.process_time_ns() - before[0]) / 1e3, (time.perf_counter_ns() - before[1]) / 1e3]
            ),
            flush=True,
        )
    store.close()


class Watch:
    """What the server did, read through a separate connection."""

    def __init__(self, url: str) -> None:
        import psycopg

        self.connection = psycopg.connect(url, autocommit=True)

    def ask(self, sql: str, *values: Any) -> Any:
        return (self.connection.execute(sql, values or None).fetchone() or [None])[0]

    def processor(self) -> float:
        """Return the microseconds that the server's processes for all other connections have used."""
        sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        pids = self.connection.execute(sql).fetchall()
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids) / 1e3

    def log(self) -> float:
        return float(self.ask("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def updates(self, table: str) -> tuple[int, int]:
        """Return how many updates a table has seen, and how many of them were HOT."""
        time.sleep(1.2)  # a backend reports once a second
        self.ask("SELECT pg_stat_clear_snapshot()")
        sql = "SELECT n_tup_upd || ' ' || n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"
        return tuple(map(int, self.ask(sql, table).split()))  # type: ignore[return-value]

    def size(self, table: str) -> tuple[float, float]:
        """Return the bytes of a table and of its indexes."""
        return (
            float(self.ask("SELECT pg_table_size(%s::regclass)", table)),
            float(self.ask("SELECT pg_indexes_size(%s::regclass)", table)),
        )


def turns(watch: Watch, trees: list[Tree], what: str, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Let the trees do something in turns; return the median cost of one operation, in µs and bytes."""
    found: dict[str, list[tuple[float, float, float, float]]] = {tree.name: [] for tree in trees}
    for _ in range(rounds):
        for tree in trees:
            server, log = watch.processor(), watch.log()
            client, wall = tree.do(what, count)
            figures = (watch.processor() - server, client, wall, watch.log() - log)
            found[tree.name].append(tuple(figure / count for figure in figures))  # type: ignore[arg-type]
    names = ("server", "client", "wall", "log")
    return {
        name: dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))
        for name, rows in found.items()
    }


def compare(watch: Watch, url: str, trees: list[tuple[str, Path]], way: str, quick: bool) -> Iterator[str]:
    """Yield a line for reading and one for writing through ``url``, with the ratio of the last tree to the first."""
    count, rounds = (500, 5) if quick else (2000, 9)
    with ExitStack() as stack:
        found = [stack.enter_context(Tree(path, f"{name}_{way}", url)) for name, path in trees]
        for tree in found:
            tree.do("fill", KEYS, PAYLOAD, OWNER)
            tree.do("read", 200)
        for what in ("read", "write"):
            if what == "write":
                watch.connection.execute("CHECKPOINT")
                for tree in found:
                    tree.do("write", KEYS)  # the first pass: whole pages go into the log
            before = {tree.name: watch.updates(tree.name) for tree in found} if what == "write" else {}
            costs = turns(watch, found, what, count, rounds)
            for tree in found:
                line = f"{way:10} {what:6} {tree.name.partition('_')[0]:7}"
                line += "".join(
                    f" {name} {costs[tree.name][name]:7.1f}" for name in ("server", "client", "wall")
                )
                if what == "write":
                    made, hot = (
                        a - b for a, b in zip(watch.updates(tree.name), before[tree.name], strict=True)
                    )
                    line += f" log {costs[tree.name]['log']:6.0f} HOT {hot / made:4.0%}"
                yield line
            if len(found) > 1:
                ours, theirs = costs[found[-1].name], costs[found[0].name]
                names = (
                    ("server", "client", "wall", "log") if what == "write" else ("server", "client", "wall")
                )
                yield f"{way:10} {what:6} ratio  " + "".join(
                    f" {name} {ours[name] / theirs[name]:7.2f}" for name in names
                )


def sizes(watch: Watch, url: str, trees: list[tuple[str, Path]], count: int) -> Iterator[str]:
    """Yield the bytes of a session on disk, and the bytes in the log when it begins."""
    for name, path in trees:
        for size in (100, 1000):
            for owner in (None, OWNER):
                table = f"{name}_{size}_{'owner' if owner else 'nobody'}"
                with Tree(path, table, url) as tree:
                    tree.do("fill", 1, size, owner)
                    watch.connection.execute("CHECKPOINT")
                    log = watch.log()
                    tree.do("fill", count, size, owner)
                    log = (watch.log() - log) / count
                rows, indexes = (part / count for part in watch.size(table))
                yield (
                    f"payload {size:5} {'owner' if owner else 'nobody':6} {name:7} table {rows:6.0f} indexes {indexes:5.0f}"
                    f" together {rows + indexes:6.0f} log {log:6.0f} bytes"
                )


def bulk(url: str, path: Path, count: int) -> Iterator[str]:
    """Yield how long it takes to read, count and end many sessions at once."""
    with Tree(path, "bulk", url) as tree:
        tree.do("fill", count, 300, OWNER)
        for what in ("load, one by one", "load_many", "count", "clear"):
            client, wall = tree.do(what)
            yield f"{count:,} sessions, {what:16} {wall / 1e6:6.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.postgres", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--against", type=Path, metavar="PATH", help="a tree of an earlier version")
    parser.add_argument("--quick", action="store_true", help="with more noise")
    options = parser.parse_args()
    from support.postgres_server import PgBouncer, Postgres, find_program

    trees = [("before", options.against.resolve())] if options.against else []
    trees.append(("now", ROOT))
    server = Postgres()
    try:
        watch = Watch(server.url)
        for line in compare(watch, server.url, trees, "direct", options.quick):
            print(line, flush=True)
        if find_program("pgbouncer"):
            bouncer = PgBouncer(server)
            try:
                for line in compare(watch, bouncer.url, trees, "pgbouncer", options.quick):
                    print(line, flush=True)
            finally:
                bouncer.close()
        for line in sizes(watch, server.url, trees, 2000 if options.quick else 20_000):
            print(line, flush=True)
        for line in bulk(server.url, ROOT, 5_000 if options.quick else 50_000):
            print(line, flush=True)
        watch.connection.close()
    finally:
        server.close()


if __name__ == "__main__":
    work(*sys.argv[2:]) if sys.argv[1:2] == ["--worker"] else main()
