"""Records become payloads and payloads records; marks of values tell what changed."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.values import HASHABLE, PLAIN, TEXTS, VALUES

from wsgisession import codec
from wsgisession.codec import IMMUTABLE, JSONCodec, Record, fingerprint, unchanged
from wsgisession.errors import UnsupportedType

CODEC = JSONCodec()
DATA = {"views": b"7", "cart": b'[{"sku":"A1","qty":2}]'}

LINES = st.builds(lambda value: CODEC.encode(value, "v"), VALUES)
RECORDS = st.builds(
    Record,
    created=st.floats(0, 1e12) | st.integers(0, 10**12).map(float),
    owner=st.none() | TEXTS,
    persistent=st.booleans(),
    data=st.dictionaries(TEXTS, LINES, max_size=4),
)


def read(payload: bytes) -> Record:
    record = CODEC.unpack(payload)
    assert record is not None
    return record


# Payloads


def test_payload_reads_as_text() -> None:
    """A payload is the head and one line per value, in the order of the keys."""
    payload = CODEC.pack(Record(1764018000.0, "ada", False, DATA))
    nonce = json.loads(payload.split(b"\n")[0])[1]
    assert payload.decode() == (f'[1,"{nonce}",1764018000.0,"ada",false,["views","cart"]]\n7\n[{{"sku":"A1","qty":2}}]')


@given(RECORDS)
@settings(deadline=None)
def test_record_round_trip(record: Record) -> None:
    """Every record comes back equal, its keys in their order, from a payload of ASCII."""
    payload = CODEC.pack(record)
    assert payload.isascii()
    assert read(payload) == record
    assert list(read(payload).data) == list(record.data)


def test_empty_record() -> None:
    """A record without values is a head alone, and no tombstone."""
    record = Record(0.5, None, True, {})
    payload = CODEC.pack(record)
    assert b"\n" not in payload
    assert CODEC.unpack(payload) == record


def test_whole_seconds_come_back_as_a_float() -> None:
    """``created`` may be written as an integer; it is read as a float."""
    assert type(read(b'[1,"n",1764018000,null,false,[]]').created) is float


@pytest.mark.parametrize("created", [math.nan, math.inf, -math.inf])
def test_pack_refuses_a_time_that_is_none(created: float) -> None:
    """What could not be unpacked is not packed."""
    with pytest.raises(ValueError, match="finite"):
        CODEC.pack(Record(created, None, False, {}))


@pytest.mark.parametrize("record", [Record(1.0, None, False, DATA), None], ids=["record", "tombstone"])
def test_every_payload_is_unique(record: Record | None) -> None:
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


def test_record_defaults() -> None:
    """A record has nothing extra, and JSON has no idle timeout of its own for it."""
    record = Record(1.0, None, False, {})
    assert record.extra is None
    assert CODEC.timeout(record) is None
    assert JSONCodec.tombstones is True


# Tombstones


def test_tombstone() -> None:
    """A tombstone is a head alone, and unpacks to no record."""
    payload = CODEC.pack(None)
    version, nonce = json.loads(payload)
    assert (version, len(nonce)) == (1, 8)
    assert CODEC.unpack(payload) is None
    assert CODEC.successor(payload) is None


def test_tombstone_with_a_successor() -> None:
    """A tombstone can name the key the session moved to."""
    key = "k" * 43
    payload = CODEC.pack(None, key)
    assert json.loads(payload)[2] == key
    assert CODEC.unpack(payload) is None
    assert CODEC.successor(payload) == key


def test_a_record_has_no_successor() -> None:
    """A payload that is no tombstone names nothing."""
    assert CODEC.successor(CODEC.pack(Record(1.0, "ada", False, DATA))) is None


# Payloads nobody can read

UNREADABLE = {
    "empty": b"",
    "not JSON": b"pickle",
    "binary": b"\x80\x04\x95\xff",
    "object": b"{}",
    "number": b"1",
    "no head": b"[]",
    "version alone": b"[1]",
    "version 2": b'[2,"n",1.0,null,false,[]]',
    "version true": b'[true,"n",1.0,null,false,[]]',
    "version 1.0": b'[1.0,"n",1.0,null,false,[]]',
    "nonce": b"[1,7,1.0,null,false,[]]",
    "no nonce": b"[1,null,1.0,null,false,[]]",
    "created true": b'[1,"n",true,null,false,[]]',
    "created str": b'[1,"n","1",null,false,[]]',
    "created null": b'[1,"n",null,null,false,[]]',
    "created NaN": b'[1,"n",NaN,null,false,[]]',
    "created infinite": b'[1,"n",1e999,null,false,[]]',
    "created huge": b'[1,"n",1' + b"0" * 400 + b",null,false,[]]",
    "owner int": b'[1,"n",1.0,7,false,[]]',
    "owner list": b'[1,"n",1.0,["ada"],false,[]]',
    "persistent int": b'[1,"n",1.0,null,0,[]]',
    "persistent null": b'[1,"n",1.0,null,null,[]]',
    "keys null": b'[1,"n",1.0,null,false,null]',
    "keys str": b'[1,"n",1.0,null,false,"a"]\n1',
    "keys object": b'[1,"n",1.0,null,false,{"a":1}]\n1',
    "key int": b'[1,"n",1.0,null,false,[1]]\n1',
    "key list": b'[1,"n",1.0,null,false,[[]]]\n1',
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
    "tombstone, version 2": b'[2,"n"]',
    "tombstone, version true": b'[true,"n"]',
    "tombstone, nonce": b"[1,2]",
    "tombstone, successor": b'[1,"n",null]',
    "tombstone with a value": b'[1,"n"]\n1',
    "tombstone with a member more": b'[1,"n","k",0]',
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(payload: bytes) -> None:
    """A payload with anything wrong with its head or its number of lines is a ValueError, never another exception."""
    for method in (CODEC.unpack, CODEC.successor):
        with pytest.raises(ValueError, match="^a stored (record|value) cannot be read"):
            method(payload)


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
    else:
        assert found is None or isinstance(found, Record)


# Marks: has a value that was handed out changed?


class Str(str):
    pass


class One(enum.IntEnum):
    ONE = 1


class Buffer(float):
    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(b"\x00")


def set_item(new: Any) -> Callable[[list[Any]], None]:
    def act(value: list[Any]) -> None:
        value[0] = new

    return act


# Of [1, "a", {"k": 0.0, "l": [1]}]
CHANGES = {
    "int to bool": set_item(True),
    "int to float": set_item(1.0),
    "int to IntEnum": set_item(One.ONE),
    "str subclass": lambda value: value.__setitem__(1, Str("a")),
    "str to bytes": lambda value: value.__setitem__(1, b"a"),
    "str to bytearray": lambda value: value.__setitem__(1, bytearray(b"a")),
    "to a float with a buffer": lambda value: value[2].__setitem__("k", Buffer(0.0)),
    "zero to negative zero": lambda value: value[2].__setitem__("k", -0.0),
    "zero to int": lambda value: value[2].__setitem__("k", 0),
    "to NaN": lambda value: value[2].__setitem__("k", math.nan),
    "nested list to tuple": lambda value: value[2].__setitem__("l", (1,)),
    "nested append": lambda value: value[2]["l"].append(1),
    "nested key": lambda value: value[2].__setitem__("m", 1),
    "key of another type": lambda value: value[2].__setitem__(1, value[2].pop("k")),
    "dict to OrderedDict": lambda value: value.__setitem__(2, OrderedDict(value[2])),
    "to a datetime": set_item(datetime(2024, 1, 1)),
    "order of the keys": lambda value: value[2].__setitem__("k", value[2].pop("k")),
    "swapped": lambda value: value.reverse(),
    "emptied": lambda value: value.clear(),
    "contains itself": lambda value: value.append(value),
}


# Of [1, "a", 0.0, null, 1.5, 123456789012]
FLAT_CHANGES = {
    "int to bool": set_item(True),
    "int to float": set_item(1.0),
    "int to IntEnum": set_item(One.ONE),
    "str subclass": lambda value: value.__setitem__(1, Str("a")),
    "str to bytes": lambda value: value.__setitem__(1, b"a"),
    "zero to negative zero": lambda value: value.__setitem__(2, -0.0),
    "null to false": lambda value: value.__setitem__(3, False),
    "to NaN": lambda value: value.__setitem__(4, math.nan),
    "to a Buffer": lambda value: value.__setitem__(4, Buffer(1.5)),
    "to a list": set_item([1]),
    "swapped": lambda value: value.reverse(),
    "emptied": lambda value: value.clear(),
    "one less": lambda value: value.pop(),
    "one more": lambda value: value.append(None),
    "contains itself": lambda value: value.append(value),
}


NESTED, FLAT = b'[1,"a",{"k":0.0,"l":[1]}]', b'[1,"a",0.0,null,1.5,123456789012]'


@pytest.mark.parametrize("is_json", [False, True])
@pytest.mark.parametrize(
    ("line", "change"),
    [
        *(pytest.param(NESTED, change, id=f"nested, {name}") for name, change in CHANGES.items()),
        *(pytest.param(FLAT, change, id=f"flat, {name}") for name, change in FLAT_CHANGES.items()),
    ],
)
def test_mark_notices(line: bytes, change: Callable[[list[Any]], None], is_json: bool) -> None:
    """A change anywhere inside a value is noticed, also one that Python calls equal, by either kind of mark."""
    value = CODEC.decode(line)
    mark = fingerprint(value, line, is_json)
    assert type(mark) is (list if is_json and line is FLAT else bytes) and unchanged(value, mark)
    change(value)
    assert not unchanged(value, mark)


@given(PLAIN.filter(lambda value: type(value) in (list, dict)), st.booleans())
@settings(deadline=None)
def test_mark_of_a_value_that_was_only_read(value: Any, is_json: bool) -> None:
    """A value that was read and not changed keeps its mark, unless it has tags and so no mark."""
    line = CODEC.encode(value, "v")
    found = CODEC.decode(line)
    mark = fingerprint(found, line, is_json)
    assert (mark is None) == (b'{"~' in line)
    assert mark is None or unchanged(found, mark)


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value, as (container, key)."""
    found = []
    if type(value) in (list, dict):
        for key in range(len(value)) if type(value) is list else list(value):
            found += [(value, key), *leaves(value[key])]
    return found


