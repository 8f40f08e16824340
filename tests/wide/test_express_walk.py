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
from support.served import Served, apache

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

PAGE = "docs/how-to/express.md"


def listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until_listening(port: int, shell: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 4 * PATIENCE  # it installs packages first
    while not listening(port):
        assert time.monotonic() < deadline and shell.poll() is None, log.read_text()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Return free ports for the three that are printed."""
    return {port: free_port() for port in ("3000", "8000", "80")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Path:
    """Return a folder next to a clone, with the page's files; ``curl`` finds the printed ports at the free ones."""
    above = tmp_path_factory.mktemp("above")
    clone(above / "wsgisession")
    home = above / "home"
    home.mkdir()
    for name in ("app.js", "app.py"):
        (home / name).write_text(titled(PAGE, name))
    (home / ".curlrc").write_text(
        "".join(f'connect-to = ":{old}:127.0.0.1:{new}"\n' for old, new in ports.items())
    )
    return home


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    installed()  # skips if there is no Node, and fills npm's cache
    redis = f"redis://127.0.0.1:{shared_redis().port}"
    return {**terminal(), "REDIS_URL": redis, "CURL_HOME": str(home), "npm_config_prefer_offline": "true"}


@pytest.fixture(scope="module", autouse=True)
def terminals(home: Path, ports: dict[str, int], environment: dict[str, str]) -> Iterator[None]:
    """Type what is printed for each terminal. At the end, what ends Python does, and nothing is left."""
    lines = {title: titled(PAGE, title) for title in ("terminal 1", "terminal 2")}
    lines["terminal 2"] += f"read\n{titled(PAGE, 'end')}wait"  # when this process says so
    shells = []
    try:
        for (title, typed), port in zip(lines.items(), ports.values(), strict=False):
            log = home / f"{title}.log"
            with log.open("wb") as out:
                shell = subprocess.Popen(
                    ["bash", "-e", "-c", typed],
                    cwd=home,
                    env={**environment, "PORT": str(port)},
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            shells.append(shell)
            until_listening(port, shell, log)
        yield
        shells[1].communicate(b"\n", timeout=PATIENCE)
        assert not listening(ports["8000"])
    finally:
        for shell in shells:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait(PATIENCE)
            assert shell.stdin is not None
            shell.stdin.close()


def answer(command: str, home: Path, environment: dict[str, str]) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=home, env=environment, stdout=subprocess.PIPE, timeout=PATIENCE
    )
    return done.stdout.decode()


def test_the_walk_through_works_as_printed(home: Path, environment: dict[str, str]) -> None:
    """Each command answers what the page says."""
    walk = titled(PAGE, "walk")
    commands = [line.removeprefix("$ ") for line in walk.splitlines() if line.startswith("$ ")]
    seen = "".join(f"$ {command}\n{answer(command, home, environment)}" for command in commands)
    assert len(commands) == 9 and seen == walk


def test_one_domain(home: Path, environment: dict[str, str], ports: dict[str, int], tmp_path: Path) -> None:
    """Behind Apache as printed: a browser that logs in to Express is logged in where Python answers, on the same host."""
    site = titled(PAGE, "one domain")
    for old, new in ports.items():
        site = site.replace(f":{old}", f":{new}")
    command = apache(site, tmp_path, ports["80"], "proxy", "proxy_http")
    with Served(command, tmp_path, ports["80"], end=signal.SIGWINCH, ready="/"):
        for request, expected in {
            "-X POST http://shop.example/login": "Express: hello\n",
            "http://shop.example/cart": "Python: ada, views: 1\n",
            "http://shop.example/": "Express: ada, views: 2\n",
            "-X POST http://shop.example/logout": "Express: goodbye\n",
            "http://shop.example/cart?again": "Python: nobody, views: 1\n",
        }.items():
            assert answer(f"curl -s -b domain -c domain {request}", home, environment) == expected
