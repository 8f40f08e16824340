"""The page's Beaker example under Beaker itself and under wsgisession: the same application, the same answers."""

from __future__ import annotations

from typing import Any

import pytest
from support.docs import blocks, run
from webtest import TestApp

pytestmark = pytest.mark.wide

PAGE = "docs/how-to/migrating.md"


def test_the_same_application_under_both() -> None:
    """It counts alike; under Beaker it needs ``session.auto``."""
    from beaker.middleware import SessionMiddleware

    namespace: dict[str, Any] = {}
    [block] = blocks(PAGE, "python")
    run(PAGE, block, namespace)
    ours = namespace["app"]
    theirs = SessionMiddleware(ours.app, {"session.type": "memory", "session.auto": True})
    browsers = [TestApp(app, lint=False) for app in (ours, theirs)]
    assert [[browser.get("/").text for _ in range(3)] for browser in browsers] == [["1", "2", "3"]] * 2