TWINS = st.one_of(
    HASHABLE,
    VALUES,
    st.sampled_from([True, 1, 1.0, 0, False, -0.0, 0.0, One.ONE, Str("a"), "a", b"a", bytearray(b"a"), (), [], {}]),
)


SIMPLE = st.sampled_from([1, 0, 0.0, "a", "", None, True])


@given(
    st.lists(SIMPLE, min_size=1, max_size=4) | st.lists(PLAIN | SIMPLE | st.just([]), min_size=1, max_size=4),
    TWINS,
    st.booleans(),
    st.data(),
)
@settings(deadline=None)
def test_equal_marks_mean_equal_lines(value: Any, twin: Any, is_json: bool, data: st.DataObject) -> None:
    """Where the mark is still the same, encoding again gives the same line."""
    line = CODEC.encode(value, "v")
    found = CODEC.decode(line)
    mark = fingerprint(found, line, is_json)
    container, key = data.draw(st.sampled_from(leaves(found)))
    container[key] = deepcopy(twin)
    if mark is not None and unchanged(found, mark):
        assert CODEC.encode(found, "v") == line


@pytest.mark.parametrize("line", [b'{"~set":[1]}', b'[{"~bytes":"AA=="}]', b'{"~tuple":[[]]}'])
def test_no_mark_of_tagged_values(line: bytes) -> None:
    """A line with tags has no mark: marshal takes bytearray for bytes and knows no datetime."""
    assert fingerprint(CODEC.decode(line), line) is None


