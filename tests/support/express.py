"""A real Express application on Node, with express-session and connect-redis, whose every request says what it does."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HOME = Path(__file__).parent.parent / "wide" / "express"
PATIENCE = 30.0  # seconds until something that does not happen counts as broken


class Reply(NamedTuple):
    """What came back: a result for each step, and the cookie's ``name=value`` where the response sets one."""

    results: list[Any]
    set_cookie: str | None

    @property
    def result(self) -> Any:
        """The last step's result."""
        return self.results[-1]

    @property
    def cookie(self) -> str:
        """What a browser would send from now on."""
        assert self.set_cookie is not None
        return self.set_cookie.partition(";")[0]


@functools.cache
def installed() -> Path:
    """Return the directory of the application, its packages installed as the lock file says; skip if there is no Node."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on the PATH (Debian: apt-get install nodejs npm)")
    done = HOME / "node_modules" / ".installed"
    with open(HOME / "package-lock.json", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of this run may be about to do the same
        wanted = lock.read()
        if not done.exists() or done.read_bytes() != wanted:
            command = ["npm", "ci", "--no-audit", "--no-fund"]
            npm = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=300)
            assert npm.returncode == 0, npm.stderr
            done.write_bytes(wanted)
    return HOME


class ExpressServer:
    """One process of the application.

    Args:
        redis: the port of a Redis on the loopback interface.
        secrets: express-session's.
        store: more options for connect-redis.
        session: more options for express-session.
    """

    def __init__(
        self, redis: int, secrets: list[str], *, store: dict[str, Any] | None = None, **session: Any
    ) -> None:
        settings = {
            "redis": f"redis://127.0.0.1:{redis}",
            "secrets": secrets,
            "store": store or {},
            "session": session,
        }
        self._pool = ThreadPoolExecutor(4)
        self._process = subprocess.Popen(
            ["node", "app.js"],
            cwd=installed(),
            env={**os.environ, "SETTINGS": json.dumps(settings)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        # An empty line means that it has ended. Then its stderr says why.
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> ExpressServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)
        self._pool.shutdown()

    def do(self, cookie: str, *steps: list[Any] | str) -> Reply:
        """Run one request: each step is a name, or a list of a name and its arguments (see app.js)."""
        body = json.dumps([[step] if isinstance(step, str) else step for step in steps])
        answer = self._open("/do", body, cookie)
        return Reply(json.loads(answer.read()), answer.headers["Set-Cookie"])

    def begin(self, cookie: str, *steps: list[Any] | str) -> Future[Reply]:
        """Start a request, and return when it waits at its step ``["wait", "gate"]``."""
        running = self._pool.submit(self.do, cookie, *steps)
        deadline = time.monotonic() + PATIENCE
        while not json.loads(self._open("/held/gate").read()):
            assert time.monotonic() < deadline and not running.done()
            time.sleep(0.005)
        return running

    def release(self) -> None:
        """Let it go on."""
        self._open("/release/gate", "")

    def _open(self, path: str, body: str | None = None, cookie: str = "") -> Any:
        headers = {"Content-Type": "application/json", **({"Cookie": cookie} if cookie else {})}
        data = None if body is None else body.encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
