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
CONFIGURATION = """
[mypy]
strict = True
follow_imports = silent
"""
UNTYPED = """
[mypy-bottle.*,pyramid.*,zope.*]
ignore_missing_imports = True
"""
DJANGO = """
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = django_site.settings
"""


def checked(*command: str) -> str:
    """Run a type checker over applications, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=TYPING,
        env={**os.environ, "PYTHONPATH": str(TYPING), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("more", "applications"),
    [(UNTYPED, APPLICATIONS), (DJANGO, ["django_site"])],
    ids=["without Django", "with django-stubs"],
)
def test_mypy(more: str, applications: list[str], tmp_path: Path) -> None:
    """Strict."""
    config = tmp_path / "mypy.ini"
    config.write_text(CONFIGURATION + more)
    said = checked("mypy", f"--config-file={config}", f"--cache-dir={tmp_path}", *applications)
    assert "no issues found" in said


def test_pyright() -> None:
    """As it is."""
    said = checked("pyright", f"--pythonpath={sys.executable}", *APPLICATIONS, "django_site")
    assert "0 errors, 0 warnings" in said


@pytest.mark.parametrize("name", [*APPLICATIONS, "django_site/views.py"])
def test_they_need_no_any_and_ignore_nothing(name: str) -> None:
    """Nor a cast."""
    text = (TYPING / name).read_text().partition('"""\n')[2]
    assert [word for word in ("Any", "ignore", "cast") if word in text] == []
