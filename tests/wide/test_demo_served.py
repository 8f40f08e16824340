"""demo.py as the README says to try it: real processes, curl with cookie jars, and gunicorn with four workers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support.demo_process import PATIENCE, Process, Served, Workers

pytestmark = pytest.mark.wide

STORE = "sqlite:///demo.db"
Start = Callable[[Path], AbstractContextManager[Process]]


def curl(site: Process, jar: Path, pages: str = "/views", *options: str) -> list[int]:
    """Visit pages with a cookie jar, as a user would; return the numbers of views."""
    command = ["curl", "-fsS", "-b", str(jar), "-c", str(jar), *options, site.url + pages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in re.findall(r"^Number of views (\d+)$", done.stdout, re.MULTILINE)]


@pytest.mark.parametrize(
    "start",
    [
        lambda cwd: Served(cwd=cwd),
        lambda cwd: Served("--store", STORE, cwd=cwd),
        lambda cwd: Workers(STORE, cwd=cwd),
    ],
    ids=["memory", "SQLite", "SQLite, four processes"],
)
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


def test_views_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    """Over SQLite, in the same jar, also from one server to the other."""
    seen = []
    for start in (lambda: Served("--store", STORE, cwd=tmp_path), lambda: Workers(STORE, cwd=tmp_path)) * 2:
        with start() as site:
            seen += curl(site, tmp_path / "jar")
    assert seen == [1, 2, 3, 4]
