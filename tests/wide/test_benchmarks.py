"""The benchmarks' command: every row measured in the one run, and what was lost beside what it took. No time is judged here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.docs import ROOT

from benchmarks.targets import FORGETFUL

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]


def measured(tmp_path: Path, *parts: str) -> tuple[dict[str, Any], str]:
    """Run parts of the benchmarks, in which nothing may be left out; return their figures and what was printed."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", *parts, "--quick", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0 and "left out" not in done.stderr, done.stderr
    return json.loads(figures.read_text()), done.stdout


def test_the_command_line_is_measured_both_ways(tmp_path: Path) -> None:
    """In pages and one by one, in one run, on every engine; memory for few sessions and for many."""
    found, printed = measured(tmp_path, "commandline")
    table = found["commandline"]
    assert set(table["stores"]) == {"SQLite", "Redis", "PostgreSQL"}
    for name, row in table["stores"].items():
        assert 0 < row["count"] and 0 < row["stats"] and 0 < row["stats one by one"], name
    few, many = table["memory"]
    assert few["sessions"] * 10 < many["sessions"] and set(few) == set(many)
    assert "stats one by one" in printed


def test_each_step_of_a_request_is_measured_alone(tmp_path: Path) -> None:
    """Beside the whole request and the floor's, for every kind."""
    found, printed = measured(tmp_path, "profile")
    for kind, row in found["profile"].items():
        assert row["steps"] and row["request"] > 0 and row["floor"] > 0, kind
    assert "from one step to the next" in printed


def test_every_plug_is_pulled(tmp_path: Path) -> None:
    """Everybody is served again afterwards, and no engine that keeps its data loses an acknowledged write or a logout."""
    rows = measured(tmp_path, "outages")[0]["outages"]
    assert {row["store"] for row in rows} == {
        *("SQLite", "Redis", "Redis without persistence", "PostgreSQL", "PostgreSQL through PgBouncer"),
    }
    page = (ROOT / "docs/how-to/operations.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row['store']} | {row['event']} |" in page
        assert row["recovery"] is not None, row
        if not any(word in f"{row['store']}, {row['event']}" for word in FORGETFUL):
            assert (row["lost"], row["gone"], row["logout undone"]) == (0, 0, False), row
    assert any(row["lost"] for row in rows), "what looks for lost writes finds none"


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (Debian: apt-get install wrk)")
def test_two_workers_with_every_store(tmp_path: Path) -> None:
    """Beside the peers on the same engines, reading and writing."""
    found, printed = measured(tmp_path, "endtoend")
    tables = found["endtoend"]["two workers"]
    assert set(tables) == {"read", "write"}
    for table in tables.values():
        assert {"bare", *(f"wsgisession {name}" for name in ("SQLite", "Redis", "PostgreSQL"))} < set(table)
        assert {"Beaker file", "Beaker redis", "Flask-Session redis", "Django cache redis"} < set(table)
        assert all(row["rate"] > 0 and row["slow"] > 0 for row in table.values())
    assert "99 % within ms" in printed


def test_one_command_prints_every_row(tmp_path: Path) -> None:
    """Times and losses of all contenders in one table, the figures as JSON, and the chart that the README shows."""
    chart = tmp_path / "chart.svg"
    found, printed = measured(tmp_path, "requests", "correctness", "--svg", str(chart))
    [head] = [line for line in printed.splitlines() if "updates lost" in line and "untouched_cookie" in line]
    assert "logged out meanwhile" in head
    contenders = set(found["requests"]["read"])
    assert {"floor", "wsgisession", "wsgisession SQLite", "Beaker memory"} < contenders
    assert {"Django locmem", "CherryPy RamSession"} < contenders
    assert contenders - {"floor"} == set(found["correctness"])
    for case, row in found["requests"].items():
        # All except what does not fit in Pyramid's cookie.
        assert {name for name, timing in row.items() if timing is None} <= {"Pyramid signed cookie"}, case
    for name in ("wsgisession", "wsgisession SQLite"):
        assert found["correctness"][name]["lost"] == 0
        assert found["correctness"][name]["late_request"] == "gone"
        assert f"\n| {name} " in printed
    assert found["correctness"]["Beaker memory"]["lost"] > 0, "what looks for lost updates finds none"
    assert chart.read_text().startswith("<svg") and "Beaker memory" in chart.read_text()
