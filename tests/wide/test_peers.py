"""What other projects test of themselves, with our sessions in place of theirs, and behind our middleware."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.docs import ROOT
from support.peers import (
    BOTTLE,
    FLASK,
    FLASK_LOGIN,
    FLASK_WTF,
    PAGE,
    PYRAMID,
    PYRAMID_SESSIONS,
    WEBOB,
    WERKZEUG,
    differences,
    home,
    outcomes,
    printed,
)

pytestmark = [pytest.mark.wide, pytest.mark.timeout(400)]

ADAPTED = {
    "Flask": (FLASK, "on_flask"),
    "Flask-WTF": (FLASK_WTF, "on_flask"),
    "Flask-Login": (FLASK_LOGIN, "on_flask"),
    "Pyramid's sessions": (PYRAMID_SESSIONS, "on_pyramid"),
}
WRAPPED = {"Flask": FLASK, "Werkzeug": WERKZEUG, "Bottle": BOTTLE, "WebOb": WEBOB, "Pyramid": PYRAMID}


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """Downloaded before the first test's time is measured."""
    home()


def rows(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of the table under a heading, by their first cell."""
    text = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line for line in text.partition("\n### ")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]
    return {name: tuple(numbers) for name, *numbers in cells}


@pytest.mark.parametrize("name", ADAPTED)
def test_our_sessions_in_their_place(name: str) -> None:
    """The page names every test that ends otherwise, and says why; its numbers are these."""
    suite, plugin = ADAPTED[name]
    with ThreadPoolExecutor(2) as pool:
        before, after = pool.map(lambda plugin: outcomes(suite, plugin), (None, plugin))
    differ = differences(before, after)
    assert differ == printed(name).keys()
    passed = len(before) - len(differ)
    assert rows("With our sessions in place of theirs")[f"{name} {suite.version}"] == (
        f"{len(before):,}",
        f"{passed:,}",
    )


@pytest.mark.parametrize("name", WRAPPED)
def test_nobody_sees_the_middleware(name: str) -> None:
    """Around every application, touched or not: no test ends otherwise."""
    suite, wrapped = WRAPPED[name], WRAPPED[name].name
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(outcomes, suite)
        untouched = pool.submit(outcomes, suite, "transparent", wrapped)
        touched = outcomes(suite, "transparent", wrapped, "touch") if untouched.result() else {}
    assert differences(before.result(), untouched.result()) == set() == differences(before.result(), touched)
    assert rows("Behind our middleware")[f"{name} {suite.version}"] == (f"{len(touched):,}", "0", "0")


def test_the_page_names_all_of_them() -> None:
    """And nothing else."""
    assert len(rows("With our sessions in place of theirs")) == len(ADAPTED)
    assert len(rows("Behind our middleware")) == len(WRAPPED)


def test_every_reason_is_a_sentence() -> None:
    """More than a word."""
    reasons = [reason for name in ADAPTED for reason in printed(name).values()]
    assert [reason for reason in reasons if not re.search(r"\w+ \w+ \w+", reason)] == []
