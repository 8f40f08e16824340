"""Nothing that was logged or printed during the run holds an id, a token or a secret; and what looks for it would find it."""

from __future__ import annotations

import logging

import pytest
from support.leaks import Leaks, leaks
from support.web import SECRET, Site

from wsgisession import SessionManager
from wsgisession.identity import Identity, digest
from wsgisession.log import event


def test_nothing_secret_was_written() -> None:
    """At DEBUG level, by everything that ran before this test, which is moved to the end of the run."""
    SessionManager(secret=SECRET).issue({"a": 1})
    assert any("created" in text for text in leaks.texts), "nobody listened"
    assert leaks.found() == []


def test_what_this_process_makes_is_known() -> None:
    """Ids, signatures and secrets."""
    cookie = Site().start({"a": 1})
    id, _, signature = cookie.partition("=")[2].partition(".")
    assert {id, signature} <= leaks.secret and SECRET in leaks.secrets


def test_every_event_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Of every level, whatever a test has set, and nobody else hears more than before."""
    event(logging.DEBUG, "test", "a whisper", key="some key")
    assert any("a whisper" in text and "some key" in text for text in leaks.texts)
    assert not caplog.records


FRESH = Identity([b"another secret, of at least 32 bytes"])
ID = FRESH.new_id()


@pytest.mark.parametrize(
    "texts",
    [
        [f"key={ID!r}"],
        [f"prefix-{ID}"],
        [f"Cookie: sid={FRESH.sign('sid', ID)}"],
        [FRESH.sign("sid", ID).partition(".")[2]],
        ["it was: another secret, of at least 32 bytes!"],
    ],
    ids=["id", "id in a longer word", "token", "signature", "secret"],
)
def test_what_leaks_is_found(texts: list[str]) -> None:
    """Wherever in a text it stands."""
    found = Leaks()
    found.secret |= {ID, FRESH.sign("sid", ID).partition(".")[2]}
    found.secrets.add("another secret, of at least 32 bytes")
    for text in ("harmless", *texts):
        found.written(text)
    assert found.found() != []


def test_what_another_process_leaks_is_found() -> None:
    """A token by its form, an id where its key was written too; a key alone is none."""
    for texts, leaked in (
        ([f"sid={ID}.{ID}"], True),
        ([f"key={digest(ID)}", f"oops {ID}".encode()], True),
        ([f"key={digest(ID)}", ""], False),
    ):
        found = Leaks()
        for text in texts:
            found.written(text)
        assert bool(found.found()) is leaked
