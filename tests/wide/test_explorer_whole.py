"""Overlapping requests in every order, all of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.docs import ROOT

pytestmark = [pytest.mark.wide, pytest.mark.timeout(1200)]


def test_every_order_of_overlapping_requests() -> None:
    """Every pair of kinds, and the threes that matter; without a fault, and with one at each call: all promises are kept."""
    # Not measured: it takes twice the time, and covers no line that the narrow tests do not.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-m", "tests.support.explorer"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=1100)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
