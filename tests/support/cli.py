"""The command line as a user runs it: a process of its own, with pipes or on a terminal. What it writes is kept."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.leaks import leaks

from wsgisession.__main__ import main

PATIENCE = 60  # seconds; far more than any command takes here


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The lines of the output, each as its cells."""
        return [line.split("\t") for line in self.out.splitlines()]


def environment(store: str | None, **more: str) -> dict[str, str]:
    """Return this process' environment with that store, on a terminal of 80 columns."""
    held = {name: value for name, value in os.environ.items() if not name.startswith("WSGISESSION")}
    return (
        held
        | {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
        | ({"WSGISESSION_STORE": store} if store else {})
        | more
    )


def run(*arguments: str, store: str | None = None, cwd: Path | None = None, **options: Any) -> Done:
    """Run a command with pipes."""
    command = [sys.executable, "-m", "wsgisession", *arguments]
    env = environment(store)
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, **options
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    leaks.written(err if arguments[:1] == ("secret",) else out + err)
    return Done(done.returncode, out, err)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Run a command in this process, which takes a tenth of the time."""
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as error:  # as argparse ends
        code = int(str(error))
    out, err = capsys.readouterr()
    leaks.written(out + err)
    return Done(code, out, err)


def on_terminal(
    *arguments: str, store: str | None = None, cwd: Path | None = None, answer: str = ""
) -> tuple[int, str]:
    """Run a command on a terminal of its own, type an answer, and return its code and what the screen shows."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        process = subprocess.Popen(
            [sys.executable, "-m", "wsgisession", *arguments],
            cwd=cwd,
            env=environment(store),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    screen = b""
    try:
        while data := os.read(ours, 65536):
            screen += data
    except OSError:  # Linux says so when the last program has closed the terminal
        pass
    finally:
        os.close(ours)
    code = process.wait(PATIENCE)
    text = screen.decode().replace("\r\n", "\n")
    leaks.written(text)
    return code, text
