"""What other projects test of themselves, with our sessions in place of theirs, and behind our middleware."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import peers
from support.peers import ADAPTERS, BEHIND, differences, home, printed, rows, run

pytestmark = [pytest.mark.wide, pytest.mark.timeout(400)]

ADAPTED = {
    "Flask": (peers.FLASK, "on_flask"),
    "Flask-WTF": (peers.FLASK_WTF, "on_flask"),
    "Flask-Login": (peers.FLASK_LOGIN, "on_flask"),
    "Pyramid's sessions": (peers.PYRAMID_SESSIONS, "on_pyramid"),
}
WRAPPED = {
    "Flask": peers.FLASK,
    "Werkzeug": peers.WERKZEUG,
    "Bottle": peers.BOTTLE,
    "WebOb": peers.WEBOB,
    "Pyramid": peers.PYRAMID,
}


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """Downloaded before the first test's time is measured."""
    home()


@pytest.mark.parametrize("name", ADAPTED)
def test_our_sessions_in_their_place(name: str) -> None:
    """The page names every test that ends otherwise, and says why; its numbers are these."""
    suite, plugin = ADAPTED[name]
    with ThreadPoolExecutor(2) as pool:
        before, after = pool.map(lambda plugin: run(suite, plugin), (None, plugin))
    assert before.requests == 0 < after.requests
    assert differences(before, after) == printed(name).keys()
    numbers = len(before.outcomes), before.passed, after.passed
    assert rows(ADAPTERS)[f"{name} {suite.version}"] == tuple(f"{number:,}" for number in numbers)


def test_as_many_of_flasks_as_we_promise() -> None:
    """With the adapter: of 490, at most six fail."""
    assert run(peers.FLASK, "on_flask").passed >= 484


@pytest.mark.parametrize("name", WRAPPED)
def test_nobody_sees_the_middleware(name: str) -> None:
    """Around every application, touched or not: no test ends otherwise."""
    suite, wrapped = WRAPPED[name], WRAPPED[name].name
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(run, suite)
        untouched = pool.submit(run, suite, "transparent", wrapped).result()
        touched = run(suite, "transparent", wrapped, "touch")
    assert before.result().requests == 0 < untouched.requests == touched.requests
    assert differences(before.result(), untouched) == set() == differences(before.result(), touched)
    assert rows(BEHIND)[f"{name} {suite.version}"] == (f"{len(touched.outcomes):,}", "0", "0")


def test_the_page_names_all_of_them() -> None:
    """And nothing else. Django's two rows are run by ``test_django_suites.py``."""
    django = [name for name in rows(ADAPTERS) if name.startswith("Django")]
    assert len(django) == 2 and len(rows(ADAPTERS)) == len(ADAPTED) + 2
    assert len(rows(BEHIND)) == len(WRAPPED)


def test_every_reason_is_a_sentence() -> None:
    """More than a word."""
    reasons = [reason for name in (*ADAPTED, "Django") for reason in printed(name).values()]
    assert [reason for reason in reasons if not re.search(r"\w+ \w+ \w+", reason)] == []
