"""What the pages print, typed into a new terminal of somebody who has a clone and nothing else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.docs import blocks, check_console, titled
from support.frameworks import PAGES, RECIPES, save
from support.fresh import clone, typed
from support.served import Browser, Served, free_port

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

START = "docs/getting-started.md"
README = "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that holds a clone."""
    clone(tmp_path / "wsgisession")
    return tmp_path


def opened(lines: str, folder: Path, port: int, ready: str = "/") -> Served:
    """Return a server that the last of these lines starts, in a terminal whose virtual environment is active."""
    *before, last = lines.strip().splitlines()
    script = "\n".join(["unset PYTHONPATH", ". .venv/bin/activate", *before])
    if ready == "/":
        end, last = signal.SIGINT, f"exec {last}"
    else:  # wsgiref's program: no signal ends it well
        end, last = signal.SIGTERM, f"trap 'kill $!' TERM\n{last} &\nwait $! || exit 0"
    return Served(["bash", "-e", "-c", f"{script}\n{last}"], folder, port, end=end, ready=ready)


def test_from_a_clone_to_somebody_logged_in(folder: Path) -> None:
    """Flask's page, typed line by line: a new folder, an environment, a server, and curl's login, which the page
    answers with the user's name.
    """
    port = free_port()
    page = RECIPES["flask"].path
    typed(titled(page, "folder"), folder)
    shop = folder / "shop"
    save(RECIPES["flask"], shop)
    create, install, export, serve = titled(page, "run").replace("8000", str(port)).splitlines()
    typed(f"{create}\n. .venv/bin/activate\n{install}", shop)
    with opened(f"{export}\n{serve}", shop, port) as server:
        check_console(PAGES.format("index"), "walk", shop, port)
    assert server.tracebacks == 0


def test_getting_started_as_printed(folder: Path) -> None:
    """Installed, with a secret, the page's program counts in its new folder."""
    port = free_port()
    typed(titled(START, "install"), folder)
    here = folder / "counter"
    (here / "counter.py").write_text(titled(START, "counter.py").replace("8000", str(port)))
    with opened(titled(START, "secret") + titled(START, "run"), here, port, ready="/favicon.ico"):
        browser = Browser(port)
        assert [browser.get("/") for _ in range(2)] == ["Number of views 1", "Number of views 2"]


def test_the_readmes_line_installs_from_the_clone(folder: Path) -> None:
    """In a virtual environment, and its example is then a program in any other folder."""
    port = free_port()
    [install] = [block.text.strip() for block in blocks(README, "sh") if block.text.startswith("pip ")]
    [example] = blocks(README, "python")
    here = folder / "elsewhere"
    here.mkdir()
    (here / "counter.py").write_text(example.text.replace("8000", str(port)))
    typed(f"python3 -m venv .venv && . .venv/bin/activate\ncd ../wsgisession\n{install}", here)
    with opened("python counter.py", here, port, ready="/favicon.ico"):
        browser = Browser(port)
        assert [browser.get("/") for _ in range(2)] == ["Number of views 1", "Number of views 2"]
