"""The benchmarks' command: every row measured in the one run, and what was lost beside what it took. No time is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT

pytestmark = pytest.mark.wide


def test_one_command_prints_every_row(tmp_path: Path) -> None:
    """Times and losses of all contenders in one table, the figures as JSON, and the chart that the README shows."""
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    command = [sys.executable, "-m", "benchmarks", "requests", "correctness", "--quick"]
    done = subprocess.run(
        [*command, "--json", str(figures), "--svg", str(chart)], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    found = json.loads(figures.read_text())
    [head] = [line for line in done.stdout.splitlines() if "updates lost" in line and "untouched_cookie" in line]
    assert "logged out meanwhile" in head
    contenders = set(found["requests"]["read"])
    assert {"floor", "wsgisession", "wsgisession SQLite", "Beaker memory", "Django locmem", "CherryPy RamSession"} < contenders
    assert contenders - {"floor"} == set(found["correctness"])
    for case, row in found["requests"].items():
        # All but what does not fit in Pyramid's cookie.
        assert {name for name, timing in row.items() if timing is None} <= {"Pyramid signed cookie"}, case
    for name in ("wsgisession", "wsgisession SQLite"):
        assert found["correctness"][name]["lost"] == 0 and found["correctness"][name]["late_request"] == "gone"
        assert any(line.startswith(f"| {name} ") for line in done.stdout.splitlines())
    assert found["correctness"]["Beaker memory"]["lost"] > 0, "what looks for lost updates finds none"
    assert chart.read_text().startswith("<svg") and "Beaker memory" in chart.read_text()
