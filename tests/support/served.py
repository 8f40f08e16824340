"""Real WSGI servers, started with the command lines that the docs print, and a browser for them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.docs import ROOT, titled
from support.fresh import clone
from support.leaks import leaks
from support.ports import free_port as free_port
from support.web import SECRET

PAGE = "docs/how-to/servers.md"


class Browser:
    """Keeps its cookies, all of them; one connection per request, redirects are not followed."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.port = port
        self.cookies = dict(pair.split("=", 1) for pair in cookie.split("; ") if pair)

    @property
    def cookie(self) -> str:
        """What it sends."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def open(self, path: str, *, body: str | None = None) -> HTTPResponse:
        """Return an answer whose body is still to be read."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": self.cookie} if self.cookie else {}
        headers["Connection"] = "close"
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
        except BaseException:  # the server is not there yet, or no longer
            connection.close()
            raise
        if connection.sock is not None:  # some servers keep it open; it ends with the answer
            connection.sock.close()
        for header in answer.headers.get_all("Set-Cookie") or []:
            pair, *attributes = header.split("; ")
            name, _, value = pair.partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in attributes:
                del self.cookies[name]
        return answer

    def get(self, path: str) -> str:
        """Return what a page says."""
        with self.open(path) as answer:
            return answer.read().decode()


class Served:
    """A server process in a folder; leaving the block ends it with a signal, and it must end well."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        port: int,
        *,
        end: signal.Signals,
        processes: int = 1,
        ready: str = "/show",
    ) -> None:
        self.command, self.folder, self.port, self.end, self.processes = command, folder, port, end, processes
        self.ready = ready

    def __enter__(self) -> Served:
        paths = [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
        environ = {
            **os.environ,
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
            "SESSION_SECRET": SECRET,
            "HOME": str(self.folder),  # gunicorn keeps a control socket there
        }
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self._kill()
            raise
        return self

    def _wait(self) -> None:
        """Wait until each process has answered: one that is still starting may not hear the signal that ends it."""
        seen: set[str] = set()
        deadline = time.monotonic() + 60
        while len(seen) < self.processes:
            assert self.process.poll() is None and time.monotonic() < deadline, f"{seen} answered\n{self.log}"
            try:
                with Browser(self.port).open(self.ready) as answer:
                    answer.read()
                    seen.add(answer.headers.get("X-Process", "one"))
            except (OSError, HTTPException):
                time.sleep(0.02)

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            self.process.send_signal(self.end)
            code = self.process.wait(45)
        finally:
            self._kill()
            leaks.written(self.log)
        if kind is None:
            assert code == 0, f"exit code {code}\n{self.log}"

    def _kill(self) -> None:
        """Leave nothing behind."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def tracebacks(self) -> int:
        return self.log.count("Traceback (most recent call last)")


def eventually(ask: Callable[[], Any], expected: Any) -> bool:
    """Ask until the answer is the expected one, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, f"still {answer!r}, not {expected!r}"
        time.sleep(0.01)
    return True


def printed(title: str, folder: Path, port: int) -> list[str]:
    """Return a block of servers.md as a command, with the port and the folders of a test in place of the printed ones."""
    text = titled(PAGE, title)
    assert title == "mod_wsgi" or "8000" in text
    text = text.replace("8000", str(port))
    if title == "mod_wsgi":
        environment(folder)
        (folder / "shop.wsgi").write_text(titled(PAGE, "shop.wsgi").replace("/srv/shop", str(folder)))
        (folder / "secret").write_text(f"{SECRET}\n")
        # A service of the system does not have these.
        bare = ["env", "-u", "PYTHONPATH", "-u", "SESSION_SECRET"]
        return [*bare, *apache(text.replace("/srv/shop", str(folder)), folder, port, "wsgi")]
    if "import" in text:
        (folder / "serve.py").write_text(text)
        return [sys.executable, "serve.py"]
    return shlex.split(text.replace("\\\n", ""))


def apache(site: str, folder: Path, port: int, *modules: str) -> list[str]:
    """Write a whole configuration around a site's few lines, and return the command that serves it in the foreground."""
    modules = ("mpm_event", "authz_core", *modules)
    load = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in modules)
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/apache.pid\n"
        f"DefaultRuntimeDir {folder}\nErrorLog {folder}/log\n{load}"
        f"User www-data\nGroup www-data\n<IfModule wsgi_module>\nWSGISocketPrefix {folder}/wsgi\n</IfModule>\n{site}"
    )
    return ["apache2", "-f", str(folder / "apache.conf"), "-DFOREGROUND"]


def environment(folder: Path) -> None:
    """Make the virtual environment in a folder that the page asks for, with Debian's Python and this package."""
    path = folder / ".venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", path], check=True)
    [packages] = path.glob("lib/python3*/site-packages")
    with TemporaryDirectory() as source:
        clone(Path(source) / "wsgisession")
        options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", packages]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, f"{source}/wsgisession"], check=True
        )


def exit_lines(log: str) -> list[str]:
    """Return the log's lines that look like a crash."""
    return [
        line
        for line in log.splitlines()
        if re.search(r"segfault|Segmentation|core dumped|Exception ignored", line)
    ]
