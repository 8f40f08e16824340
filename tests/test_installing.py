"""How the pages say to install it: from a clone. The name on the package index belongs to another project."""

from __future__ import annotations

import re

import pytest
from support.docs import ROOT, titled
from support.frameworks import RECIPES

FILES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "demo.py")]
FILES += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "wsgisession").rglob("*.py")]
INSTALL = re.compile(r"\b(?:pip\d?|uv|poetry|pdm) (?:install|add)\b(.*)")
BY_NAME = re.compile(r"(?<![\w./-])wsgisession(?![\w/])", re.IGNORECASE)


def test_nothing_is_installed_by_its_name() -> None:
    """No page and no message prints a line that would fetch the other project."""
    lines = [(path, line) for path in FILES for line in INSTALL.findall(path.read_text(encoding="utf-8"))]
    assert [(path, line) for path, line in lines if BY_NAME.search(line)] == []


@pytest.mark.parametrize(
    "line", ["wsgisession flask", '"wsgisession[redis]"', "-U WSGISession", "wsgisession==1.0"]
)
def test_a_name_is_noticed(line: str) -> None:
    """As are its other spellings; a path to a clone is none."""
    assert BY_NAME.search(line) and not BY_NAME.search(re.sub("(?i)wsgisession", "./wsgisession", line))


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_prints_the_lines_that_are_tried(name: str) -> None:
    """Those of Flask's page, which ``tests/wide/test_installed_as_printed.py`` types, but for the framework."""

    def lines(name: str) -> str:
        return re.sub(
            r"(?<= ../wsgisession )(?:\S+ )?(?=waitress$)",
            "",
            titled(RECIPES[name].path, "run"),
            flags=re.MULTILINE,
        )

    assert lines(name) == lines("flask")
    assert titled(RECIPES[name].path, "folder") == titled(RECIPES["flask"].path, "folder")


def test_no_file_is_saved_beside_the_clone() -> None:
    """There, ``import wsgisession`` could find the folder of the clone, which is no package."""
    beside = re.compile(r"beside\s+(?:your|the|a)\s+clone")
    assert [path for path in FILES if beside.search(path.read_text(encoding="utf-8"))] == []
