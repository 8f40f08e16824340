"""docs/how-to/migrating.md: its Beaker example runs here, and every name the page points to is there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from support.docs import ROOT, titled
from support.frameworks import changed
from webtest import TestApp

from wsgisession import Cookie, Session, SessionManager, SessionMiddleware

PAGE = "docs/how-to/migrating.md"


def test_beakers_place_in_environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example, changed as the page says, counts for each browser on its own."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(changed(titled(PAGE, "beaker"), titled(PAGE, "from beaker")), namespace)
    one, two = TestApp(namespace["app"]), TestApp(namespace["app"])
    assert [one.get("/").text, one.get("/").text, two.get("/").text] == ["1", "2", "1"]


def test_every_option_and_member_is_there() -> None:
    """What the tables put in place of something else exists under that name."""
    text = (ROOT / PAGE).read_text()
    members = set(
        re.findall(
            r"`session\.(atomic|destroy|reload|key|created|expires|new|persistent|regenerate|save)\b", text
        )
    )
    assert len(members) == 10 and [name for name in members if not hasattr(Session, name)] == []
    options = {"store", "idle_timeout", "lifetime", "remember", "identity", "secret", "environ_key"}
    assert options <= set(inspect.signature(SessionMiddleware).parameters) and all(
        f"`{name}" in text or name in text for name in options
    )
    methods = set(re.findall(r"`manager\.(\w+)\(", text))
    assert methods == {"issue", "open"} and all(hasattr(SessionManager, name) for name in methods)
    named = set(re.findall(r"Cookie\((\w+)=", text))
    assert named == {"name", "persistent", "secure"} and named <= set(inspect.signature(Cookie).parameters)


def test_every_table_says_what_differs() -> None:
    """Each row has three cells: theirs, ours, what differs and why."""
    rows = [
        re.split(r"(?<!\\)\|", line)[1:-1]
        for line in (ROOT / PAGE).read_text().splitlines()
        if line.startswith("|")
    ]
    assert (
        len(rows) > 60
        and [row for row in rows if len(row) != 3 or not all(cell.strip() for cell in row)] == []
    )
