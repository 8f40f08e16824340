"""demo.py as a user runs it, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from support.docs import ROOT
from support.leaks import leaks

DEMO = ROOT / "demo.py"
PATIENCE = 20  # seconds; far more than anything here takes


def clean_environment(**more: str) -> dict[str, str]:
    """This process' environment without any configuration of the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WSGISESSION")} | more


class Process:
    """A server that says where it listens; ends with a signal, and must end well."""

    said = re.compile(r"(http://\S+:\d+)")
    farewell = ""

    def __init__(self, command: list[str], *, cwd: Path | None, end: signal.Signals, **env: str) -> None:
        self.end = end
        self.out = self.err = ""  # what it has written, as of the last look
        # Not pipes, which nobody would empty
        self._files = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        out, err = self._files
        self.process = subprocess.Popen(
            [sys.executable, *command], stdout=out, stderr=err, cwd=cwd, env=clean_environment(**env)
        )

    def _look(self) -> str:
        sizes = (os.fstat(file.fileno()).st_size for file in self._files)
        said = (os.pread(file.fileno(), size, 0) for file, size in zip(self._files, sizes, strict=True))
        self.out, self.err = (text.decode() for text in said)
        return self.out + self.err

    def _end(self) -> None:
        """Wait until it has ended, and read the last of it."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        leaks.written(self._look())
        for file in self._files:
            file.close()

    def __enter__(self) -> Process:
        deadline = time.monotonic() + PATIENCE
        while not (found := self.said.search(self._look())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self._end()
                raise AssertionError(self.out + self.err)
            time.sleep(0.01)
        self.url = found[1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.process.send_signal(self.end)
        self._end()
        if kind is None:
            assert self.process.returncode == 0 and self.farewell in self.out, self.err
            assert "Traceback" not in self.err, self.err

    def views(self, cookie: str = "") -> tuple[int, str]:
        """Count one view; return the number and the cookie to send from now on."""
        request = urllib.request.Request(self.url + "/views", headers={"Cookie": cookie} if cookie else {})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            set_cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0]
            return int(answer.read().split()[-1]), set_cookie or cookie


class Served(Process):
    """``python3 demo.py``, on a port that is free unless the arguments name one."""

    said = re.compile(r"Open (http://\S+:\d+) ")
    farewell = "Bye."

    def __init__(
        self, *arguments: str, end: signal.Signals = signal.SIGINT, cwd: Path | None = None, **env: str
    ) -> None:
        super().__init__([str(DEMO), "--port", "0", *arguments], cwd=cwd, end=end, **env)


class Workers(Process):
    """``gunicorn -w 4 demo:application``."""

    said = re.compile(r"Listening at: (http://\S+:\d+) ")

    def __init__(self, store: str, *, cwd: Path, **env: str) -> None:
        options = ["-w", "4", "--bind", "127.0.0.1:0", "--pythonpath", str(ROOT), "--graceful-timeout", "5"]
        command = ["-m", "gunicorn", *options, "demo:application"]
        super().__init__(command, cwd=cwd, end=signal.SIGTERM, WSGISESSION_STORE=store, **env)
