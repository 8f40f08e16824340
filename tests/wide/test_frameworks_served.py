"""The framework pages as a reader follows them: app.py saved, started with the printed line, driven by several clients."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.docs import titled
from support.frameworks import PAGES, RECIPES, save
from support.served import Browser, Served, eventually, free_port

pytestmark = pytest.mark.wide


def serve(name: str, folder: Path, port: int) -> Served:
    save(RECIPES[name], folder)
    # The lines before it are typed in test_installing.py.
    line = titled(RECIPES[name].path, "run").splitlines()[-1]
    command = shlex.split(line.replace("8000", str(port)))
    return Served(command, folder, port, end=signal.SIGINT, ready="/")


def post(browser: Browser, path: str, form: str = "") -> None:
    with browser.open(path, body=form) as answer:
        answer.read()
        assert answer.status in (302, 303)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_as_its_reader_runs_it(name: str, tmp_path: Path) -> None:
    """Started with the printed line; nothing in the log, and no advice of ours."""
    port = free_port()
    with serve(name, tmp_path, port) as server:
        six_clients_shop(port)
    assert server.tracebacks == 0 and "reason=" not in server.log


def test_cherrypys_own_server(tmp_path: Path) -> None:
    """Serves what the page grafts, and ends in peace."""
    port = free_port()
    save(RECIPES["cherrypy"], tmp_path)
    script = tmp_path / "serve.py"
    script.write_text(script.read_text().replace("8000", str(port)))
    with Served([sys.executable, "serve.py"], tmp_path, port, end=signal.SIGINT, ready="/") as server:
        six_clients_shop(port)
        with Browser(port).open("/") as answer:
            assert (answer.headers["Server"] or "").startswith("CherryPy/")
        # It answers before; Ctrl-C would not end it yet.
        assert eventually(lambda: "Bus STARTED" in server.log, True)
    assert server.tracebacks == 0


def six_clients_shop(port: int) -> None:
    """Six clients of one session add four items each: all are there; login, stream and logout."""
    browser = Browser(port)
    post(browser, "/login", "user=ada")

    def work(number: int) -> None:
        for turn in range(4):
            post(Browser(port, browser.cookie), "/cart/add", f"sku=sku{number}-{turn}&qty=1")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    shown = json.loads(browser.get("/"))
    skus = sorted(item["sku"] for item in shown["cart"]["items"])
    assert shown["owner"] == "ada" and skus == sorted(
        f"sku{number}-{turn}" for number in range(6) for turn in range(4)
    )
    assert len(browser.get("/stream").splitlines()) == 24
    assert eventually(lambda: json.loads(browser.get("/"))["streamed"], 24)
    cookie = browser.cookie
    post(browser, "/logout")
    assert browser.cookies == {} and json.loads(Browser(port, cookie).get("/"))["owner"] is None


@pytest.mark.parametrize("name", RECIPES)
def test_the_walk_on_the_index_page(name: str, tmp_path: Path) -> None:
    """Each printed command prints what is printed under it, in every framework."""
    port = free_port()
    walk = titled(PAGES.format("index"), "walk").replace("8000", str(port))
    with serve(name, tmp_path, port):
        for step in walk.split("$ ")[1:]:
            command, expected = step.split("\n", 1)
            done = subprocess.run(
                shlex.split(command), cwd=tmp_path, capture_output=True, text=True, timeout=30
            )
            assert done.stdout.strip() == expected.strip(), command
