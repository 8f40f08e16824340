"""Tokens: what is signed for one cookie name. What a token is, ``test_identity`` shows; here is what is remembered."""

from __future__ import annotations

import gc
import hmac
import tracemalloc

import pytest

from wsgisession import Identity
from wsgisession.mac import mac_under
from wsgisession.tokens import Tokens

MACS = [mac_under(b"the new secret"), mac_under(b"the old secret")]


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(MACS)


def test_a_token_that_comes_again_is_not_computed_again(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same: new, old, or not a token."""
    asked = [tokens.sign("new"), Tokens(MACS[1:]).sign("old"), "foreign." + "A" * 43]
    first = [tokens.unsign(token) for token in asked]
    assert first == [("new", False), ("old", True), None]
    monkeypatch.delattr(hmac, "compare_digest")
    assert [tokens.unsign(token) for token in asked] == first
    with pytest.raises(AttributeError):
        tokens.unsign("another." + "A" * 43)


@pytest.mark.parametrize("length", [43, 100_000])
def test_what_is_remembered_is_bounded(tokens: Tokens, length: int) -> None:
    """However many tokens come, and however long they are."""
    many = 5000 if length < 1000 else 50
    tracemalloc.start()
    try:
        for number in range(many):
            assert tokens.unsign(f"{number:0{length}}." + "A" * 43) is None
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
    assert tokens.unsign(tokens.sign("A" * 43)) == ("A" * 43, False)


def test_a_report_of_an_error_shows_no_other_visitors_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such reports show the local variables of each function: they must not have what is remembered."""
    identity = Identity([b"a secret of at least 32 bytes, it is"])
    others = [identity.sign("sid", identity.new_id()) for _ in range(3)]
    for token in others:
        identity.unsign("sid", token)

    def fail(*_: object) -> bool:
        raise TimeoutError

    monkeypatch.setattr(hmac, "compare_digest", fail)
    with pytest.raises(TimeoutError) as caught:
        identity.unsign("sid", identity.sign("sid", identity.new_id()))
    frames = [frame for frame in caught.traceback if "/wsgisession/" in str(frame.path)]
    shown = repr([dict(frame.frame.f_locals) for frame in frames])
    assert len(frames) == 3 and not any(token in shown for token in others)
