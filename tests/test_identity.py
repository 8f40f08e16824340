"""Identity: ids, signatures, keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import random
import traceback
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgisession import Identity, SessionManager
from wsgisession.identity import check_secrets

OLD, NEW = b"the old secret, of at least 32 bytes too", b"the new secret, of at least 32 bytes too"


@pytest.fixture
def identity() -> Identity:
    return Identity([NEW])


def test_an_id_and_its_key(identity: Identity) -> None:
    """32 random bytes as 43 characters; the key is the SHA-256 of those characters."""
    id = identity.new_id()
    assert len(id) == 43 and len(base64.urlsafe_b64decode(id + "=")) == 32
    expected = base64.urlsafe_b64encode(hashlib.sha256(id.encode()).digest()).rstrip(b"=").decode()
    assert identity.key(id) == expected


def test_forked_processes_make_no_id_twice(identity: Identity) -> None:
    """Eight children of a warm parent, a thousand ids each."""
    identity.new_id()
    pipes = []
    for _ in range(8):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with os.fdopen(write, "w") as file:
                    file.write("\n".join(identity.new_id() for _ in range(1000)))
            finally:
                os._exit(0)
        os.close(write)
        pipes.append((child, read))
    ids = []
    for child, read in pipes:
        with os.fdopen(read) as file:
            ids += file.read().split("\n")
        os.waitpid(child, 0)
    assert len(set(ids)) == 8000


def test_a_token_comes_back(identity: Identity) -> None:
    """id.signature, for the name it was signed for and no other."""
    id = identity.new_id()
    token = identity.sign("sid", id)
    assert token.startswith(id + ".") and len(token) == 87
    assert identity.unsign("sid", token) == (id, False)
    assert identity.unsign("__Host-sid", token) is None


def test_name_and_id_cannot_trade_characters(identity: Identity) -> None:
    """A token for (a, bc) fails for (ab, c)."""
    signature = identity.sign("a", "b" + "c" * 42).rpartition(".")[2]
    assert identity.unsign("ab", "c" * 42 + "." + signature) is None
    assert identity.unsign("ab", "c" * 43 + "." + signature) is None
    assert identity.unsign("ab", "c." + identity.sign("a", "bc").partition(".")[2]) is None
    assert identity.unsign("a", identity.sign("a", "bc")) == ("bc", False)


def test_the_signature_is_what_it_was(identity: Identity) -> None:
    """HMAC-SHA256 of the id, under a key derived for version, purpose and name; a change here logs everybody out."""
    key = hmac.digest(NEW, b"wsgisession 1 cookie\0" + b"__Host-sid", "sha256")
    tag = base64.urlsafe_b64encode(hmac.digest(key, b"A" * 43, "sha256")).rstrip(b"=").decode()
    assert identity.sign("__Host-sid", "A" * 43) == "A" * 43 + "." + tag


@pytest.mark.parametrize("strange", ["{}=", "{}\n", " {}", "{}.", ".{}", "{}A", "\ufeff{}"], ids=repr)
def test_nothing_is_trimmed(identity: Identity, strange: str) -> None:
    """Padding, white space or a dot around a token make it another string."""
    assert identity.unsign("sid", strange.format(identity.sign("sid", identity.new_id()))) is None


def test_the_bare_signature_of_an_empty_id(identity: Identity) -> None:
    """Even an id that nobody makes has one spelling."""
    token = identity.sign("sid", "")
    assert identity.unsign("sid", token) == ("", False)
    assert identity.unsign("sid", token[1:]) is None


def test_signatures_are_compared_in_constant_time(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides go to hmac.compare_digest, in bytes and whole."""
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *sides: compared.append(sides))
    token = identity.sign("sid", identity.new_id())
    assert identity.unsign("sid", token) is None
    assert compared == [(token[44:].encode(), token[44:].encode())]


