"""An older Python is told in one line what is needed, by the import and by the demo, and shows no traceback."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.docs import ROOT

# The oldest Python that can read the file, so that it gets as far as the sentence.
FILES = {"wsgisession/__init__.py": (3, 7), "demo.py": (3, 8)}
RUNS = {
    "wsgisession": "import wsgisession",
    "demo.py": "import runpy; runpy.run_path('demo.py', run_name='__main__')",
}


@pytest.mark.parametrize(("name", "oldest"), FILES.items(), ids=FILES)
def test_the_sentence_is_reached(name: str, oldest: tuple[int, int]) -> None:
    """No syntax in the file is newer, and no import comes before of what an older Python does not have."""
    body = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=oldest).body
    [place] = [number for number, node in enumerate(body) if isinstance(node, ast.If)][:1]
    before = [ast.unparse(node) for node in body[1:place]]
    assert set(before) <= {"from __future__ import annotations", "import sys"}


@pytest.mark.parametrize("what", RUNS)
def test_one_line(what: str) -> None:
    """What a Python that says it is 3.10 prints, and its exit code."""
    code = f"import sys; sys.version_info = (3, 10, 13, 'final', 0); {RUNS[what]}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{what} needs Python 3.11 or newer, and this is Python 3.10\n"


def older_pythons() -> dict[str, str]:
    """Return the Pythons from 3.8 to 3.10 that this machine has, on its path or beside this one: version and program."""
    found = {}
    beside = Path(sys.base_prefix).parent
    for minor in (8, 9, 10):
        programs = [shutil.which(f"python3.{minor}"), *map(str, beside.glob(f"3.{minor}.*/bin/python3"))]
        for program in filter(None, programs):
            asked = subprocess.run([program, "--version"], capture_output=True, text=True)
            if asked.stdout.startswith(f"Python 3.{minor}."):  # a shim may be there and fail
                found[f"3.{minor}"] = program
                break
    return found


@pytest.mark.wide
@pytest.mark.parametrize("what", RUNS)
def test_one_line_from_a_real_one(what: str) -> None:
    """The same from the older Pythons that there are."""
    for version, program in older_pythons().items():
        done = subprocess.run([program, "-B", "-c", RUNS[what]], cwd=ROOT, capture_output=True, text=True)
        assert re.fullmatch(
            rf"{what} needs Python 3\.11 or newer, and this is Python {re.escape(version)}\n", done.stderr
        )
        assert done.returncode == 1
