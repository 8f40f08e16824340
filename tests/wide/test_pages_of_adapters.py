"""The smaller examples on the pages of Flask and Pyramid, as they are printed."""

from __future__ import annotations

import os
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import flask
import pytest
from pyramid.config import Configurator
from support.docs import titled
from support.frameworks import PAGES, load
from support.web import SECRET

from wsgisession import Cookie
from wsgisession.flask import Sessions

pytestmark = pytest.mark.wide

FLASK, PYRAMID = PAGES.format("flask"), PAGES.format("pyramid")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_SECRET", SECRET)


def run(page: str, title: str, **names: Any) -> dict[str, Any]:
    exec(titled(page, title), names)
    return names


def test_flask_two_lines() -> None:
    """They give an application its sessions."""
    app = flask.Flask("shop")
    app.secret_key = SECRET
    run(FLASK, "two lines", app=app)
    with app.test_client().session_transaction() as session:
        session["n"] = 1
    assert app.extensions["wsgisession"].manager.count() == 1


def test_flask_factory() -> None:
    """Each application that it makes has sessions."""
    names = run(FLASK, "factory", Sessions=Sessions, Flask=flask.Flask, os=os, __name__="shop")
    with names["create_app"]().app_context():
        assert names["sessions"].manager.count() == 0


def test_pyramid_one_line() -> None:
    """It sets the session factory."""
    config = run(PYRAMID, "one line", Configurator=Configurator, secret=SECRET)["config"]
    assert config.registry["wsgisession.manager"].count() == 0


def test_pyramid_settings_file() -> None:
    """The lines of the file are read as they are."""
    parser = ConfigParser(delimiters=("=",))
    parser.read_string("[app:main]\n" + titled(PYRAMID, "settings"))
    config = Configurator(settings=dict(parser["app:main"]))
    config.include("wsgisession.pyramid")
    assert config.registry["wsgisession.manager"].cookie == Cookie(name="shop", secure=True)


@pytest.mark.parametrize("name", ["flask", "pyramid"])
def test_in_tests(name: str) -> None:
    """The page's test passes in the page's application, which answers JSON."""
    application = load(name).application
    run(PAGES.format(name), "test", app=application, application=application)
