"""What a reader has before the first line of a page: a clone, a folder that holds it, and nothing installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.docs import ROOT

LEFT_BEHIND = (
    ".git .venv* .*_cache .hypothesis .coverage* __pycache__ node_modules build dist site *.egg-info".split()
)


def clone(target: Path) -> None:
    """Copy what is under version control, and leave behind what builds and runs made."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*LEFT_BEHIND))


def terminal() -> dict[str, str]:
    """Return the environment of a new terminal: no virtual environment is active, and pip insists on one."""
    paths = [
        path for path in os.environ["PATH"].split(os.pathsep) if Path(path) != Path(sys.executable).parent
    ]
    environ = {
        **os.environ,
        "PATH": os.pathsep.join([f"{sys.base_prefix}/bin", *paths]),
        "PIP_REQUIRE_VIRTUALENV": "1",
    }
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        environ.pop(name, None)
    return environ


def typed(lines: str, folder: Path) -> None:
    """Type lines into a terminal in a folder; each must succeed."""
    command = ["bash", "-e", "-c", lines]
    done = subprocess.run(command, cwd=folder, env=terminal(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
