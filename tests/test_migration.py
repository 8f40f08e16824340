"""docs/how-to/migrating.md: its example runs, and every name it points to is there."""

from __future__ import annotations

import inspect
import re
from typing import Any

from support.docs import ROOT, blocks, run
from webtest import TestApp

from wsgisession import Cookie, Session, SessionMiddleware

PAGE = "docs/how-to/migrating.md"


def test_beakers_place_in_environ() -> None:
    """The example counts, for each browser on its own."""
    namespace: dict[str, Any] = {}
    [block] = blocks(PAGE, "python")
    run(PAGE, block, namespace)
    one, two = TestApp(namespace["app"]), TestApp(namespace["app"])
    assert [one.get("/").text, one.get("/").text, two.get("/").text] == ["1", "2", "1"]


def test_every_option_and_member_is_there() -> None:
    """What the tables put in place of something else exists under that name."""
    text = (ROOT / PAGE).read_text()
    members = set(re.findall(r"`session\.(destroy|reload|key|created|expires|persistent|regenerate|save)\b", text))
    assert len(members) == 8 and [name for name in members if not hasattr(Session, name)] == []
    options = {"store", "idle_timeout", "lifetime", "remember", "identity", "secret", "environ_key"}
    assert options <= set(inspect.signature(SessionMiddleware).parameters) and all(
        f"`{name}" in text or name in text for name in options
    )
    named = set(re.findall(r"Cookie\((\w+)=", text))
    assert named == {"name", "persistent", "secure"} and named <= set(inspect.signature(Cookie).parameters)
