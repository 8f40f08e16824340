"""This tree against another one, in turns: one process each, the same machine, the ratio for each case.

``python -m benchmarks --against PATH`` prints the table. Knows how to run both, and nothing of what they do.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.against_worker import CASES

HERE = Path(__file__).resolve().parent.parent


class Ratio(NamedTuple):
    """One line of the table: microseconds over the bare application, before and now, and the median of the ratios."""

    case: str
    before: float
    now: float
    ratio: float


class Worker:
    """A process that measures one tree."""

    def __init__(self, tree: Path, redis: int, database: int) -> None:
        command = [
            sys.executable,
            str(HERE / "benchmarks" / "against_worker.py"),
            str(tree),
            str(redis),
            str(database),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"

    def ask(self, case: str, count: int) -> float:
        """Return microseconds per request."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{case}\t{count}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a worker has ended; its error stands above")
        return line.strip()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def run(
    before: Path, quick: bool, say: Callable[[str], object], cases: list[str] | None = None
) -> list[Ratio]:
    """Measure every case in both trees; the one that begins changes from round to round."""
    with ExitStack() as stack:
        redis = stack.enter_context(_redis())
        chosen = [case for case in cases or CASES if redis or not case.startswith("Redis")]
        if not redis:
            say("redis-server is not installed, so its cases are left out")
        workers = [Worker(tree, redis, number) for number, tree in enumerate((before.resolve(), HERE))]
        for worker in workers:
            stack.callback(worker.close)
        return [_measured(case, workers, 11 if quick else 41, say) for case in chosen]


def _measured(case: str, workers: list[Worker], rounds: int, say: Callable[[str], object]) -> Ratio:
    say(f"{case} …")
    each = max(workers[0].ask(case, 50), workers[1].ask(case, 50), 1.0)
    count = max(10, int(25_000 / each))  # 25 ms
    found: list[list[float]] = [[], []]
    for number in range(rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            found[place].append(workers[place].ask(case, count))
    ratios = [now / before for before, now in zip(*found, strict=True)]
    return Ratio(case, statistics.median(found[0]), statistics.median(found[1]), statistics.median(ratios))


@contextmanager
def _redis() -> Iterator[int]:
    """Start a Redis and yield its port; 0: there is none on this machine."""
    server = shutil.which("redis-server")
    if server is None:
        yield 0
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        process = subprocess.Popen([server, *options], stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("redis-server does not answer")


def text(results: list[Ratio]) -> str:
    """Return the table."""
    lines = ["| case | before, µs | now, µs | now / before |", "|---|---|---|---|"]
    lines += [f"| {case} | {before:.2f} | {now:.2f} | {ratio:.2f} |" for case, before, now, ratio in results]
    return "\n".join(lines)


def plain(results: list[Ratio]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [result._asdict() for result in results]
