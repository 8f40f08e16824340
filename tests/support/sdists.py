"""The tests that other projects ship in their source distributions, of one version each."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def unpacked(name: str, version: str) -> Path:
    """Download a source distribution, once per process, and return the folder that it unpacks to."""
    folder = Path(mkdtemp(prefix="sdist"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-binary=:all:", f"--dest={folder}"]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, f"{name}=={version}"], check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    [found] = (path for path in folder.iterdir() if path.is_dir())
    return found
