"""docs/how-to/migrating.md: every name that the page points to is there. Its examples run in wide/test_migration_sides.py."""

from __future__ import annotations

import inspect
import re

from support.docs import ROOT

from wsgisession import Cookie, Session, SessionManager, SessionMiddleware

PAGE = "docs/how-to/migrating.md"


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
    assert options <= set(inspect.signature(SessionMiddleware).parameters)
    assert all(name in text for name in options)
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
    assert len(rows) > 60
    assert [row for row in rows if len(row) != 3 or not all(cell.strip() for cell in row)] == []
