"""Applications that use all of a session pass the type checkers as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]  # pyright is downloaded when it first runs

TYPING = ROOT / "tests" / "typing"
APPLICATIONS = sorted(path.name for path in TYPING.glob("*_app.py"))
# What users of these frameworks have in their configuration already.
MYPY = """
[mypy]
strict = True
follow_imports = silent
[mypy-bottle.*,pyramid.*,zope.*]
ignore_missing_imports = True
"""


def checked(*command: str) -> str:
    """Run a type checker over the applications, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command, *APPLICATIONS],
        cwd=TYPING,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy(tmp_path: Path) -> None:
    """Strict."""
    config = tmp_path / "mypy.ini"
    config.write_text(MYPY)
    assert "no issues found" in checked("mypy", f"--config-file={config}", f"--cache-dir={tmp_path}")


def test_pyright() -> None:
    """As it is."""
    assert "0 errors, 0 warnings" in checked("pyright", f"--pythonpath={sys.executable}")


@pytest.mark.parametrize("name", APPLICATIONS)
def test_they_need_no_any_and_ignore_nothing(name: str) -> None:
    """Nor a cast."""
    text = (TYPING / name).read_text().partition('"""\n')[2]
    assert [word for word in ("Any", "ignore", "cast") if word in text] == []
