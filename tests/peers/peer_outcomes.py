"""A pytest plugin for other projects' suites: writes down how each test ended, and how many requests had our sessions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import wsgisession.middleware

outcomes: dict[str, str] = {}
requests = 0
new_visit = wsgisession.middleware.new_visit


def counted(*args: Any) -> Any:
    global requests
    requests += 1
    return new_visit(*args)


wsgisession.middleware.new_visit = counted


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the worst of set-up, call and tear-down."""
    if report.failed:
        outcomes[report.nodeid] = "failed"
    elif report.skipped:
        outcomes.setdefault(report.nodeid, "skipped")
    elif report.when == "call":
        outcomes.setdefault(report.nodeid, "passed")


def pytest_sessionfinish() -> None:
    Path(os.environ["PEER_OUTCOMES"]).write_text(json.dumps([outcomes, requests]))
