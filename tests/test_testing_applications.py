"""The pages about testing an application and about revocation, as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.docs import ROOT, blocks, examples, run
from support.web import Site

TESTING, REVOCATION = "docs/how-to/testing.md", "docs/how-to/revocation.md"
BLOCKS = {block.title: block for block in blocks(TESTING, "python")}


def application() -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    run(TESTING, BLOCKS["app.py"], namespace)
    return namespace


@pytest.mark.parametrize("title", ["webtest", "outside"])
def test_a_client_is_logged_in(title: str) -> None:
    """Each example of the page in its own application."""
    run(TESTING, BLOCKS[title], application())


def test_the_fixture(tmp_path: Path) -> None:
    """The page's application and its fixture, as a test file."""
    (tmp_path / "test_page.py").write_text(BLOCKS["app.py"].text + BLOCKS["fixture"].text)
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=."]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert "1 passed" in done.stdout, done.stdout


def test_every_example_is_run() -> None:
    """Those that need a framework are run among the wide tests."""
    assert set(BLOCKS) == {"app.py", "webtest", "outside", "fixture", "werkzeug", "django"}


def test_revocation() -> None:
    """The functions of the page do what their names say."""
    page, site = examples(REVOCATION), Site()
    here, there = (site.request(lambda session: page["log_in"](session, "ada")).cookie for _ in range(2))
    ((key, *_),) = site.request(page["elsewhere"], here).result
    assert (
        site.request(lambda session: page["end_one"](session, site.manager, session.key), here).result
        is False
    )
    assert site.request(lambda session: page["end_one"](session, site.manager, key), here).result is True
    assert site.request(lambda session: session.owner, there).result is None
    site.start({}, "ada")
    changed = site.request(page["change_password"], here)
    assert changed.result == 1 and site.request(lambda session: session.owner, changed.cookie).result == "ada"
    site.start({}, "ada")
    assert site.request(page["log_out_elsewhere"], changed.cookie).result == 1
    phone = site.start({"role": "admin"}, "ada")
    page["change_role"](site.manager, "ada", "reader")
    assert [site.read(cookie)["role"] for cookie in (changed.cookie, phone)] == ["reader", "reader"]
    assert site.request(page["log_out_elsewhere"], changed.cookie).result == 1
    key = site.request(lambda session: session.key, changed.cookie).result
    assert page["block_elsewhere"](site.manager, "ada", key) == 0
    assert page["block"](site.manager, "ada") == 1 and site.live() == []
    cookie = site.start({"a": 1})
    site.request(page["log_out"], cookie)
    assert site.live() == []
