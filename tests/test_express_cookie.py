"""Express' cookie: what express-session signs is read, what is signed here is what it would have signed, byte for byte."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgisession import SessionManager
from wsgisession.express import ExpressIdentity

SECRET = b"a test's secret of at least 32 bytes"
OTHER = b"another test's secret of some length"

# Made by express-session's own parts: encodeURIComponent("s:" + require("cookie-signature").sign(id, secret)).
MADE_BY_EXPRESS = {
    "an id of Express'": (
        "q8Jd_0sB-xW3vR1kZy7mLpT5nU2cAeFh",
        "s%3Aq8Jd_0sB-xW3vR1kZy7mLpT5nU2cAeFh.RqcrHODKlsLXTlbuepvonSb26C9%2BYYYIzOEtUdKXpEE",
    ),
    "plus and slash": ("id14", "s%3Aid14.hR2bk2cxHjbZbAcu%2BvFVvT1Tod%2FoP7wHNigbjW%2BBDfo"),
    "an id from genid": (
        "é/ü:a.b~!*()'",
        "s%3A%C3%A9%2F%C3%BC%3Aa.b~!*()'.sY7p90Xe%2BtO2d2G0vGcscukCDTT3BMg8V2C3piZgqPc",
    ),
}
ID, TOKEN = MADE_BY_EXPRESS["plus and slash"]


@pytest.fixture
def identity() -> ExpressIdentity:
    return ExpressIdentity([SECRET])


@pytest.mark.parametrize(("id", "token"), MADE_BY_EXPRESS.values(), ids=MADE_BY_EXPRESS.keys())
def test_tokens_are_those_of_express(identity: ExpressIdentity, id: str, token: str) -> None:
    """Signing gives what Express gives, and what Express signed is read."""
    assert identity.sign("connect.sid", id) == token
    assert identity.unsign("connect.sid", token) == (id, False)


def test_a_short_secret_signs_as_in_express(caplog: pytest.LogCaptureFixture) -> None:
    """Express takes any, so it is a warning that shows nothing of the secret; a long one is none."""
    token = "s%3Ashort.pqnrWb5MAeoigBdDEiPk7mDgwXroYZiDVcpLZqJT%2Bu8"
    assert ExpressIdentity([SECRET, b"cat"]).unsign("connect.sid", token) == ("short", True)
    [record] = caplog.records
    assert (record.levelno, record.__dict__["event"]) == (logging.WARNING, "misconfiguration")
    assert "cat" not in record.getMessage().split() and "32 bytes" in record.getMessage()


def test_a_middleware_warns_of_a_short_secret_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many sessions it makes; with long secrets it says nothing."""
    manager = SessionManager(secret=["cat", "dog"], identity=ExpressIdentity)
    manager.issue(), manager.issue()
    SessionManager(secret=SECRET, identity=ExpressIdentity).issue()
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [
        logging.WARNING
    ]


def test_an_empty_secret_is_refused() -> None:
    """As Express does."""
    with pytest.raises(ValueError, match="secret must be at least 1 bytes"):
        SessionManager(secret="", identity=ExpressIdentity)


def test_the_first_secret_signs_and_all_verify() -> None:
    """A token of an old secret is read, and known to be stale; of a removed one it is nothing."""
    old, both, new = ExpressIdentity([OTHER]), ExpressIdentity([SECRET, OTHER]), ExpressIdentity([SECRET])
    assert both.unsign("n", old.sign("n", ID)) == (ID, True)
    assert both.sign("n", ID) == TOKEN and new.unsign("n", both.sign("n", ID)) == (ID, False)
    assert new.unsign("n", old.sign("n", ID)) is None


FORGED = {
    "nothing": "",
    "no mark": TOKEN.removeprefix("s%3A"),
    "unsigned": "id14",
    "a mark alone": "s%3A",
    "no signature": "s%3Aid14",
    "an empty signature": "s%3Aid14.",
    "another mark": "j" + TOKEN[1:],
    "the id of another": TOKEN.replace("id14", "id15"),
    "a shorter signature": TOKEN[:-1],
    "a longer signature": TOKEN + "A",
    "padding": TOKEN + "%3D",
    "plain padding": TOKEN + "=",
    "the last character": TOKEN[:-1] + "p",  # decodes to the same bytes
    "base64url": TOKEN.replace("%2B", "-").replace("%2F", "_"),
    "lower-case escapes": TOKEN.replace("%3A", "%3a"),
    "not escaped": TOKEN.replace("%3A", ":").replace("%2B", "+").replace("%2F", "/"),
    "escaped too much": TOKEN.replace("id14", "%69d14"),
    "escaped twice": TOKEN.replace("%", "%25"),
    "quoted": f'"{TOKEN}"',
    "not ASCII": TOKEN.replace("id14", "id1\xb4"),
    "a lone surrogate": TOKEN.replace("id14", "id1\ud800"),
    "broken UTF-8": TOKEN.replace("id14", "%FF"),
    "an escaped surrogate": TOKEN.replace("id14", "%ED%A0%80"),
    "half an escape": TOKEN + "%",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_what_express_did_not_write_is_nothing(identity: ExpressIdentity, token: str) -> None:
    """No error, and of all spellings that decode alike only the canonical one."""
    assert identity.unsign("connect.sid", token) is None


def test_an_empty_id_is_no_id(identity: ExpressIdentity) -> None:
    """Not even signed: Express takes it for no session."""
    assert identity.unsign("connect.sid", identity.sign("connect.sid", "")) is None


@given(st.text())
def test_any_text_is_no_token(token: str) -> None:
    """Nothing raises, lone surrogates included."""
    assert ExpressIdentity([SECRET]).unsign("connect.sid", token) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_id_comes_back(id: str) -> None:
    """Whatever genid makes."""
    identity = ExpressIdentity([SECRET])
    token = identity.sign("connect.sid", id)
    assert token.isascii() and identity.unsign("connect.sid", token) == (id, False)


def test_the_key_is_the_id(identity: ExpressIdentity) -> None:
    """Which is why logs must not show it; new ids are 256 random bits."""
    id = identity.new_id()
    assert identity.key(id) == id and identity.key_is_id and len(id) == 43 and id != identity.new_id()
