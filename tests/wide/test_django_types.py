"""A typed Django application that uses all of a session passes the type checkers as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]  # pyright is downloaded when it first runs

TYPING = ROOT / "tests" / "typing"
CONFIG = """
[mypy]
strict = True
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = django_site.settings
"""


def checked(*command: str) -> str:
    """Run a type checker over the application, and return what it says."""
    environ = {**os.environ, "PYTHONPATH": str(TYPING), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command, "django_site"],
        cwd=TYPING,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mypy(tmp_path: Path) -> None:
    """Strict, with django-stubs."""
    config = tmp_path / "mypy.ini"
    config.write_text(CONFIG)
    assert "no issues found" in checked(
        "mypy", "--follow-imports=silent", f"--config-file={config}", f"--cache-dir={tmp_path}"
    )


def test_pyright() -> None:
    """With django-stubs."""
    assert "0 errors, 0 warnings" in checked("pyright", f"--pythonpath={sys.executable}")


def test_it_needs_no_any_and_ignores_nothing() -> None:
    """Nor a cast."""
    text = (TYPING / "django_site" / "views.py").read_text().partition('"""\n')[2]
    assert [word for word in ("Any", "ignore", "cast") if word in text] == []
