"""Timing: contenders take turns in short blocks, so that a slow moment of the machine affects all of them.

Knows WSGI applications, but not whose they are.
"""

from __future__ import annotations

import gc
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.samples import ENVIRON

App = Callable[..., Any]
Environ = dict[str, Any]


_scratch: list[tempfile.TemporaryDirectory[str]] = []  # each is removed when the process ends


def scratch() -> Path:
    """Return a new directory that lasts as long as this process."""
    _scratch.append(tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True))
    return Path(_scratch[-1].name)


class Plan(NamedTuple):
    """How long to measure: so many rounds, and milliseconds for a block of one contender in a round."""

    rounds: int
    block: float


class Timing(NamedTuple):
    """Microseconds per request: the median over the rounds, and the distance between the quartiles."""

    median: float
    spread: float


def environ_of(cookie: str = "") -> Environ:
    """Return the environ of a GET request."""
    environ: Environ = ENVIRON | {
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    if cookie:
        environ["HTTP_COOKIE"] = cookie
    return environ


class Answer(NamedTuple):
    """The result of one request."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def cookie(self) -> str | None:
        """The last name=value pair that a browser would keep."""
        found = [value for name, value in self.headers if name.lower() == "set-cookie"]
        return found[-1].partition(";")[0] if found else None


def request(app: App, cookie: str = "") -> Answer:
    """Run one request to its end."""
    seen: list[Any] = []
    body = app(environ_of(cookie), lambda *args: seen.append(args) or (lambda data: None))
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return Answer(seen[-1][0], list(seen[-1][1]), content)


def _start_response(
    status: str, headers: list[tuple[str, str]], exc_info: Any = None
) -> Callable[[bytes], None]:
    return _write


def _write(data: bytes) -> None:
    pass


def spin(app: App, environ: Environ, count: int) -> float:
    """Run a request so many times; return microseconds per request."""
    start_response, clock = _start_response, time.thread_time_ns
    start = clock()
    for _ in range(count):
        body = app(environ.copy(), start_response)
        for _chunk in body:
            pass
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return (clock() - start) / count / 1000


Block = Callable[[int], float]


def interleaved(blocks: dict[str, Block], plan: Plan) -> dict[str, list[float]]:
    """Measure each block once a round; return their microseconds per turn, round by round."""
    counts = {name: _calibrated(block, plan.block) for name, block in blocks.items()}
    found: dict[str, list[float]] = {name: [] for name in blocks}
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for number in range(plan.rounds):
            # Every second round goes backwards, so that the same contender does not always come after a slow one.
            for name in list(blocks)[:: 1 if number % 2 else -1]:
                found[name].append(blocks[name](counts[name]))
            gc.collect()
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
    return found


def _calibrated(block: Block, milliseconds: float) -> int:
    """Return how often to repeat so that a block takes so long; warms up on the way."""
    count = 1
    while True:
        each = max(block(count), 0.01)
        if each * count >= milliseconds * 1000 / 4 or count >= 1_000_000:
            return max(1, round(milliseconds * 1000 / each))
        count *= 4


def over(found: dict[str, list[float]], name: str, base: str) -> Timing:
    """Return how much longer one block took than another, round by round."""
    return summary([ours - theirs for ours, theirs in zip(found[name], found[base], strict=True)])


def summary(values: list[float]) -> Timing:
    """Return median and spread."""
    if len(values) < 2:
        return Timing(values[0], 0.0)
    low, _, high = statistics.quantiles(values, n=4)
    return Timing(statistics.median(values), high - low)
