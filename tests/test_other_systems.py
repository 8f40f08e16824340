"""Without what Linux has and other systems lack: memory, SQLite, the demo and the command line work.

Windows has no fork, none of these modules, and no signal but a few; macOS may have no ``/proc``. A process is started
from which they have been taken away before anything else is imported.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo_process import Process
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


def command(code: str) -> list[str]:
    return [sys.executable, "-c", "import lacking\n" + code]


def run(code: str, environ: dict[str, str], place: Path) -> str:
    """Run Python code on such a system; return what it printed."""
    done = subprocess.run(command(code), cwd=place, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_such_a_system_is_there(elsewhere: dict[str, str], tmp_path: Path) -> None:
    """What was taken away is away, or the tests below would say nothing."""
    code = "import os, signal\nprint(hasattr(os, 'fork'), hasattr(signal, 'SIGKILL'))\nimport fcntl"
    done = subprocess.run(command(code), cwd=tmp_path, env=elsewhere, capture_output=True, text=True)
    assert done.stdout == "False False\n"
    # Python 3.15 says it in other words.
    assert "ModuleNotFoundError" in done.stderr and "'fcntl'" in done.stderr


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
    environ = {"PYTHONPATH": elsewhere["PYTHONPATH"], "WSGISESSION_STORE": "sqlite:///demo.db"}
    # Ctrl-C ends it, on Windows too.
    with Process(["-u", "-c", code], cwd=tmp_path, end=signal.SIGINT, **environ) as site:
        first, cookie = site.views()
        assert (first, site.views(cookie)[0]) == (1, 2)
    assert "Bye." in site.out and (tmp_path / "demo.db").exists()
