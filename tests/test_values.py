"""Values come back equal and of the same type, or are refused with their path."""

from __future__ import annotations

import enum
import json
import sys
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from support.values import CODEC, PATH, PLAIN, VALUES, back, encode, zone_from_file

from wsgisession.errors import SessionError, UnsupportedType
from wsgisession.merge import same
from wsgisession.values import DIGITS, IMMUTABLE

BERLIN = ZoneInfo("Europe/Berlin")


class Str(str):
    pass


class Color(enum.IntEnum):
    RED = 1


class Word(enum.StrEnum):
    A = "a"


class User:
    def __init__(self, id: int) -> None:
        self.id = id


class OwnZone(tzinfo):
    def utcoffset(self, moment: Any) -> timedelta:
        return timedelta(hours=1)

    def dst(self, moment: Any) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: Any) -> str:
        return "own"


@dataclass
class Point:
    x: int


Pair = namedtuple("Pair", "a b")

# What comes back. Most spellings are in ``test_upgrade.py``, because they never change.

LINES = [
    pytest.param(-7, b"-7", id="int"),
    pytest.param(10**700, b"1" + b"0" * 700, id="long int"),
    pytest.param(-0.0, b"-0.0", id="negative zero"),
    pytest.param(["\U0001f600"], b'["\\ud83d\\ude00"]', id="outside the BMP, in a list"),
    pytest.param((1, ()), b'{"~tuple":[1,{"~tuple":[]}]}', id="tuple"),
    pytest.param({10, 9, "a"}, b'{"~set":["a",10,9]}', id="set, sorted by encoding"),
    pytest.param({1: "a", "1": "b"}, b'{"~dict":[[1,"a"],["1","b"]]}', id="keys 1 and '1'"),
    pytest.param({"~set": [1], "b": 2}, b'{"~set":[1],"b":2}', id="two members are no tag"),
    pytest.param({"a": '{"~set":[1]}'}, b'{"a":"{\\"~set\\":[1]}"}', id="text that looks like a tag"),
    pytest.param(
        {"\ud83d\ude00": 1}, b'{"~dict":[[{"~str":["\\ud83d","\\ude00"]},1]]}', id="key of two surrogates"
    ),
    pytest.param(
        time(1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
        b'{"~time":["01:02:00+01:00",0,null,"CET"]}',
        id="time, named offset",
    ),
    pytest.param(Decimal("-0.00"), b'{"~decimal":"-0.00"}', id="Decimal, sign and exponent"),
    pytest.param(Decimal("Infinity"), b'{"~decimal":"Infinity"}', id="Decimal, infinite"),
]


@pytest.mark.parametrize(("value", "line"), LINES)
def test_one_spelling(value: Any, line: bytes) -> None:
    """A value has one line of ASCII JSON, which reads back as the same value of the same type."""
    assert encode(value) == line
    assert same(CODEC.decode(line), value)


@given(VALUES)
@settings(deadline=None)
def test_round_trip(value: Any) -> None:
    """Whatever is taken comes back equal and of the same types, all the way down."""
    line = encode(value)
    assert line.isascii() and b"\n" not in line
    assert same(CODEC.decode(line), value)
    assert type(value) in CODEC.accepts


@given(VALUES)
@settings(deadline=None)
def test_deterministic(value: Any) -> None:
    """A value that was read is encoded to the very line it was read from."""
    line = encode(value)
    assert encode(CODEC.decode(line)) == line


@given(PLAIN)
@settings(deadline=None)
def test_plain_data_is_plain_json(value: Any) -> None:
    """Data that JSON carries exactly is what json.dumps makes of it."""
    line = json.dumps(value, separators=(",", ":"))
    if "~" not in line and same(json.loads(line), value):
        assert encode(value) == line.encode()


def test_zone_stays_a_zone() -> None:
    """A ZoneInfo comes back as that very zone, not as the offset it had at the time."""
    value = back([datetime(2024, 7, 1, tzinfo=BERLIN), time(1, tzinfo=BERLIN)])
    assert value[0].tzinfo is BERLIN and value[1].tzinfo is BERLIN


def test_zone_object_of_the_same_name() -> None:
    """A ZoneInfo from outside the cache is stored by its name while the moment stays equal."""
    assert back(datetime(2024, 7, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin"))).tzinfo is BERLIN


def test_shared_parts_come_back_as_copies() -> None:
    """A list that is held twice is written twice: equal, though no longer one."""
    part = [1]
    value = back([part, part])
    assert value == [[1], [1]] and value[0] is not value[1]


def test_immutable_types_are_accepted() -> None:
    """What cannot change in place is among what can be stored; containers are not among what cannot change."""
    assert IMMUTABLE < CODEC.accepts
    assert CODEC.accepts - IMMUTABLE == {list, dict, tuple, set, frozenset}


# What is refused. What can be stored instead of values of the standard library, ``test_advice.py`` tries out.

REFUSED = [
    pytest.param(float("nan"), "no NaN", id="NaN"),
    pytest.param(float("-inf"), "no infinities", id="infinity"),
    pytest.param(Decimal("sNaN"), "store None or str(x)", id="Decimal NaN"),
    pytest.param(10**DIGITS, "4300 digits", id="4301 digits"),
    pytest.param(Color.RED, "store x.value", id="IntEnum"),
    pytest.param(Word.A, ".value", id="StrEnum"),
    pytest.param(Str("a"), "str(x)", id="str subclass"),
    pytest.param(OrderedDict(a=1), "dict(x)", id="OrderedDict"),
    pytest.param(UserDict(), "dict(x)", id="Mapping"),
    pytest.param(Pair(1, 2), "tuple(x)", id="namedtuple"),
    pytest.param(type("T", (tuple,), {})(), "tuple(x)", id="tuple subclass"),
    pytest.param(User(7), "str(user.id)", id="object with an id"),
    pytest.param(object(), "JSONCodec(types=", id="object"),
    pytest.param(Point(1), "dataclasses.asdict(x)", id="dataclass"),
    pytest.param(User, "JSONCodec(types=", id="class"),
    pytest.param(datetime(2024, 1, 1, tzinfo=OwnZone()), "astimezone(timezone.utc)", id="own time zone"),
    pytest.param(time(1, tzinfo=OwnZone()), "x.replace(tzinfo=None)", id="time with its own time zone"),
    pytest.param(
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=1))), "astimezone", id="1 µs from UTC"
    ),
    pytest.param(
        time(1, tzinfo=timezone(timedelta(microseconds=-999_999))), "replace", id="less than 1 s from UTC"
    ),
]