def test_no_mark_past_the_depth_of_marshal() -> None:
    """What marshal cannot write has no mark."""
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    assert fingerprint(value, b"[]") is None


def test_shared_parts_are_no_change_of_the_line() -> None:
    """A list in two places instead of two equal ones may cost an encoding, which finds the line as it was."""
    line = b"[[1],[1]]"
    value = CODEC.decode(line)
    value[1] = value[0]
    assert CODEC.encode(value, "v") == line


@given(VALUES)
@settings(deadline=None, max_examples=50)
def test_immutable_values_need_no_mark(value: Any) -> None:
    """What counts as immutable has no way to change in place."""
    if type(value) in IMMUTABLE:
        assert hash(value) == hash(deepcopy(value))
        assert not hasattr(value, "__setitem__") and not hasattr(value, "append")


def test_unsupported_type_names_the_key() -> None:
    """The path handed in begins the message."""
    with pytest.raises(UnsupportedType, match=r"^session\['cart'\]\[2\]: object cannot be stored"):
        CODEC.encode([1, 2, object()], "session['cart']")


@pytest.mark.parametrize("twin", [-0.0, 0], ids=repr)
def test_equal_times_are_written_alike(twin: Any) -> None:
    """Whichever of two equal numbers was written first in this process."""
    written = [CODEC.pack(Record(created, None, False, {})).partition(b",")[2][11:] for created in (twin, 0.0, twin)]
    assert written == [b"0.0,null,false,[]]"] * 3


def test_long_lists_of_keys_are_not_kept() -> None:
    """Lists of many keys, which visitors may have a say in, are not kept for the next time; and it is never much."""
    before = codec._keys_line.cache_info().currsize
    many = Record(1.5, None, False, {f"{number}": b"1" for number in range(200)})
    assert CODEC.unpack(CODEC.pack(many)) == many
    assert codec._keys_line.cache_info().currsize == before
    assert all(cache.cache_parameters()["maxsize"] <= 128 for cache in (codec._keys_line, codec._shape))


def test_a_record_keeps_when_it_began_to_the_last_digit() -> None:
    """Read or not, changed or not."""
    payload = CODEC.pack(Record(1764018000.1234567, "ada", False, {}))
    unread = CODEC.unpack(payload)
    assert unread is not None
    again = CODEC.unpack(CODEC.pack(unread))
    assert again is not None and again.created == 1764018000.1234567
    assert CODEC.unpack(CODEC.pack(again)) == again == unread
    again.created = 5.5
    assert CODEC.unpack(CODEC.pack(again)) == again != unread
    assert again != "no record" and repr(again) == "Record(created=5.5, owner='ada', persistent=False, extra=None)"


@pytest.mark.parametrize("owner", [b"null", b'"a"', '"é"'.encode()])
def test_a_key_that_another_program_wrote_raw(owner: bytes) -> None:
    """Ours escape what is not ASCII; JSON need not, and no other part of the head decides whether it is read."""
    found = CODEC.unpack(b'[1,"AAAAAAAA",1.5,%b,false,["\xc3\xa9","b"]]\n1\n2' % owner)
    assert found is not None and found.data == {"é": b"1", "b": b"2"}
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
