"""What holds for every test: where helpers are found, and that nothing is skipped where CI is set."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("support", "wsgisession.testing")

from hypothesis import settings  # noqa: E402
from support import ran_on  # noqa: E402
from support.clock import Clock  # noqa: E402
from support.every_store import EVERY, new_store  # noqa: E402
from support.leaks import install, leaks  # noqa: E402

from wsgisession import Store  # noqa: E402

# Nothing here measures time, and a slow moment of the machine is no fault of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def clock() -> Clock:
    """A clock that only moves with ``clock.advance(seconds)``."""
    return Clock()


@pytest.fixture(params=EVERY)
def every_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind in turn."""
    with new_store(request.param, tmp_path) as store:
        yield store


def pytest_configure() -> None:
    """From the first test on, what is logged at any level, and what servers write, is kept for the last one."""
    install()
    ran_on.add_this_process()
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # a job in the background; the servers we start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the wide tests where they are not asked for: they need what the extra ``test`` does not install."""
    return True if collection_path.name == "wide" and config.option.markexpr == "not wide" else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    leaks.written(report.capstderr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that looks through all that was written comes last."""
    items.sort(key=lambda item: item.name == "test_nothing_secret_was_written")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI set, turn a skip into a failure: a server that is missing there is a mistake. An xfail is no skip."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure where CI is set: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, pytest.TestReport]:
    report: pytest.TestReport = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, Any, pytest.CollectReport]:
    report: pytest.CollectReport = yield
    _refuse_skip(report)
    return report
