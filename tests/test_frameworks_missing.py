"""An adapter where there is no such framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wsgisession

SCRIPT = f"""
import sys
sys.path[:0] = [{str(Path(wsgisession.__file__).parent.parent)!r}, sys.argv[1]]
import wsgisession.{{}}
"""


@pytest.mark.parametrize(
    ("adapter", "files", "message"),
    [
        ("flask", {}, "wsgisession.flask needs Flask: pip install flask"),
        ("flask", {"flask.py": "import werkzeug"}, "No module named 'werkzeug'"),
        ("pyramid", {}, "wsgisession.pyramid needs Pyramid: pip install pyramid"),
        ("pyramid", {"pyramid.py": "import webob"}, "No module named 'webob'"),
    ],
    ids=["Flask", "what Flask needs", "Pyramid", "what Pyramid needs"],
)
def test_what_is_missing_is_named(
    adapter: str, files: dict[str, str], message: str, tmp_path: Path
) -> None:
    """An error that says what to install; one about something else stays what it is."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-I", "-S", "-c", SCRIPT.format(adapter), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == f"ModuleNotFoundError: {message}"
