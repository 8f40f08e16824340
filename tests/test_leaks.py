"""Nothing that was logged or printed during the run holds an id, a token or a secret; and what looks for it would find it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.leaks import Leaks, leaks
from support.web import SECRET, Site

from wsgisession.identity import Identity, digest

CONFTEST = Path(__file__).with_name("conftest.py")


LEAKING = """
import logging
import pytest
from wsgisession import SessionManager

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    token = SessionManager(secret="x" * 16 + "y" * 16).issue({"a": 1}).partition("=")[2]
    if number == 3:
        from wsgisession.log import event
        event(logging.DEBUG, "test", "it was %s", key=token)
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.wide)])
def test_a_run_that_wrote_something_secret_fails(tmp_path: Path, workers: int) -> None:
    """In every process: at the end of a run each one searches all that it logged, at DEBUG level."""
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(workers)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, CONFTEST.parents[:2]))}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert "4 passed" in run.stdout and "secret, and written" in run.stdout, run.stdout + run.stderr
    assert run.returncode == 1


def test_what_this_process_makes_is_known() -> None:
    """Ids, signatures and secrets."""
    cookie = Site().start({"a": 1})
    id, _, signature = cookie.partition("=")[2].partition(".")
    assert {id, signature} <= leaks.secret and SECRET in leaks.secrets


FRESH = Identity([b"another secret, of at least 32 bytes"])
ID = FRESH.new_id()


@pytest.mark.parametrize(
    "texts",
    [
        [f"key={ID!r}"],
        [f"prefix-{ID}"],
        [f"Cookie: sid={FRESH.sign('sid', ID)}"],
        [FRESH.sign("sid", ID).partition(".")[2]],
        ["it was: another secret, of at least 32 bytes!"],
    ],
    ids=["id", "id in a longer word", "token", "signature", "secret"],
)
def test_what_leaks_is_found(texts: list[str]) -> None:
    """At any place in a text."""
    found = Leaks()
    found.secret |= {ID, FRESH.sign("sid", ID).partition(".")[2]}
    found.secrets.add("another secret, of at least 32 bytes")
    for text in ("harmless", *texts):
        found.written(text)
    assert found.found() != []


def test_what_another_process_leaks_is_found() -> None:
    """A token by its form, an id where its key was written too; a key alone is none."""
    for texts, leaked in (
        ([f"sid={ID}.{ID}"], True),
        ([f"key={digest(ID)}", f"oops {ID}".encode()], True),
        ([f"key={digest(ID)}", ""], False),
    ):
        found = Leaks()
        for text in texts:
            found.written(text)
        assert bool(found.found()) is leaked
