"""What holds for every test: where helpers are found, how many processes share the work, what a run says at its end.

With CI set nothing is skipped.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("support", "wsgisession.testing")

from hypothesis import settings  # noqa: E402
from support import ran_on  # noqa: E402
from support.breadth import breadth  # noqa: E402
from support.clock import Clock  # noqa: E402
from support.every_store import EVERY, new_store  # noqa: E402
from support.leaks import install, leaks  # noqa: E402
from support.programs import not_found  # noqa: E402

from wsgisession import Store  # noqa: E402
from wsgisession.testing import contract  # noqa: E402

NARROW = "not wide"
MOST_WORKERS = 4  # each starts servers of its own
# Clauses of the store contract that interrupt an operation at many steps: at fewer of them in the narrow suite.
INTERRUPTING = {
    "test_an_exception_from_outside_leaves_a_store_that_works",
    "test_what_runs_inside_an_operation_may_use_the_store",
}

# Nothing here measures time, and a slow moment of the machine is no fault of what is tested.
settings.register_profile("narrow", deadline=None, max_examples=25)
settings.register_profile("wide", deadline=None, max_examples=100)

_ended = itertools.count(1)
leaked: list[str] = []  # what each process of this run found at its end


@pytest.fixture
def clock() -> Clock:
    """A clock that only moves with ``clock.advance(seconds)``."""
    return Clock()


@pytest.fixture(params=EVERY)
def every_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind in turn."""
    with new_store(request.param, tmp_path) as store:
        yield store


def pytest_configure(config: pytest.Config) -> None:
    """Before the first test: how much of each sweep runs; what is logged, and what servers write, is kept for the end."""
    breadth.wide = config.option.markexpr != NARROW
    settings.load_profile(breadth.much("narrow", "wide"))
    contract.STEPS = breadth.much(4, contract.STEPS)
    install()
    ran_on.add_this_process()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A job in the background; the servers we start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Every processor works, for the whole narrow suite; none beside this one for single files and wide tests."""
    files = all(Path(arg.partition("::")[0]).is_file() for arg in config.args)
    if files or config.option.markexpr != NARROW:
        return 0
    # One more than there are processors: many tests wait for something that ends by itself.
    return min((os.cpu_count() or 1) + 1, MOST_WORKERS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the wide tests where they are not asked for: they need what the extra ``test`` does not install."""
    return True if collection_path.name == "wide" and config.option.markexpr == "not wide" else None


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    leaks.written(report.capstderr)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes fewer steps or examples in the narrow suite takes all of them in the wide one.

    There, files begin first whose tests may take longest: no process is left alone with them at the end.
    """
    if not breadth.wide:
        return
    longest: dict[Path, float] = {}
    for item in items:
        timeout = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), timeout.args[0] if timeout else 0)
    items.sort(key=lambda item: -longest[item.path])
    for item in items:
        examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        interrupting = getattr(item, "originalname", None) in INTERRUPTING
        if examples or interrupting or item.get_closest_marker("both"):
            item.add_marker("wide")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is made for thousands of tests stays: the collector would look through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Nor need it do so each time that a test asks for it."""
    keep()


def pytest_runtest_logfinish() -> None:
    """The same for what is left of each test, such as its reports."""
    if next(_ended) % 50 == 0:
        keep()


def keep() -> None:
    """Let the collector forget what there is by now. What a later test leaves it still finds."""
    gc.collect()
    if hasattr(gc, "freeze"):  # not in PyPy
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what another process of this run found."""
    leaked.extend(getattr(node, "workeroutput", {}).get("leaked", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look through all that this process wrote: an id, a token or a secret in it fails the run."""
    leaked.extend(leaks.found())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["leaked"] = leaked
    elif leaked:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was secret and written; which servers are not here, and how many tests were left out for what reason."""
    if leaked:
        terminalreporter.section("secret, and written", red=True)
        for leak in leaked:
            terminalreporter.line(leak)
    skipped = terminalreporter.stats.get("skipped", [])
    if absent := not_found():
        terminalreporter.line(
            f"optional servers not found: {', '.join(absent)}; tests left out: {len(skipped)}"
        )
    for reason, count in Counter(map(_reason, skipped)).most_common():
        terminalreporter.line(f"left out: {count}: {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why something was skipped."""
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(said).removeprefix("Skipped: ")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With CI set, turn a skip into a failure: a server that is missing there is a mistake. An xfail is no skip."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure where CI is set: {_reason(report)}"


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
