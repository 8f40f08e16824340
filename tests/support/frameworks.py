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
from types import ModuleType
from typing import Any, NamedTuple

from support.docs import blocks, titled
from support.web import SECRET

from wsgisession import SessionMiddleware

PAGES = "docs/how-to/frameworks/{}.md"


class Recipe(NamedTuple):
    """A page, and whether its reader also makes the changes it offers further down."""

    page: str
    changed: bool = False

    @property
    def path(self) -> str:
        return PAGES.format(self.page)


RECIPES = {
    "plain": Recipe("plain"),
    "flask": Recipe("flask"),
    "flask.session": Recipe("flask", changed=True),
    "bottle": Recipe("bottle"),
    "pyramid": Recipe("pyramid"),
    "pyramid session factory": Recipe("pyramid", changed=True),
    "falcon": Recipe("falcon"),
    "werkzeug": Recipe("werkzeug"),
    "web.py": Recipe("webpy"),
    "cherrypy": Recipe("cherrypy"),
}


def changed(text: str, diff: str) -> str:
    """Make the changes of a diff block: each run of ``-`` lines is replaced by the ``+`` lines under it."""
    hunks = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", diff, re.MULTILINE)
    assert "".join(old + new for old, new in hunks) == diff, "a line that is neither replaced nor a replacement"
    for old, new in hunks:
        before, after = (re.sub(r"^[-+]", "", side, flags=re.MULTILINE) for side in (old, new))
        assert text.count(before) == 1, f"the page replaces what its application does not have once:\n{before}"
        text = text.replace(before, after)
    return text


def save(recipe: Recipe, folder: Path) -> Path:
    """Save what the page prints into a folder, and return the path of ``app.py``."""
    for block in blocks(recipe.path, "python"):
        if block.title and block.title.endswith(".py") and block.title != "app.py":
            (folder / block.title).write_text(block.text)
    app = titled(recipe.path, "app.py")
    if recipe.changed:
        app = changed(app, titled(recipe.path, "changes"))
    (folder / "app.py").write_text(app)
    return folder / "app.py"


def module(name: str, folder: Path) -> ModuleType:
    """Return the ``sessions.py`` that a recipe's page prints."""
    save(RECIPES[name], folder)
    loaded = ModuleType("sessions")
    exec((folder / "sessions.py").read_text(), loaded.__dict__)
    return loaded


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


def middleware(name: str) -> SessionMiddleware:
    """Return the middleware of a recipe's application: the application itself, or what Flask keeps."""
    application = load(name).application
    found = application if isinstance(application, SessionMiddleware) else application.wsgi_app
    assert isinstance(found, SessionMiddleware)
    return found


def lines_of(recipe: Recipe) -> int:
    """Return how many lines of code a reader has to paste."""
    return sum(1 for line in titled(recipe.path, "app.py").splitlines() if line.strip())
