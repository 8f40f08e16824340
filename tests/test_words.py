"""Plain English: the habits of writing that can be found by a pattern."""

from __future__ import annotations

import re

import pytest
from support.docs import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = sorted((ROOT / "wsgisession").rglob("*.py"))
HABITS = re.compile(
    r"\banew\b|, say[,.:;)]|\bhe\b|\bhis\b|\bhave not\b(?! been)|\bmind the\b|\bof its own accord\b"
    r"|\bhas not\b(?! (?:been|\w+ed\b))|\bno \w+ any more\b|\bthe same but for\b|\bon account of\b|\bgoes without saying\b"
    r"|\bfor a visitor could\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", [*PAGES, *MODULES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_habits(path: object) -> None:
    """Visitors are "they"; "again", not "anew"; "for example", not "say"; "does not have", not "has not"."""
