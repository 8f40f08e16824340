"""With CI set nothing is skipped silently: what is missing there is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPPING = {
    "test_in_the_body.py": "import pytest\ndef test_it():\n    pytest.skip('no server')\n",
    "test_by_mark.py": "import pytest\n@pytest.mark.skip(reason='no server')\ndef test_it():\n    pass\n",
    "test_in_a_fixture.py": (
        "import pytest\n@pytest.fixture\ndef server():\n    pytest.skip('no server')\n\ndef test_it(server):\n    pass\n"
    ),
    "test_at_collection.py": "import pytest\npytest.skip('no server', allow_module_level=True)\n",
    "test_an_import.py": "import pytest\npytest.importorskip('no_such_module_at_all')\n",
    "test_expected_to_fail.py": "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n",
}


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [
        pytest.param("true", "1 failed, 1 xfailed, 4 errors", id="CI"),
        pytest.param("", "5 skipped, 1 xfailed", id="no CI", marks=pytest.mark.wide),
    ],
)
def test_a_skip_is_a_failure_where_ci_is_set(tmp_path: Path, ci: str, outcome: str) -> None:
    """Skips in bodies, marks, fixtures and at collection fail with CI set, with their reason, and only then."""
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name, text in SKIPPING.items():
        (tmp_path / name).write_text(text)
    options = ["-q", "-rs", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options]
    environ = {**os.environ, "CI": ci, "PYTHONPATH": os.pathsep.join(map(str, CONFTEST.parents[:2]))}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert outcome in run.stdout
    assert "no server" in run.stdout
    assert (run.returncode == 0) == (ci == "")
