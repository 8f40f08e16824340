"""Without what Linux has and other systems lack: memory, SQLite, the demo and the command line work.

Windows has no fork, none of these modules, and no signal but a few; macOS may have no ``/proc``. A process is started
from which they have been taken away before anything else is imported.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from support.docs import ROOT

LACKING = """
import builtins, importlib.abc, os, signal, sys

NO_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NO_OS = (
    "chown fchmod fchown fork forkpty geteuid getegid getgid getuid killpg lchown mkfifo nice"
    " posix_spawn register_at_fork sched_getaffinity setsid statvfs sysconf uname wait3 wait4 O_CLOEXEC O_DIRECTORY"
    " O_NOFOLLOW O_NONBLOCK"
).split()
NO_SIGNALS = "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGCONT SIGUSR1 SIGUSR2 setitimer alarm".split()

for name in [name for name in list(sys.modules) if name in NO_MODULES]:
    del sys.modules[name]


class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in NO_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
import selectors, socketserver, subprocess, tempfile, threading, random  # they look at the system that there really is

for name in NO_OS:
    if hasattr(os, name):
        delattr(os, name)
for name in NO_SIGNALS:
    if hasattr(signal, name):
        delattr(signal, name)
chmod = os.chmod


def only_the_read_only_flag(path, mode, **options):
    chmod(path, 0o666 if mode & 0o200 else 0o444)


os.chmod = only_the_read_only_flag
"""
STORES = """
from wsgisession import MemoryStore, SessionManager
from wsgisession.stores import SQLiteStore

for store in (MemoryStore(), SQLiteStore("sessions.db")):
    manager = SessionManager(store, secret="x" * 16 + "y" * 16)
    cookie = manager.issue({"list": [1]}, "ada")
    session = manager.from_cookie(cookie)
    session["list"].append(2)
    assert session.save()
    assert manager.from_cookie(cookie)["list"] == [1, 2]
    assert [info.owner for info in manager.sessions()] == ["ada"]
    assert (manager.purge(), manager.count(), manager.destroy_owned("ada"), manager.count()) == (0, 1, 1, 0)
    store.close()
again = SQLiteStore("sessions.db")
assert list(again.keys()) == []
again.close()
print("fine")
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a process on such a system."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lacking.py").write_text(LACKING)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "elsewhere"), str(ROOT)])}


def run(code: str, environ: dict[str, str], place: Path) -> str:
    """Run Python code on such a system; return what it printed."""
    command = [sys.executable, "-c", "import lacking\n" + code]
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_such_a_system_is_there(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """What was taken away is away, or the tests below would say nothing."""
    code = """
import importlib.util, os, signal
assert not hasattr(os, "fork") and not hasattr(os, "register_at_fork") and not hasattr(signal, "SIGKILL")
for name in ("fcntl", "pwd"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(name)
"""
    assert run(code, elsewhere, tmp_path) == ""


def test_memory_and_sqlite(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """Sessions are made, changed, found, listed and ended."""
    assert run(STORES, elsewhere, tmp_path) == "fine\n"


def test_check(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """``python -m wsgisession check`` finds nothing that is wrong."""
    run("from wsgisession.stores import SQLiteStore\nSQLiteStore('s.db').purge()", elsewhere, tmp_path)
    code = "import runpy, sys; sys.argv[1:] = ['check', '--json', 'sqlite:///s.db']; sys.argv[0] = 'wsgisession'\n"
    code += "runpy.run_module('wsgisession', run_name='__main__', alter_sys=True)"
    assert json.loads(run(code, elsewhere, tmp_path))["findings"] == []


def test_the_demo(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """It starts, counts views in a file, and says goodbye when it is interrupted."""
    code = "import lacking, runpy, sys; sys.argv = ['demo.py', '--port', '0']\n"
    code += f"runpy.run_path({str(ROOT / 'demo.py')!r}, run_name='__main__')"
    environ = {**elsewhere, "WSGISESSION_STORE": "sqlite:///demo.db"}
    demo = subprocess.Popen(
        [sys.executable, "-u", "-c", code], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
    )
    with demo:
        assert demo.stdout is not None
        timer = threading.Timer(60, demo.kill)
        timer.start()
        url = next(found[1] for line in demo.stdout if (found := re.search(r"Open (http://\S+)", line)))
        cookie = ""
        for number in (1, 2):
            request = urllib.request.Request(
                url.rstrip("/") + "/views", headers={"Cookie": cookie} if cookie else {}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert int(answer.read().split()[-1]) == number
                cookie = (answer.headers["Set-Cookie"] or "").partition(";")[0] or cookie
        demo.send_signal(signal.SIGINT)  # Ctrl-C, on Windows too
        assert "Bye." in demo.stdout.read()
        timer.cancel()
    assert demo.returncode == 0
    assert (tmp_path / "demo.db").exists()
