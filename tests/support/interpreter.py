"""An interpreter that has imported the command line, and forks for each command: it saves the start of a new one each time.

What runs in the fork is what ``python -m wsgisession`` runs, in a process of its own: with its own arguments, environment,
directory and streams, and it ends as an interpreter ends. The wide suite starts a real one for each command.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

PATIENCE = 60  # seconds; far more than any command takes here
TESTS = Path(__file__).parents[1]
START = """
from support.interpreter import serve
serve()
import runpy
runpy.run_module("wsgisession", run_name="__main__", alter_sys=True)
"""


def start(
    arguments: Sequence[str], streams: Sequence[int], environ: Mapping[str, str], directory: Path | None
) -> Callable[[], int]:
    """Run a command whose standard streams are these three; return what waits for its exit code."""
    door = _door()
    request = json.dumps([list(arguments), dict(environ), str(directory or Path.cwd())]).encode()
    socket.send_fds(door, [request], list(streams))
    return lambda: int(json.loads(door.recv(1024)))


@cache
def _door() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    with theirs:
        interpreter = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    ours.settimeout(PATIENCE)
    process = os.getpid()

    def end() -> None:
        if os.getpid() == process:
            ours.close()
            interpreter.wait()

    atexit.register(end)
    return ours


def serve() -> None:
    """Wait for commands; return in the fork that is to run one."""
    import wsgisession.__main__
    import wsgisession.stores.sqlite  # noqa: F401

    del sys.modules["wsgisession.__main__"]  # the fork runs it as the main module
    door = socket.socket(fileno=int(sys.argv[1]))
    while True:
        request, streams, _, _ = socket.recv_fds(door, 65536, 3)
        if not request:
            raise SystemExit
        child = os.fork()
        if not child:
            door.close()
            _become(request, streams)
            return
        for stream in streams:
            os.close(stream)
        door.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(request: bytes, streams: Sequence[int]) -> None:
    """Make this process what a new interpreter would be."""
    arguments, environ, directory = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams):
        os.close(stream)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(directory)
    sys.path[0] = directory
    sys.argv = ["wsgisession", *arguments]
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", 1 if os.isatty(1) else -1, encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
