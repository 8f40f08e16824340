"""Identity: which tokens it remembers. What a token is, ``test_identity`` shows."""

from __future__ import annotations

import hmac

import pytest
from support.memory import kept_by

from wsgisession import Identity

OLD, NEW = b"the old secret, of at least 32 bytes too", b"the new secret, of at least 32 bytes too"


@pytest.fixture
def identity() -> Identity:
    return Identity([NEW, OLD])


def test_a_token_that_comes_again_is_not_computed_again(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same: new, old, or not a token."""
    asked = [identity.sign("sid", "new"), Identity([OLD]).sign("sid", "old"), "foreign." + "A" * 43]
    first = [identity.unsign("sid", token) for token in asked]
    assert first == [("new", False), ("old", True), None]
    monkeypatch.delattr(hmac, "compare_digest")
    assert [identity.unsign("sid", token) for token in asked] == first
    for other in (("sid", "another." + "A" * 43), ("id", asked[0])):
        with pytest.raises(AttributeError):
            identity.unsign(*other)


@pytest.mark.parametrize(
    ("name", "length", "count"),
    [("sid", 43, 5000), ("sid", 100_000, 50), ("name{}", 43, 1000)],
    ids=["many tokens", "long tokens", "many names"],
)
def test_what_is_remembered_is_bounded(identity: Identity, name: str, length: int, count: int) -> None:
    """However many tokens come, however long they are, and under however many names; forgetting changes nothing."""

    def ask() -> None:
        for number in range(count):
            assert identity.unsign(name.format(number), f"{number:0{length}}." + "A" * 43) is None

    token = identity.sign("sid", "A" * 43)
    assert kept_by(ask) < 50_000
    assert identity.unsign("sid", token) == ("A" * 43, False)


def test_a_report_of_an_error_shows_no_other_visitors_token(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such reports show the local variables of each function: they must not have what is remembered."""
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
    assert len(frames) == 1 and not any(token in shown for token in others)
