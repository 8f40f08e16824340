"""The README: its example runs, every promise names its test, the options of the docs are the signature's."""

from __future__ import annotations

import re
from inspect import signature
from typing import Any

import pytest
import test_promises
from support.docs import ROOT, examples
from webtest import TestApp

from wsgisession import Cookie, SessionMiddleware

README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")


def test_the_example_counts_views() -> None:
    """Two browsers have two sessions, and a favicon is no view."""
    app = examples("README.md")["app"]
    one, two = TestApp(app), TestApp(app)
    favicon = one.get("/favicon.ico", status=404)
    assert "Set-Cookie" not in favicon.headers
    answers = [
        browser.get(path, status="*").text
        for browser, path in ((one, "/"), (one, "/x"), (one, "/"), (two, "/"))
    ]
    assert answers == ["Number of views 1", "Nothing here", "Number of views 2", "Number of views 1"]


def test_the_example_is_on_the_first_screen() -> None:
    """The example and the two commands come within the first forty lines."""
    assert README.split("-m pytest")[0].count("\n") < 40


def test_the_command_is_one() -> None:
    """Contributors are told to type what the README says and CI runs."""
    [command] = re.findall(r"^python3 -m venv .+$", README, re.MULTILINE)
    assert f"\n{command}\n" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_promise_names_its_test() -> None:
    """Nine promises, each with a test class or file that is there."""
    rows = [
        line
        for line in README.split("## Promises")[1].split("Their limits")[0].splitlines()
        if line.startswith("| **")
    ]
    named = [re.findall(r"\[(\w+)\]\((tests/[\w/]+\.py)\)", row) for row in rows]
    assert len(rows) == 9 and all(named)
    for name, path in (link for links in named for link in links):
        assert (ROOT / path).exists() and (hasattr(test_promises, name) or path.endswith(f"/{name}.py"))


def test_every_module_has_its_place() -> None:
    """The table of files names each module and folder of the package, and nothing else."""
    table = README.split("## Inside")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for name in re.findall(r"`([\w.]+/?)`", row)
    }
    package = ROOT / "wsgisession"
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert named == {path.name for path in package.glob("*.py")} - {"__init__.py"} | folders


@pytest.mark.parametrize(("built", "heading"), [(SessionMiddleware, "# Options"), (Cookie, "## The cookie")])
def test_the_options_are_the_signature(built: Any, heading: str) -> None:
    """Every option is in its table, with its default, and nothing else is."""
    table = OPTIONS.split(heading + "\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE))
    parameters = {name: each for name, each in signature(built).parameters.items() if name != "app"}
    assert list(rows) == list(parameters)
    for name, parameter in parameters.items():
        if isinstance(parameter.default, int | str):
            assert rows[name].strip("`") in (repr(parameter.default), f'"{parameter.default}"')


@pytest.mark.parametrize(
    "name", [*signature(SessionMiddleware).parameters, *signature(Cookie).parameters][1:]
)
def test_every_option_says_when_to_change_it(name: str) -> None:
    """And has an example that passes it. The first parameter, ``app``, is no option."""
    section = OPTIONS.split(f"\n### `{name}`\n")[1].split("\n##")[0]
    [example] = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert "Change it" in section and f"{name}=" in example
