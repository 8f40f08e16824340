"""docs/how-to/migrating.md against the libraries it names: each printed application under theirs and under ours."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from beaker.middleware import SessionMiddleware as Beaker
from beaker.session import Session as BeakerSession
from beaker.session import SessionObject
from support.docs import ROOT, titled
from support.frameworks import changed
from support.redis_servers import shared_redis
from webtest import TestApp

from wsgisession import Session

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/migrating.md"
# Theirs, and ours.
COOKIES = {
    "beaker": ("beaker.session.id", "sid"),
    "flask": ("session", "session"),
    "flask-session": ("session", "session"),
    "pyramid": ("session", "sid"),
}


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``application(title, ours)``: a printed application as it is, or changed as the page says."""
    monkeypatch.chdir(tmp_path)

    def made(title: str, *, ours: bool) -> Any:
        text = titled(PAGE, title)
        if ours:
            text = changed(text, titled(PAGE, f"from {title}"))
        if "redis://" in text:
            text = text.replace("localhost:6379", f"localhost:{shared_redis().port}")
        page = ModuleType("page")
        monkeypatch.setitem(sys.modules, "page", page)  # Pyramid asks who calls it
        exec(text, page.__dict__)
        return page.app

    return made


@pytest.mark.parametrize("title", COOKIES)
@pytest.mark.parametrize("ours", [False, True], ids=["theirs", "ours"])
def test_the_same_application_under_both(title: str, ours: bool, application: Callable[..., Any]) -> None:
    """It counts alike, for each browser on its own; our cookie is signed."""
    app = application(title, ours=ours)
    one, two = TestApp(app, lint=False), TestApp(app, lint=False)
    assert [browser.get("/").text for browser in (one, one, two, one)] == ["1", "2", "1", "3"]
    assert one.cookies.keys() == {COOKIES[title][ours]}
    [value] = one.cookies.values()
    assert (re.fullmatch(r"[\w-]{43}\.[\w-]{43}", value) is not None) is ours


def test_beakers_members_that_are_not_here() -> None:
    """The page's sentence names them all."""
    [sentence] = re.findall(r"`AttributeError` here: (.*?)\.\n", (ROOT / PAGE).read_text(), re.DOTALL)
    theirs = {
        name for name in {*dir(BeakerSession), *dir(SessionObject)} - {*dir(dict)} if not name.startswith("_")
    }
    theirs |= {"id", "is_new", "last_accessed"}  # set on the instance
    assert set(re.findall(r"`(\w+)`", sentence)) == theirs - {*dir(Session)} - {"serialize_cookie_date"}


def beakers_defaults() -> dict[str, Any]:
    signature = inspect.signature(BeakerSession.__init__)
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    return {f"session.{name}": value for name, value in (defaults | Beaker(None).options).items()}


def flask_sessions_defaults() -> dict[str, Any]:
    from flask import Flask
    from flask_session.defaults import Defaults

    return {**Flask.default_config, **vars(Defaults)}


def djangos_defaults() -> dict[str, Any]:
    from django.conf import global_settings

    return vars(global_settings)


@pytest.mark.parametrize(
    ("section", "defaults", "settings"),
    [
        ("Beaker", beakers_defaults, 10),
        ("Flask-Session", flask_sessions_defaults, 8),
        ("Django's sessions", djangos_defaults, 4),
    ],
    ids=["beaker", "flask-session", "django"],
)
def test_their_defaults(section: str, defaults: Callable[[], dict[str, Any]], settings: int) -> None:
    """What stands in brackets behind a setting is its default."""
    text = (ROOT / PAGE).read_text().partition(f"## From {section}\n")[2].partition("\n## ")[0]
    printed = dict(re.findall(r"`([\w.]+)` \(`([^`]+)`", text))
    assert len(printed) == settings and printed == {name: str(defaults()[name]) for name in printed}
