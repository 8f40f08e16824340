"""The oldest version of each framework that an adapter's page names: the adapter's own tests pass with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT
from support.frameworks import PAGES

pytestmark = [pytest.mark.wide, pytest.mark.timeout(300)]  # downloads

# What is installed in place of the newest, and the tests that run on it. Django's async methods came later.
OLDEST = {
    "Flask": (("flask==2.2.5", "werkzeug==2.3.8"), ("flask_sessions",)),
    "Django": (
        ("django==4.2.30",),
        ("django", "django_users", "django_expiry", "django_settings", "django_differences"),
    ),
    "Pyramid": (("pyramid==2.0.2",), ("pyramid_sessions",)),
}


@pytest.mark.parametrize("framework", OLDEST)
def test_the_oldest_version(framework: str, tmp_path: Path) -> None:
    """Nothing fails, and nothing is left out."""
    pins, names = OLDEST[framework]
    page = (ROOT / PAGES.format(framework.lower())).read_text(encoding="utf-8")
    [version] = re.findall(rf"works with {framework} ([\d.]+) and later", page)
    assert pins[0].startswith(f"{framework.lower()}=={version}.")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", f"--target={tmp_path}", *pins]
    subprocess.run(install, check=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environ |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "CI": "true"}
    files = [str(ROOT / "tests" / "wide" / f"test_{name}.py") for name in names]
    place = f"import {framework.lower()} as found; print(found.__file__)"
    for command in (["-c", place], ["-m", "pytest", "-q", "-m", "wide", "-p", "no:cacheprovider", *files]):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert command[0] == "-m" or done.stdout.startswith(str(tmp_path))
