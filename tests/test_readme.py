"""The README: every example runs, every link leads somewhere, every promise names its test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import test_promises
from support.web import Site
from webtest import TestApp

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """Run every Python block, in order, in one namespace; the first block's application is kept as ``first``."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, namespace)
        namespace.setdefault("first", namespace["app"])
    return namespace


def test_the_first_example_counts_views(examples: dict[str, Any]) -> None:
    """Two browsers have two sessions."""
    one, two = TestApp(examples["first"]), TestApp(examples["first"])
    assert [one.get("/").text, one.get("/").text, two.get("/").text] == [f"Number of views {number}" for number in (1, 2, 1)]


def test_login_and_logout(examples: dict[str, Any]) -> None:
    """As printed: a new id, the same data; the others end; logout ends it."""
    site = Site()
    other = site.start({}, "7")
    cookie = site.start({"cart": [1]})
    cookie = site.request(lambda s: examples["login"](s, 7), cookie).cookie
    fresh = site.request(examples["password_changed"], cookie).cookie
    assert fresh != cookie and site.read(fresh) == {"cart": [1]} and site.request(lambda s: s.owner, other).result is None
    assert site.request(examples["view"], fresh).result == 1
    site.request(examples["logout"], fresh)
    assert site.live() == []


def test_links_lead_somewhere() -> None:
    """Every relative link names a file."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_every_promise_names_its_test() -> None:
    """The classes are there."""
    named = re.findall(r"\[(Test\w+)\]\(tests/test_promises.py\)", README)
    assert len(named) == 9 and [name for name in named if not hasattr(test_promises, name)] == []


def test_the_options_table_is_the_signature() -> None:
    """Every option is there, with its default."""
    import inspect

    from wsgisession import SessionMiddleware

    table = README.split("## Options")[1].split("Those who need")[0]
    for name, parameter in inspect.signature(SessionMiddleware).parameters.items():
        if name not in ("app", "clock"):
            row = next(line for line in table.splitlines() if f"`{name}`" in line)
            if isinstance(parameter.default, int | str):
                assert str(parameter.default) in row
