"""What the pages print to install wsgisession, typed where only a clone is there; what is served then was installed by it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from support.docs import titled
from support.frameworks import RECIPES, save
from support.fresh import clone, typed
from support.served import Browser, Served, free_port

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

START = "docs/getting-started.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that holds a clone."""
    clone(tmp_path / "wsgisession")
    return tmp_path


def test_a_recipe_is_installed_as_printed(folder: Path) -> None:
    """Flask's page: its lines, one by one, end with a session that knows who logged in."""
    port = free_port()
    create, install, export, line = (
        titled(RECIPES["flask"].path, "run").replace("8000", str(port)).splitlines()
    )
    save(RECIPES["flask"], folder)
    typed(f"{create}\n{install}", folder)
    script = f"unset PYTHONPATH\n. .venv/bin/activate\n{export}\nexec {line}"
    with Served(["bash", "-e", "-c", script], folder, port, end=signal.SIGINT, ready="/") as server:
        browser = Browser(port)
        with browser.open("/login", body="user=ada") as answer:
            answer.read()
        assert json.loads(browser.get("/")) == {"owner": "ada"}
    assert server.tracebacks == 0


def test_getting_started_as_printed(folder: Path) -> None:
    """Installed, with a secret, the page's program finds the package and takes the secret."""
    (folder / "counter.py").write_text(titled(START, "counter.py"))
    typed(
        "\n".join([titled(START, "install"), titled(START, "secret"), "python3 -c 'import counter'"]), folder
    )
