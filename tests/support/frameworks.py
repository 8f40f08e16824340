"""The applications on the framework pages, loaded as a reader would have them: saved, and changed where a page says so."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from support.docs import blocks, titled
from support.web import SECRET

from wsgisession import SessionManager

PAGES = "docs/how-to/frameworks/{}.md"


class Recipe(NamedTuple):
    """A page, and the name of the cookie in its application."""

    page: str
    cookie: str = "sid"

    @property
    def path(self) -> str:
        return PAGES.format(self.page)


RECIPES = {
    "plain": Recipe("plain"),
    "flask": Recipe("flask", "session"),
    "bottle": Recipe("bottle"),
    "pyramid": Recipe("pyramid"),
    "falcon": Recipe("falcon"),
    "werkzeug": Recipe("werkzeug"),
    "web.py": Recipe("webpy"),
    "cherrypy": Recipe("cherrypy"),
}


def changed(text: str, diff: str) -> str:
    """Make the changes of a diff block: after each run of unmarked lines, ``-`` lines give way to ``+`` lines."""
    hunks = re.findall(r"((?:^ .*\n)*)((?:^-.*\n)*)((?:^\+.*\n)*)", diff, re.MULTILINE)
    assert "".join(map("".join, hunks)) == diff, "a line without a mark"
    for context, old, new in filter(any, hunks):
        before, after = (re.sub(r"^[ +-]", "", context + side, flags=re.MULTILINE) for side in (old, new))
        assert text.count(before) == 1, (
            f"the page replaces what its application does not have once:\n{before}"
        )
        text = text.replace(before, after)
    return text


def save(recipe: Recipe, folder: Path, port: int = 8000) -> Path:
    """Save what the page prints into a folder, and return the path of ``app.py``."""
    for block in blocks(recipe.path, "python"):
        if block.title and block.title.endswith(".py"):
            (folder / block.title).write_text(block.text.replace("8000", str(port)))
    return folder / "app.py"


@cache
def load(name: str) -> Any:
    """Import a recipe's ``app.py`` from a folder of its own, once per process."""
    folder = Path(mkdtemp(prefix="recipe"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = save(RECIPES[name], folder)
    module = "recipe_" + re.sub(r"\W", "_", name)
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None and spec.loader is not None
    sys.modules[module] = loaded = importlib.util.module_from_spec(spec)
    before, environ = os.getcwd(), os.environ.get("SESSION_SECRET")
    os.chdir(folder)  # where sessions.db goes
    os.environ["SESSION_SECRET"] = SECRET
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(loaded)
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        sys.modules.pop("sessions", None)  # two pages have one
        os.environ.pop("SESSION_SECRET")
        if environ is not None:
            os.environ["SESSION_SECRET"] = environ
    return loaded


def manager(name: str) -> SessionManager:
    """Return the sessions of a recipe's application: those of the application itself, or of its adapter."""
    application = load(name).application
    if name == "pyramid":
        found = application.registry["wsgisession.manager"]
    else:
        found = (application.extensions["wsgisession"] if name == "flask" else application).manager
    assert isinstance(found, SessionManager)
    return found


def lines_of(recipe: Recipe) -> int:
    """Return how many lines of code a reader has to paste."""
    return sum(1 for line in titled(recipe.path, "app.py").splitlines() if line.strip())
