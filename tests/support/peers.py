"""The suites that other projects ship in their source distributions, run in an environment of their own.

The versions are pinned, so that a release of somebody else changes nothing here.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import tarfile
import venv
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from support.docs import ROOT

PLUGINS = ROOT / "tests" / "peers"
PAGE = "docs/reference/peers.md"
ADAPTERS, BEHIND = "With our sessions in place of theirs", "Behind our middleware"  # its tables
TOOLS = (
    *("pytest==8.4.2", "pytest-timeout==2.4.0", "setuptools>=77,<81", "wheel", "flit_core", "hatchling"),
    *"asgiref python-dotenv semantic-version blinker email-validator flask-babel cryptography".split(),
    *"ephemeral-port-reserve greenlet watchdog zope.component webtest".split(),
)


class Suite(NamedTuple):
    """A project's tests: its name on the package index, the version, and what pytest is told to run."""

    name: str
    version: str
    tests: tuple[str, ...] = ("tests",)

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


class Run(NamedTuple):
    """How each test of a suite ended, and how many requests had our sessions."""

    outcomes: dict[str, str]
    requests: int

    @property
    def passed(self) -> int:
        """How many tests passed. The others failed or were skipped."""
        return [*self.outcomes.values()].count("passed")


FLASK = Suite("flask", "3.1.3")
FLASK_WTF = Suite("flask-wtf", "1.3.0")
FLASK_LOGIN = Suite("flask-login", "0.6.3")
# Its development server runs in processes of its own, where nothing of ours is.
WERKZEUG = Suite("werkzeug", "3.1.9", ("tests", "--ignore=tests/test_serving.py"))
BOTTLE = Suite("bottle", "0.13.4", ("test",))
WEBOB = Suite("webob", "1.8.11")
PYRAMID = Suite("pyramid", "2.1")
PYRAMID_SESSIONS = PYRAMID._replace(tests=("tests/test_session.py::TestBaseCookieSession",))
SUITES = (FLASK, FLASK_WTF, FLASK_LOGIN, WERKZEUG, BOTTLE, WEBOB, PYRAMID)


@cache
def home() -> Path:
    """Make the environment and unpack the suites into it, once per process."""
    folder = Path(mkdtemp(prefix="peers"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pins = [suite.pin for suite in SUITES]
    pip(folder, "install", *TOOLS, *pins)
    names = ",".join(suite.name for suite in SUITES)
    options = ["--no-deps", "--no-build-isolation", f"--no-binary={names}", f"--dest={folder / 'sdists'}"]
    pip(folder, "download", *options, *pins)
    for archive in (folder / "sdists").iterdir():
        with tarfile.open(archive) as files:
            files.extractall(folder / "sdists", filter="data")
    return folder


def pip(folder: Path, *arguments: str) -> None:
    """Run pip in the environment; if it fails, the test shows why."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def source(suite: Suite) -> Path:
    """Return the folder of a suite's source distribution."""
    wanted = re.sub(r"\W", "_", suite.name)
    [found] = (
        path
        for path in (home() / "sdists").iterdir()
        if path.is_dir() and re.sub(r"\W", "_", path.name.rpartition("-")[0]).lower() == wanted
    )
    return found


@cache
def run(suite: Suite, plugin: str | None = None, wrapped: str = "", touch: str = "") -> Run:
    """Run a suite, with a plugin of ours or as it is.

    Args:
        plugin: A module in ``tests/peers``.
        wrapped: Whose applications ``transparent`` wraps.
        touch: Not empty: each request touches its session.
    """
    file = home() / f"{suite.name}-{plugin}-{touch}.json"
    path = os.pathsep.join([str(ROOT), str(PLUGINS)])
    environ = {
        **os.environ,
        "PYTHONPATH": path,
        "PEER_OUTCOMES": str(file),
        "PEER_SUITE": wrapped,
        "PEER_TOUCH": touch,
    }
    plugins = [f"-p{name}" for name in ("peer_outcomes", "no:cacheprovider", *([plugin] if plugin else []))]
    options = ["-q", *plugins, "-c", os.devnull, "--rootdir=.", "-W", "ignore", "--timeout=60"]
    done = subprocess.run(
        [str(home() / "bin" / "python"), "-m", "pytest", *options, *suite.tests],
        cwd=source(suite),
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return Run(*json.loads(file.read_text()))


def differences(before: Run, after: Run) -> set[str]:
    """Return the tests that end otherwise than before."""
    then, now = before.outcomes, after.outcomes
    return {name for name in then.keys() | now.keys() if then.get(name) != now.get(name)}


def rows(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of the page's table under a heading, by their first cell."""
    text = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in text.partition("\n### ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]
    return {name: tuple(numbers) for name, *numbers in cells}


def printed(heading: str) -> dict[str, str]:
    """Return the tests that the page names under a heading, with their reasons."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))
