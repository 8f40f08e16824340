"""The page about Session: every member has an example, and each example answers what is printed."""

from __future__ import annotations

import doctest
import re
from types import SimpleNamespace
from typing import Any

import pytest
from support.clock import Clock
from support.docs import ROOT, Block, blocks
from support.web import Site

from wsgisession import MemoryStore, Session
from wsgisession.session import MEMBERS

PAGE = "docs/reference/session.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
EXAMPLES = blocks(PAGE, "pycon")


def heading(block: Block) -> str:
    """Return the heading that an example stands under."""
    return re.findall(r"^#+ (.+)$", "\n".join(TEXT.splitlines()[: block.line]), re.MULTILINE)[-1]


@pytest.mark.parametrize("block", EXAMPLES, ids=heading)
def test_an_example_answers_what_is_printed(block: Block, clock: Clock) -> None:
    """In a request of its own, of somebody who is logged in here and on a phone."""
    site = Site(MemoryStore(clock=clock), clock=clock)
    cookie, _ = site.start({}, "ada"), site.start({"device": "phone"}, "ada")
    failures: list[str] = []

    def typed(session: Session) -> None:
        names: dict[str, Any] = {
            "session": session,
            "manager": site.manager,
            "time": SimpleNamespace(time=clock),
        }

        def beginning(new_session: Session) -> None:
            names["new_session"] = new_session
            example = doctest.DocTestParser().get_doctest(block.text, names, heading(block), PAGE, block.line)
            doctest.DocTestRunner().run(example, out=failures.append)

        site.request(beginning)

    site.request(typed, cookie)
    assert failures == []


def test_every_member_has_an_example() -> None:
    """It is used by name in at least one."""
    used = set(re.findall(r"session\.(\w+)", "\n".join(block.text for block in EXAMPLES)))
    assert used >= MEMBERS


def test_every_member_beyond_a_dict_has_a_heading() -> None:
    """So that it is in the table of contents."""
    headings = set(re.findall(r"\w+", " ".join(re.findall(r"^### (.+)$", TEXT, re.MULTILINE))))
    assert headings - {"function"} == MEMBERS - set(dir(dict))
