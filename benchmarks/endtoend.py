"""Behind a server, with wrk: the time of a worker per request, requests per second, and how long the slowest take.

There is one worker of gunicorn or waitress with the counter application, and there are two workers of gunicorn that
share their sessions, with each store and its peers. The workers' own processor time per request is measured, because
the load generator runs on the same machine.

Knows Linux' /proc.
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
from typing import Any, NamedTuple

from benchmarks import servers, shared
from benchmarks.cases import COUNT
from benchmarks.measure import App, scratch
from benchmarks.peers import Beaker, BeakerFile, Contender, Floor, Ours, OursSQLite
from benchmarks.shared import DOES, PLACE, WHICH

CONTENDERS: list[type[Contender]] = [Floor, Ours, OursSQLite, Beaker, BeakerFile]
SERVERS = {
    "gunicorn": [
        "gunicorn",
        "-w1",
        "--log-level=error",
        "--bind=127.0.0.1:{port}",
        "benchmarks.endtoend:application()",
    ],
    "waitress": [
        "waitress",
        "--listen=127.0.0.1:{port}",
        "--threads=4",
        "--call",
        "benchmarks.endtoend:application",
    ],
}
TWO_WORKERS = [
    *("gunicorn", "-w2", "--log-level=error", "--bind=127.0.0.1:{port}"),
    "benchmarks.shared:application()",
]
VISITORS = 64  # their requests come one after the other; with overlapping writes of one visitor, only merging would be measured
SCRIPT = """\
local requests, turn = {{}}, 0
init = function()
    for number, cookie in ipairs({{{cookies}}}) do
        requests[number] = wrk.format("GET", "/", {{["Cookie"] = cookie}})
    end
end
request = function()
    turn = turn % #requests + 1
    return requests[turn]
end
"""
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


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
            each = {name: {WHICH: name} for name in names}
            results[server] = _server(command, each, dict.fromkeys(names, "bare"), rounds, seconds)
    if find_spec("gunicorn"):
        results["two workers"] = _two_workers(rounds, seconds, say)
    return results


def _two_workers(rounds: int, seconds: int, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure two workers of gunicorn with every store that can be started here, and with its peers."""
    if absent := servers.missing():
        say(f"not here, so left out: {', '.join(absent)}")
    results = {}
    with servers.urls(home := scratch()) as urls:
        places = shared.places(urls, home)
        there = [one for one in shared.CONTENDERS if all(map(find_spec, one[1].needs)) and one[2] in places]
        for does in shared.ACTIONS:
            say(f"two workers of gunicorn, {does} …")
            each = {name: {WHICH: name, DOES: does, PLACE: places[store]} for name, _, store, _ in there}
            bare_of = {name: bare for name, _, _, bare in there}
            results[does] = _server(TWO_WORKERS, each, bare_of, rounds, seconds, fill="/fill")
    return results


def _server(
    command: list[str],
    environs: dict[str, dict[str, str]],
    bare_of: dict[str, str],
    rounds: int,
    seconds: int,
    fill: str = "/",
) -> dict[str, Any]:
    """Let the contenders take turns, and compare each with the bare application of its group."""
    started: dict[str, _Served] = {}
    found: dict[str, list[Turn]] = {name: [] for name in environs}
    try:
        for name, environ in environs.items():
            started[name] = _Served(command, environ, fill)
        for number in range(rounds):
            for name in list(started)[:: 1 if number % 2 else -1]:
                found[name].append(started[name].load(seconds))
    finally:
        for served in started.values():
            served.close()
    rows = {}
    for name, turns in found.items():
        pairs = list(zip(turns, found[bare_of[name]], strict=True))
        rows[name] = {
            "cpu": statistics.median(turn.cpu for turn in turns),
            "rate": statistics.median(turn.rate for turn in turns),
            "slow": statistics.median(turn.slow for turn in turns),
            "over_bare": statistics.median(ours.cpu - theirs.cpu for ours, theirs in pairs),
            "to_bare": statistics.median(ours.rate / theirs.rate for ours, theirs in pairs),
        }
    return rows


class Turn(NamedTuple):
    """Microseconds of processor time per request, requests per second, and milliseconds of the 99th percentile."""

    cpu: float
    rate: float
    slow: float


class _Served:
    """A server with one contender, and a browser's cookie of its session."""

    def __init__(self, command: list[str], chosen: dict[str, str], fill: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environ = {**os.environ, **chosen, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        line = [part.format(port=self.port) for part in command]
        self.process = subprocess.Popen([sys.executable, "-m", *line], env=environ, stderr=subprocess.DEVNULL)
        cookies = [self._first(fill) for _ in range(VISITORS)]
        self.script = scratch() / "visitors.lua"
        self.script.write_text(SCRIPT.format(cookies=", ".join(f"'{cookie}'" for cookie in cookies)))

    def _first(self, path: str) -> str:
        """Wait until the server answers; return the cookie it sets."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                    connection.sendall(
                        b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode()
                    )
                    answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode("latin-1")
                found = re.search(r"(?im)^set-cookie: ([^;\r]+)", answer)
                # The bare application gets a cookie too, because the server reads it.
                return found[1] if found else f"sid={'x' * 87}"
            except OSError:
                if time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.02)

    def load(self, seconds: int) -> Turn:
        """Send requests for some seconds."""
        before = self._processor()
        command = [
            "wrk",
            "-t1",
            "-c4",
            f"-d{seconds}s",
            "--latency",
            "-s",
            str(self.script),
            f"http://127.0.0.1:{self.port}/",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"(\d+) requests in ([\d.]+)s", output)
        assert found and "Non-2xx" not in output, output
        slow = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", output)
        assert slow, output
        cpu = (self._processor() - before) / int(found[1])
        return Turn(cpu, int(found[1]) / float(found[2]), float(slow[1]) * UNITS[slow[2]])

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
