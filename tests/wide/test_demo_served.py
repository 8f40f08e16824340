"""demo.py as the README says to try it: real processes, curl with cookie jars, and gunicorn with four workers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPException
from pathlib import Path

import pytest
from support.demo_process import PATIENCE, Process, Served, Visitor, Workers

pytestmark = pytest.mark.wide

STORE = "sqlite:///demo.db"
Start = Callable[[Path], AbstractContextManager[Process]]

EVERYWHERE = pytest.mark.parametrize(
    "start",
    [
        lambda cwd: Served(cwd=cwd),
        lambda cwd: Served("--store", STORE, cwd=cwd),
        lambda cwd: Workers(STORE, cwd=cwd),
    ],
    ids=["memory", "SQLite", "SQLite, four processes"],
)


def curl(site: Process, jar: Path, pages: str = "/views", *options: str) -> list[int]:
    """Visit pages with a cookie jar, as a user would; return the numbers of views."""
    command = [
        "curl",
        "-fsS",
        "--max-time",
        str(PATIENCE),
        "-b",
        str(jar),
        "-c",
        str(jar),
        *options,
        site.url + pages,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in re.findall(r"^Number of views (\d+)$", done.stdout, re.MULTILINE)]


@EVERYWHERE
def test_each_jar_counts_its_own_views(start: Start, tmp_path: Path) -> None:
    """Two cookie jars are two visitors, and any process may answer."""
    with start(tmp_path) as site:
        seen = [curl(site, tmp_path / jar) for jar in ("one", "other", "one", "one", "other", "one")]
    assert seen == [[1], [1], [2], [3], [2], [4]]


@EVERYWHERE
def test_overlapping_requests_of_one_jar_count_without_a_gap(start: Start, tmp_path: Path) -> None:
    """200 of them, from four programs at once, 25 at a time each: every number from 2 to 201, once."""
    with start(tmp_path) as site:
        first = curl(site, tmp_path / "jar")

        def overlap(number: int) -> list[int]:
            jar = tmp_path / f"jar{number}"
            jar.write_text((tmp_path / "jar").read_text())
            return curl(
                site, jar, "/views?[1-50]", "--parallel", "--parallel-immediate", "--parallel-max", "25"
            )

        with ThreadPoolExecutor(4) as pool:
            seen = [number for numbers in pool.map(overlap, range(4)) for number in numbers]
        last = curl(site, tmp_path / "jar")
    assert (first, sorted(seen), last) == ([1], list(range(2, 202)), [202])


@EVERYWHERE
def test_a_users_other_sessions_are_shown_and_logged_out_everywhere_else(
    start: Start, tmp_path: Path
) -> None:
    """Three browsers of one user and one of another; every process shows the same."""
    with start(tmp_path) as site:
        here, there, too, other = (Visitor(site) for _ in range(4))
        for visitor, name in ((there, "ada"), (too, "ada"), (other, "grace"), (here, "ada")):
            assert f"Logged in as {name}" in visitor.act("/login", name=name)
        assert all(page.count('action="/end"') == 3 for page in here.look())
        assert all("Nowhere." in page for page in other.look())
        assert "Nowhere." in here.act("/logout-others")
        assert not any("Logged in" in page for visitor in (there, too) for page in visitor.look())
        assert all("Logged in as ada" in page for page in here.look())
        assert all("Logged in as grace" in page for page in other.look())


def test_views_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    """Over SQLite, in the same jar, also from one server to the other."""
    seen = []
    for start in (lambda: Served("--store", STORE, cwd=tmp_path), lambda: Workers(STORE, cwd=tmp_path)) * 2:
        with start() as site:
            seen += curl(site, tmp_path / "jar")
    assert seen == [1, 2, 3, 4]


def test_workers_end_cleanly_while_requests_come_in(tmp_path: Path) -> None:
    """Whatever was answered is in the store, and counted on after the restart."""
    with Workers(STORE, cwd=tmp_path) as site, ThreadPoolExecutor(4) as pool:
        _, cookie = site.views()
        running = [pool.submit(lambda: _count(site, cookie)) for _ in range(4)]
        while site.views(cookie)[0] < 30:
            pass
        site.process.send_signal(site.end)
    answered = [number for one in running for number in one.result()]
    with Workers(STORE, cwd=tmp_path) as site:
        last, _ = site.views(cookie)
    assert len(answered) == len(set(answered)) and last > max(answered)


def _count(site: Process, cookie: str) -> list[int]:
    """Count views until the server is gone."""
    seen = []
    try:
        while True:
            seen.append(site.views(cookie)[0])
    except (OSError, HTTPException):
        return seen