def test_rotation() -> None:
    """The first signs, all verify, an old one's is stale, a removed one's is worthless."""
    id = Identity([OLD]).new_id()
    token = Identity([OLD]).sign("sid", id)
    both = Identity([NEW, OLD])
    assert both.unsign("sid", token) == (id, True)
    assert both.unsign("sid", both.sign("sid", id)) == (id, False)
    assert both.sign("sid", id) == Identity([NEW]).sign("sid", id)
    assert Identity([NEW]).unsign("sid", token) is None


def test_a_secret_twice_is_harmless() -> None:
    """The first place counts."""
    twice = Identity([NEW, NEW])
    assert twice.unsign("sid", twice.sign("sid", "A" * 43)) == ("A" * 43, False)


def test_a_thousand_mutations(identity: Identity) -> None:
    """One character changed, lost or added anywhere: not ours."""
    token = identity.sign("sid", identity.new_id())
    dice = random.Random(7)
    for _ in range(1000):
        place = dice.randrange(len(token))
        other = dice.choice(["", "A", "-", "=", "é", "\0", token[place] * 2])
        mutated = token[:place] + other + token[place + 1 :]
        assert mutated == token or identity.unsign("sid", mutated) is None


@given(st.text(st.characters()))
@example("\ud800")
@example("é")
@example("A" * 43 + "." + "é" * 43)
def test_no_text_raises(token: str) -> None:
    """Whatever it is, surrogates and all."""
    identity = Identity([NEW])
    assert identity.unsign("sid", token) is None
    assert identity.unsign("sid", "A" * 43 + "." + token) is None
    assert identity.unsign("sid", token + "." + "A" * 43) is None


def test_secrets_show_nowhere() -> None:
    """Not in a repr, not in a traceback."""
    assert NEW.decode() not in repr(Identity([NEW])) + repr(vars(Identity([NEW])))
    short = "too" + " short"  # in two pieces, because a traceback quotes this file
    wrongs: list[Any] = [[NEW, short], [NEW, None], [short], short, [NEW, short + "\ud800"]]
    for wrong in wrongs:
        with pytest.raises((ValueError, TypeError)) as raised:
            SessionManager(secret=wrong)
        shown = "".join(traceback.format_exception(raised.value))
        assert NEW.decode() not in shown and short not in shown


def test_a_string_is_one_secret() -> None:
    """Never a list of letters; text is UTF-8; lists and tuples are lists."""
    assert check_secrets("é" * 16, 32) == ["é".encode() * 16]
    assert check_secrets((NEW, "x" * 32), 32) == [NEW, b"x" * 32]
    assert len(check_secrets("\ud800" * 16, 32)) == 1


@pytest.mark.parametrize(
    "secret", ["x" * 31, b"x" * 31, "é" * 15, "", [], (), [NEW, b"x"], ["x"] * 32], ids=repr
)
def test_a_secret_that_is_too_short(secret: object) -> None:
    """Length is counted in bytes, of each; the error says how to make one."""
    with pytest.raises(
        ValueError, match=r"^secret must be at least 32 bytes; make one with: python -m wsgisession secret$"
    ):
        check_secrets(secret, 32)


@pytest.mark.parametrize(
    "secret",
    [None, 7, True, {NEW}, pytest.param(iter([NEW]), id="iterator"), bytearray(NEW), [[NEW]], [NEW, None]],
    ids=repr,
)
def test_a_secret_of_the_wrong_type(secret: object) -> None:
    """Such as the None of an environment variable that is not set."""
    with pytest.raises(
        TypeError, match=r"^secret must be str or bytes, or a sequence of them, not .* secret$"
    ):
        check_secrets(secret, 32)


def test_an_identity_checks_for_itself() -> None:
    """Also where it is built without a manager; a subclass may ask for less."""
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Identity([b"kurz!"])

    class Short(Identity):
        min_secret = 1

    assert Short([b"kurz!"]).sign("sid", "A" * 43) != Identity([NEW]).sign("sid", "A" * 43)
