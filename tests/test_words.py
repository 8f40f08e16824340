"""Plain English: the habits of writing that a pattern can find. The others are found by reading aloud."""

from __future__ import annotations

import re
from pathlib import Path

from support.docs import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "demo.py")]
PAGES += [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "wsgisession").rglob("*.py"))]
PAGES += sorted((ROOT / "tests").rglob("*.py"))
PAGES.remove(Path(__file__).resolve())
HABITS = {
    "again": r"\banew\b|\bafresh\b",
    "for example": r", say[,.:;)]",
    "they": r"\b(?:he|his|him)\b",
    "does not have": r"\bha(?:s|ve) not\b(?! been\b| (?:yet )?\w+(?:ed|et|ut|rt|wn)\b)",
    "type, or remember": r"\bmind the\b",
    "by itself": r"\bof its own accord\b",
    "because of": r"\bon account of\b",
    "if": r"\b(?:true|false|none) where\b",
    "the usual order": r"\bfor a visitor could\b|\bgoes without saying\b|\bthe same but for\b|(?:^|[.;:] )Only then\b",
    "somebody who, or the one that": r"\b(?:whoever|whomever|whichever|wherever)\b",
    "only, or except": r"\bmerely\b|\b(?:nothing|anything|none|nobody|everything|all) but\b",
    "so": r"\b(?:hence|thus|thereby|whereby|henceforth)\b",
    "so that … not": r"\blest\b",
    "and not": r"^(?!.*\bneither\b).*(?:,| and) nor\b",
    "for ever, or without an answer": r"\bfor good\b|\bin vain\b",
    "the same": r"\blikewise\b",
    "its name again": r"\bthe latter\b",
    "if, and the usual order": r"(?:^|[.;:] )Should (?:an?|the|it|this|somebody|anybody|nobody)\b",
    "because": r"(?:^|, )(?:since|for) (?:it|they|there|nobody|nothing|neither)\b",
    "make somebody wait": r"\bh(?:old(?:s|ing)?|eld) up\b",
    "make sure": r"\bsees? to it\b",
    "there, or easily": r"\bat (?:hand|a glance)\b|\bfor all to see\b",
    "one of the two versions": r"^(?:<{7}|={7}|>{7})(?: |$)",
}


def test_words() -> None:
    """No line has a habit that another word would spare the reader."""
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for better, habit in HABITS.items():
            for match in re.finditer(habit, text, re.IGNORECASE | re.MULTILINE):
                number = text.count("\n", 0, match.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{number}: write {better!r} for {match[0].strip()!r}")
    assert found == []
