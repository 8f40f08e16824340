"""Identity: ids, signatures, keys."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import traceback

import pytest
from hypothesis import given
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
        if os.fork() == 0:
            with os.fdopen(write, "w") as file:
                file.write("\n".join(identity.new_id() for _ in range(1000)))
            os._exit(0)
        os.close(write)
        pipes.append(read)
    ids = [id for read in pipes for id in os.fdopen(read).read().split("\n")]
    for _ in range(8):
        os.wait()
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


def test_rotation() -> None:
    """The first signs, all verify, an old one's is stale, a removed one's is worthless."""
    id = Identity([OLD]).new_id()
    token = Identity([OLD]).sign("sid", id)
    both = Identity([NEW, OLD])
    assert both.unsign("sid", token) == (id, True)
    assert both.unsign("sid", both.sign("sid", id)) == (id, False)
    assert both.sign("sid", id) == Identity([NEW]).sign("sid", id)
    assert Identity([NEW]).unsign("sid", token) is None


def test_a_thousand_mutations(identity: Identity) -> None:
    """One character changed, lost or added anywhere: not ours."""
    token = identity.sign("sid", identity.new_id())
    dice = random.Random(7)
    for _ in range(1000):
        place = dice.randrange(len(token))
        other = dice.choice(["", "A", "-", "=", "é", "\0", token[place] * 2])
        mutated = token[:place] + other + token[place + 1 :]
        assert mutated == token or identity.unsign("sid", mutated) is None


@given(st.text())
def test_no_text_raises(token: str) -> None:
    """Whatever it is, surrogates and all."""
    identity = Identity([NEW])
    assert identity.unsign("sid", token) is None
    assert identity.unsign("sid", "A" * 43 + "." + token) is None


def test_secrets_show_nowhere() -> None:
    """Not in a repr, not in a traceback."""
    assert NEW.decode() not in repr(Identity([NEW])) + repr(vars(Identity([NEW])))
    try:
        SessionManager(secret=[NEW, "too short"])
    except ValueError:
        assert NEW.decode() not in traceback.format_exc()


def test_a_string_is_one_secret() -> None:
    """Never a list of letters; text is UTF-8; lists and tuples are lists."""
    assert check_secrets("é" * 16, 32) == ["é".encode() * 16]
    assert check_secrets((NEW, "x" * 32), 32) == [NEW, b"x" * 32]
    assert len(check_secrets("\ud800" * 16, 32)) == 1
