"""A worker of gunicorn that runs one tree, and its processor time per request. Knows Linux' /proc, and no other tree."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from benchmarks.against_worker import PLACE, TREE

HERE = Path(__file__).resolve().parent.parent

LABELS = {"behind gunicorn, memory": "", "behind gunicorn, SQLite": "sqlite:///{home}/sessions.db"}
"""The store of each case; empty: the worker's memory."""

VISITORS = 16  # their requests come one after the other


class Served:
    """One worker, and the cookies of some visitors."""

    def __init__(self, tree: Path, place: str) -> None:
        self._home = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        environ = {**os.environ, TREE: str(tree), PLACE: place.format(home=self._home.name)}
        self._server = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "--workers=1",
                    "--log-level=error",
                    f"--bind=127.0.0.1:{self._port}",
                ),
                "benchmarks.against_worker:application()",
            ],
            env=environ,
            cwd=HERE,
        )
        self._requests = [b""]

    def __enter__(self) -> Self:
        try:
            self._wait()
            cookies = [self._first() for _ in range(VISITORS)]
        except BaseException:
            self.__exit__()
            raise
        self._requests = [_request(b"Cookie: " + cookie + b"\r\n") for cookie in cookies]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.terminate()
        self._server.wait(30)
        self._home.cleanup()

    def load(self, count: int) -> float:
        """Send requests; return the microseconds of processor time that each took."""
        before = self._processor()
        for number in range(count):
            self._send(self._requests[number % VISITORS])
        return (self._processor() - before) / count / 1000

    def _wait(self) -> None:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            if self._server.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("gunicorn does not answer; its error stands above")

    def _first(self) -> bytes:
        """Return the cookie of a new visitor."""
        found = re.search(rb"(?im)^set-cookie: ([^;\r]+)", self._send(_request(b"")))
        assert found is not None
        return found[1]

    def _send(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), 60) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return answer

    def _processor(self) -> int:
        """Return the nanoseconds that the worker has run."""
        pid = self._server.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(int(Path(f"/proc/{worker}/schedstat").read_text().split()[0]) for worker in workers)


def _request(cookie: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: localhost\r\n" + cookie + b"Connection: close\r\n\r\n"
