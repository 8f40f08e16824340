"""The framework pages as a reader follows them: app.py saved, started with the printed line, driven by several clients."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import pytest
from support.docs import check_console, titled
from support.frameworks import PAGES, RECIPES, save
from support.served import Browser, Served, eventually, free_port

pytestmark = pytest.mark.wide

INDEX = PAGES.format("index")


def serve(name: str, folder: Path, port: int, command: list[str]) -> Served:
    save(RECIPES[name], folder, port)
    return Served(command, folder, port, end=signal.SIGINT, ready="/")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_as_its_reader_runs_it(name: str, tmp_path: Path) -> None:
    """Started with the printed line; nothing in the log, and no advice of ours."""
    port = free_port()
    # The lines before it are typed in test_installing.py.
    line = titled(RECIPES[name].path, "run").splitlines()[-1]
    with serve(name, tmp_path, port, shlex.split(line.replace("8000", str(port)))) as server:
        check_console(INDEX, "walk", tmp_path, port)
    assert server.tracebacks == 0 and "reason=" not in server.log


def test_cherrypys_own_server(tmp_path: Path) -> None:
    """Serves what the page grafts, and ends in peace."""
    port = free_port()
    with serve("cherrypy", tmp_path, port, [sys.executable, "serve.py"]) as server:
        check_console(INDEX, "walk", tmp_path, port)
        with Browser(port).open("/") as answer:
            assert (answer.headers["Server"] or "").startswith("CherryPy/")
        # It answers before; Ctrl-C would not end it yet.
        assert eventually(lambda: "Bus STARTED" in server.log, True)
    assert server.tracebacks == 0
