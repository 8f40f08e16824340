"""Django's own tests, from its source distribution, with our engine and with Django's: what differs is in the docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.docs import ROOT
from support.peers import ADAPTERS, printed, rows
from support.sdists import unpacked
from support.web import SECRET

pytestmark = [pytest.mark.wide, pytest.mark.timeout(700)]

VERSION = "5.2.19"
SUITES = "sessions_tests auth_tests messages_tests test_client test_client_regress csrf_tests".split()
MIXIN_TESTS = 65  # of each engine

THEIRS = 'from test_sqlite import *\nTEST_RUNNER = "support.django_runner.Runner"\n'
OURS = f"""{THEIRS}
SESSION_ENGINE = "wsgisession.django"
WSGISESSION = {{"store": "memory:", "secret": {SECRET!r}}}
"""
# ``sessions_tests.models`` is a model: it can be imported only in a run that has the application.
MIXIN = f"""
from django.test import SimpleTestCase, override_settings
from sessions_tests.tests import SessionTestsMixin
from wsgisession.django import SessionStore

class MemoryTests(SessionTestsMixin, SimpleTestCase):
    backend = SessionStore

@override_settings(WSGISESSION={{"store": "sqlite:///sessions.db", "secret": {SECRET!r}}})
class SQLiteTests(MemoryTests):
    pass
"""


def outcomes(folder: Path, settings: str, *suites: str) -> dict[str, Any]:
    """Run some of Django's suites against its own source, and return what came of them."""
    file = folder / f"{settings}.json"
    paths = [str(path) for path in (folder, ROOT, ROOT / "tests")]
    # Not measured: our own tests cover the engine, and these would take twice the time.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environ |= {"OUTCOMES": str(file), "PYTHONPATH": os.pathsep.join(paths)}
    options = [f"--settings={settings}", "--parallel=1", "--verbosity=0"]
    command = [sys.executable, "runtests.py", *options, *suites]
    done = subprocess.run(
        command, cwd=folder / "tests", env=environ, capture_output=True, text=True, timeout=300
    )
    assert file.exists(), done.stderr
    return dict(json.loads(file.read_text()))


@pytest.fixture(scope="module")
def runs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Both runs, side by side."""
    folder = unpacked("django", VERSION)
    (folder / "tests" / "theirs.py").write_text(THEIRS)
    (folder / "tests" / "ours.py").write_text(OURS)
    (folder / "tests" / "ours_mixin").mkdir()
    (folder / "tests" / "ours_mixin" / "__init__.py").touch()
    (folder / "tests" / "ours_mixin" / "tests.py").write_text(MIXIN)
    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(outcomes, folder, "theirs", *SUITES)
        ours = pool.submit(outcomes, folder, "ours", *SUITES, "ours_mixin")
        return theirs.result(), ours.result()


def others(run: dict[str, Any]) -> list[str]:
    """Return the tests that did not pass: they failed, were expected to fail, or were skipped."""
    return [test for name in ("failed", "unexpected", "left out") for test in run[name]]


def row(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{number:,}" for number in numbers)


def test_what_differs_is_in_the_docs(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Each test that passes with Django's engine passes with ours, but for those in the page's table."""
    theirs, ours = runs
    assert theirs["failed"] == [] and set(ours["failed"]) == printed("Django").keys() != set()
    assert set(others(theirs)) <= set(others(ours)) == set(others(theirs)) | set(ours["failed"])


def test_the_figures_in_the_docs(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Of the pinned version: of the suites, and of the tests that every engine has to pass."""
    theirs, ours = runs
    passed, with_us = (run["run"] - len(others(run)) for run in runs)
    print(
        f"Django {VERSION}: {passed} of {theirs['run']} pass without us, {with_us} of {ours['run']} with us"
    )
    assert ours["run"] == theirs["run"] + 2 * MIXIN_TESTS
    assert rows(ADAPTERS)[f"Django {VERSION}: sessions, users, messages, test client, CSRF"] == row(
        theirs["run"], passed, with_us - 2 * MIXIN_TESTS
    )
    mixin = [f"ours_mixin.tests.{name}" for name in ("MemoryTests", "SQLiteTests")]
    assert [test for test in others(ours) if test.rpartition(".")[0] in mixin] == []
    own = [test for test in others(theirs) if ".DatabaseSessionTests." in test]
    assert rows(ADAPTERS)[f"Django's `SessionTestsMixin` {VERSION}, in memory and in SQLite"] == row(
        MIXIN_TESTS, MIXIN_TESTS - len(own), MIXIN_TESTS
    )
