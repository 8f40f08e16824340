"""The Express page's walk-through: its files saved, its terminals typed, its answers compared. All as printed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docs import titled
from support.express import PATIENCE, installed
from support.fresh import clone, terminal
from support.redis_servers import free_port, shared_redis

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

PAGE = "docs/how-to/express.md"


def until_listening(port: int, terminal: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 4 * PATIENCE  # it installs packages first
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline and terminal.poll() in (None, 0), log.read_text()
        time.sleep(0.05)


@pytest.fixture
def ports() -> dict[str, int]:
    """Return free ports for the two that are printed."""
    return {"3000": free_port(), "8000": free_port()}


@pytest.fixture
def home(tmp_path: Path, ports: dict[str, int]) -> Path:
    """Return a directory with a clone and the page's files; ``curl`` finds the printed ports at the free ones."""
    clone(tmp_path / "wsgisession")
    for name in ("app.js", "app.py"):
        (tmp_path / name).write_text(titled(PAGE, name))
    (tmp_path / ".curlrc").write_text("".join(f"connect-to = localhost:{old}:127.0.0.1:{new}\n" for old, new in ports.items()))
    return tmp_path


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    installed()  # skips where there is no Node, and fills npm's cache
    redis = f"redis://127.0.0.1:{shared_redis().port}"
    return {**terminal(), "REDIS_URL": redis, "CURL_HOME": str(home), "npm_config_prefer_offline": "true"}


@pytest.fixture
def terminals(home: Path, ports: dict[str, int], environment: dict[str, str]) -> Iterator[None]:
    """Type what is printed for each terminal, and end what was started there."""
    started = []
    try:
        for title, port in zip(("terminal 1", "terminal 2"), ports.values(), strict=True):
            log = home / f"{title}.log"
            with log.open("wb") as out:
                terminal = subprocess.Popen(
                    ["bash", "-e", "-c", titled(PAGE, title)],
                    cwd=home,
                    env={**environment, "PORT": str(port)},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            started.append(terminal)
            until_listening(port, terminal, log)
        yield
    finally:
        for terminal in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(terminal.pid, signal.SIGKILL)
            terminal.wait(PATIENCE)


@pytest.mark.usefixtures("terminals")
def test_the_walk_through_works_as_printed(home: Path, environment: dict[str, str]) -> None:
    """Each command answers what the page says."""
    walk = titled(PAGE, "walk")
    commands = [line.removeprefix("$ ") for line in walk.splitlines() if line.startswith("$ ")]
    seen = ""
    for command in commands:
        done = subprocess.run(["bash", "-c", command], cwd=home, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE)
        seen += f"$ {command}\n{done.stdout.decode()}"
    assert len(commands) == 9 and seen == walk
