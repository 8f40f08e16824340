"""Records become payloads and payloads records."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import kept_by
from support.values import TEXTS, VALUES

from wsgisession import Codec, JSONCodec, Record, SessionManager, StoreError
from wsgisession.record import Marker

CODEC = JSONCodec()
DATA = {"views": b"7", "cart": b'[{"sku":"A1","qty":2}]'}

LINES = st.builds(lambda value: CODEC.encode(value, "v"), VALUES)
RECORDS = st.builds(
    Record,
    created=st.floats(0, 1e12) | st.integers(0, 10**12).map(float),
    owner=st.none()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255),
    persistent=st.booleans(),
    data=st.dictionaries(TEXTS, LINES, max_size=4),
    idle_timeout=st.none() | st.floats(0.001, 1e9),
)


def read(payload: bytes) -> Record:
    record = CODEC.unpack(payload)
    assert isinstance(record, Record)
    return record


# Payloads


def test_payload_reads_as_text() -> None:
    """A payload is the head and one line per value, in the order of the keys."""
    payload = CODEC.pack(Record(1764018000.0, "ada", False, DATA))
    nonce = json.loads(payload.split(b"\n")[0])[1]
    assert payload.decode() == (
        f'[1,"{nonce}",1764018000.0,"ada",false,["views","cart"]]\n7\n[{{"sku":"A1","qty":2}}]'
    )


@given(RECORDS)
@settings(deadline=None)
def test_record_round_trip(record: Record) -> None:
    """Every record comes back equal, its keys in their order, from a payload of ASCII."""
    payload = CODEC.pack(record)
    assert payload.isascii()
    assert read(payload) == record
    assert list(read(payload).data) == list(record.data)


def test_whole_seconds_come_back_as_a_float() -> None:
    """``created`` may be written as an integer; it is read as a float."""
    assert type(read(b'[1,"n",1764018000,null,false,[]]').created) is float


@pytest.mark.parametrize("created", [math.nan, math.inf, -math.inf])
def test_pack_refuses_a_time_that_is_none(created: float) -> None:
    """What could not be unpacked is not packed."""
    with pytest.raises(ValueError, match="finite"):
        CODEC.pack(Record(created, None, False, {}))


def test_a_record_with_an_idle_timeout_has_a_head_of_its_own_version() -> None:
    """Version 2, with the seconds at its end; all others stay as version 1.0 of the library reads them."""
    payload = CODEC.pack(Record(1.5, "ada", False, DATA, idle_timeout=900))
    version, _, *rest = json.loads(payload.split(b"\n")[0])
    assert (version, rest) == (2, [1.5, "ada", False, ["views", "cart"], 900.0])
    assert read(payload).idle_timeout == 900.0 and read(CODEC.pack(read(payload))) == read(payload)


@pytest.mark.parametrize(
    "record", [Record(1.0, None, False, DATA), Marker("key", True)], ids=["record", "marker"]
)
def test_every_payload_is_unique(record: Record | Marker) -> None:
    """No two payloads are equal: each has its own nonce of 8 base64url characters."""
    nonces = [json.loads(CODEC.pack(record).split(b"\n")[0])[1] for _ in range(500)]
    assert len(set(nonces)) == 500
    alphabet = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert {len(nonce) for nonce in nonces} == {8} and set("".join(nonces)) <= alphabet


def test_unpack_decodes_no_value() -> None:
    """A broken value does not keep the others from being read."""
    record = read(b'[1,"n",1.0,null,false,["bad","good"]]\n{{{\n7')
    assert record.data == {"bad": b"{{{", "good": b"7"}


def test_record_shows_no_values() -> None:
    """A record in a log or a traceback shows none of what the session holds."""
    assert "secret" not in repr(Record(1.0, "ada", False, {"k": b'"secret"'}))


# Markers


@pytest.mark.parametrize(
    "marker",
    [Marker("k" * 43, False), Marker("k" * 43, True), Marker(None, True)],
    ids=["regenerate", "login", "of version 1.0, which did not say"],
)
def test_a_marker_comes_back(marker: Marker) -> None:
    """It is a head alone."""
    payload = CODEC.pack(marker)
    assert b"\n" not in payload and CODEC.unpack(payload) == marker


def test_a_marker_of_a_login_leads_nowhere_in_version_1_0() -> None:
    """There every successor is followed by a logout, and a logout from before the login must not undo the login."""
    assert json.loads(CODEC.pack(Marker("key", True)))[2] == "~key"
    assert json.loads(CODEC.pack(Marker("key", False)))[2] == "key"


def test_a_tombstone_of_version_1_0() -> None:
    """It did not say whether a login or a logout left it."""
    assert CODEC.unpack(b'[1,"nonce123"]') == Marker(None, True)
    assert CODEC.unpack(b'[1,"nonce123","key"]') == Marker("key", False)


@pytest.mark.parametrize("payload", [b'[3,"n",1.0,null,false,[]]', b'[3,"n"]', b"[999]", b'[3,"n"]\n1'])
def test_a_later_version_is_an_error_of_the_store(payload: bytes) -> None:
    """Nobody may take it for no session."""
    with pytest.raises(StoreError, match="later version"):
        CODEC.unpack(payload)


# Payloads nobody can read

UNREADABLE = {
    "empty": b"",
    "not JSON": b"pickle",
    "binary": b"\x80\x04\x95\xff",
    "an empty line": b"\n",
    "object": b"{}",
    "no head": b"[]",
    "version alone": b"[1]",
    "version 2 without an idle timeout": b'[2,"n",1.0,null,false,[]]',
    "version 2, idle timeout 0": b'[2,"n",1.0,null,false,[],0]',
    "version 2, idle timeout null": b'[2,"n",1.0,null,false,[],null]',
    "version 0": b'[0,"n",1.0,null,false,[]]',
    "owner empty": b'[1,"n",1.0,"",false,[]]',
    "owner with NUL": b'[1,"n",1.0,"a\\u0000",false,[]]',
    "owner too long": b'[1,"n",1.0,"' + b"a" * 256 + b'",false,[]]',
    "owner a lone surrogate": b'[1,"n",1.0,"\\ud800",false,[]]',
    "version str": b'["1","n",1.0,null,false,[]]',
    "version true": b'[true,"n",1.0,null,false,[]]',
    "version 1.0": b'[1.0,"n",1.0,null,false,[]]',
    "nonce": b"[1,7,1.0,null,false,[]]",
    "no nonce": b"[1,null,1.0,null,false,[]]",
    "created true": b'[1,"n",true,null,false,[]]',
    "created null": b'[1,"n",null,null,false,[]]',
    "created NaN": b'[1,"n",NaN,null,false,[]]',
    "created infinite": b'[1,"n",1e999,null,false,[]]',
    "created huge": b'[1,"n",1' + b"0" * 400 + b",null,false,[]]",
    "owner int": b'[1,"n",1.0,7,false,[]]',
    "persistent int": b'[1,"n",1.0,null,0,[]]',
    "keys null": b'[1,"n",1.0,null,false,null]',
    "keys str": b'[1,"n",1.0,null,false,"a"]\n1',
    "keys object": b'[1,"n",1.0,null,false,{"a":1}]\n1',
    "key int": b'[1,"n",1.0,null,false,[1]]\n1',
    "keys repeat": b'[1,"n",1.0,null,false,["a","a"]]\n1\n2',
    "a line short": b'[1,"n",1.0,null,false,["a","b"]]\n1',
    "a line more": b'[1,"n",1.0,null,false,["a"]]\n1\n2',
    "newline at the end": b'[1,"n",1.0,null,false,[]]\n',
    "five members": b'[1,"n",1.0,null,false]',
    "seven members": b'[1,"n",1.0,null,false,[],0]',
    "something behind the head": b'[1,"n",1.0,null,false,[]] x',
    "as we write it, a line short": b'[1,"nonce123",1.0,null,false,["a","b"]]\n1',
    "as we write it, a list more": b'[1,"nonce123",1.0,null,false,["a"],["b"]]\n1',
    "as we write it, keys repeat": b'[1,"nonce123",1.0,null,false,["a","a"]]\n1\n2',
    "as we write it, key int": b'[1,"nonce123",1.0,"ada",true,[1]]\n1',
    "as we write it, no list": b'[1,"nonce123",1.0,null,false,[a]]\n1',
    "deep": b"[" * 100_000,
    "marker, version 2": b'[2,"n"]',
    "marker, version true": b'[true,"n"]',
    "marker, nonce": b"[1,2]",
    "marker, successor null": b'[1,"n",null]',
    "marker, successor int": b'[1,"n",7]',
    "marker with a value": b'[1,"n"]\n1',
    "marker with a member more": b'[1,"n","k",0]',
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(payload: bytes) -> None:
    """A payload with anything wrong with its head or its number of lines is a ValueError, never another exception."""
    with pytest.raises(ValueError, match="^a stored record cannot be read"):
        CODEC.unpack(payload)


@given(RECORDS, st.data())
@settings(deadline=None)
def test_damaged_payload(record: Record, data: st.DataObject) -> None:
    """A payload with a byte changed or cut off is read as something or is a ValueError."""
    payload = bytearray(CODEC.pack(record))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=2))
    try:
        found = CODEC.unpack(bytes(payload))
    except ValueError as error:
        assert str(error).startswith("a stored ")
    except StoreError as error:
        assert "later version" in str(error)
    else:
        assert isinstance(found, Record | Marker)


@pytest.mark.parametrize("twin", [-0.0, 0], ids=repr)
def test_equal_times_are_written_alike(twin: Any) -> None:
    """It does not matter which of two equal numbers was written first in this process."""
    written = [
        CODEC.pack(Record(created, None, False, {})).partition(b",")[2][11:] for created in (twin, 0.0, twin)
    ]
    assert written == [b"0.0,null,false,[]]"] * 3


@pytest.mark.parametrize(
    "keys", [[f"{number}" for number in range(300)], ["k" * 400_000]], ids=["many", "long"]
)
def test_what_is_remembered_of_keys_is_bounded(keys: list[str]) -> None:
    """Visitors may have a say in them: what is refused, or read once, does not fill the process."""

    def store() -> None:
        for number in range(140):
            record = Record(1.5, None, False, {f"{number}{key}": b"1" for key in keys})
            assert CODEC.unpack(CODEC.pack(record)) == record

    assert kept_by(store) < 30_000_000


def test_a_record_keeps_when_it_began_to_the_last_digit() -> None:
    """Read or not, changed or not."""
    payload = CODEC.pack(Record(1764018000.1234567, "ada", False, {"a": b"1"}))
    for read_first in (False, True):
        unread = read(payload)
        assert not read_first or unread.created == 1764018000.1234567
        for again in (unread, unread.with_changes({"a": b"2"}), unread.with_changes({"b": b"2"}, ["a"])):
            assert read(CODEC.pack(again)).created == 1764018000.1234567
    assert unread.with_facts(5.5, "ada", False, None).created == 5.5
    assert unread != "no record" and "created=1764018000.1234567, owner='ada'" in repr(unread)


@pytest.mark.parametrize("owner", [b"null", b'"a"', '"é"'.encode()])
def test_a_key_that_another_program_wrote_raw(owner: bytes) -> None:
    """Ours escape what is not ASCII; JSON need not, and no other part of the head decides whether it is read."""
    found = CODEC.unpack(b'[1,"AAAAAAAA",1.5,%b,false,["\xc3\xa9","b"]]\n1\n2' % owner)
    assert isinstance(found, Record) and found.data == {"é": b"1", "b": b"2"}
    assert rb'["\u00e9","b"]' in CODEC.pack(found)


@pytest.mark.parametrize("size", [10, 5000])
def test_a_line_too_many_is_noticed(size: int) -> None:
    """However long the payload, an empty line at its end is one."""
    payload = CODEC.pack(Record(1.5, None, False, {"a": b'"' + b"x" * size + b'"'}))
    assert CODEC.unpack(payload) is not None
    with pytest.raises(ValueError, match="another number of values"):
        CODEC.unpack(payload + b"\n")


def test_a_time_that_is_no_json_is_not_read() -> None:
    """What is kept as it was written must be what anybody can read."""
    payload = CODEC.pack(Record(1.5, None, False, {"a": b"1"}))
    with pytest.raises(ValueError, match="cannot be read"):
        CODEC.unpack(payload.replace(b",1.5,", b",01.5,"))


PARTS = ["pack", "unpack", "encode", "decode", "markers", "json_lines", "dates_cookie", "accepts"]


@pytest.mark.parametrize("part", PARTS)
def test_a_codec_that_lacks_a_part_is_refused(part: str) -> None:
    """When the manager is built, and not at the first write."""
    whole: Codec = CODEC
    codec = type("Mine", (), {name: getattr(whole, name) for name in PARTS if name != part})()
    with pytest.raises(TypeError, match=f"Mine lacks {part}"):
        SessionManager(codec=codec)