@pytest.mark.parametrize(("value", "instead"), REFUSED)
@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda x: x, ""),
        (lambda x: [0, x], "[1]"),
        (lambda x: {"k": {"l": (x,)}}, "['k']['l'][0]"),
        (lambda x: {1: x}, "[1]"),
    ],
    ids=["bare", "list", "nested", "dict of int"],
)
def test_refused_with_path_and_advice(value: Any, instead: str, wrap: Any, where: str) -> None:
    """What would not come back is refused; the message begins with its path and says what to store instead."""
    with pytest.raises(UnsupportedType) as caught:
        encode(wrap(value))
    assert str(caught.value).startswith(f"session['a']{where}: ")
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({Color.RED: 1}, " (a key)"),
        ({(1, Color.RED): 1}, " (a key)[1]"),
        ([{1, Word.A, 2}], "[0] (inside the set)"),
        ({Str("a"): 1}, " (a key)"),
    ],
    ids=["enum key", "inside a key", "in a set", "str subclass as key"],
)
def test_paths_through_keys_and_sets(value: Any, where: str) -> None:
    """If a value has no index, the path says its place in words."""
    with pytest.raises(UnsupportedType) as caught:
        encode(value)
    assert str(caught.value).startswith(PATH + where + ": ")


def test_refusal_is_a_session_error_and_a_type_error() -> None:
    """UnsupportedType can be caught as either."""
    with pytest.raises(SessionError) as caught:
        encode(object())
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("key", ["No/Such", "Asia/Tokyo", None, "Europe", "a" * 300])
def test_zone_by_a_name_that_leads_elsewhere(key: str | None) -> None:
    """A ZoneInfo made from a file is refused if its name leads to no zone, to another one, to a folder, or is missing."""
    with pytest.raises(UnsupportedType, match="ZoneInfo by name"):
        encode(datetime(2024, 7, 1, tzinfo=zone_from_file(key)))


def test_refused_where_the_digits_limit_is_lifted(digits: None) -> None:
    """What other processes could not read back is refused even if this one could write it."""
    sys.set_int_max_str_digits(0)
    with pytest.raises(UnsupportedType, match=r"session\['a'\]\[0\]: an integer of more than 4300 digits"):
        encode([10**DIGITS])
    long = ["x" * DIGITS]
    assert encode(long) == json.dumps(long).encode()


def test_refused_where_the_digits_limit_is_lowered(digits: None) -> None:
    """An integer that this process cannot write is an UnsupportedType too."""
    sys.set_int_max_str_digits(640)
    with pytest.raises(UnsupportedType, match="cannot be written here"):
        encode([10**641])


@pytest.fixture
def digits() -> Iterator[None]:
    """Put the limit of the digits of an integer back."""
    limit = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(limit)
