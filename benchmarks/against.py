"""Compares this tree with another one: one process each, in turns, on the same machine, with the ratio for each case.

``python -m benchmarks --against PATH`` prints the table. Knows how to run both, and not what they do.
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
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.against_server import LABELS, Served
from benchmarks.against_worker import CASES

HERE = Path(__file__).resolve().parent.parent
Say = Callable[[str], object]
Ask = Callable[[], float]

AVERAGED = (
    "untouched, no cookie",
    "untouched, with a cookie",
    "read, 100 B",
    "read and write, 100 B",
    "new, 100 B",
    "forged, touched",
)
"""The cases that may not take longer than before on average."""


class Ratio(NamedTuple):
    """One line of the table: the medians before and now, and the median of the ratios of all rounds."""

    case: str
    unit: str
    before: float
    now: float
    ratio: float
    wanted: float
    """The largest ratio that is allowed."""


class Worker:
    """A process that measures one tree."""

    def __init__(self, tree: Path, redis: int, database: int) -> None:
        command = [sys.executable, "-m", "benchmarks.against_worker", str(tree), str(redis), str(database)]
        self._process = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def ask(self, case: str, count: int) -> list[float]:
        """Return the worker's answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{case}\t{count}\n")
        self._process.stdin.flush()
        return [float(word) for word in self._answer().split()]

    def time(self, case: str, count: int) -> float:
        """Return microseconds per request."""
        return self.ask(case, count)[0]

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


def run(before: Path, quick: bool, say: Say, cases: list[str] | None = None) -> list[Ratio]:
    """Measure every case in both trees; the one that begins changes from round to round.

    Args:
        cases: Some of CASES, of LABELS, or ``"crowd"``. None: all.
    """
    trees = (before.resolve(), HERE)
    results: list[Ratio] = []
    with ExitStack() as stack:
        redis = stack.enter_context(_redis())
        if not redis:
            say("redis-server is not installed, so its cases are left out")
        workers = [Worker(tree, redis, number) for number, tree in enumerate(trees)]
        for worker in workers:
            stack.callback(worker.close)
        for case in _chosen(CASES, cases):
            if redis or not case.startswith("Redis"):
                say(f"{case} …")
                results.append(_requests(case, workers, quick))
    if find_spec("gunicorn"):
        results += [_served(label, trees, quick, say) for label in _chosen(LABELS, cases)]
    else:
        say("gunicorn is not installed, so its cases are left out")
    if cases is None or "crowd" in cases:
        results += _crowd(trees, quick, say)
    return results


def _chosen(known: Any, cases: list[str] | None) -> list[str]:
    return [case for case in known if cases is None or case in cases]


def _in_turns(pair: list[Ask], rounds: int) -> list[list[float]]:
    """Ask both, round by round; the one that begins changes."""
    found: list[list[float]] = [[], []]
    for number in range(rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            found[place].append(pair[place]())
    return found


def _ratio(case: str, unit: str, found: list[list[float]], wanted: float) -> Ratio:
    ratios = [now / before for before, now in zip(*found, strict=True)]
    medians = [statistics.median(values) for values in found]
    return Ratio(case, unit, medians[0], medians[1], statistics.median(ratios), wanted)


def _requests(case: str, workers: list[Worker], quick: bool) -> Ratio:
    each = max(*(worker.time(case, 50) for worker in workers), 1.0)
    count = max(10, int(5_000 / each))  # 5 ms: usually no other program runs in between
    pair: list[Ask] = [partial(worker.time, case, count) for worker in workers]
    wanted = 1.0 if case.startswith(("SQLite", "Redis")) else 1.1
    return _ratio(case, "µs", _in_turns(pair, 41 if quick else 201), wanted)


def _served(label: str, trees: tuple[Path, Path], quick: bool, say: Say) -> Ratio:
    """Measure a worker of gunicorn."""
    say(f"{label} …")
    count = 300 if quick else 1000
    with ExitStack() as stack:
        servers = [stack.enter_context(Served(tree, LABELS[label])) for tree in trees]
        pair: list[Ask] = [partial(served.load, count) for served in servers]
        return _ratio(label, "µs", _in_turns(pair, 7 if quick else 21), 1.03)


def _crowd(trees: tuple[Path, Path], quick: bool, say: Say) -> list[Ratio]:
    """Measure many sessions in memory."""
    size, rounds, count = (50_000, 7, 10_000) if quick else (1_000_000, 41, 10_000)
    name = f"{size:,} sessions in memory"
    say(f"{name} …")
    with ExitStack() as stack:
        workers = [Worker(tree, 0, 0) for tree in trees]
        for worker in workers:
            stack.callback(worker.close)
        sizes = [worker.ask("gather", size) for worker in workers]
        longest: list[list[float]] = [[], []]

        def asked(place: int) -> float:
            median, *times = workers[place].ask("crowd", count)
            longest[place] += times
            return median

        found = _in_turns([lambda: asked(0), lambda: asked(1)], rounds)
    # Of all rounds together. The longest request of one round shows what else the machine did: half or double.
    before, now = (sorted(times, reverse=True)[rounds * count // 10_000 - 1] for times in longest)
    return [
        _ratio(f"{name}: each", "bytes", sizes, 1.05),
        _ratio(f"{name}: read and write", "µs", found, 1.05),
        Ratio(f"{name}: one request in 10,000 takes longer", "µs", before, now, now / before, 1.05),
    ]


@contextmanager
def _redis() -> Iterator[int]:
    """Start a Redis and yield its port; 0: Redis is not installed here."""
    server = shutil.which("redis-server")
    if server is None or not find_spec("redis"):
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
    """Return the table, and below it the average over the kinds of request that were measured of AVERAGED."""
    lines = ["| case | | before | now | now / before | at most |", "|---|---|---:|---:|---:|---:|"]
    for case, unit, before, now, ratio, wanted in results:
        digits = 0 if unit == "bytes" else 2
        lines.append(
            f"| {case} | {unit} | {before:.{digits}f} | {now:.{digits}f} | {ratio:.2f} | {wanted:.2f} |"
        )
    small = [result.ratio for result in results if result.case in AVERAGED]
    if small:
        lines.append(f"| the small kinds of request on average | | | | {statistics.mean(small):.2f} | 1.00 |")
    return "\n".join(lines)


def plain(results: list[Ratio]) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [result._asdict() for result in results]
