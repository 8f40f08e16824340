"""Troubleshooting: the page has an entry for the words of each line of the log and of each error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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


def messages() -> Iterator[tuple[str, str]]:
    """Yield where a session's error is raised, and the longest piece of its message that is always the same."""
    for path in sorted(Path(wsgisession.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            if node.func.id in CLASSES:
                pieces = [
                    constant.value
                    for constant in ast.walk(node.args[0])
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
                ]
                longest = max(pieces, key=len, default="")
                if len(longest.split()) > 2:
                    yield f"{path.stem}:{node.lineno}", longest


MESSAGES = list(messages())


@pytest.mark.parametrize(("place", "message"), MESSAGES, ids=[place for place, _ in MESSAGES])
def test_each_message_is_found_by_its_words(place: str, message: str) -> None:
    """Four words in a row of each error that the library raises are on the page."""
    words = re.sub(r"^[A-Z]\w+: ", "", message).strip(" :;,.([").split()
    runs = [" ".join(words[start : start + 4]) for start in range(max(1, len(words) - 3))]
    assert any(run in WORDS for run in runs), message


def test_the_messages_are_collected() -> None:
    """Not only those of a few modules."""
    assert len(MESSAGES) > 25 and len({place.partition(":")[0] for place, _ in MESSAGES}) > 10


CAUSES = {
    *redis_errors.ON_THE_WAY.values(),
    *redis_errors.FROM_THE_SERVER.values(),
    *redis_errors.SYSTEM.values(),
    *(words for _, words in postgres_cause.CAUSES),
    *postgres_cause.POOL.values(),
    postgres_cause.SILENCE,
}


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_each_cause_of_a_failing_store_is_there(cause: str) -> None:
    """As it is printed."""
    assert f'*"{cause}"*' in PAGE


NOT_OURS = {  # Python's words, and SQLite's
    "cannot import name 'SessionMiddleware' from 'wsgisession' (unknown location)",
    "unable to open database file",
    "attempt to write a readonly database",
    "database or disk is full",
    "database disk image is malformed",
}
QUOTES = sorted(set(QUOTED.findall(PAGE)) - NOT_OURS)


def said() -> Iterator[str]:
    """Yield every text in the package's code, without the places where a value is put in."""
    for path in Path(wsgisession.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield " ".join(node.value.split())


SAID = "\n".join(said())


@pytest.mark.parametrize("quote", QUOTES)
def test_what_is_quoted_is_said(quote: str) -> None:
    """Three words in a row of each quoted message are in the code: the page names no message of yesterday."""
    words = quote.replace("…", " ").split()
    runs = [" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2))]
    assert any(run in SAID for run in runs)
