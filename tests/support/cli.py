"""The command line as a user runs it: a process of its own, with pipes or on a terminal. What it writes is kept."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from support.breadth import breadth
from support.interpreter import PATIENCE, start
from support.leaks import leaks

from wsgisession.__main__ import main


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


def run(*arguments: str, store: str | None = None, cwd: Path | None = None) -> Done:
    """Run a command with pipes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        streams = nothing.fileno(), out.fileno(), err.fileno()
        code = _start(arguments, streams, environment(store), cwd)()
        for stream in (out, err):
            stream.seek(0)
        done = Done(code, out.read().decode(), err.read().decode())
    leaks.written(done.err if arguments[:1] == ("secret",) else done.out + done.err)
    return done


def _start(
    arguments: Sequence[str], streams: tuple[int, int, int], environ: dict[str, str], cwd: Path | None
) -> Callable[[], int]:
    if not breadth.wide:
        return start(arguments, streams, environ, cwd)
    command = [sys.executable, "-m", "wsgisession", *arguments]
    process = subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=streams[0], stdout=streams[1], stderr=streams[2]
    )
    return lambda: process.wait(PATIENCE)


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
        wait = _start(arguments, (theirs, theirs, theirs), environment(store), cwd)
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
    code = wait()
    text = screen.decode().replace("\r\n", "\n")
    leaks.written(text)
    return code, text
