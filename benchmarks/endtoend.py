"""Behind a server: what a worker of gunicorn or waitress spends on a request of the counter application, under wrk.

The worker's own processor time per request is what counts: the load generator shares the machine. Knows Linux' /proc.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.cases import COUNT
from benchmarks.measure import App
from benchmarks.peers import Beaker, BeakerFile, Contender, Floor, Ours, OursSQLite

CONTENDERS: list[type[Contender]] = [Floor, Ours, OursSQLite, Beaker, BeakerFile]
SERVERS = {
    "gunicorn": [
        "gunicorn",
        "-w1",
        "--log-level=error",
        "--bind=127.0.0.1:{port}",
        "benchmarks.endtoend:application()",
    ],
    "waitress": ["waitress", "--listen=127.0.0.1:{port}", "--threads=4", "--call", "benchmarks.endtoend:application"],
}
WHICH = "BENCHMARK_CONTENDER"


def application() -> App:
    """Return the counter application of the contender that the environment names; the bare one for any other name."""
    for kind in CONTENDERS:
        if kind.name == os.environ[WHICH]:
            return kind().app(COUNT)
    return Contender().bare()


def run(quick: bool, say: Callable[[str], object]) -> dict[str, Any]:
    if not shutil.which("wrk") or not Path("/proc/self/task").exists():
        say("no wrk, or no Linux: nothing is measured behind servers")
        return {}
    names = ["bare", *(kind.name for kind in CONTENDERS if all(map(find_spec, kind.needs)))]
    rounds, seconds = (1, 1) if quick else (9, 2)
    results = {}
    for server, command in SERVERS.items():
        if find_spec(server):
            say(f"{server} under wrk …")
            results[server] = _server(command, names, rounds, seconds)
    return results


def _server(command: list[str], names: list[str], rounds: int, seconds: int) -> dict[str, Any]:
    started = {name: _Served(command, name) for name in names}
    try:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, served in started.items():
                found[name].append(served.load(seconds))
    finally:
        for served in started.values():
            served.close()
    bare = [cpu for cpu, _ in found["bare"]]
    rows = {}
    for name, turns in found.items():
        cpus = [cpu for cpu, _ in turns]
        rows[name] = {
            "cpu": statistics.median(cpus),
            "rate": statistics.median(rate for _, rate in turns),
            "over_bare": statistics.median(ours - theirs for ours, theirs in zip(cpus, bare, strict=True)),
        }
    return rows


class _Served:
    """A server with one contender, and a browser's cookie of its session."""

    def __init__(self, command: list[str], name: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environ = {**os.environ, WHICH: name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        line = [part.format(port=self.port) for part in command]
        self.process = subprocess.Popen([sys.executable, "-m", *line], env=environ, stderr=subprocess.DEVNULL)
        self.cookie = self._first()

    def _first(self) -> str:
        """Wait until the server answers; return the cookie it sets."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")
                found = re.search(r"(?im)^set-cookie: ([^;\r]+)", answer)
                # The bare application gets a cookie as well: reading it is the server's work.
                return found[1] if found else f"sid={'x' * 87}"
            except OSError:
                if time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.02)

    def load(self, seconds: int) -> tuple[float, float]:
        """Return microseconds of processor time per request, and requests per second."""
        before = self._processor()
        command = [
            "wrk",
            "-t1",
            "-c4",
            f"-d{seconds}s",
            "-H",
            f"Cookie: {self.cookie}",
            f"http://127.0.0.1:{self.port}/",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"(\d+) requests in ([\d.]+)s", output)
        assert found and "Non-2xx" not in output, output
        return (self._processor() - before) / int(found[1]), int(found[1]) / float(found[2])

    def _processor(self) -> float:
        """Return the microseconds that the server and its workers have run."""
        total, waiting = 0, [self.process.pid]
        while waiting:
            pid = waiting.pop()
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
                waiting += map(int, (task / "children").read_text().split())
        return total / 1000

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
