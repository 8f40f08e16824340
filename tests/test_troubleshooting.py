"""Troubleshooting: the page has an entry for the words of each line of the log and of each error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support.docs import ROOT

import wsgisession
from wsgisession import SessionError
from wsgisession.diagnosis import REASONS
from wsgisession.stores import postgres_cause, redis_errors

PAGE = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
LOG = (ROOT / "docs/reference/log.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
ENTRIES = dict(re.findall(r"^### (.+)\n((?:(?!^##).*\n)*)", PAGE, re.MULTILINE))
QUOTED = re.compile(r'\*"(.+?)"\*')
CLASSES = sorted(
    name
    for name, found in vars(wsgisession).items()
    if isinstance(found, type) and issubclass(found, SessionError)
)


@pytest.mark.parametrize("reason", REASONS)
def test_each_warning_has_an_entry(reason: str) -> None:
    """Under its own name, with the words that its message begins with, and more than these."""
    entry = ENTRIES[reason]
    [quoted] = QUOTED.findall(entry)
    assert REASONS[reason].startswith(quoted) and len(quoted.split()) > 4
    assert len(entry.replace(quoted, "").split()) > 10


def test_each_event_of_the_log_is_there() -> None:
    """By its name: with an entry of its own, or among those about which nothing needs to be done."""
    events = set(re.findall(r"^\| `([a-z ]+)` \| (?:DEBUG|INFO|WARNING|ERROR)", LOG, re.MULTILINE))
    assert len(events) > 10
    for event in events:
        assert event in ENTRIES or f"`{event}`" in PAGE.split("## Other lines")[1].split("###")[0], event


@pytest.mark.parametrize("name", CLASSES)
def test_each_error_has_an_entry(name: str) -> None:
    """Under its class's name."""
    assert len(ENTRIES[name].split()) > 10


@pytest.fixture(scope="module")
def nodes() -> list[tuple[str, ast.AST]]:
    """Every node of the package's code, each with the name of its module."""
    paths = sorted(Path(wsgisession.__file__).parent.rglob("*.py"))
    return [(path.stem, node) for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))]


def texts(nodes: Iterable[ast.AST]) -> list[str]:
    """Return the texts among them: of a message, the pieces that are always the same."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def messages(nodes: list[tuple[str, ast.AST]]) -> Iterator[tuple[str, str]]:
    """Yield where a session's error is raised, and the longest piece of its message that is always the same."""
    for module, node in nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if node.func.id in CLASSES:
            longest = max(texts(ast.walk(node.args[0])), key=len, default="")
            if len(longest.split()) > 2:
                yield f"{module}:{node.lineno}", longest


def in_a_row(count: int, words: list[str]) -> list[str]:
    """Return every so many words in a row; all of them if there are fewer."""
    return [" ".join(words[start : start + count]) for start in range(max(1, len(words) - count + 1))]


def test_each_message_is_found_by_its_words(nodes: list[tuple[str, ast.AST]]) -> None:
    """Four words in a row of each error that the library raises are on the page."""
    found = dict(messages(nodes))
    missing = {}
    for place, message in found.items():
        words = re.sub(r"^[A-Z]\w+: ", "", message).strip(" :;,.([").split()
        if not any(run in WORDS for run in in_a_row(4, words)):
            missing[place] = message
    assert missing == {}
    assert len(found) > 25 and len({place.partition(":")[0] for place in found}) > 10


CAUSES = {
    *redis_errors.ON_THE_WAY.values(),
    *redis_errors.FROM_THE_SERVER.values(),
    *redis_errors.SYSTEM.values(),
    *postgres_cause.CAUSES.values(),
    *postgres_cause.POOL.values(),
    postgres_cause.SILENCE,
}


def test_each_cause_of_a_failing_store_is_there() -> None:
    """As it is printed."""
    assert [cause for cause in sorted(CAUSES) if f'*"{cause}"*' not in PAGE] == []


NOT_OURS = {  # Python's words, and SQLite's
    "cannot import name 'SessionMiddleware' from 'wsgisession' (unknown location)",
    "unable to open database file",
    "attempt to write a readonly database",
    "database or disk is full",
    "database disk image is malformed",
}
QUOTES = sorted(set(QUOTED.findall(PAGE)) - NOT_OURS)


def test_what_is_quoted_is_said(nodes: list[tuple[str, ast.AST]]) -> None:
    """Three words in a row of each quoted message are in the code: the page names no message of yesterday."""
    said = "\n".join(" ".join(text.split()) for text in texts(node for _, node in nodes))
    assert len(QUOTES) > 100
    yesterdays = [
        quote
        for quote in QUOTES
        if not any(run in said for run in in_a_row(3, quote.replace("…", " ").split()))
    ]
    assert yesterdays == []
